/* skip_table.c - does a small residual ratio mean that a sublayer can be skipped? Spearman's rank
 * correlations of ratio_in and of 1 - cos(x, x + f) with the loss that skipping costs. */
#include "cli/skip_table.h"

#include "cli/cli.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum rad_status skip_table_add(void *table, const struct rad_skip_loss *row, struct rad_err *err)
{
    struct skip_table *t = table;
    if (t->n_row == t->cap) {
        const size_t cap = t->cap > 0 ? 2 * t->cap : 4096;
        struct rad_skip_loss *more = realloc(t->row, cap * sizeof *more);
        if (more == NULL)
            return rad_fail(err, RAD_E_NOMEM, "skip loss: out of memory for %zu rows", cap);
        t->row = more;
        t->cap = cap;
    }
    t->row[t->n_row++] = *row;
    return RAD_OK;
}

void skip_table_free(struct skip_table *t)
{
    free(t->row);
    *t = (struct skip_table){0};
}

static enum rad_status no_memory(struct rad_err *err)
{
    return rad_fail(err, RAD_E_NOMEM, "skip loss: out of memory for the result");
}

/* ---- what is measured of a row ----------------------------------------------------------------
 */

enum measure { RATIO, TURN, DELTA, SIZE };

static double measure_of(const struct rad_skip_loss *r, enum measure what)
{
    switch (what) {
    case RATIO:
        return (double)r->ratio_in;
    case TURN:
        return 1.0 - (double)r->cos_in_out;
    case DELTA:
        return (double)r->delta;
    default:
        return fabs((double)r->delta);
    }
}

/* Every step-th row from first on, n of them. */
struct pick {
    size_t first, step, n;
};

struct scratch {
    double *x, *y; /* [n_row] */
};

static void gather(const struct skip_table *t, struct pick p, enum measure what, double *out)
{
    for (size_t i = 0; i < p.n; i++)
        out[i] = measure_of(&t->row[p.first + i * p.step], what);
}

static enum rad_status rank(const struct skip_table *t, struct pick p, enum measure a,
                            enum measure b, const struct scratch *s, double *out,
                            struct rad_err *err)
{
    gather(t, p, a, s->x);
    gather(t, p, b, s->y);
    return rad_spearman(s->x, s->y, p.n, out, err);
}

/* ---- rows: one sublayer, all tokens -----------------------------------------------------------
 */

static enum rad_status put_sublayer(rad_out *out, const struct skip_table *t, size_t i,
                                    const struct scratch *s, struct rad_err *err)
{
    const size_t step = 2 * (size_t)t->n_layer;
    const struct pick p = {i, step, t->n_row / step};
    double rho[2];
    size_t harmless = 0;
    RAD_TRY(rank(t, p, RATIO, DELTA, s, &rho[0], err));
    RAD_TRY(rank(t, p, TURN, DELTA, s, &rho[1], err));
    rad_out_begin_row(out);
    rad_out_int(out, "layer", t->row[i].layer);
    rad_out_text(out, "sublayer", t->row[i].mlp ? "mlp" : "attn");
    rad_out_int(out, "tokens", (int64_t)p.n);
    gather(t, p, RATIO, s->x);
    rad_sort_doubles(s->x, p.n);
    rad_out_real(out, "median_ratio_in", rad_quantile(s->x, p.n, 0.5));
    gather(t, p, DELTA, s->y);
    for (size_t k = 0; k < p.n; k++)
        harmless += s->y[k] <= 0.0;
    rad_out_real(out, "mean_delta_nll", rad_mean(s->y, p.n));
    rad_sort_doubles(s->y, p.n);
    rad_out_real(out, "median_delta_nll", rad_quantile(s->y, p.n, 0.5));
    rad_out_real(out, "p90_delta_nll", rad_quantile(s->y, p.n, 0.9));
    rad_out_real(out, "harmless_frac", (double)harmless / (double)p.n);
    rad_out_real(out, "rho_ratio_in", rho[0]);
    rad_out_real(out, "rho_one_minus_cos", rho[1]);
    rad_out_end_row(out);
    return RAD_OK;
}

