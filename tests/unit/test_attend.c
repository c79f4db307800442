/* test_attend.c - rad_attend_many with slopes, windows, all keys seen and rows that lie apart,
 * against rad_attend; the same bits at any number of threads. */
#include "tensor/tensor.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>

enum { NQ = 75, NK = 400, HEADS = 6, KV = 2, MAX_DIM = 136, SEQ = 5 };

struct attention {
    struct rad_attend a;
    float *q, *kv, *apart, *p, *want, *got; /* apart: rows of kv in another order, with gaps */
    int32_t see[NQ], skip[NQ], q_pos[NQ], k_pos[NK], row[NK];
};

static const float slopes[HEADS] = {0.5f, 0.25f, 0.125f, 0.0625f, 0.03125f, 0.015625f};

struct features {
    const char *name;
    int32_t n_q, d_head, window; /* window 0: none */
    bool slope, all, rows, wide; /* wide: row blocks that are far apart and none in turn */
};

static float *floats(size_t n, uint32_t s)
{
    float *x = malloc(n * sizeof *x);
    CU_ASSERT_PTR_NOT_NULL_FATAL(x);
    for (size_t i = 0; i < n; i++) {
        s = s * 1664525u + 1013904223u;
        x[i] = (float)(s >> 8) / 8388608.0f - 1.0f;
    }
    return x;
}

/* Key j of a sequence is at row_at(j): runs of 100 keys swap places, or every row does. */
static int32_t row_at(const struct features *f, int32_t j)
{
    if (f->wide)
        return (j * 7 + 3) % NK * 2;
    return j < 100 ? j + 200 : j < 200 ? j - 100 : j + 250;
}

static void attention_open(struct attention *t, const struct features *f, uint32_t seed)
{
    const int32_t d = f->d_head, width = 2 * KV * d;
    t->q = floats((size_t)(NQ * HEADS * d), seed);
    t->kv = floats((size_t)(NK * width), seed + 1);
    t->apart = floats((size_t)(2 * NK * width), seed + 2);
    t->p = floats((size_t)(HEADS * NQ * NK), seed + 3);
    t->want = floats((size_t)(NQ * HEADS * d), seed + 4);
    t->got = floats((size_t)(NQ * HEADS * d), seed + 5);
    for (int i = 0; i < NQ * HEADS * d; i++)
        t->q[i] *= 4.0f;
    for (int32_t j = 0; j < NK; j++) {
        t->row[j] = row_at(f, j);
        t->k_pos[j] = 2 * j; /* tokens in between have no key here */
        memcpy(t->apart + (size_t)(t->row[j] * width), t->kv + (size_t)(j * width),
               (size_t)width * sizeof(float));
    }
    for (int32_t i = 0; i < f->n_q; i++) {
        t->see[i] = f->all ? NK : NK - f->n_q + i + 1;
        t->skip[i] = f->window > 0 ? t->see[i] - f->window : 0;
        t->q_pos[i] = f->all ? 5 * i : 2 * (t->see[i] - 1);
    }
    t->a = (struct rad_attend){.n_q = f->n_q,
                               .n_k = NK,
                               .n_head = HEADS,
                               .n_kv = KV,
                               .d_head = d,
                               .q = t->q,
                               .ldq = HEADS * d,
                               .k = t->kv,
                               .v = t->kv + KV * d,
                               .ldkv = width,
                               .n_see = t->see,
                               .n_skip = f->window > 0 ? t->skip : NULL,
                               .slope = f->slope ? slopes : NULL,
                               .q_pos = t->q_pos,
                               .k_pos = t->k_pos,
                               .p = t->p,
                               .out = t->want,
                               .ldo = HEADS * d};
}

static void attention_close(struct attention *t)
{
    free(t->q), free(t->kv), free(t->apart), free(t->p), free(t->want), free(t->got);
}

