/* profile.c - quantiles of residual ratios per layer and sublayer.
 *
 * From a = |x|^2, b = |f|^2, c = x.f, with |x + f|^2 = a + b + 2c. Every value is kept: exact
 * quantiles of some ten million runs are a second of sorting. */
#include "base/stat.h"
#include "infer/infer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { RATIO_IN, RATIO_OUT, COSINE, N_MEASURE };

struct sample { /* of one sublayer */
    float *value[N_MEASURE];
    size_t n, cap;
};

struct rad_profiler {
    int32_t n_layer;
    size_t n_sample;
    struct sample *sample; /* [n_sample]: attention and MLP of every layer */
    double *cosines;       /* [n_layer] sums */
    int64_t *visits;       /* [n_layer] */
};

enum rad_status rad_profiler_open(rad_profiler **out, int32_t n_layer, struct rad_err *err)
{
    *out = NULL;
    rad_profiler *p = calloc(1, sizeof *p);
    const size_t n = 2 * (size_t)(n_layer > 0 ? n_layer : 0);
    if (p != NULL) {
        p->sample = calloc(n, sizeof *p->sample);
        p->cosines = calloc(n, sizeof *p->cosines);
        p->visits = calloc(n, sizeof *p->visits);
    }
    if (p == NULL || p->sample == NULL || p->cosines == NULL || p->visits == NULL) {
        rad_profiler_close(p);
        return rad_fail(err, RAD_E_NOMEM, "profile: out of memory for %d layers", n_layer);
    }
    p->n_layer = n_layer;
    p->n_sample = n;
    *out = p;
    return RAD_OK;
}

void rad_profiler_close(rad_profiler *p)
{
    if (p == NULL)
        return;
    for (size_t i = 0; i < p->n_sample; i++)
        for (int k = 0; k < N_MEASURE; k++)
            free(p->sample[i].value[k]);
    free(p->sample);
    free(p->cosines);
    free(p->visits);
    free(p);
}

static bool grow(struct sample *s)
{
    const size_t cap = s->cap > 0 ? 2 * s->cap : 1024;
    for (int k = 0; k < N_MEASURE; k++) {
        float *value = realloc(s->value[k], cap * sizeof *value);
        if (value == NULL)
            return false;
        s->value[k] = value;
    }
    s->cap = cap;
    return true;
}

/* A zero state or sum has no ratio: such runs (none in a trained network) are left out. */
static enum rad_status add(struct sample *s, const float abc[3], struct rad_err *err)
{
    const double a = (double)abc[0], b = (double)abc[1], c = (double)abc[2];
    const double out = a + b + 2.0 * c;
    if (!(a > 0.0) || !(out > 0.0) || !isfinite(out))
        return RAD_OK;
    if (s->n == s->cap && !grow(s))
        return rad_fail(err, RAD_E_NOMEM, "profile: out of memory after %zu tokens", s->n);
    s->value[RATIO_IN][s->n] = (float)sqrt(b / a);
    s->value[RATIO_OUT][s->n] = (float)sqrt(b / out);
    s->value[COSINE][s->n++] = (float)((a + c) / sqrt(a * out));
    return RAD_OK;
}

enum rad_status rad_profiler_add(void *profiler, const struct rad_trace_token *tok,
                                 const struct rad_hop_rec *hop, const struct rad_hop_stat *stat,
                                 struct rad_err *err)
{
    rad_profiler *p = profiler;
    if (stat == NULL)
        return rad_fail(err, RAD_E_ARG, "profile: expected statistics of every hop; set stats");
    for (int32_t i = 0; i < tok->n_hop; i++) {
        if (hop[i].layer >= p->n_layer)
            return rad_fail(err, RAD_E_ARG, "profile: expected layers 0..%d but found %d",
                            p->n_layer - 1, hop[i].layer);
        struct sample *s = &p->sample[2 * (int32_t)hop[i].layer];
        const float attn[3] = {stat[i].a_attn, stat[i].b_attn, stat[i].c_attn};
        const float mlp[3] = {stat[i].a_mlp, stat[i].b_mlp, stat[i].c_mlp};
        RAD_TRY(add(s, attn, err));
        RAD_TRY(add(s + 1, mlp, err));
    }
    return RAD_OK;
}

