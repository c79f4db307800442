/* amx.h - private to tensor/: the AMX GEMM behind rad_gemm. */
#ifndef RAD_TENSOR_AMX_H
#define RAD_TENSOR_AMX_H

#include "tensor/tensor.h"

/* Ask the kernel for tile registers; false if CPU or kernel have none. */
bool rad_amx_enable(void);

/* uint16_t that rad_amx_gemm needs for this product, 64-byte aligned. */
size_t rad_amx_scratch(const struct rad_mm *mm);
void rad_amx_gemm(const struct rad_mm *mm, uint16_t *scratch);

#endif
