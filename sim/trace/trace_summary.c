/* trace_summary.c - what a trace shows: depths, layers visited, residual ratios.
 *
 * Ratios are exact functions of three numbers per sublayer and hop. Samples of one sublayer and
 * one ratio are written layer after layer, sorted within each, then all together. */
#include "trace/trace_build.h"

#include "base/stat.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum ratio { RATIO_IN, RATIO_OUT, RATIO_COS, N_RATIO };

/* a = |x|^2, b = |f|^2, c = x.f of y = x + f; NaN where it is not defined. */
static double ratio_of(enum ratio which, double a, double b, double c)
{
    const double y = a + b + 2 * c; /* |y|^2 */
    switch (which) {
    case RATIO_IN:
        return a > 0 ? sqrt(b / a) : (double)NAN;
    case RATIO_OUT:
        return y > 0 ? sqrt(b / y) : (double)NAN;
    default:
        return a > 0 && y > 0 ? (a + c) / sqrt(a * y) : (double)NAN;
    }
}

static double sample(const rad_trace *t, int64_t hop, int mlp, enum ratio which)
{
    const struct rad_hop_stat *s = &t->stat[hop];
    return mlp ? ratio_of(which, (double)s->a_mlp, (double)s->b_mlp, (double)s->c_mlp)
               : ratio_of(which, (double)s->a_attn, (double)s->b_attn, (double)s->c_attn);
}

static struct rad_trace_spread spread_of(double *x, size_t n)
{
    rad_sort_doubles(x, n);
    return (struct rad_trace_spread){.p10 = rad_quantile(x, n, 0.1),
                                     .median = rad_quantile(x, n, 0.5),
                                     .p90 = rad_quantile(x, n, 0.9),
                                     .n = (int64_t)n};
}

static struct rad_trace_spread *spread_at(struct rad_trace_ratios *r, enum ratio which)
{
    return which == RATIO_IN ? &r->ratio_in : which == RATIO_OUT ? &r->ratio_out : &r->cos;
}

/* value[n_hop] and first[n_layer + 1] are scratch. */
static void spread_layers(struct rad_trace_summary *out, const rad_trace *t, int mlp,
                          enum ratio which, double *value, int64_t *first)
{
    memset(first, 0, ((size_t)out->n_layer + 1) * sizeof *first);
    for (int64_t i = 0; i < t->n_hop; i++)
        first[t->hop[i].layer + 1] += !isnan(sample(t, i, mlp, which));
    for (int32_t l = 0; l < out->n_layer; l++)
        first[l + 1] += first[l];
    const size_t n = (size_t)first[out->n_layer];
    for (int64_t i = 0; i < t->n_hop; i++) {
        const double x = sample(t, i, mlp, which);
        if (!isnan(x))
            value[first[t->hop[i].layer]++] = x; /* first[l] ends as the end of layer l */
    }
    for (int32_t l = 0; l < out->n_layer; l++) {
        const int64_t from = l > 0 ? first[l - 1] : 0;
        *spread_at(&out->layer[l].ratios[mlp], which) =
            spread_of(value + from, (size_t)(first[l] - from));
    }
    *spread_at(&out->all[mlp], which) = spread_of(value, n);
}

static enum rad_status spread_all(struct rad_trace_summary *out, const rad_trace *t,
                                  struct rad_err *err)
{
    const size_t n_value = t->stat != NULL ? (size_t)t->n_hop + 1 : 1;
    double *value = calloc(n_value, sizeof *value);
    int64_t *first = calloc((size_t)out->n_layer + 1, sizeof *first);
    const bool ok = value != NULL && first != NULL;
    const struct rad_trace_spread none = {(double)NAN, (double)NAN, (double)NAN, 0};
    for (int k = 0; k < 2 * N_RATIO && ok; k++) {
        for (int32_t l = 0; l < out->n_layer; l++)
            *spread_at(&out->layer[l].ratios[k / N_RATIO], (enum ratio)(k % N_RATIO)) = none;
        *spread_at(&out->all[k / N_RATIO], (enum ratio)(k % N_RATIO)) = none;
        if (t->stat != NULL)
            spread_layers(out, t, k / N_RATIO, (enum ratio)(k % N_RATIO), value, first);
    }
    free(value);
    free(first);
    return ok ? RAD_OK : rad_fail(err, RAD_E_NOMEM, "trace: out of memory");
}

