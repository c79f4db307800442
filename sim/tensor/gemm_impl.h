/* gemm_impl.h - private to tensor/: what a rad_gemm holds. */
#ifndef RAD_TENSOR_GEMM_IMPL_H
#define RAD_TENSOR_GEMM_IMPL_H

#include "tensor/tensor.h"

struct rad_gemm {
    bool amx, bf16; /* tiles are there; operands may be rounded */
    uint16_t *scratch;
    size_t cap; /* in uint16_t */
    rad_pool *pool;
};

#endif
