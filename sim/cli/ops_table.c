/* ops_table.c - see ops_table.h. */
#include "cli/ops_table.h"

#include "cli/ops_experts.h"
#include "cli/ops_words.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The columns that an operation is made of; their place in the file, -1 if it has none. */
enum {
    C_OP,
    C_DTYPE,
    C_M,
    C_N,
    C_K,
    C_BATCH,
    C_SEQ,
    C_KV,
    C_HEADS,
    C_KV_HEADS,
    C_HEAD_DIM,
    C_HIDDEN,
    C_NOTES,
    C_TP,
    C_SOURCE,
    C_LATENCY,
    C_ENERGY,
    C_HARDWARE,
    C_FFN,
};
static const char *const columns[OPS_N_COLUMN] = {
    "op",     "dtype",      "M",        "N",        "K",      "batch", "seq",
    "kv",     "heads",      "kv_heads", "head_dim", "hidden", "notes", "tp",
    "source", "latency_us", "energy_j", "hardware", "ffn"};

static const char *text_of(const struct ops_table *t, size_t row, int column)
{
    return t->at[column] >= 0 ? csv_cell(&t->csv, row, (size_t)t->at[column]) : "";
}

/* A whole number of 1..2^40; `otherwise` for an empty cell, which is an error if that is 0. */
static enum rad_status number(const struct ops_table *t, size_t row, int column, int64_t otherwise,
                              int64_t *out, struct rad_err *err)
{
    const char *text = text_of(t, row, column);
    char *end = NULL;
    errno = 0;
    const double value = strtod(text, &end);
    if (*text == '\0' && otherwise > 0) {
        *out = otherwise;
        return RAD_OK;
    }
    if (end == text || *end != '\0' || errno != 0 || !(value >= 1 && value <= 0x1p40) ||
        value > floor(value))
        return rad_fail(err, RAD_E_RANGE, "column %s: expected a whole number but found '%.32s'",
                        columns[column], text);
    *out = (int64_t)value;
    return RAD_OK;
}

/* errors: RAD_E_RANGE, where products of the three would leave int64_t */
static enum rad_status countable(int64_t a, int64_t b, int64_t c, struct rad_err *err)
{
    return (double)a * (double)b * (double)c <= 0x1p62
               ? RAD_OK
               : rad_fail(err, RAD_E_RANGE, "an operation of more than 2^62 rows or pairs");
}

/* ---- number formats ------------------------------------------------------------------------ */

/* Names that measured data use for formats. Weight-only formats multiply in fp16 and read narrower
 * weights. */
static const struct {
    const char *name;
    enum rad_dtype dtype;
    double weight_share;
} formats[] = {
    {"fp16/bf16", RAD_F16, 1.0}, {"float16", RAD_F16, 1.0}, {"f16", RAD_F16, 1.0},
    {"bfloat16", RAD_BF16, 1.0}, {"float32", RAD_F32, 1.0}, {"f32", RAD_F32, 1.0},
    {"w8a8", RAD_INT8, 1.0},     {"w8a16", RAD_F16, 0.5},   {"w4a16", RAD_F16, 0.25},
};

static enum rad_status format_of(const char *name, enum rad_dtype *dtype, double *share,
                                 struct rad_err *err)
{
    *share = 1.0;
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++)
        if (strcmp(formats[i].name, name) == 0) {
            *dtype = formats[i].dtype;
            *share = formats[i].weight_share;
            return RAD_OK;
        }
    return rad_dtype_parse(name, dtype, err);
}

/* ---- operations ---------------------------------------------------------------------------- */

static enum rad_status gemm_op(const struct ops_table *t, size_t row, enum rad_dtype dtype,
                               struct rad_op *op, struct rad_err *err)
{
    int64_t m = 0, n = 0, k = 0, batch = 1;
    RAD_TRY(number(t, row, C_M, 0, &m, err));
    RAD_TRY(number(t, row, C_N, 0, &n, err));
    RAD_TRY(number(t, row, C_K, 0, &k, err));
    if (strcmp(text_of(t, row, C_OP), "bmm") == 0)
        RAD_TRY(number(t, row, C_BATCH, 1, &batch, err));
    RAD_TRY(countable(m, batch, 1, err));
    *op = rad_op_gemm(m * batch, n, k, dtype);
    op->weight_bytes *= (double)batch; /* a bmm has as many right-hand sides */
    return RAD_OK;
}

