/* test_infer_kv.c - prefill, chunks and decode agree under every policy and KV semantics. */
#include "infer/infer.h"
#include "net_make.h"
#include "refuse.h"

#include <stdlib.h>

#define DIR "build/tmp/infer_kv"

enum { N = 44, HOPS = 8 };

struct result { /* of one sequence */
    float nll[N];
    int32_t n_hop[N];
    struct rad_hop_rec hop[N][HOPS];
};

/* Feed N tokens in chunks of `chunk` rows. */
static void feed(rad_engine *e, const int32_t *id, int32_t chunk, struct result *out)
{
    struct rad_row row[N];
    int32_t target[N];
    for (int32_t i = 0; i < N; i++) {
        row[i] = (struct rad_row){0, id[i]};
        target[i] = i + 1 < N ? id[i + 1] : -1;
    }
    rad_engine_start(e, 0, 7);
    for (int32_t i = 0; i < N; i += chunk) {
        const int32_t n = N - i < chunk ? N - i : chunk;
        OK(rad_engine_forward(e, row + i, n, RAD_ROUTE_EVAL, &err));
        OK(rad_engine_nll(e, n, target + i, out->nll + i, &err));
        for (int32_t r = 0; r < n; r++) {
            const struct rad_hop_rec *hop;
            out->n_hop[i + r] = rad_engine_path(e, r, &hop, NULL);
            CU_ASSERT_FATAL(out->n_hop[i + r] <= HOPS);
            memcpy(out->hop[i + r], hop, (size_t)out->n_hop[i + r] * sizeof *hop);
        }
    }
}

static void compare(const struct result *a, const struct result *b, const char *what)
{
    double worst = 0.0;
    bool paths = true;
    for (int i = 0; i < N; i++) {
        if (i + 1 < N)
            worst = fmax(worst, fabs((double)a->nll[i] - (double)b->nll[i]));
        paths = paths && a->n_hop[i] == b->n_hop[i] &&
                memcmp(a->hop[i], b->hop[i], (size_t)a->n_hop[i] * sizeof a->hop[i][0]) == 0;
    }
    if (!paths || !(worst <= 1e-4))
        fprintf(stderr, "\n%s: NLL differs by %g, paths %s\n", what, worst,
                paths ? "agree" : "differ");
    CU_ASSERT(paths);
    CU_ASSERT(worst <= 1e-4);
}

static void agree(const rad_model *m, const char *policy, enum rad_kv kv, struct result *whole)
{
    static const int32_t chunks[] = {1, 5, 13};
    static struct result part;
    const struct rad_engine_options o = net_options(m, policy, kv);
    rad_engine *e = NULL;
    int32_t id[N];
    net_tokens(id, N, 9);
    OK(rad_engine_open(&e, m, &o, &err));
    feed(e, id, N, whole);
    for (size_t i = 0; i < sizeof chunks / sizeof chunks[0]; i++) {
        char what[96];
        snprintf(what, sizeof what, "%s, kv %s, chunks of %d", policy, rad_kv_name(kv), chunks[i]);
        feed(e, id, chunks[i], &part);
        compare(whole, &part, what);
    }
    rad_engine_close(e);
}

static void forward_policies_agree_in_any_chunks(void)
{
    static const char *const policies[] = {"dense",
                                           "uls:speedup=2",
                                           "uls:speedup=1.5",
                                           "skip:frac=0.5,seed=1",
                                           "skip:frac=0.9,seed=2",
                                           "skip:frac=1",
                                           "oracle:theta=0.9",
                                           "oracle:theta=1.2,metric=ratio_out"};
    static struct result whole;
    rad_model *m = net_open_plain(DIR "/llama", false);
    for (size_t p = 0; p < sizeof policies / sizeof policies[0]; p++)
        for (int kv = RAD_KV_HOLE; kv <= RAD_KV_COPY; kv++)
            if (kv == RAD_KV_HOLE || strncmp(policies[p], "oracle", 6) != 0)
                agree(m, policies[p], (enum rad_kv)kv, &whole);
    rad_model_close(m);
}

static bool goes_back(const struct result *r)
{
    for (int i = 0; i < N; i++)
        for (int h = 1; h < r->n_hop[i]; h++)
            if (r->hop[i][h].layer <= r->hop[i][h - 1].layer)
                return true;
    return false;
}

