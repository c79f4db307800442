/* class_probe.c - see class_probe.h. */
#include "hw/class_probe.h"

#include <math.h>
#include <string.h>

#define RAD_LAW(name) extern const struct rad_law rad_law_##name;
#include "hw/laws.def"
#undef RAD_LAW

static size_t probe_gemm(const struct rad_fit *kind, enum rad_dtype dtype, struct rad_work *work)
{
    static const int64_t rows[] = {1, 16, 64, 256, 1024, 4096}, sizes[] = {2048, 4096, 8192};
    const double share = strcmp(kind->format, "w4a16") == 0   ? 0.25
                         : strcmp(kind->format, "w8a16") == 0 ? 0.5
                                                              : 1.0;
    size_t n = 0;
    for (int i = 0; i < 6; i++)
        for (int j = 0; j < 9; j++) {
            struct rad_op op = rad_op_gemm(rows[i], sizes[j / 3], sizes[j % 3], dtype);
            op.weight_bytes *= share;
            work[n++] = rad_work_of(&op);
        }
    return n;
}

static size_t probe_grouped(enum rad_dtype dtype, struct rad_work *work)
{
    static const int32_t hidden[] = {2048, 4096, 6144}, ffn[] = {512, 2048}, experts[] = {8, 128};
    size_t n = 0;
    for (int64_t m = 8; m <= 32768; m *= 8)
        for (int i = 0; i < 12; i++) {
            const int32_t most = experts[i % 2];
            const struct rad_expert_shape shape = {m, hidden[i / 4], ffn[i / 2 % 2],
                                                   (int32_t)(m < most ? m : most), true};
            const struct rad_op op = rad_op_experts(&shape, dtype);
            work[n++] = rad_work_of(&op);
        }
    return n;
}

static size_t probe_attend(const struct rad_fit *kind, enum rad_dtype dtype, struct rad_work *work)
{
    const bool prefill = strcmp(kind->op, "prefill") == 0;
    static const int64_t contexts[] = {512, 2048, 8192, 32768};
    static const int32_t batches[] = {1, 4, 16, 64}, groups[] = {4, 8, 32};
    size_t n = 0;
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++)
            for (int k = 0; k < 3; k++) {
                const int64_t keys = contexts[i], queries = prefill ? keys : 1;
                const struct rad_attend_shape shape = {
                    .m = batches[j] * queries,
                    .n_keys = batches[j] * (queries * keys - queries * (queries - 1) / 2),
                    .kv_read_keys = batches[j] * keys,
                    .heads = groups[k],
                    .kv_heads = 2,
                    .head_dim = kind->head_dim > 0.0 ? (int32_t)kind->head_dim : 128,
                    .n_seq = batches[j]};
                const struct rad_op op = rad_op_attend(&shape, dtype);
                work[n++] = rad_work_of(&op);
            }
    return n;
}

static size_t probe_rest(const struct rad_fit *kind, enum rad_dtype dtype, struct rad_work *work)
{
    size_t n = 0;
    for (int i = 0; i < 6; i++)
        for (int j = 0; j < 4; j++) {
            const struct rad_op op =
                rad_op_vector(RAD_OP_NORM, (int64_t)1 << (2 * i + 2), (int64_t)1024 << j, dtype);
            work[n] = kind->law == &rad_law_link
                          ? (struct rad_work){.bytes = exp2(10 + 4 * i), .ranks = exp2(1 + j % 3)}
                          : rad_work_of(&op);
            n++;
        }
    return n;
}

size_t rad_class_probes(const struct rad_fit *kind, enum rad_dtype dtype,
                        struct rad_work work[RAD_MAX_PROBE])
{
    return kind->law == &rad_law_gemm      ? probe_gemm(kind, dtype, work)
           : kind->law == &rad_law_grouped ? probe_grouped(dtype, work)
           : kind->law == &rad_law_decode || kind->law == &rad_law_prefill
               ? probe_attend(kind, dtype, work)
               : probe_rest(kind, dtype, work);
}