/* groups=G products in one launch, M rows in all, N x K weights each. */
static enum rad_status grouped_op(const struct ops_table *t, size_t row, enum rad_dtype dtype,
                                  struct rad_op *op, struct rad_err *err)
{
    int64_t m = 0, n = 0, k = 0;
    const int32_t groups = ops_note_int(text_of(t, row, C_NOTES), "groups");
    RAD_TRY(number(t, row, C_M, 0, &m, err));
    RAD_TRY(number(t, row, C_N, 0, &n, err));
    RAD_TRY(number(t, row, C_K, 0, &k, err));
    if (groups < 1 || groups > m)
        return rad_fail(err, RAD_E_RANGE, "column notes: expected groups=G, at most M");
    *op = rad_op_grouped(m, n, k, groups, dtype);
    return RAD_OK;
}

/* M tokens through topk of so many experts, hidden -> ffn / tp -> hidden. */
static enum rad_status experts_op(const struct ops_table *t, size_t row, enum rad_dtype dtype,
                                  struct rad_op *op, struct rad_err *err)
{
    const char *notes = text_of(t, row, C_NOTES);
    const int32_t top = ops_note_int(notes, "topk"), experts = ops_note_int(notes, "experts");
    int64_t m = 0, hidden = 0, ffn = 0, tp = 1;
    RAD_TRY(number(t, row, C_M, 0, &m, err));
    RAD_TRY(number(t, row, C_HIDDEN, 0, &hidden, err));
    RAD_TRY(number(t, row, C_FFN, 0, &ffn, err));
    RAD_TRY(number(t, row, C_TP, 1, &tp, err));
    if (top < 1 || experts < top || ffn < tp || ffn > INT32_MAX / 2 || hidden > INT32_MAX ||
        m > INT32_MAX)
        return rad_fail(err, RAD_E_RANGE,
                        "expected topk=K;experts=E in column notes, and ffn of at least tp");
    const struct rad_expert_shape shape = {
        .m = m * top,
        .hidden = (int32_t)hidden,
        .ffn = (int32_t)(ffn / tp),
        .groups = ops_active_experts(experts, m * top, m, notes),
        .gated = ops_experts_gated(notes, (int32_t)hidden),
    };
    *op = rad_op_experts(&shape, dtype);
    return RAD_OK;
}

/* seq queries per sequence, the last of which sees kv keys, each before it one key less. */
static enum rad_status attend_op(const struct ops_table *t, size_t row, enum rad_dtype dtype,
                                 struct rad_op *op, struct rad_err *err)
{
    int64_t batch = 1, seq = 1, kv = 0, heads = 0, kv_heads = 0, dim = 0;
    RAD_TRY(number(t, row, C_BATCH, 1, &batch, err));
    RAD_TRY(number(t, row, C_SEQ, 1, &seq, err));
    RAD_TRY(number(t, row, C_KV, seq, &kv, err));
    RAD_TRY(number(t, row, C_HEADS, 0, &heads, err));
    RAD_TRY(number(t, row, C_KV_HEADS, heads, &kv_heads, err));
    RAD_TRY(number(t, row, C_HEAD_DIM, 0, &dim, err));
    if (seq > kv || kv_heads > heads || heads > INT32_MAX || dim > INT32_MAX || batch > INT32_MAX)
        return rad_fail(err, RAD_E_RANGE, "expected seq <= kv and kv_heads <= heads");
    RAD_TRY(countable(batch, seq, kv, err));
    const struct rad_attend_shape shape = {
        .m = batch * seq,
        .n_keys = batch * (seq * kv - seq * (seq - 1) / 2),
        .kv_read_keys = batch * kv,
        .heads = (int32_t)heads,
        .kv_heads = (int32_t)kv_heads,
        .head_dim = (int32_t)dim,
        .n_seq = (int32_t)batch,
    };
    *op = rad_op_attend(&shape, dtype);
    return RAD_OK;
}

