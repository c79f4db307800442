/* fault_tokenizer.c - tokenizers of every form without memory. */
#include "fault.h"

#include "base/io.h"
#include "checkpoint/checkpoint.h"

#define FOLDER "tests/oracle/tok/"

/* Open, encode a text with every kind of word, decode. */
static enum rad_status there_and_back(const char *path, struct rad_err *err)
{
    static const char text[] =
        "the cat's <|endoftext|> 1234 </s> e\xcc\x80\xcc\xa3\xff <tool> mask";
    rad_tokenizer *tok = NULL;
    struct rad_ids ids = {.id = NULL};
    struct rad_buf back = {.data = NULL};
    const struct rad_text t = {text, sizeof text - 1, true};
    RAD_TRY(rad_tokenizer_open(&tok, path, 1000, err));
    enum rad_status status = rad_tokenizer_encode(tok, &t, &ids, err);
    if (status == RAD_OK)
        status = rad_tokenizer_decode(tok, ids.id, ids.n, &back, err);
    rad_buf_free(&back);
    rad_ids_free(&ids);
    rad_tokenizer_close(tok);
    return status;
}

static enum rad_status gpt2(struct rad_err *err)
{
    return there_and_back(FOLDER "gpt2", err);
}

static enum rad_status opt(struct rad_err *err)
{
    return there_and_back(FOLDER "opt", err);
}

static enum rad_status llama3(struct rad_err *err)
{
    return there_and_back(FOLDER "llama3", err);
}

static enum rad_status qwen2(struct rad_err *err)
{
    return there_and_back(FOLDER "qwen2", err);
}

static enum rad_status llama2(struct rad_err *err)
{
    return there_and_back(FOLDER "llama2", err);
}

static enum rad_status mistral(struct rad_err *err)
{
    return there_and_back(FOLDER "mistral", err);
}

static enum rad_status gguf_bytes(struct rad_err *err)
{
    return there_and_back(FOLDER "qwen2.gguf", err);
}

static enum rad_status gguf_pieces(struct rad_err *err)
{
    return there_and_back(FOLDER "spm.gguf", err);
}

const struct fault tokenizer_faults[] = {
    {"vocab.json and merges.txt", gpt2, NULL},
    {"vocab.json with configs", opt, NULL},
    {"tokenizer.json of Llama 3", llama3, NULL},
    {"tokenizer.json of Qwen2", qwen2, NULL},
    {"tokenizer.json of Llama 2", llama2, NULL},
    {"tokenizer.json of Mistral", mistral, NULL},
    {"GGUF, bytes with merges", gguf_bytes, NULL},
    {"GGUF, sentencepiece", gguf_pieces, NULL},
    {.name = NULL},
};
