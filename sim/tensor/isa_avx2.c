/* isa_avx2.c - the kernels of isa_body.h and mat_body.h for CPUs with avx2 (flags in the Makefile).
 */
#define ISA avx2
#define ISA_NAME "avx2"
#include "tensor/isa_body.h"
#include "tensor/mat_body.h"
