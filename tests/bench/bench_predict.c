/* bench_predict.c - what one prediction costs: time per rad_hw_predict on one thread.
 *
 * usage: bench_predict [HW...]   (default a100-sxm-80gb h200-sxm-141gb l4)
 * GEMMs, decode and prefill attention and norms of many shapes, in turn; printed: nanoseconds per
 * operation, best of several runs, by the first fit and with a software named, against the limit of
 * 1000 ns. */
#include "base/clock.h"
#include "hw/hw.h"

#include <stdio.h>
#include <stdlib.h>

enum { N_SHAPE = 512, N_RUN = 9, N_TURN = 20 };

static struct rad_op gemm(int i)
{
    return rad_op_gemm(1 + (i * 37) % 4096, 1024 * (1 + i % 16), 1024 * (1 + i / 16 % 16),
                       RAD_BF16);
}

static struct rad_op attend(int i, bool decode)
{
    const int64_t n = decode ? 1 + i % 64 : 64 * (1 + i % 32), keys = decode ? 128 * (1 + i) : n;
    const struct rad_attend_shape shape = {.m = n,
                                           .n_keys = decode ? n * keys : n * (n + 1) / 2,
                                           .kv_read_keys = decode ? n * keys : keys,
                                           .heads = 32,
                                           .kv_heads = 8,
                                           .head_dim = 128,
                                           .n_seq = decode ? (int32_t)n : 1};
    return rad_op_attend(&shape, RAD_BF16);
}

static struct rad_op decode(int i)
{
    return attend(i, true);
}

static struct rad_op prefill(int i)
{
    return attend(i, false);
}

static struct rad_op norm(int i)
{
    return rad_op_vector(RAD_OP_NORM, 1 + i, 4096, RAD_BF16);
}

static struct rad_op grouped(int i)
{
    return rad_op_grouped(32 + i, 1024 * (1 + i % 16), 1024 * (1 + i / 16 % 16), 2 + i % 30,
                          RAD_BF16);
}

static const struct {
    const char *name;
    struct rad_op (*make)(int i);
} kinds[] = {
    {"gemm", gemm}, {"decode", decode}, {"prefill", prefill}, {"norm", norm}, {"grouped", grouped}};

static double best_ns(const rad_hw *hw, const struct rad_op *ops, const char *software, double *sum)
{
    double best = 1e9;
    for (int run = 0; run < N_RUN; run++) {
        const double start_s = rad_now_s();
        for (int turn = 0; turn < N_TURN; turn++)
            for (int i = 0; i < N_SHAPE; i++) {
                struct rad_prediction p;
                struct rad_err err;
                if (rad_hw_predict(hw, &ops[i], software, &p, &err) != RAD_OK) {
                    fprintf(stderr, "bench_predict: %s\n", err.msg);
                    exit(EXIT_FAILURE);
                }
                *sum += p.cost.time_s;
            }
        const double ns = (rad_now_s() - start_s) * 1e9 / (N_TURN * N_SHAPE);
        best = ns < best ? ns : best;
    }
    return best;
}

int main(int argc, char *argv[])
{
    static const char *const usual[] = {"a100-sxm-80gb", "h200-sxm-141gb", "l4"};
    const int n = argc > 1 ? argc - 1 : (int)(sizeof usual / sizeof usual[0]);
    double sum = 0.0;
    printf("%-16s %-8s %9s %9s   (limit 1000)\n", "hw", "op", "ns", "named");
    for (int i = 0; i < n; i++) {
        const char *name = argc > 1 ? argv[i + 1] : usual[i];
        struct rad_err err;
        rad_hw *hw = NULL;
        if (rad_hw_open(&hw, name, &err) != RAD_OK) {
            fprintf(stderr, "bench_predict: %s\n", err.msg);
            return EXIT_FAILURE;
        }
        for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
            struct rad_op ops[N_SHAPE];
            for (int j = 0; j < N_SHAPE; j++)
                ops[j] = kinds[k].make(j);
            const double first = best_ns(hw, ops, NULL, &sum);
            printf("%-16s %-8s %9.0f %9.0f\n", name, kinds[k].name, first,
                   best_ns(hw, ops, "aic vllm 0.24.0", &sum));
        }
        rad_hw_close(hw);
    }
    return sum > 0.0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