static const struct {
    const char *op;
    enum rad_op_kind kind;
} kinds[] = {
    {"gemm", RAD_OP_GEMM},
    {"bmm", RAD_OP_GEMM},
    {"grouped", RAD_OP_GEMM},
    {"moe", RAD_OP_GEMM},
    {"attention", RAD_OP_ATTEND},
    {"attention_prefill", RAD_OP_ATTEND},
    {"attention_decode", RAD_OP_ATTEND},
    {"attend", RAD_OP_ATTEND},
    {"layernorm", RAD_OP_NORM},
    {"rmsnorm", RAD_OP_NORM},
    {"norm", RAD_OP_NORM},
    {"activation", RAD_OP_ACT},
    {"act", RAD_OP_ACT},
    {"add", RAD_OP_ADD},
    {"elementwise", RAD_OP_ADD},
    {"rope", RAD_OP_ROPE},
    {"gather", RAD_OP_GATHER},
    {"embedding", RAD_OP_EMBED},
    {"embed", RAD_OP_EMBED},
    {"softmax", RAD_OP_SOFTMAX},
    {"sample", RAD_OP_SAMPLE},
};

/* The other operand of this elementwise operation is one number ("addu", "mulu", ...). */
static bool is_unary(const char *notes)
{
    const char *end = strchr(notes, ';');
    const size_t len = end ? (size_t)(end - notes) : strlen(notes);
    return len == 4 && notes[3] == 'u';
}

/* batch x seq rows of `hidden`. An activation that is not gated reads one input, not two. */
static enum rad_status vector_op(const struct ops_table *t, size_t row, enum rad_op_kind kind,
                                 enum rad_dtype dtype, struct rad_op *op, struct rad_err *err)
{
    int64_t batch = 0, seq = 1, hidden = 0;
    RAD_TRY(number(t, row, C_BATCH, 0, &batch, err));
    RAD_TRY(number(t, row, C_SEQ, 1, &seq, err));
    RAD_TRY(number(t, row, C_HIDDEN, 0, &hidden, err));
    RAD_TRY(countable(batch, seq, 1, err));
    *op = rad_op_vector(kind, batch * seq, hidden, dtype);
    if (kind == RAD_OP_ACT && strstr(text_of(t, row, C_NOTES), "gated") == NULL) {
        op->act_bytes *= 2.0 / 3.0;
        op->flop *= 8.0 / 5.0; /* GELU beside SwiGLU, per output */
    }
    if (kind == RAD_OP_ADD && is_unary(text_of(t, row, C_NOTES)))
        op->act_bytes *= 2.0 / 3.0;
    return RAD_OK;
}

static bool is_link(const char *name)
{
    static const char *const links[] = {"allreduce", "allgather", "reducescatter", "alltoall",
                                        "sendrecv"};
    for (size_t i = 0; i < sizeof links / sizeof links[0]; i++)
        if (strcmp(links[i], name) == 0)
            return true;
    return false;
}

/* N = bytes, tp = ranks. */
static enum rad_status link_of(const struct ops_table *t, size_t row, struct rad_link *link,
                               struct rad_err *err)
{
    int64_t bytes = 0, ranks = 0;
    RAD_TRY(number(t, row, C_N, 0, &bytes, err));
    RAD_TRY(number(t, row, C_TP, 0, &ranks, err));
    if (ranks < 2)
        return rad_fail(err, RAD_E_RANGE, "column tp: expected at least 2 devices");
    *link = (struct rad_link){text_of(t, row, C_OP), (double)bytes, (double)ranks};
    return RAD_OK;
}