enum rad_status rad_profiler_add_block(void *profiler, const struct rad_trace_token *tok,
                                       const struct rad_hop_rec *hop, const float *cosine,
                                       struct rad_err *err)
{
    rad_profiler *p = profiler;
    for (int32_t i = 0; i < tok->n_hop; i++) {
        if (hop[i].layer >= p->n_layer)
            return rad_fail(err, RAD_E_ARG, "profile: expected layers 0..%d but found %d",
                            p->n_layer - 1, hop[i].layer);
        if (!isfinite(cosine[i]))
            continue;
        p->cosines[hop[i].layer] += (double)cosine[i];
        p->visits[hop[i].layer]++;
    }
    return RAD_OK;
}

/* ---- published ----------------------------------------------------------------------------- */

const struct rad_published_ratio *rad_published_ratio(const struct rad_model_config *config)
{
#define RADIAL_NETWORKS "Dotzel et al., arXiv 2404.04900"
    static const struct row {
        const char *family;
        int32_t n_layer, d_model;
        struct rad_published_ratio ratio;
    } rows[] = {
        {"opt", 12, 768, {"OPT-125M", 0.20, RADIAL_NETWORKS}},
        {"opt", 64, 9216, {"OPT-66B", 0.059, RADIAL_NETWORKS}},
        {"vit", 32, 1280, {"ViT-Huge", 0.07, RADIAL_NETWORKS}},
    };
    const struct rad_card *c = &config->card;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (strcmp(config->model_type, rows[i].family) == 0 && c->n_layer == rows[i].n_layer &&
            c->d_model == rows[i].d_model)
            return &rows[i].ratio;
    return NULL;
}

/* ---- quantiles ----------------------------------------------------------------------------- */

/* Of measure k over samples first..first+n, pooled; scratch holds all of their values. */
static struct rad_profile_spread spread(const struct sample *first, size_t n, int k,
                                        double *scratch)
{
    size_t m = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < first[i].n; j++)
            scratch[m++] = (double)first[i].value[k][j];
    rad_sort_doubles(scratch, m);
    return (struct rad_profile_spread){rad_quantile(scratch, m, 0.1), rad_quantile(scratch, m, 0.5),
                                       rad_quantile(scratch, m, 0.9)};
}

enum rad_status rad_profiler_result(const rad_profiler *p, struct rad_profile *out,
                                    struct rad_err *err)
{
    const size_t n = p->n_sample;
    size_t all = 0;
    for (size_t i = 0; i < n; i++)
        all += p->sample[i].n;
    double *scratch = malloc((all + 1) * sizeof *scratch);
    *out = (struct rad_profile){.row = calloc(n, sizeof *out->row), .n_row = (int32_t)n};
    out->influence = calloc(n, sizeof *out->influence);
    if (out->row == NULL || scratch == NULL || out->influence == NULL) {
        free(scratch);
        rad_profile_free(out);
        return rad_fail(err, RAD_E_NOMEM, "profile: out of memory for %zu values", all);
    }
    for (size_t i = 0; i < n; i++) {
        const struct sample *s = &p->sample[i];
        out->row[i] = (struct rad_profile_row){.layer = (int32_t)i / 2,
                                               .mlp = i % 2 != 0,
                                               .n = (int64_t)s->n,
                                               .ratio_in = spread(s, 1, RATIO_IN, scratch),
                                               .ratio_out = spread(s, 1, RATIO_OUT, scratch),
                                               .cos_in_out = spread(s, 1, COSINE, scratch)};
    }
    for (int32_t l = 0; l < p->n_layer; l++)
        out->influence[l] = p->visits[l] > 0 ? 1.0 - p->cosines[l] / (double)p->visits[l]
                                             : (double)NAN;
    out->n = (int64_t)all;
    out->ratio_in = spread(p->sample, n, RATIO_IN, scratch);
    out->ratio_out = spread(p->sample, n, RATIO_OUT, scratch);
    out->cos_in_out = spread(p->sample, n, COSINE, scratch);
    free(scratch);
    return RAD_OK;
}

void rad_profile_free(struct rad_profile *p)
{
    free(p->row);
    free(p->influence);
    *p = (struct rad_profile){0};
}