static void any_order_paths_agree_in_any_chunks(void)
{
    static const char *const policies[] = {"radial:budget=1", "radial:budget=0.5",
                                           "radial:price=0.5", "dense", "skip:frac=0.4"};
    static struct result whole;
    bool back = false;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct made_net net = {.folder = DIR "/radial", .config = net_config(true), .seed = seed};
        net.config.card.norm = seed % 2 ? RAD_NORM_RMS : RAD_NORM_LAYER;
        rad_model *m = net_open_made(&net);
        for (size_t p = 0; p < sizeof policies / sizeof policies[0]; p++) {
            agree(m, policies[p], RAD_KV_HOLE, &whole);
            back = back || (p < 3 && goes_back(&whole));
        }
        rad_model_close(m);
    }
    CU_ASSERT(back); /* else the case was not tested */
}

/* n_keys by the rule of definitions.md: itself and earlier tokens that visited the layer at a hop
 * not later. */
static void any_order_keys_follow_the_definition(void)
{
    static struct result r;
    rad_model *m = net_open_plain(DIR "/keys", true);
    agree(m, "radial:budget=1", RAD_KV_HOLE, &r);
    for (int i = 0; i < N; i++)
        for (int h = 0; h < r.n_hop[i]; h++) {
            uint32_t want = 1;
            for (int j = 0; j < i; j++) {
                bool seen = false;
                for (int g = 0; g <= h && g < r.n_hop[j]; g++)
                    seen = seen || r.hop[j][g].layer == r.hop[i][h].layer;
                want += seen;
            }
            CU_ASSERT_EQUAL(r.hop[i][h].n_keys, want);
        }
    rad_model_close(m);
}

/* What skipped layers do shows in the keys: holes are missing, filled entries are not. */
static void kv_semantics_differ_as_they_should(void)
{
    static struct result hole, project, copy, dense;
    rad_model *m = net_open_plain(DIR "/kv", false);
    agree(m, "skip:frac=0.5,seed=1", RAD_KV_HOLE, &hole);
    agree(m, "skip:frac=0.5,seed=1", RAD_KV_PROJECT, &project);
    agree(m, "skip:frac=0.5,seed=1", RAD_KV_COPY, &copy);
    agree(m, "dense", RAD_KV_PROJECT, &dense);
    int holes = 0, filled = 0, copied = 0;
    for (int i = 0; i < N; i++) {
        CU_ASSERT_EQUAL(project.n_hop[i], 4); /* a record for every layer */
        CU_ASSERT_EQUAL(dense.n_hop[i], 4);
        bool below = false;
        for (int h = 0, c = 0; h < 4; h++) {
            const struct rad_hop_rec *p = &project.hop[i][h];
            const bool ran = (p->flags & RAD_HOP_ATTN) != 0;
            CU_ASSERT_EQUAL(p->layer, h);
            CU_ASSERT_EQUAL(p->flags, ran ? RAD_HOP_ATTN | RAD_HOP_MLP : RAD_HOP_PROJECT);
            CU_ASSERT_EQUAL(p->n_keys, ran ? (uint32_t)i + 1 : 0);
            filled += !ran;
            below = below || ran;
            if (!below)
                continue; /* copy: nothing executed below, a hole */
            CU_ASSERT_EQUAL(copy.hop[i][c].layer, h);
            copied += copy.hop[i][c].flags == RAD_HOP_COPY;
            c++;
        }
        for (int h = 0; h < hole.n_hop[i]; h++)
            holes += hole.hop[i][h].n_keys < (uint32_t)i + 1;
    }
    CU_ASSERT(filled > 40 && copied > 20 && holes > 40);
    double spread[2] = {0.0, 0.0};
    for (int i = 0; i + 1 < N; i++) {
        spread[0] = fmax(spread[0], fabs((double)hole.nll[i] - (double)project.nll[i]));
        spread[1] = fmax(spread[1], fabs((double)copy.nll[i] - (double)project.nll[i]));
    }
    CU_ASSERT(spread[0] > 0.01 && spread[1] > 0.01); /* three different networks */
    rad_model_close(m);
}

static void impossible_combinations_are_refused(void)
{
    rad_model *radial = net_open_plain(DIR "/yes", true);
    rad_model *llama = net_open_plain(DIR "/no", false);
    rad_engine *e = NULL;
    struct rad_engine_options o = net_options(radial, "radial:budget=1", RAD_KV_PROJECT);
    REFUSES(rad_engine_open(&e, radial, &o, &err), RAD_E_ARG, "kv project: needs paths in");
    o.kv = RAD_KV_COPY;
    REFUSES(rad_engine_open(&e, radial, &o, &err), RAD_E_ARG,
            "kv copy: needs paths in increasing layer order, but policy radial may go back");
    o.kv = RAD_KV_HOLE;
    REFUSES(rad_engine_open(&e, llama, &o, &err), RAD_E_UNSUPPORTED, "model 'no' has no router");
    CU_ASSERT_PTR_NULL(e);
    o = net_options(llama, "oracle:theta=0.1", RAD_KV_COPY);
    REFUSES(rad_engine_open(&e, llama, &o, &err), RAD_E_ARG, "use --kv hole");
    rad_model_close(llama);
    struct made_net net = {.folder = DIR "/table", .config = net_config(true), .seed = 1};
    net.config.router.n_table = 0;
    rad_model *m = net_open_made(&net);
    o = net_options(m, "radial:budget=1", RAD_KV_HOLE);
    REFUSES(rad_engine_open(&e, m, &o, &err), RAD_E_UNSUPPORTED, "no budget table; give price");
    o = net_options(m, "radial:price=0.01", RAD_KV_HOLE);
    OK(rad_engine_open(&e, m, &o, &err));
    rad_engine_close(e);
    rad_model_close(m);
    rad_model_close(radial);
}

