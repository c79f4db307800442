/* fault_checkpoint.c - weights and tokenizers without memory. */
#include "fault.h"

#include "base/io.h"
#include "checkpoint/checkpoint.h"

#include <stdlib.h>
#include <string.h>

#define WEIGHTS FAULT_TMP "fault.safetensors"

static enum rad_status write_weights(struct rad_err *err)
{
    static const float data[6] = {1, 2, 3, 4, 5, 6};
    const struct rad_tensor_out tensor[] = {
        {.name = "a", .dtype = RAD_F32, .n_dim = 2, .dim = {2, 3}, .data = data},
        {.name = "b", .dtype = RAD_BF16, .n_dim = 1, .dim = {4}, .data = data},
    };
    return rad_tensors_write(WEIGHTS, tensor, 2, "{\"made\": \"by a test\"}", err);
}

static enum rad_status read_weights(struct rad_err *err)
{
    float data[6];
    const struct rad_shape shape = {.n_dim = 2, .dim = {2, 3}};
    rad_tensors *t = NULL;
    RAD_TRY(rad_tensors_open(&t, WEIGHTS, err));
    const enum rad_status status = rad_tensors_read(t, "a", shape, data, err);
    rad_tensors_close(t);
    return status;
}

static bool weights_sound(struct rad_err *err)
{
    return read_weights(err) == RAD_OK;
}

static enum rad_status bytes_and_back(struct rad_err *err)
{
    const struct rad_text text = {.data = "some text", .len = 9};
    rad_tokenizer *tok = NULL;
    struct rad_ids ids = {.id = NULL};
    struct rad_buf back = {.data = NULL};
    RAD_TRY(rad_tokenizer_open_bytes(&tok, err));
    enum rad_status status = rad_tokenizer_encode(tok, &text, &ids, err);
    if (status == RAD_OK)
        status = rad_tokenizer_decode(tok, ids.id, ids.n, &back, err);
    rad_buf_free(&back);
    rad_ids_free(&ids);
    rad_tokenizer_close(tok);
    return status;
}

static enum rad_status picture(struct rad_err *err)
{
    static const unsigned char png[] = {
        137, 80,  78, 71, 13, 10,  26,  10, 0,  0,   0,  13,  73,  72,  68,  82, 0,  0,
        0,   2,   0,  0,  0,  1,   8,   2,  0,  0,   0,  123, 64,  232, 221, 0,  0,  0,
        15,  73,  68, 65, 84, 120, 218, 99, 56, 193, 37, 199, 192, 192, 0,   0,  5,  97,
        0,   241, 55, 87, 53, 187, 0,   0,  0,  0,   73, 69,  78,  68,  174, 66, 96, 130};
    static const char config[] = "{\"resample\": 3, \"image_mean\": [0, 0, 0]}";
    float *pixels = NULL;
    RAD_TRY(rad_file_write(FAULT_TMP "a.png", png, sizeof png, err));
    RAD_TRY(rad_file_write(FAULT_TMP "preprocessor_config.json", config, sizeof config - 1, err));
    const enum rad_status status = rad_image_open(&pixels, FAULT_TMP "a.png", FAULT_TMP, 4, err);
    free(pixels);
    return status;
}

/* Little-endian numbers and strings of a GGUF file. */
static unsigned char *put(unsigned char *to, uint64_t x, int bytes)
{
    for (int i = 0; i < bytes; i++)
        *to++ = (unsigned char)(x >> (8 * i));
    return to;
}

static unsigned char *put_text(unsigned char *to, const char *text)
{
    to = put(to, strlen(text), 8);
    memcpy(to, text, strlen(text));
    return to + strlen(text);
}

static size_t make_gguf(unsigned char *file)
{
    static const char *const counts[] = {"gpt2.block_count", "gpt2.context_length",
                                         "gpt2.embedding_length", "gpt2.feed_forward_length",
                                         "gpt2.attention.head_count"};
    unsigned char *to = file;
    memcpy(to, "GGUF", 4);
    to = put(put(put(to + 4, 3, 4), 1, 8), 7, 8);
    to = put_text(put(put_text(to, "general.architecture"), 8, 4), "gpt2");
    for (int i = 0; i < 5; i++)
        to = put(put(put_text(to, counts[i]), 4, 4), 1, 4);
    to = put(put(put_text(to, "gpt2.attention.layer_norm_epsilon"), 6, 4), 0x3727c5ac, 4);
    to = put(put(put(put_text(to, "token_embd.weight"), 2, 4), 1, 8), 2, 8);
    to = put(put(to, 0, 4), 0, 8);
    while ((to - file) % 32 != 0)
        *to++ = 0;
    return (size_t)(put(to, 0, 8) - file);
}

static enum rad_status read_gguf(struct rad_err *err)
{
    unsigned char file[1024];
    float data[2];
    const struct rad_shape shape = {.n_dim = 2, .dim = {2, 1}};
    struct rad_model_config config;
    rad_tensors *t = NULL;
    RAD_TRY(rad_file_write(FAULT_TMP "fault.gguf", file, make_gguf(file), err));
    RAD_TRY(rad_model_config_open(&config, FAULT_TMP "fault.gguf", err));
    RAD_TRY(rad_tensors_open(&t, FAULT_TMP "fault.gguf", err));
    const enum rad_status status = rad_tensors_read(t, "token_embd.weight", shape, data, err);
    rad_tensors_close(t);
    return status;
}

static enum rad_status read_torch(struct rad_err *err)
{
    float data[6];
    const struct rad_shape shape = {.n_dim = 2, .dim = {2, 3}};
    rad_tensors *t = NULL;
    RAD_TRY(rad_tensors_open(&t, "tests/oracle/torch/plain", err));
    const enum rad_status status = rad_tensors_read(t, "a", shape, data, err);
    rad_tensors_close(t);
    return status;
}

static enum rad_status find_model(struct rad_err *err)
{
    char path[RAD_PATH_MAX];
    RAD_TRY(rad_dir_make(FAULT_TMP "fault_hub/refs", err));
    RAD_TRY(rad_dir_make(FAULT_TMP "fault_hub/snapshots/abc", err));
    RAD_TRY(rad_file_write(FAULT_TMP "fault_hub/refs/main", "abc", 3, err));
    return rad_model_find(path, FAULT_TMP "fault_hub", err);
}

/* In this order: the second reads what the first leaves. */
const struct fault checkpoint_faults[] = {
    {"rad_tensors_write", write_weights, weights_sound},
    {"rad_tensors_open", read_weights, NULL},
    {"rad_tokenizer_encode", bytes_and_back, NULL},
    {"rad_image_open", picture, NULL},
    {"rad_tensors_open of GGUF", read_gguf, NULL},
    {"rad_tensors_open of torch.save", read_torch, NULL},
    {"rad_model_find", find_model, NULL},
    {.name = NULL},
};
