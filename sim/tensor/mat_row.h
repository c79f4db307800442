/* mat_row.h - weights of a matrix as float32. Included by tensor.h; do not include it alone. */
#ifndef RAD_TENSOR_MAT_ROW_H
#define RAD_TENSOR_MAT_ROW_H

/* to[n] = columns first..first+n of a row; first and n are multiples of 32 for quantised types. */
void rad_mat_row(const struct rad_mat *w, int32_t row, int32_t first, int32_t n, float *to);

#endif
