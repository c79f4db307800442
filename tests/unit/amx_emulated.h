/* amx_emulated.h - the products of sim/tensor/isa_amx.c with tile instructions played by C, so that
 * what surrounds them is tested on CPUs that have AVX512-BF16 but no tiles. */
#ifndef RAD_TEST_AMX_EMULATED_H
#define RAD_TEST_AMX_EMULATED_H

#include "tensor/tensor.h"

/* Whether this CPU can run them. */
bool amx_emulated_can(void);
/* As rad_amx_scratch and rad_amx_gemm. */
size_t amx_emulated_scratch(const struct rad_mm *mm);
void amx_emulated_gemm(const struct rad_mm *mm, uint16_t *scratch);

#endif
