/* fuzz_torch.c - any bytes as a file of torch.save, and as its pickle alone: refused, or every
 * tensor can be read. The first byte chooses. */
#include "checkpoint/torch.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What an accepted file promises. */
static void check_file(const struct rad_torch *t, const struct rad_st_source *src)
{
    for (size_t i = 0; i < t->n; i++) {
        const struct rad_tensor *one = &t->tensor[i];
        const unsigned char *begin = one->data;
        if (begin < src->data || one->bytes > (size_t)(src->data + src->len - begin))
            abort();
        if (i > 0 && strcmp(t->tensor[i - 1].name, one->name) >= 0)
            abort();
        if (one->dtype == RAD_N_DTYPE)
            continue;
        float *x = malloc((size_t)one->n * sizeof *x + 1);
        if (x == NULL || rad_tensor_to_f32(x, one, NULL) != RAD_OK)
            abort();
        free(x);
    }
}

static void check_pickle(const struct rad_pickle *p)
{
    if (p->n == 0)
        abort();
    for (size_t i = 0; i < p->n; i++) {
        const struct rad_pickle_tensor *t = &p->tensor[i];
        if (t->dtype == NULL || t->first < 0 || t->n_storage < 0 || t->shape.n_dim < 0 ||
            t->shape.n_dim > RAD_TENSOR_DIMS)
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rad_err err = {.msg = ""};
    if (size == 0)
        return 0;
    /* A copy of its own size, so that a read past the end is seen. */
    unsigned char *copy = malloc(size > 1 ? size - 1 : 1);
    if (copy == NULL)
        return 0;
    memcpy(copy, data + 1, size - 1);
    const struct rad_st_source src = {copy, size - 1, "fuzz"};
    struct rad_torch t = {0};
    struct rad_pickle p = {0};
    const enum rad_status status = *data % 2 ? rad_pickle_read(&p, &src, &err)
                                             : rad_torch_parse(&t, &src, &err);
    if (status != RAD_OK) {
        if (p.tensor != NULL || t.tensor != NULL || err.msg[0] == '\0' || strchr(err.msg, '\n'))
            abort();
    } else if (*data % 2) {
        check_pickle(&p);
    } else {
        check_file(&t, &src);
    }
    rad_pickle_free(&p);
    rad_torch_free(&t);
    free(copy);
    return 0;
}
