/* host_engine.c - what the engine costs beyond its operations, on this machine.
 *
 * A small made-up model decodes token by token, with all layers and with none:
 *   step overhead  = step with no layer - (embedding + head)
 *   layer overhead = (step with all layers - step with none) / layers - operations of a layer
 * where operations are costed by the profile that is being calibrated. */
#include "cli/host_probe.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LAYERS = 8, PROMPT = 128, STEPS = 64, ROUNDS = 12, MAX_TENSORS = 9 * LAYERS + 2 };

static struct rad_model_config small_config(void)
{
    struct rad_model_config c = {.card = {.name = "calibration",
                                          .n_layer = LAYERS,
                                          .d_model = 64,
                                          .n_head = 2,
                                          .n_kv = 2,
                                          .d_head = 32,
                                          .ffn = 128,
                                          .vocab = 256,
                                          .n_ctx = PROMPT + STEPS,
                                          .tied = true,
                                          .max_hops = LAYERS},
                                 .model_type = "llama",
                                 .rms_eps = 1e-5f,
                                 .rope_theta = 10000.0,
                                 .bos = -1,
                                 .eos = -1,
                                 .byte_tokens = true};
    c.router.max_hops = LAYERS;
    return c;
}

/* ---- the model ----------------------------------------------------------------------------- */

struct tensors {
    char name[MAX_TENSORS][64];
    struct rad_tensor_out out[MAX_TENSORS];
    const float *data;
    size_t n;
};

static void put(struct tensors *t, const char *name, int64_t rows, int64_t cols)
{
    snprintf(t->name[t->n], sizeof t->name[t->n], "%s", name);
    t->out[t->n] = (struct rad_tensor_out){.name = t->name[t->n],
                                           .dtype = RAD_F32,
                                           .n_dim = cols > 0 ? 2 : 1,
                                           .dim = {rows, cols},
                                           .data = t->data};
    t->n++;
}

static void put_layer(struct tensors *t, const struct rad_card *c, int layer)
{
    const struct {
        const char *name;
        int64_t rows, cols;
    } parts[] = {
        {"input_layernorm", c->d_model, 0},           {"self_attn.q_proj", c->d_model, c->d_model},
        {"self_attn.k_proj", c->d_model, c->d_model}, {"self_attn.v_proj", c->d_model, c->d_model},
        {"self_attn.o_proj", c->d_model, c->d_model}, {"post_attention_layernorm", c->d_model, 0},
        {"mlp.gate_proj", c->ffn, c->d_model},        {"mlp.up_proj", c->ffn, c->d_model},
        {"mlp.down_proj", c->d_model, c->ffn}};
    char name[64];
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        snprintf(name, sizeof name, "model.layers.%d.%s.weight", layer, parts[i].name);
        put(t, name, parts[i].rows, parts[i].cols);
    }
}

static enum rad_status write_model(const char *folder, struct rad_err *err)
{
    enum { LARGEST = 256 * 64 };
    const struct rad_model_config config = small_config();
    char path[RAD_PATH_MAX + 32];
    struct tensors *t = calloc(1, sizeof *t);
    float *data = malloc(LARGEST * sizeof *data);
    if (t == NULL || data == NULL) {
        free(t);
        free(data);
        return rad_fail(err, RAD_E_NOMEM, "calibrate: out of memory");
    }
    for (size_t i = 0; i < LARGEST; i++)
        data[i] = (float)(i * 2654435761u % 1024) / 4096.0f - 0.125f;
    t->data = data;
    put(t, "model.embed_tokens.weight", config.card.vocab, config.card.d_model);
    for (int l = 0; l < LAYERS; l++)
        put_layer(t, &config.card, l);
    put(t, "model.norm.weight", config.card.d_model, 0);
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    enum rad_status status = rad_tensors_write(path, t->out, t->n, NULL, err);
    if (status == RAD_OK)
        status = rad_model_config_write(&config, folder, err);
    free(t);
    free(data);
    return status;
}

static enum rad_status open_model(rad_model **out, struct rad_err *err)
{
    static const char *const files[] = {"model.safetensors", "config.json"};
    const char *tmp = getenv("TMPDIR");
    char folder[RAD_PATH_MAX], path[RAD_PATH_MAX + 32];
    *out = NULL;
    snprintf(folder, sizeof folder, "%.4000s/radial-XXXXXX", tmp != NULL && *tmp ? tmp : "/tmp");
    if (mkdtemp(folder) == NULL)
        return rad_fail(err, RAD_E_IO, "%.200s: cannot make a temporary folder; set TMPDIR",
                        folder);
    enum rad_status status = write_model(folder, err);
    if (status == RAD_OK)
        status = rad_model_open(out, folder, err);
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, files[i]);
        (void)remove(path);
    }
    (void)remove(folder);
    return status;
}

