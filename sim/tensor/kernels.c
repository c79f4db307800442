/* kernels.c - which build of the kernels this CPU runs, and the repair of OpenBLAS's choice. */
#include "tensor/amx.h"
#include "tensor/tensor.h"

#include <cblas.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern const struct rad_kernels rad_kernels_base;
#if defined(__x86_64__)
extern const struct rad_kernels rad_kernels_avx2, rad_kernels_avx512;
#endif

const struct rad_kernels *rad_kernels(void)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        return &rad_kernels_avx512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return &rad_kernels_avx2;
#endif
    return &rad_kernels_base;
}

void rad_tensor_repair(char *const argv[])
{
    openblas_set_num_threads(1); /* parallelism is above BLAS: base/pool.h */
#if defined(__x86_64__)
    if (getenv("OPENBLAS_CORETYPE") != NULL || strstr(openblas_get_config(), "Prescott") == NULL)
        return;
    const char *core = __builtin_cpu_supports("avx512bw") ? "SkylakeX"
                       : __builtin_cpu_supports("avx2")   ? "Haswell"
                                                          : NULL;
    if (core == NULL || setenv("OPENBLAS_CORETYPE", core, 1) != 0)
        return;
    setenv("OPENBLAS_NUM_THREADS", "1", 0);
    execv("/proc/self/exe", argv); /* only returns on failure: then run on, slower */
#else
    (void)argv;
#endif
}

void rad_tensor_describe(char *out, size_t size)
{
    snprintf(out, size, "OpenBLAS core %s; kernels %s%s", openblas_get_corename(),
             rad_kernels()->name, rad_amx_enable() ? "; amx bf16" : "");
}

void rad_rope_table(int32_t n_pos, int32_t d_head, double theta, float *cs)
{
    const int32_t half = d_head / 2;
    for (int32_t p = 0; p < n_pos; p++, cs += d_head)
        for (int32_t i = 0; i < half; i++) {
            const double angle = p * pow(theta, -2.0 * i / d_head);
            cs[i] = (float)cos(angle);
            cs[half + i] = (float)sin(angle);
        }
}
