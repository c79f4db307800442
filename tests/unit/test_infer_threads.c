/* test_infer_threads.c - engines of one, two and three threads: the same bits under every policy,
 * on a network whose products are large enough to be shared. */
#include "infer/infer.h"
#include "net_make.h"
#include "test.h"

#include <stdlib.h>

#define DIR "build/tmp/infer_threads"

enum { SLOTS = 3, LEN = 40, STEPS = 4, ROWS = SLOTS * LEN, HOPS = 8 };

struct outcome {
    float logits[(ROWS + SLOTS * STEPS) * NET_VOCAB], nll[ROWS];
    struct rad_hop_rec hop[ROWS + SLOTS * STEPS][HOPS];
    int32_t n_hop[ROWS + SLOTS * STEPS];
};

static void keep(rad_engine *e, int32_t n, int32_t first, struct outcome *out)
{
    OK(rad_engine_logits(e, 0, n, out->logits + (size_t)first * NET_VOCAB, &err));
    for (int32_t r = 0; r < n; r++) {
        const struct rad_hop_rec *hop;
        out->n_hop[first + r] = rad_engine_path(e, r, &hop, NULL);
        CU_ASSERT_FATAL(out->n_hop[first + r] <= HOPS);
        memcpy(out->hop[first + r], hop, (size_t)out->n_hop[first + r] * sizeof *hop);
    }
}

/* Three prompts at once, then a few steps of all three. */
static void run(const rad_model *m, const struct rad_engine_options *o, struct outcome *out)
{
    struct rad_row row[ROWS];
    int32_t id[ROWS], target[ROWS];
    rad_engine *e = NULL;
    memset(out, 0, sizeof *out);
    net_tokens(id, ROWS, 4);
    OK(rad_engine_open(&e, m, o, &err));
    for (int32_t r = 0; r < ROWS; r++) {
        row[r] = (struct rad_row){r / LEN, id[r]};
        target[r] = id[(r + 1) % ROWS];
    }
    for (int32_t s = 0; s < SLOTS; s++)
        rad_engine_start(e, s, s);
    OK(rad_engine_forward(e, row, ROWS, RAD_ROUTE_PREFILL, &err));
    OK(rad_engine_nll(e, ROWS, target, out->nll, &err));
    keep(e, ROWS, 0, out);
    for (int32_t i = 0; i < STEPS; i++) {
        for (int32_t s = 0; s < SLOTS; s++)
            row[s] = (struct rad_row){s, id[i + 11 * s]};
        OK(rad_engine_forward(e, row, SLOTS, RAD_ROUTE_DECODE, &err));
        keep(e, SLOTS, ROWS + SLOTS * i, out);
    }
    rad_engine_close(e);
}

static void policy_keeps_its_bits(const rad_model *m, const char *policy, enum rad_kv kv)
{
    static struct outcome one, more;
    for (int threads = 1; threads <= 3; threads++)
        for (int stats = 0; stats < 2; stats++) { /* watching changes nothing either */
            struct rad_engine_options o = net_options(m, policy, kv);
            o.n_slot = SLOTS, o.threads = threads, o.stats = stats > 0;
            run(m, &o, &more);
            if (threads == 1 && stats == 0)
                one = more;
            const bool same = memcmp(&one, &more, sizeof one) == 0;
            if (!same)
                fprintf(stderr, "\n%s, kv %s: %d threads, stats %d: other bits\n", policy,
                        rad_kv_name(kv), threads, stats);
            CU_ASSERT(same);
        }
    CU_ASSERT(one.nll[5] > 0.0f && one.logits[5] != one.logits[6]);
}

static struct made_net wide_net(const char *folder, bool router)
{
    struct made_net net = {.folder = folder, .config = net_config(router), .seed = 6};
    struct rad_card *c = &net.config.card;
    c->d_model = 192, c->n_head = 6, c->n_kv = 2, c->d_head = 32, c->ffn = 512;
    return net;
}

