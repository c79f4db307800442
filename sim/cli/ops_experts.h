/* ops_experts.h - private to cli/: how many groups rows of a grouped product or of experts make. */
#ifndef RAD_CLI_OPS_EXPERTS_H
#define RAD_CLI_OPS_EXPERTS_H

#include "radial.h"

/* The whole number behind "key=" among notes between semicolons; 0 if there is none, or none such.
 */
int32_t ops_note_int(const char *notes, const char *key);

/* Of `experts` experts, those with rows where `rows` rows are dealt: evenly ("balanced"), or by the
 * power law that aiconfigurator draws its experts' shares from ("power_law_1.2": density x^-1.2
 * between 1 and 0.8 of the tokens, or 0.01 and 2 where there are fewer rows than experts). Shares
 * are taken at even quantiles and rounded; what rounding leaves over goes to experts without rows.
 * Measured times of rows that are bound by weights agree within a few per cent. */
int32_t ops_active_experts(int32_t experts, int64_t rows, int64_t tokens, const char *notes);

/* Experts of two models of that source have two matrices, ReLU squared between, not gated ones:
 * their times are two thirds of three matrices'. */
bool ops_experts_gated(const char *notes, int32_t hidden);

#endif