/* ---- counts ---------------------------------------------------------------------------- */

static int32_t visits_of(const rad_trace *t, const struct rad_trace_token *tok)
{
    int32_t n = 0;
    for (int32_t h = 0; h < tok->n_hop; h++)
        n += rad_hop_is_visit(&t->hop[tok->hop_first + h]);
    return n;
}

static void count_layers(struct rad_trace_summary *out, const rad_trace *t)
{
    double all_keys = 0;
    int64_t all_attn = 0;
    for (int64_t i = 0; i < t->n_hop; i++) {
        const struct rad_hop_rec *hop = &t->hop[i];
        struct rad_trace_layer *layer = &out->layer[hop->layer];
        layer->visits += rad_hop_is_visit(hop);
        layer->attn += (hop->flags & RAD_HOP_ATTN) != 0;
        layer->mlp += (hop->flags & RAD_HOP_MLP) != 0;
        layer->mean_keys += hop->n_keys; /* a sum until below */
    }
    for (int32_t l = 0; l < out->n_layer; l++) {
        all_keys += out->layer[l].mean_keys;
        all_attn += out->layer[l].attn;
        out->layer[l].mean_keys = out->layer[l].attn > 0
                                      ? out->layer[l].mean_keys / (double)out->layer[l].attn
                                      : (double)NAN;
    }
    out->mean_keys = all_attn > 0 ? all_keys / (double)all_attn : (double)NAN;
}

static void count_tokens(struct rad_trace_summary *out, const rad_trace *t)
{
    int64_t halves[2] = {0, 0};
    for (int64_t i = 0; i < t->n_token; i++) {
        const struct rad_trace_token *tok = &t->token[i];
        out->hist[visits_of(t, tok)]++;
        out->tokens[tok->phase]++;
        for (int32_t h = 0; h < tok->n_hop; h++) {
            const unsigned flags = t->hop[tok->hop_first + h].flags;
            halves[tok->phase] += (flags & RAD_HOP_ATTN) != 0;
            halves[tok->phase] += (flags & RAD_HOP_MLP) != 0;
        }
    }
    for (int p = 0; p < 2; p++)
        out->mean_depth[p] = out->tokens[p] > 0 ? (double)halves[p] / 2.0 / (double)out->tokens[p]
                                                : (double)NAN;
}

enum rad_status rad_trace_summarise(struct rad_trace_summary *out, const rad_trace *t,
                                    struct rad_err *err)
{
    int32_t most = 0;
    for (int64_t i = 0; i < t->n_token; i++) {
        const int32_t n = visits_of(t, &t->token[i]);
        most = n > most ? n : most;
    }
    *out = (struct rad_trace_summary){.n_layer = t->run.card.n_layer, .n_hist = most + 1};
    out->hist = calloc((size_t)out->n_hist, sizeof *out->hist);
    out->layer = calloc((size_t)out->n_layer, sizeof *out->layer);
    enum rad_status status = RAD_OK;
    if (out->hist == NULL || out->layer == NULL)
        status = rad_fail(err, RAD_E_NOMEM, "trace: out of memory");
    if (status == RAD_OK)
        status = spread_all(out, t, err);
    if (status != RAD_OK) {
        rad_trace_summary_free(out);
        return status;
    }
    count_layers(out, t);
    count_tokens(out, t);
    return RAD_OK;
}

void rad_trace_summary_free(struct rad_trace_summary *s)
{
    free(s->hist);
    free(s->layer);
    *s = (struct rad_trace_summary){0};
}