static enum rad_status put_sublayers(const struct skip_table *t, enum rad_format format, FILE *to,
                                     const struct scratch *s, struct rad_err *err)
{
    rad_out *out;
    enum rad_status status = RAD_OK;
    (void)rad_out_open(&out, format, to);
    for (size_t i = 0; i < 2 * (size_t)t->n_layer && status == RAD_OK; i++)
        status = put_sublayer(out, t, i, s, err);
    const enum rad_status closed = rad_out_close(out, false, status == RAD_OK ? err : NULL);
    return status == RAD_OK ? closed : status;
}

/* ---- over all ---------------------------------------------------------------------------------
 */

/* The mean over tokens of the correlation over the sublayers of one token. */
static enum rad_status within_token(const struct skip_table *t, enum measure a,
                                    const struct scratch *s, double *out, struct rad_err *err)
{
    const size_t width = 2 * (size_t)t->n_layer;
    double sum = 0.0;
    size_t n = 0;
    for (size_t first = 0; first < t->n_row; first += width) {
        double rho = 0.0;
        RAD_TRY(rank(t, (struct pick){first, 1, width}, a, DELTA, s, &rho, err));
        if (isnan(rho))
            continue;
        sum += rho;
        n++;
    }
    *out = n > 0 ? sum / (double)n : (double)NAN;
    return RAD_OK;
}

/* Does the median ratio of a sublayer tell how much its skipping costs on average? */
static enum rad_status between_sublayers(const struct skip_table *t, const struct scratch *s,
                                         double *out, struct rad_err *err)
{
    const size_t width = 2 * (size_t)t->n_layer;
    double *x = malloc(2 * width * sizeof *x);
    if (x == NULL)
        return no_memory(err);
    for (size_t i = 0; i < width; i++) {
        const struct pick p = {i, width, t->n_row / width};
        gather(t, p, RATIO, s->x);
        rad_sort_doubles(s->x, p.n);
        x[i] = rad_quantile(s->x, p.n, 0.5);
        gather(t, p, DELTA, s->y);
        x[width + i] = rad_mean(s->y, p.n);
    }
    const enum rad_status status = rad_spearman(x, x + width, width, out, err);
    free(x);
    return status;
}

static enum rad_status put_overall(rad_out *out, const struct skip_table *t, const char *model,
                                   const struct scratch *s, struct rad_err *err)
{
    const struct pick all = {0, 1, t->n_row};
    const size_t width = 2 * (size_t)t->n_layer;
    double pooled, size, turn, token, token_turn, sublayers, nll = 0.0;
    RAD_TRY(rank(t, all, RATIO, DELTA, s, &pooled, err));
    RAD_TRY(rank(t, all, RATIO, SIZE, s, &size, err));
    RAD_TRY(rank(t, all, TURN, DELTA, s, &turn, err));
    RAD_TRY(within_token(t, RATIO, s, &token, err));
    RAD_TRY(within_token(t, TURN, s, &token_turn, err));
    RAD_TRY(between_sublayers(t, s, &sublayers, err));
    for (size_t i = 0; i < t->n_row; i += width)
        nll += (double)t->row[i].nll;
    rad_out_text(out, "model", model);
    rad_out_int(out, "tokens", (int64_t)(t->n_row / width));
    rad_out_real(out, "nll", nll / (double)(t->n_row / width));
    gather(t, all, DELTA, s->y);
    rad_out_real(out, "mean_delta_nll", rad_mean(s->y, all.n));
    rad_out_real(out, "rho_ratio_in", pooled);
    rad_out_real(out, "rho_ratio_in_abs_delta", size);
    rad_out_real(out, "rho_one_minus_cos", turn);
    rad_out_real(out, "rho_ratio_in_within_token", token);
    rad_out_real(out, "rho_one_minus_cos_within_token", token_turn);
    rad_out_real(out, "rho_ratio_in_between_sublayers", sublayers);
    return RAD_OK;
}

