/* bench_replay.c - what a sweep point costs: building a plan and costing it.
 *
 * usage: bench_replay [-t TRACE] [HW...]   (default a100-sxm-80gb)
 * 10,000 tokens on 8 layers (40 sequences of 250, replayed as decode) are made in memory: dense,
 * half of the layers skipped at random, and 8 hops in any order with a router; of TRACE the first
 * 10,000 tokens are taken. Printed: the best of several runs in milliseconds, distinct shapes and
 * operations, and, against the limits of 2 ms at batch >= 8 and 10 ms at batch 1, the first machine
 * (build + cost) and further ones (cost). Batches divide 40: no sequence runs twice. */
#include "base/clock.h"
#include "base/rng.h"
#include "replay_make.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_RUN = 15, N_TOKEN = 10000 };
static const int32_t batches[] = {1, 8, 20, 40};

struct variant {
    const char *name;
    made_path path;
    bool forward_only;
    bool has_router;
};

static double best(double so_far, double start_s)
{
    const double ms = (rad_now_s() - start_s) * 1e3;
    return ms < so_far ? ms : so_far;
}

static void fail(const struct rad_err *err)
{
    fprintf(stderr, "bench_replay: %s\n", err->msg);
    exit(EXIT_FAILURE);
}

static void measure(const char *name, const struct rad_replay_input *in, const rad_hw *hw,
                    int32_t batch)
{
    const struct rad_replay_options opt = {
        .batch = batch, .phase = RAD_REPLAY_DECODE, .dtype = RAD_BF16, .resample = true};
    struct rad_err err;
    struct rad_replay_result r;
    struct rad_plan_info info = {0};
    double build_ms = 1e9, cost_ms = 1e9;
    for (int i = 0; i < N_RUN; i++) {
        rad_plan *plan = NULL;
        double start_s = rad_now_s();
        if (rad_plan_build_from(&plan, in, &opt, &err) != RAD_OK)
            fail(&err);
        build_ms = best(build_ms, start_s);
        start_s = rad_now_s();
        if (rad_replay_cost(plan, hw, &r, &err) != RAD_OK)
            fail(&err);
        cost_ms = best(cost_ms, start_s);
        info = *rad_plan_info(plan);
        rad_plan_free(plan);
    }
    printf("%-16s %-7s %5d %9.2f %9.2f %9.2f %9lld %9lld %9.0f %8.2f\n", rad_hw_name(hw), name,
           batch, build_ms, cost_ms, build_ms + cost_ms, (long long)info.n_shape,
           (long long)(info.n_op + info.dense_n_op), info.n_group, r.speedup);
}

static void bench_all(const char *name, const struct rad_replay_input *in, const rad_hw *hw)
{
    for (size_t i = 0; i < sizeof batches / sizeof batches[0]; i++)
        measure(name, in, hw, batches[i]);
}

static void bench_made(const rad_hw *hw)
{
    static const struct variant variants[] = {
        {"dense", made_dense, true, false},
        {"skip", made_skip, true, false},
        {"wander", made_wander, false, true},
    };
    const struct rad_card card = made_card();
    for (size_t i = 0; i < sizeof variants / sizeof variants[0]; i++) {
        const struct variant *v = &variants[i];
        struct made_draw draw = {.seed = 1, .keep = 0.5, .hops = 8, .n_layer = card.n_layer};
        const struct made_shape shape = {40, 0, N_TOKEN / 40, v->forward_only, v->has_router};
        struct made m;
        made_open(&m, &card, &shape, v->path, &draw);
        bench_all(v->name, &m.in, hw);
        made_close(&m);
    }
}

static void bench_trace(const rad_trace *trace, const rad_hw *hw)
{
    const struct rad_replay_input in = {
        .run = rad_trace_run(trace),
        .tokens = rad_trace_tokens(trace),
        .hops = rad_trace_hops(trace),
        .n_token = rad_trace_n_token(trace) < N_TOKEN ? rad_trace_n_token(trace) : N_TOKEN,
        .n_hop = rad_trace_n_hop(trace),
    };
    bench_all("trace", &in, hw);
}

static void bench(const char *name, const rad_trace *trace)
{
    struct rad_err err;
    rad_hw *hw = NULL;
    if (rad_hw_open(&hw, name, &err) != RAD_OK)
        fail(&err);
    bench_made(hw);
    if (trace != NULL)
        bench_trace(trace, hw);
    rad_hw_close(hw);
}

int main(int argc, char **argv)
{
    struct rad_err err;
    rad_trace *trace = NULL;
    const int first = argc > 2 && strcmp(argv[1], "-t") == 0 ? 3 : 1;
    rad_base_init();
    if (first > 1 && rad_trace_open(&trace, argv[2], &err) != RAD_OK)
        fail(&err);
    printf("%-16s %-7s %5s %9s %9s %9s %9s %9s %9s %8s\n", "hw", "paths", "batch", "build_ms",
           "cost_ms", "first_ms", "shapes", "ops", "groups", "speedup");
    for (int i = first; i < argc; i++)
        bench(argv[i], trace);
    if (argc == first)
        bench("a100-sxm-80gb", trace);
    rad_trace_close(trace);
    return EXIT_SUCCESS;
}
