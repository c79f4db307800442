/* cmd_hw_predict.c - `radial hw predict`: every row of a CSV of operations, costed. */
#include "cli/cmd_hw.h"
#include "cli/csv.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
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
    N_COLUMN
};
static const char *const columns[N_COLUMN] = {"op",       "dtype",  "M",    "N",     "K",
                                              "batch",    "seq",    "kv",   "heads", "kv_heads",
                                              "head_dim", "hidden", "notes"};

struct table {
    struct csv csv;
    const char *path;
    int at[N_COLUMN];
};

static const char *text_of(const struct table *t, size_t row, int column)
{
    return t->at[column] >= 0 ? csv_cell(&t->csv, row, (size_t)t->at[column]) : "";
}

/* A whole number of 1..2^40; `otherwise` for an empty cell, which is an error if that is 0. */
static enum rad_status number(const struct table *t, size_t row, int column, int64_t otherwise,
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

static enum rad_status gemm_op(const struct table *t, size_t row, enum rad_dtype dtype,
                               struct rad_op *op, struct rad_err *err)
{
    int64_t m = 0, n = 0, k = 0, batch = 1;
    RAD_TRY(number(t, row, C_M, 0, &m, err));
    RAD_TRY(number(t, row, C_N, 0, &n, err));
    RAD_TRY(number(t, row, C_K, 0, &k, err));
    if (strcmp(text_of(t, row, C_OP), "bmm") == 0)
        RAD_TRY(number(t, row, C_BATCH, 1, &batch, err));
    *op = rad_op_gemm(m * batch, n, k, dtype);
    op->weight_bytes *= (double)batch; /* a bmm has as many right-hand sides */
    return RAD_OK;
}

/* seq queries per sequence, the last of which sees kv keys, each before it one key less. */
static enum rad_status attend_op(const struct table *t, size_t row, enum rad_dtype dtype,
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
};

/* batch x seq rows of `hidden`. An activation that is not gated reads one input, not two. */
static enum rad_status vector_op(const struct table *t, size_t row, enum rad_op_kind kind,
                                 enum rad_dtype dtype, struct rad_op *op, struct rad_err *err)
{
    int64_t batch = 0, seq = 1, hidden = 0;
    RAD_TRY(number(t, row, C_BATCH, 0, &batch, err));
    RAD_TRY(number(t, row, C_SEQ, 1, &seq, err));
    RAD_TRY(number(t, row, C_HIDDEN, 0, &hidden, err));
    *op = rad_op_vector(kind, batch * seq, hidden, dtype);
    if (kind == RAD_OP_ACT && strstr(text_of(t, row, C_NOTES), "gated") == NULL) {
        op->act_bytes *= 2.0 / 3.0;
        op->flop *= 8.0 / 5.0; /* GELU beside SwiGLU, per output */
    }
    return RAD_OK;
}

static enum rad_status op_of(const struct table *t, size_t row, struct rad_op *op,
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
    if (kinds[i].kind == RAD_OP_GEMM)
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

/* ---- output -------------------------------------------------------------------------------- */

/* Rented by the hour, and owned: capital of the time and electricity of the energy. */
static void put_usd(rad_out *out, const rad_hw *hw, const struct rad_cost *c)
{
    const double time_s = c ? c->time_s : (double)NAN;
    const double energy_j = c ? c->dynamic_j + c->memory_j + c->static_j : (double)NAN;
    rad_out_real(out, "pred_usd", time_s / 3600.0 * rad_hw_usd_per_hour(hw));
    rad_out_real(out, "pred_owned_usd",
                 time_s / 3600.0 * rad_hw_owned_usd_per_hour(hw) +
                     energy_j * rad_hw_usd_per_joule(hw));
}

static void put_row(rad_out *out, const struct table *t, size_t row, const rad_hw *hw,
                    const struct rad_cost *c)
{
    rad_out_begin_row(out);
    for (size_t i = 0; i < t->csv.n_column; i++)
        rad_out_text(out, csv_header(&t->csv, i), csv_cell(&t->csv, row, i));
    rad_out_real(out, "pred_latency_s", c ? c->time_s : (double)NAN);
    rad_out_real(out, "pred_energy_j", c ? c->dynamic_j + c->memory_j + c->static_j : (double)NAN);
    rad_out_real(out, "lo_s", c ? fmax(c->compute_s, c->memory_s) : (double)NAN);
    rad_out_real(out, "hi_s",
                 c ? fmax(c->compute_s + c->memory_s + c->overhead_s, c->time_s) : (double)NAN);
    rad_out_text(out, "bound", c ? rad_bound_name(c->bound) : NULL);
    put_usd(out, hw, c);
    rad_out_end_row(out);
}

static void predict_rows(const struct table *t, const rad_hw *hw, rad_out *out)
{
    for (size_t row = 0; row < t->csv.n_row; row++) {
        struct rad_op op;
        struct rad_cost cost;
        struct rad_err err;
        enum rad_status status = op_of(t, row, &op, &err);
        if (status == RAD_OK)
            status = rad_hw_cost(hw, &op, &cost, &err);
        if (status != RAD_OK)
            rad_cli_warn("hw predict", "%s: row %zu: %s", t->path, row + 1, err.msg);
        put_row(out, t, row, hw, status == RAD_OK ? &cost : NULL);
    }
}

static enum rad_status open_table(struct table *t, const char *path, struct rad_err *err)
{
    t->path = path;
    RAD_TRY(csv_read(&t->csv, path, err));
    for (int i = 0; i < N_COLUMN; i++)
        t->at[i] = csv_find(&t->csv, columns[i]);
    if (t->at[C_OP] < 0 || t->at[C_DTYPE] < 0)
        return rad_fail(err, RAD_E_PARSE, "%s:1: expected columns op and dtype", path);
    return RAD_OK;
}

/* The table as CSV in a file, whole or not at all. */
static enum rad_status write_csv(const struct table *t, const rad_hw *hw, const char *path,
                                 struct rad_err *err)
{
    char *text = NULL;
    size_t len = 0;
    rad_out *out;
    FILE *memory = open_memstream(&text, &len);
    if (memory == NULL)
        return rad_fail(err, RAD_E_NOMEM, "out of memory for the result");
    (void)rad_out_open(&out, RAD_FORMAT_CSV, memory);
    predict_rows(t, hw, out);
    enum rad_status status = rad_out_close(out, false);
    if (fclose(memory) != 0 || status != RAD_OK)
        status = rad_fail(err, RAD_E_NOMEM, "out of memory for the result");
    if (status == RAD_OK)
        status = rad_file_write(path, text, len, err);
    free(text);
    return status;
}

static enum rad_status predict(const struct hw_options *o, struct table *t, const rad_hw *hw,
                               struct rad_err *err)
{
    RAD_TRY(open_table(t, o->ops, err));
    if (o->out_path != NULL)
        return write_csv(t, hw, o->out_path, err);
    rad_out *out;
    (void)rad_out_open(&out, o->common.format, stdout);
    predict_rows(t, hw, out);
    const enum rad_status status = rad_out_close(out, false);
    return status == RAD_OK ? RAD_OK : rad_fail(err, status, "cannot write the result");
}

int hw_predict(const struct hw_options *o)
{
    struct rad_err err;
    struct table t = {.path = o->ops};
    rad_hw *hw = NULL;
    enum rad_status status = rad_hw_open(&hw, o->arg[0], &err);
    if (status == RAD_OK)
        status = predict(o, &t, hw, &err);
    csv_free(&t.csv);
    rad_hw_close(hw);
    return status == RAD_OK ? EXIT_SUCCESS : rad_cli_fail("hw predict", &err);
}