/* ---- output -----------------------------------------------------------------------------------
 */

static enum rad_status print_json(const struct skip_table *t, const char *model,
                                  const struct scratch *s, struct rad_err *err)
{
    char *rows = NULL;
    size_t len = 0;
    FILE *memory = open_memstream(&rows, &len);
    if (memory == NULL)
        return no_memory(err);
    enum rad_status status = put_sublayers(t, RAD_FORMAT_JSON, memory, s, err);
    if (fclose(memory) != 0 && status == RAD_OK)
        status = no_memory(err);
    if (status == RAD_OK) {
        rad_out *out;
        (void)rad_out_open(&out, RAD_FORMAT_JSON, stdout);
        rad_out_begin_row(out);
        status = put_overall(out, t, model, s, err);
        rad_out_json(out, "sublayers", rows);
        rad_out_end_row(out);
        const enum rad_status closed = rad_out_close(out, true, status == RAD_OK ? err : NULL);
        status = status == RAD_OK ? closed : status;
    }
    free(rows);
    return status;
}

static enum rad_status print_tables(const struct skip_table *t, enum rad_format format,
                                    const char *model, const struct scratch *s, struct rad_err *err)
{
    rad_out *out;
    RAD_TRY(put_sublayers(t, format, stdout, s, err));
    if (format == RAD_FORMAT_CSV)
        return RAD_OK;
    putchar('\n');
    (void)rad_out_open(&out, format, stdout);
    rad_out_begin_row(out);
    const enum rad_status status = put_overall(out, t, model, s, err);
    rad_out_end_row(out);
    const enum rad_status closed = rad_out_close(out, true, status == RAD_OK ? err : NULL);
    return status == RAD_OK ? closed : status;
}

enum rad_status skip_table_print(const struct skip_table *t, enum rad_format format,
                                 const char *model, struct rad_err *err)
{
    struct scratch s = {malloc((t->n_row + 1) * sizeof *s.x), malloc((t->n_row + 1) * sizeof *s.y)};
    enum rad_status status = RAD_OK;
    if (s.x == NULL || s.y == NULL)
        status = no_memory(err);
    else if (format == RAD_FORMAT_JSON)
        status = print_json(t, model, &s, err);
    else
        status = print_tables(t, format, model, &s, err);
    free(s.x);
    free(s.y);
    return status;
}

enum rad_status skip_table_save(const struct skip_table *t, const char *path, struct rad_err *err)
{
    char *text = NULL;
    size_t len = 0;
    rad_out *out;
    FILE *memory = open_memstream(&text, &len);
    if (memory == NULL)
        return no_memory(err);
    (void)rad_out_open(&out, RAD_FORMAT_CSV, memory);
    for (size_t i = 0; i < t->n_row; i++) {
        const struct rad_skip_loss *r = &t->row[i];
        rad_out_begin_row(out);
        rad_out_int(out, "seq", r->seq);
        rad_out_int(out, "pos", r->pos);
        rad_out_int(out, "layer", r->layer);
        rad_out_text(out, "sublayer", r->mlp ? "mlp" : "attn");
        rad_out_real(out, "ratio_in", (double)r->ratio_in);
        rad_out_real(out, "ratio_out", (double)r->ratio_out);
        rad_out_real(out, "cos_in_out", (double)r->cos_in_out);
        rad_out_real(out, "nll", (double)r->nll);
        rad_out_real(out, "delta_nll", (double)r->delta);
        rad_out_end_row(out);
    }
    enum rad_status status = rad_out_close(out, false, err);
    if (fclose(memory) != 0 && status == RAD_OK)
        status = no_memory(err);
    if (status == RAD_OK)
        status = rad_cli_write(path, text, len, err);
    free(text);
    return status;
}
