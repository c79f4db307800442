/* parts.c - small sums of a visit: norm, activation, cosine. */
#include "infer/engine.h"

#include <inttypes.h>
#include <math.h>

void rad_model_norm(const rad_model *m, const struct norm *w, int32_t n, const float *x, float *y,
                    float *stat)
{
    const size_t d = (size_t)m->config.card.d_model;
    if (m->config.card.norm == RAD_NORM_LAYER)
        rad_kernels()->layernorm((size_t)n, d, m->config.rms_eps, x, w->w, w->b, y, stat);
    else
        rad_kernels()->rmsnorm((size_t)n, d, m->config.rms_eps, x, w->w, y, stat);
}

rad_map_fn *rad_model_activation(const rad_model *m)
{
    if (m->config.card.act == RAD_ACT_SWIGLU)
        return NULL;
    if (m->config.card.act == RAD_ACT_RELU)
        return rad_relu;
    return m->config.gelu_exact ? rad_kernels()->gelu_exact : rad_kernels()->gelu;
}

float rad_state_cosine(size_t d, const float *x, const float *y)
{
    const struct rad_kernels *k = rad_kernels();
    return k->dot(d, x, y) / sqrtf(k->dot(d, x, x) * k->dot(d, y, y));
}

enum rad_status rad_prediction_check(float x, int64_t seq, int64_t pos, struct rad_err *err)
{
    if (isfinite(x))
        return RAD_OK;
    return rad_fail(err, RAD_E_RANGE,
                    "sequence %" PRId64 ", position %" PRId64
                    ": expected a prediction but found no "
                    "number (NaN or infinite); the model's weights or its input have such values, "
                    "or values that overflow",
                    seq, pos);
}
