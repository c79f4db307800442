/* isa_base.c - the kernels of isa_body.h and mat_body.h for any CPU. */
#define ISA base
#define ISA_NAME "base"
#include "tensor/isa_body.h"
#include "tensor/mat_body.h"
