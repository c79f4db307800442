/* hw_host.h - a profile of the machine that this runs on, from probes. Part of hw.h, which includes
 * it. */
#ifndef RAD_HW_HOST_H
#define RAD_HW_HOST_H

#include "base/err.h"

#include <stdint.h>

enum { RAD_HOST_N_SIZE = 3, RAD_HOST_N_M = 5, RAD_HOST_N_VECTOR = 7 };
/* Square weights n = k of the GEMM probes, and their rows m. */
#define RAD_HOST_SIZES                                                                             \
    {                                                                                              \
        64, 256, 1024                                                                              \
    }
#define RAD_HOST_ROWS                                                                              \
    {                                                                                              \
        1, 4, 16, 64, 256                                                                          \
    }

/* What probes measured on this machine, in fp32, best of several runs. Weights of the GEMM probes
 * are used again and again, so that they stay in the caches; a rate includes the call itself. */
struct rad_host_rates {
    const char *about;      /* the machine: CPU model, BLAS core, date */
    int32_t n_threads;      /* that the engine uses */
    double memory_bytes;    /* installed */
    double peak_flop_per_s; /* fp32 FMA of all threads; 0: the best GEMM rate stands in */
    double bf16_peak_flop_per_s, int8_peak_flop_per_s; /* of all threads; 0: not offered */
    /* [0] one thread, [1] n_threads; C[m][n] = A W, n = k = size, m = rows */
    double gemm_flop_per_s[2][RAD_HOST_N_SIZE][RAD_HOST_N_M];
    /* weights in bf16, one thread, [0][0] = 0: not measured */
    double bf16_gemm_flop_per_s[RAD_HOST_N_SIZE][RAD_HOST_N_M];
    double l2_bytes, l2_bytes_per_s;  /* of all cores in use: capacity, read bandwidth */
    double l3_bytes, l3_bytes_per_s;  /* usable share of the last level */
    double dram_bytes_per_s;          /* read, n_threads, data larger than every cache */
    double attend_decode_flop_per_s;  /* one query per sequence, 4 keys heads head_dim FLOP */
    double attend_prefill_flop_per_s; /* 64 or more queries per sequence */
    double attend_head_s;             /* on top, per query and head */
    /* act_bytes of the operation (spec.h) per second: norm act add rope gather embed softmax */
    double vector_bytes_per_s[RAD_HOST_N_VECTOR];
    double op_overhead_s;    /* around every operation: dispatch to the pool, buffers */
    double layer_overhead_s; /* per layer visit: grouping, indices */
    double step_overhead_s;  /* per batch step: bookkeeping */
};

/* A complete host.yaml that rad_hw_parse accepts, malloc'ed for the caller. Noise is repaired,
 * never invented: times of the GEMM probes are made not to fall with m, and the peak not to lie
 * under a measured rate. errors: RAD_E_RANGE (a rate that must be positive is not), RAD_E_NOMEM */
RAD_MUST_CHECK enum rad_status rad_hw_host_profile(const struct rad_host_rates *rates,
                                                   char **yaml_text, struct rad_err *err);

#endif