static enum rad_status op_of(const struct ops_table *t, size_t row, struct rad_op *op,
                             struct rad_err *err)
{
    const char *name = text_of(t, row, C_OP);
    enum rad_dtype dtype = RAD_F16;
    double share = 1.0;
    size_t i = 0;
    while (i < sizeof kinds / sizeof kinds[0] && strcmp(kinds[i].op, name) != 0)
        i++;
    if (i == sizeof kinds / sizeof kinds[0])
        return rad_fail(err, RAD_E_UNSUPPORTED, "op '%.32s' is none that hardware models cost",
                        name);
    RAD_TRY(format_of(text_of(t, row, C_DTYPE), &dtype, &share, err));
    if (strcmp(name, "grouped") == 0)
        RAD_TRY(grouped_op(t, row, dtype, op, err));
    else if (strcmp(name, "moe") == 0)
        RAD_TRY(experts_op(t, row, dtype, op, err));
    else if (kinds[i].kind == RAD_OP_GEMM)
        RAD_TRY(gemm_op(t, row, dtype, op, err));
    else if (kinds[i].kind == RAD_OP_ATTEND)
        RAD_TRY(attend_op(t, row, dtype, op, err));
    else
        RAD_TRY(vector_op(t, row, kinds[i].kind, dtype, op, err));
    op->weight_bytes *= share;
    if (strstr(text_of(t, row, C_NOTES), "l2hot") != NULL)
        op->weight_set_bytes = op->weight_bytes; /* measured with weights that stay in the cache */
    return RAD_OK;
}

/* A positive number, 0 if the cell is empty or not there. */
static enum rad_status measure(const struct ops_table *t, size_t row, int column, double *out,
                               struct rad_err *err)
{
    const char *text = text_of(t, row, column);
    char *end = NULL;
    *out = 0.0;
    if (*text == '\0')
        return RAD_OK;
    *out = strtod(text, &end);
    return end != text && *end == '\0' && *out > 0.0 && *out < 1e12
               ? RAD_OK
               : rad_fail(err, RAD_E_RANGE,
                          "column %s: expected a positive number but found '%.32s'",
                          columns[column], text);
}

enum rad_status ops_row(const struct ops_table *t, size_t row, struct ops_row *out,
                        struct rad_err *err)
{
    const bool link = is_link(text_of(t, row, C_OP));
    *out = (struct ops_row){.m = {.row = row + 1}};
    ops_software(text_of(t, row, C_SOURCE), text_of(t, row, C_NOTES), text_of(t, row, C_TP),
                 text_of(t, row, C_HARDWARE), out->software);
    ops_model(text_of(t, row, C_NOTES), out->model);
    if (strcmp(text_of(t, row, C_OP), "moe") == 0)
        snprintf(out->model, OPS_MODEL, "%.8s x %.8s, %d", text_of(t, row, C_HIDDEN),
                 text_of(t, row, C_FFN), (int)ops_note_int(text_of(t, row, C_NOTES), "experts"));
    if (link)
        RAD_TRY(link_of(t, row, &out->m.link, err));
    else
        RAD_TRY(op_of(t, row, &out->m.op, err));
    RAD_TRY(measure(t, row, C_ENERGY, &out->m.energy_j, err));
    RAD_TRY(measure(t, row, C_LATENCY, &out->m.latency_s, err));
    out->m.latency_s /= 1e6;
    out->hot = strstr(text_of(t, row, C_NOTES), "l2hot") != NULL;
    return RAD_OK;
}

struct rad_measured ops_row_measured(const struct ops_row *row)
{
    struct rad_measured m = row->m;
    m.software = row->software;
    m.model = row->model[0] != '\0' ? row->model : NULL;
    return m;
}

enum rad_status ops_hardware(struct ops_table *t, size_t row, const char **profile, bool *known,
                             struct rad_err *err)
{
    const char *name = text_of(t, row, C_HARDWARE);
    if (*name != '\0' && (t->last_hardware == NULL || strcmp(name, t->last_hardware) != 0)) {
        RAD_TRY(rad_hw_alias(name, t->last_alias, err));
        t->last_hardware = name;
    }
    *profile = *name != '\0' ? t->last_alias : "";
    *known = strcmp(*profile, name) != 0;
    return RAD_OK;
}

enum rad_status ops_open(struct ops_table *t, const char *path, struct rad_err *err)
{
    t->path = path;
    RAD_TRY(csv_read(&t->csv, path, err));
    for (int i = 0; i < OPS_N_COLUMN; i++)
        t->at[i] = csv_find(&t->csv, columns[i]);
    if (t->at[C_OP] < 0 || t->at[C_DTYPE] < 0)
        return rad_fail(err, RAD_E_PARSE, "%s:1: expected columns op and dtype", path);
    return RAD_OK;
}

void ops_close(struct ops_table *t)
{
    csv_free(&t->csv);
}