static void forward_policies_keep_their_bits(void)
{
    static const char *const policies[] = {"dense", "uls:speedup=1.5", "skip:frac=0.4,seed=2"};
    const struct made_net net = wide_net(DIR "/llama", false);
    rad_model *m = net_open_made(&net);
    for (size_t p = 0; p < sizeof policies / sizeof policies[0]; p++)
        for (int kv = RAD_KV_HOLE; kv <= RAD_KV_COPY; kv++)
            policy_keeps_its_bits(m, policies[p], (enum rad_kv)kv);
    policy_keeps_its_bits(m, "oracle:theta=0.9", RAD_KV_HOLE);
    rad_model_close(m);
}

static void routed_policies_keep_their_bits(void)
{
    const struct made_net net = wide_net(DIR "/radial", true);
    rad_model *m = net_open_made(&net);
    policy_keeps_its_bits(m, "radial:budget=1", RAD_KV_HOLE);
    policy_keeps_its_bits(m, "radial:budget=0.5", RAD_KV_HOLE);
    policy_keeps_its_bits(m, "dense", RAD_KV_HOLE);
    rad_model_close(m);
}

/* Rounded activations: near the exact ones, not the same, and the same at any number of threads. */
static void bfloat16_is_near_and_keeps_its_bits(void)
{
    static struct outcome exact, rounded, again;
    struct made_net net = wide_net(DIR "/bf16", false);
    net.config.dtype = RAD_BF16;
    rad_model *m = net_open_made(&net);
    struct rad_engine_options o = net_options(m, "dense", RAD_KV_HOLE);
    o.n_slot = SLOTS, o.threads = 1;
    run(m, &o, &exact);
    o.bf16 = true;
    run(m, &o, &rounded);
    o.threads = 2;
    run(m, &o, &again);
    CU_ASSERT_EQUAL(memcmp(&rounded, &again, sizeof again), 0);
    double mean = 0.0;
    for (int i = 0; i < ROWS; i++)
        mean += ((double)rounded.nll[i] - (double)exact.nll[i]) / ROWS;
    CU_ASSERT(fabs(mean) < 0.02);
    rad_model_close(m);
}

struct losses {
    float nll[LEN];
    int n;
};

static enum rad_status keep_loss(void *ctx, const struct rad_trace_token *tok, int32_t target,
                                 double depth, struct rad_err *e)
{
    struct losses *l = ctx;
    (void)target;
    (void)depth;
    (void)e;
    l->nll[l->n++] = tok->nll;
    return RAD_OK;
}

/* One window for a pool of several threads: the engine has them all. */
static void few_windows_keep_their_bits(void)
{
    const struct made_net net = wide_net(DIR "/few", false);
    struct losses loss[3] = {{{0}, 0}};
    int32_t id[LEN];
    int64_t first[2] = {0, LEN};
    const struct rad_tokens tokens = {id, first, 1};
    rad_model *m = net_open_made(&net);
    net_tokens(id, LEN, 8);
    for (int i = 0; i < 3; i++) {
        struct rad_eval_result r;
        rad_pool *pool = NULL;
        OK(rad_pool_open(&pool, 2 * i + 1, &err));
        const struct rad_eval_options o = {net_options(m, "dense", RAD_KV_HOLE), false, pool};
        const struct rad_eval_sinks sinks = {.token = keep_loss, .ctx = &loss[i]};
        OK(rad_eval_run(m, &tokens, &o, &sinks, &r, &err));
        CU_ASSERT_EQUAL(r.tokens, LEN - 1);
        rad_pool_close(pool);
        CU_ASSERT_EQUAL(loss[i].n, LEN);
        CU_ASSERT_EQUAL(memcmp(&loss[0], &loss[i], sizeof loss[0]), 0);
    }
    rad_model_close(m);
}

CU_TestInfo infer_threads_tests[] = {
    {"few windows keep their bits", few_windows_keep_their_bits},
    {"forward policies keep their bits", forward_policies_keep_their_bits},
    {"routed policies keep their bits", routed_policies_keep_their_bits},
    {"bfloat16 is near and keeps its bits", bfloat16_is_near_and_keeps_its_bits},
    CU_TEST_INFO_NULL,
};