static const struct features all_features[SEQ] = {
    {"window", 75, 20, 150, false, false, false, false},
    {"slope, rows in runs", 75, 32, 0, true, false, true, false},
    {"all keys, slope", 70, 16, 0, true, true, false, false},
    {"one query, slope, window, rows apart", 1, 136, 260, true, false, true, true},
    {"window, slope, rows apart, wide heads", 40, 136, 33, true, false, true, true},
};

static double distance(size_t n, const float *a, const float *b)
{
    double worst = 0.0;
    for (size_t i = 0; i < n; i++) {
        const double off = fabs((double)a[i] - (double)b[i]);
        worst = off > worst || isnan(off) ? off : worst;
    }
    return worst;
}

/* All sequences in one call on `threads` threads, into got. */
static void run_many(struct attention *t, int threads)
{
    struct rad_attend a[SEQ];
    rad_gemm *g = NULL;
    OK(rad_gemm_open(&g, RAD_GEMM_F32, &err));
    OK(rad_gemm_threads(g, threads, &err));
    for (int s = 0; s < SEQ; s++) {
        const struct features *f = &all_features[s];
        a[s] = t[s].a;
        a[s].p = NULL;
        a[s].out = t[s].got;
        if (f->rows)
            a[s].row = t[s].row, a[s].k = t[s].apart, a[s].v = t[s].apart + KV * f->d_head;
        for (int i = 0; i < f->n_q * HEADS * f->d_head; i++)
            t[s].got[i] = NAN; /* what is there must not matter */
    }
    rad_attend_many(g, a, SEQ);
    rad_gemm_close(g);
}

static void features_match_one_by_one(void)
{
    static struct attention t[SEQ];
    rad_gemm *g = NULL;
    OK(rad_gemm_open(&g, RAD_GEMM_F32, &err));
    for (int s = 0; s < SEQ; s++) {
        attention_open(&t[s], &all_features[s], 10 * (uint32_t)s + 1);
        rad_attend(g, &t[s].a);
    }
    rad_gemm_close(g);
    float *first[SEQ];
    for (int threads = 1; threads <= 3; threads++) {
        run_many(t, threads);
        for (int s = 0; s < SEQ; s++) {
            const size_t n = (size_t)(all_features[s].n_q * HEADS * all_features[s].d_head);
            const double off = distance(n, t[s].want, t[s].got);
            if (!(off < 4e-6))
                fprintf(stderr, "\n%s, %d threads: off by %g\n", all_features[s].name, threads,
                        off);
            CU_ASSERT(off < 4e-6);
            if (threads == 1) {
                first[s] = floats(n, 0);
                memcpy(first[s], t[s].got, n * sizeof(float));
            }
            CU_ASSERT_EQUAL(memcmp(first[s], t[s].got, n * sizeof(float)), 0);
        }
    }
    for (int s = 0; s < SEQ; s++) {
        free(first[s]);
        attention_close(&t[s]);
    }
}

/* Where the keys lie changes no bit; seeing other keys does change the result. */
static void rows_are_only_places(void)
{
    static struct attention t;
    static const struct features f = {"rows", 40, 64, 0, false, false, true, true};
    rad_gemm *g = NULL;
    OK(rad_gemm_open(&g, RAD_GEMM_F32, &err));
    attention_open(&t, &f, 7);
    rad_attend_many(g, &t.a, 1);
    struct rad_attend a = t.a;
    a.row = t.row, a.k = t.apart, a.v = t.apart + KV * f.d_head, a.out = t.got;
    rad_attend_many(g, &a, 1);
    const size_t n = (size_t)(f.n_q * HEADS * f.d_head);
    CU_ASSERT_EQUAL(memcmp(t.want, t.got, n * sizeof(float)), 0);
    t.row[NK / 2] = t.row[0];
    rad_attend_many(g, &a, 1);
    CU_ASSERT(distance(n, t.want, t.got) > 1e-4);
    attention_close(&t);
    rad_gemm_close(g);
}