static void oracle_at_its_limits(void)
{
    static struct result dense, none, all;
    rad_model *m = net_open_plain(DIR "/oracle", false);
    agree(m, "dense", RAD_KV_HOLE, &dense);
    agree(m, "oracle:theta=0", RAD_KV_HOLE, &none);
    compare(&dense, &none, "oracle:theta=0 against dense");
    agree(m, "oracle:theta=1000", RAD_KV_HOLE, &all);
    for (int i = 0; i < N; i++)
        for (int h = 0; h < all.n_hop[i]; h++) {
            CU_ASSERT_EQUAL(all.hop[i][h].flags, 0); /* looked at, discarded */
            CU_ASSERT_EQUAL(all.hop[i][h].n_keys, 0);
        }
    rad_model_close(m);
}

static void a_router_that_is_no_number_is_refused(void)
{
    struct made_net net = {.folder = DIR "/nan", .config = net_config(true), .seed = 1};
    net.nan = "router.out.bias";
    rad_model *m = net_open_made(&net);
    const struct rad_engine_options o = net_options(m, "radial:budget=1", RAD_KV_HOLE);
    const struct rad_row row = {0, 65};
    rad_engine *e = NULL;
    OK(rad_engine_open(&e, m, &o, &err));
    rad_engine_start(e, 0, 3);
    REFUSES(rad_engine_forward(e, &row, 1, RAD_ROUTE_EVAL, &err), RAD_E_RANGE,
            "no number (sequence 3, position 0, hop 0)");
    rad_engine_close(e);
    rad_model_close(m);
}

/* Several sequences in one call, each row where it would be alone. */
static void sequences_do_not_see_each_other(void)
{
    enum { LEN = 20 };
    static struct result alone;
    rad_model *m = net_open_plain(DIR "/slots", true);
    struct rad_engine_options o = net_options(m, "radial:budget=1", RAD_KV_HOLE);
    struct rad_row row[3 * LEN];
    int32_t id[N], target[3 * LEN];
    float nll[3 * LEN];
    rad_engine *e = NULL;
    net_tokens(id, N, 9);
    agree(m, "radial:budget=1", RAD_KV_HOLE, &alone);
    o.n_slot = 3;
    OK(rad_engine_open(&e, m, &o, &err));
    for (int s = 0; s < 3; s++) {
        rad_engine_start(e, s, s);
        for (int i = 0; i < LEN; i++) { /* the middle one is the known sequence */
            row[s * LEN + i] = (struct rad_row){s, s == 1 ? id[i] : (id[i] + 31 * s + i) % 256};
            target[s * LEN + i] = s == 1 ? id[i + 1] : -1;
        }
    }
    OK(rad_engine_forward(e, row, 3 * LEN, RAD_ROUTE_EVAL, &err));
    OK(rad_engine_nll(e, 3 * LEN, target, nll, &err));
    for (int i = 0; i < LEN; i++)
        CU_ASSERT(fabs((double)nll[LEN + i] - (double)alone.nll[i]) < 1e-4);
    CU_ASSERT(isnan(nll[0]) && isnan(nll[2 * LEN]));
    rad_engine_close(e);
    rad_model_close(m);
}

CU_TestInfo infer_kv_tests[] = {
    {"forward policies agree in any chunks", forward_policies_agree_in_any_chunks},
    {"any-order paths agree in any chunks", any_order_paths_agree_in_any_chunks},
    {"any-order keys follow the definition", any_order_keys_follow_the_definition},
    {"KV semantics differ as they should", kv_semantics_differ_as_they_should},
    {"impossible combinations are refused", impossible_combinations_are_refused},
    {"oracle at its limits", oracle_at_its_limits},
    {"a router that is no number is refused", a_router_that_is_no_number_is_refused},
    {"sequences do not see each other", sequences_do_not_see_each_other},
    CU_TEST_INFO_NULL,
};
