/* fault_checkpoint.c - weights and tokenizers without memory. */
#include "fault.h"

#include "checkpoint/checkpoint.h"

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

/* In this order: the second reads what the first leaves. */
const struct fault checkpoint_faults[] = {
    {"rad_tensors_write", write_weights, weights_sound},
    {"rad_tensors_open", read_weights, NULL},
    {"rad_tokenizer_encode", bytes_and_back, NULL},
    {.name = NULL},
};
