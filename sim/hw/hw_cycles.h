/* hw_cycles.h - cycles of a GEMM on systolic arrays. Private to hw/, and to its tests.
 *
 * C[m][n] = A[m][k] W[k][n] on an array of R rows and C columns. The stationary operand is cut
 * into folds of R x C; T elements stream past each:
 *   weight stationary (K, N, M): folds = ceil(K/R) ceil(N/C), T = M
 *   output stationary (M, N, K): folds = ceil(M/R) ceil(N/C), T = K
 *   input stationary (K, M, N):  folds = ceil(K/R) ceil(M/C), T = N */
#ifndef RAD_HW_CYCLES_H
#define RAD_HW_CYCLES_H

#include <stdint.h>

enum rad_dataflow { RAD_WEIGHT_STATIONARY, RAD_OUTPUT_STATIONARY, RAD_INPUT_STATIONARY };

struct rad_array {
    int64_t rows, cols;
    int64_t count; /* arrays that share the folds */
    enum rad_dataflow dataflow;
    int pipelined; /* the next fold's operand moves in behind the current one */
};

/* Cycles of n_gemm equal GEMMs of these extents (1 for one).
 * Serial, every fold loads and drains alone (SCALE-Sim v3, arXiv 2504.15377, exact):
 *   ws, is   folds (T + 2R + C - 2) - 1      os   folds (T + R + C - 2) - 1
 * Pipelined (ws: ONNXim SystolicWS, arXiv 2406.08051; is: the same with inputs for weights; os: by
 * the same argument, the results of a fold leave while the next one fills; derived here):
 *   ws, is   (2R - 1) + (folds - 1) max(T, R, 4) + R + C - 2 + max(T, 4)
 *   os       (folds - 1) max(T, R) + T + R + C - 2
 * With several arrays folds = ceil(folds / count). */
double rad_systolic_cycles(const struct rad_array *a, int64_t m, int64_t n, int64_t k,
                           int64_t n_gemm);

#endif