/* Keys by head, as the cache has them: what other layouts give, by both functions. */
static void heads_are_only_places(void)
{
    static struct attention t;
    for (int32_t n_q = 1; n_q <= 40; n_q += 39) {
        const struct features f = {"heads", n_q, 64, 0, false, false, false, false};
        rad_gemm *g = NULL;
        OK(rad_gemm_open(&g, RAD_GEMM_F32, &err));
        attention_open(&t, &f, 9);
        rad_attend_many(g, &t.a, 1);
        struct rad_attend a = t.a;
        for (int32_t j = 0; j < NK; j++)
            for (int32_t h = 0; h < KV; h++)
                for (int32_t i = 0; i < 2; i++)
                    memcpy(t.apart + ((i * KV + h) * NK + j) * f.d_head,
                           t.kv + (j * 2 * KV + i * KV + h) * f.d_head,
                           (size_t)f.d_head * sizeof(float));
        a.k = t.apart, a.v = t.apart + KV * NK * f.d_head, a.ldkv = f.d_head;
        a.ldh = NK * (size_t)f.d_head, a.out = t.got;
        const size_t n = (size_t)(f.n_q * HEADS * f.d_head);
        rad_attend_many(g, &a, 1);
        CU_ASSERT_EQUAL(memcmp(t.want, t.got, n * sizeof(float)), 0);
        rad_attend(g, &a);
        CU_ASSERT(distance(n, t.want, t.got) < 4e-6);
        attention_close(&t);
        rad_gemm_close(g);
    }
}

/* Chunks of any length: keys of a head together, heads of a chunk together. */
static void chunks_are_only_places(void)
{
    static struct attention t;
    static const int32_t length[] = {1, 7, 32, RAD_ATTEND_CHUNK, NK - 1};
    for (size_t x = 0; x < 4 * sizeof length / sizeof *length; x++) {
        const int32_t chunk = length[x / 4], d_head = x % 2 ? 64 : 8;
        const struct features f = {.name = "chunks",
                                   .n_q = x % 4 < 2 ? 1 : 40,
                                   .d_head = d_head,
                                   .window = x % 8 < 4 ? 0 : 150};
        const size_t d = (size_t)f.d_head, parts = (size_t)((NK + chunk - 1) / chunk);
        const size_t part = 2 * KV * (size_t)chunk * d, n = (size_t)(f.n_q * HEADS) * d;
        float *kv = floats(parts * part, 10);
        rad_gemm *g = NULL;
        OK(rad_gemm_open(&g, RAD_GEMM_F32, &err));
        attention_open(&t, &f, 9);
        rad_attend_many(g, &t.a, 1);
        struct rad_attend a = t.a;
        for (size_t j = 0; j < NK; j++)
            for (size_t h = 0; h < KV; h++)
                for (size_t i = 0; i < 2; i++)
                    memcpy(kv + j / (size_t)chunk * part +
                               ((2 * h + i) * (size_t)chunk + j % (size_t)chunk) * d,
                           t.kv + (j * 2 * KV + i * KV + h) * d, d * sizeof *kv);
        a.k = kv, a.v = kv + (size_t)chunk * d, a.ldkv = f.d_head, a.out = t.got;
        a.ldh = 2 * (size_t)chunk * d, a.chunk = chunk, a.ldchunk = part;
        rad_attend_many(g, &a, 1);
        CU_ASSERT(d_head < 64 || memcmp(t.want, t.got, n * sizeof(float)) == 0);
        CU_ASSERT(distance(n, t.want, t.got) < 2e-6); /* narrow heads are summed up in pairs */
        attention_close(&t);
        rad_gemm_close(g);
        free(kv);
    }
}

CU_TestInfo attend_tests[] = {
    {"features match one by one", features_match_one_by_one},
    {"rows are only places", rows_are_only_places},
    {"heads are only places", heads_are_only_places},
    {"chunks are only places", chunks_are_only_places},
    CU_TEST_INFO_NULL,
};