/* ---- its time ------------------------------------------------------------------------------ */

/* best[i]: the fastest that step i was so far. Steps are timed one by one, as a busy machine takes
 * the processor away from longer pieces of work every time. */
static enum rad_status one_round(rad_engine *e, double best[STEPS], struct rad_err *err)
{
    struct rad_row row[PROMPT];
    float logits[256];
    for (int i = 0; i < PROMPT; i++)
        row[i] = (struct rad_row){0, i * 7 % 256};
    rad_engine_start(e, 0, 0);
    RAD_TRY(rad_engine_forward(e, row, PROMPT, RAD_ROUTE_PREFILL, err));
    for (int i = 0; i < STEPS; i++) {
        const double start = rad_now_s();
        RAD_TRY(rad_engine_forward(e, row + i, 1, RAD_ROUTE_DECODE, err));
        RAD_TRY(rad_engine_logits(e, 0, 1, logits, err));
        best[i] = fmin(best[i], rad_now_s() - start);
    }
    return RAD_OK;
}

/* Mean seconds of a decode step under a policy, every step at the best of some rounds. */
static enum rad_status step_time(const rad_model *m, const char *policy, double *step_s,
                                 struct rad_err *err)
{
    struct rad_engine_options o = {.n_slot = 1, .threads = 1}; /* as the profile says */
    double best[STEPS];
    rad_engine *e = NULL;
    RAD_TRY(rad_route_parse(&o.route, policy, LAYERS, err));
    RAD_TRY(rad_engine_open(&e, m, &o, err));
    enum rad_status status = RAD_OK;
    for (int i = 0; i < STEPS; i++)
        best[i] = (double)INFINITY;
    for (int i = 0; i < ROUNDS && status == RAD_OK; i++)
        status = one_round(e, best, err);
    rad_engine_close(e);
    *step_s = rad_mean(best, STEPS);
    return status;
}

static enum rad_status cost(const rad_hw *hw, const struct rad_op *ops, int n, double *sum_s,
                            struct rad_err *err)
{
    *sum_s = 0.0;
    for (int i = 0; i < n; i++) {
        struct rad_cost c;
        RAD_TRY(rad_hw_cost(hw, &ops[i], &c, err));
        *sum_s += c.time_s;
    }
    return RAD_OK;
}

/* Operations of one layer, and of embedding and head, in the middle of the decode. */
static enum rad_status operations(const rad_hw *hw, double *layer_s, double *rest_s,
                                  struct rad_err *err)
{
    const struct rad_model_config config = small_config();
    const int64_t keys = PROMPT + STEPS / 2;
    const struct rad_group g = {
        .m = 1, .m_attn = 1, .m_mlp = 1, .n_keys = keys, .kv_read_keys = keys, .n_seq = 1};
    struct rad_op ops[RAD_LOWER_MAX];
    double head_s = 0.0;
    int n = rad_lower_layer(&config.card, RAD_F32, &g, ops);
    RAD_TRY(cost(hw, ops, n, layer_s, err));
    n = rad_lower_embed(&config.card, RAD_F32, 1, ops);
    RAD_TRY(cost(hw, ops, n, rest_s, err));
    n = rad_lower_head(&config.card, RAD_F32, 1, ops);
    RAD_TRY(cost(hw, ops, n, &head_s, err));
    *rest_s += head_s;
    return RAD_OK;
}

static enum rad_status operations_of(const struct rad_host_rates *rates, double *layer_s,
                                     double *rest_s, struct rad_err *err)
{
    char *yaml = NULL;
    rad_hw *hw = NULL;
    RAD_TRY(rad_hw_host_profile(rates, &yaml, err));
    enum rad_status status = rad_hw_parse(&hw, yaml, strlen(yaml), "host", err);
    if (status == RAD_OK)
        status = operations(hw, layer_s, rest_s, err);
    rad_hw_close(hw);
    free(yaml);
    return status;
}

enum rad_status host_overheads(struct rad_host_rates *rates, struct rad_err *err)
{
    double all_s = 0.0, none_s = 0.0, layer_s = 0.0, rest_s = 0.0;
    rad_model *m = NULL;
    RAD_TRY(open_model(&m, err));
    enum rad_status status = step_time(m, "dense", &all_s, err);
    if (status == RAD_OK)
        status = step_time(m, "skip:frac=1", &none_s, err);
    rad_model_close(m);
    RAD_TRY(status);
    RAD_TRY(operations_of(rates, &layer_s, &rest_s, err));
    rates->step_overhead_s = fmax(0.0, none_s - rest_s);
    rates->layer_overhead_s = fmax(0.0, (all_s - none_s) / LAYERS - layer_s);
    return RAD_OK;
}
