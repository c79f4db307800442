/* images.c - images through the routed path, one after the other. */
#include "base/clock.h"
#include "infer/engine.h"

#include <math.h>
#include <stdlib.h>

/* The rows of the last image, in order, to the sinks. */
static enum rad_status report(const rad_engine *e, int64_t seq, const struct rad_eval_sinks *sinks,
                              struct rad_eval_result *r, struct rad_err *err)
{
    for (int32_t i = 0; i < e->n_row; i++) {
        const struct rad_hop_rec *hop;
        const struct rad_hop_stat *stat;
        const int32_t n = rad_engine_path(e, i, &hop, &stat);
        const struct rad_trace_token tok = {
            .seq = seq, .pos = i, .phase = RAD_PHASE_PREFILL, .token = i, .nll = NAN, .n_hop = n};
        r->mean_depth += rad_engine_depth(e, i);
        for (int32_t k = 1; k < n; k++)
            r->forward_only = r->forward_only && hop[k].layer > hop[k - 1].layer;
        if (sinks->trace != NULL)
            RAD_TRY(rad_trace_put(sinks->trace, &tok, hop, stat, err));
        if (sinks->path != NULL)
            RAD_TRY(sinks->path(sinks->ctx, &tok, hop, stat, err));
        if (sinks->block != NULL && stat != NULL)
            RAD_TRY(sinks->block(sinks->ctx, &tok, hop, rad_engine_cosines(e, i), err));
    }
    r->fed += e->n_row;
    return RAD_OK;
}

static enum rad_status run_one(rad_engine *e, int64_t seq, const float *pixels, float *logits,
                               double *seconds, struct rad_err *err)
{
    const double start = rad_now_s();
    rad_engine_start(e, 0, seq);
    RAD_TRY(rad_engine_image(e, pixels, err));
    RAD_TRY(rad_engine_logits(e, 0, 1, logits, err));
    for (int32_t i = 0; i < e->model->config.card.vocab; i++)
        RAD_TRY(rad_prediction_check(logits[i], seq, 0, err));
    *seconds = rad_now_s() - start;
    return RAD_OK;
}

static enum rad_status run_all(rad_engine *e, const struct rad_images *images,
                               const struct rad_eval_sinks *sinks, float *logits,
                               struct rad_eval_result *r, struct rad_err *err)
{
    const size_t classes = (size_t)e->model->config.card.vocab;
    const int32_t side = rad_model_image_side(e->model);
    for (int64_t i = 0; i < images->n; i++) {
        float *pixels = NULL;
        double seconds = 0.0;
        RAD_TRY(rad_image_open(&pixels, images->path[i], images->folder, side, err));
        enum rad_status status = run_one(e, i, pixels, logits + (size_t)i * classes, &seconds, err);
        free(pixels);
        if (status == RAD_OK)
            status = report(e, i, sinks, r, err);
        if (status == RAD_OK && sinks->trace != NULL)
            status = rad_trace_timing(sinks->trace, i, RAD_PHASE_PREFILL, seconds, err);
        RAD_TRY(status);
        r->seconds += seconds;
        rad_progress_step(sinks->progress, i + 1, NULL);
    }
    return RAD_OK;
}

enum rad_status rad_images_run(const rad_model *m, const struct rad_images *images,
                               const struct rad_engine_options *opt,
                               const struct rad_eval_sinks *sinks, float *logits,
                               struct rad_eval_result *out, struct rad_err *err)
{
    rad_engine *e = NULL;
    *out = (struct rad_eval_result){.nll = (double)NAN, .flop_frac = (double)NAN};
    out->forward_only = !opt->route.policy->any_order;
    if (rad_model_image_side(m) == 0)
        return rad_fail(err, RAD_E_ARG, "model '%s' reads text, not images", m->config.card.name);
    RAD_TRY(rad_engine_open(&e, m, opt, err));
    const enum rad_status status = run_all(e, images, sinks, logits, out, err);
    rad_engine_close(e);
    RAD_TRY(status);
    out->mean_depth /= (double)out->fed;
    out->depth_frac = out->mean_depth / m->config.card.n_layer;
    out->tokens_per_s = (double)out->fed / out->seconds;
    return RAD_OK;
}
