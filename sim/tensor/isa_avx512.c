/* isa_avx512.c - the kernels of isa_body.h and mat_body.h for CPUs with avx512 (flags in the
 * Makefile). */
#define ISA avx512
#define ISA_NAME "avx512"
#include "tensor/isa_body.h"
#include "tensor/mat_body.h"
