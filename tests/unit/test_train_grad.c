/* test_train_grad.c - the gradient of every parameter group against finite differences, on dense,
 * skipping and any-order paths with layer reuse. */
#include "test.h"
#include "train/net.h"
#include "train/trainer.h"

#include <stdlib.h>
#include <string.h>

enum { CTX = 12, N_SEQ = 2, VOCAB = 11, MAX_PARAM = 20000 };

struct probe {
    struct net net;
    rad_gemm *gemm;
    rad_arena *arena;
    int32_t token[N_SEQ * CTX];
    float target[N_SEQ * CTX][VOCAB];
    int paths; /* which decide() */
};

/* Fixed paths that do not depend on the weights, so that the loss is differentiable. */
static enum rad_status decide(void *ctx, struct shard *s, struct hop_step *st, int32_t hop,
                              struct rad_err *e)
{
    (void)e;
    const struct probe *p = ctx;
    const int32_t n_layer = s->net->card.n_layer;
    for (int32_t r = 0; r < st->n; r++) {
        const int32_t i = st->idx[r];
        if (p->paths == 0)
            st->dest[r] = hop < n_layer ? hop : RAD_EXIT;
        else if (p->paths == 1)
            st->dest[r] = st->last[r] + 1 + (i * 7 + hop) % 2;
        else
            st->dest[r] = hop < 2 + i % 3 ? (i * 5 + hop * 3) % n_layer : RAD_EXIT;
        if (st->dest[r] >= n_layer)
            st->dest[r] = RAD_EXIT;
    }
    return RAD_OK;
}

/* States that some rows are pulled to. */
static double align(const struct shard *s, const struct hop_step *st, float *dh)
{
    static float goal[N_SEQ * CTX][16];
    const float *of[N_SEQ * CTX];
    for (int32_t r = 0; r < st->n; r++) {
        for (int32_t j = 0; j < 16; j++)
            goal[r][j] = 0.02f * (float)((r * 7 + j * 5) % 11) - 0.08f;
        of[r] = st->last[r] >= 0 && r % 3 != 0 ? goal[r] : NULL;
    }
    return rad_step_align_back(s, st, of, 0.3, dh);
}

/* Sum over states of weight * loss; weights differ by hop so that every head is tested. */
static double run(struct probe *p, float *grad)
{
    struct shard s = {.net = &p->net, .gemm = p->gemm, .arena = p->arena, .n_seq = N_SEQ};
    s.n_tok = N_SEQ * CTX, s.ctx = CTX, s.token = p->token;
    const struct roam roam = {&p->target[0][0], decide, p};
    const struct rad_arena_mark mark = rad_arena_mark(p->arena);
    OK(rad_shard_roam(&s, &roam, &err));
    const size_t d = (size_t)p->net.card.d_model,
                 dkv = (size_t)(p->net.card.n_kv * p->net.card.d_head);
    float *dh = rad_arena_zero(p->arena, (size_t)s.n_tok * d * sizeof *dh);
    for (int32_t v = 0; v < s.n_visit; v++)
        s.visit[v].dkv = rad_arena_zero(p->arena, (size_t)s.visit[v].n * 2 * dkv * sizeof(float));
    double total = 0.0;
    float weight[N_SEQ * CTX];
    for (int32_t h = s.n_step - 1; h >= 0; h--) {
        const struct hop_step *st = &s.step[h];
        if (grad != NULL)
            OK(rad_shard_hop_back(&s, st, dh, grad, &err));
        total += align(&s, st, dh);
        if (st->p == NULL)
            continue; /* nobody leaves */
        for (int32_t r = 0; r < st->n; r++) {
            weight[r] = st->dest[r] == RAD_EXIT ? 1.0f : 0.1f * (float)(h + 1);
            total += (double)weight[r] * (double)st->loss[r];
        }
        if (grad != NULL)
            OK(rad_step_head_back(&s, st, &p->target[0][0], weight, dh, grad, &err));
    }
    if (grad != NULL)
        rad_shard_embed_back(&s, dh, grad);
    rad_arena_reset(p->arena, mark);
    return total;
}

static void setup(struct probe *p, enum rad_norm norm, enum rad_act act, bool tied)
{
    const struct rad_card card = {.name = "probe",
                                  .n_layer = 3,
                                  .d_model = 16,
                                  .n_head = 4,
                                  .n_kv = 2,
                                  .d_head = 4,
                                  .ffn = 24,
                                  .vocab = VOCAB,
                                  .n_ctx = CTX,
                                  .norm = norm,
                                  .act = act,
                                  .tied = tied,
                                  .max_hops = 5,
                                  .router_hidden = 8};
    OK(rad_net_open(&p->net, &card, &err));
    OK(rad_net_init(&p->net, 3, &err));
    OK(rad_gemm_open(&p->gemm, RAD_GEMM_F32, &err));
    OK(rad_arena_open(&p->arena, &err));
    for (int i = 0; i < N_SEQ * CTX; i++) {
        p->token[i] = (i * 7 + i / 5) % VOCAB;
        memset(p->target[i], 0, sizeof p->target[i]);
        p->target[i][(i * 3 + 1) % VOCAB] = 0.7f;
        p->target[i][(i * 5 + 2) % VOCAB] += 0.3f;
    }
    for (size_t i = 0; i < p->net.n_param; i++) /* no zero biases, larger weights: real curvature */
        p->net.w[i] = p->net.w[i] * 2.0f + 0.02f * (float)((int)(i % 7) - 3);
}

static void teardown(struct probe *p)
{
    rad_net_close(&p->net);
    rad_gemm_close(p->gemm);
    rad_arena_close(p->arena);
}

/* Central differences in float32 carry noise of about 1e-3 of the largest gradient. */
static void check(struct probe *p)
{
    static float grad[MAX_PARAM];
    CU_ASSERT_FATAL(p->net.n_param <= MAX_PARAM);
    memset(grad, 0, sizeof grad);
    (void)run(p, grad);
    struct net_tensor t[64];
    const int n = rad_net_tensors(&p->net, t, 64);
    for (int i = 0; i < n; i++) {
        const size_t count = (size_t)(t[i].dim[0] * (t[i].n_dim > 1 ? t[i].dim[1] : 1));
        double err2 = 0.0, norm2 = 1e-6;
        for (size_t k = 0; k < count; k += count / 12 + 1) {
            float *w = &p->net.w[t[i].at + k];
            const float kept = *w, h = 4e-3f;
            *w = kept + h;
            const double up = run(p, NULL);
            *w = kept - h;
            const double down = run(p, NULL);
            *w = kept;
            const double want = (up - down) / (2.0 * (double)h);
            err2 += pow(want - (double)grad[t[i].at + k], 2);
            norm2 += want * want;
        }
        if (err2 > 4e-4 * norm2)
            fprintf(stderr, "\npaths %d, %s: relative gradient error %.3g\n", p->paths, t[i].name,
                    sqrt(err2 / norm2));
        CU_ASSERT(err2 <= 4e-4 * norm2);
    }
}

static void gradients_match_finite_differences(void)
{
    for (int kind = 0; kind < 2; kind++)
        for (int paths = 0; paths < 3; paths++) {
            struct probe p = {.paths = paths};
            setup(&p, kind ? RAD_NORM_LAYER : RAD_NORM_RMS, kind ? RAD_ACT_GELU : RAD_ACT_SWIGLU,
                  kind == 0);
            check(&p);
            teardown(&p);
        }
}

CU_TestInfo train_grad_tests[] = {
    {"gradients match finite differences", gradients_match_finite_differences},
    CU_TEST_INFO_NULL,
};
