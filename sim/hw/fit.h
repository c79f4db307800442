/* fit.h - a law with parameters fitted to measurements, and the surface that corrects it. Private.
 *
 * In a profile, `fits:` is a list; the first fit for an operation and format is what its software
 * is taken to be if nothing else is asked for:
 *   - {op: gemm, format: bf16, software: aic vllm 0.22, data: ..., rows: 13690, ape: 2.7 %,
 *      lo: 0.95, hi: 1.06,                        # 80 % of held-out rows: measured / predicted
 *      common: 0, shape: 0.2, near: 0.1,          # optional: shares of the residuals' variance
 *      law: {floor: 3.9 us, ...},                 # parameters of the law (law_*.c)
 *      power: {idle: 114 W, flop: 0.77 pJ/FLOP, byte: 74 pJ/B, cap: 690 W, settle: 5 us},
 *      power_knots: {m: 1 8 ..., n: ...}, power_surface: -3 1 ...,  # 1000 ln(measured / power)
 *      knots: {m: 1 8 16 ..., n: ...}, surface: 3 -2 5 ...}         # 1000 ln(measured / law)
 * Power, knots and surfaces are optional. Surfaces are linear in the logarithms of the coordinates
 * between knots (last axis fastest; at most 64 knots an axis, 4096 cells), and constant beyond the
 * outermost; beyond those of time a prediction is marked as extrapolated. */
#ifndef RAD_HW_FIT_H
#define RAD_HW_FIT_H

#include "base/buf.h"
#include "base/yaml.h"
#include "hw/law.h"

enum { RAD_FIT_N_KNOT = RAD_LAW_N_KNOT, RAD_FIT_MAX = 96, RAD_FIT_MAX_CELL = 4096 };

struct rad_surface {
    int n_axis, n_knot[RAD_LAW_N_AXIS];
    double knot[RAD_LAW_N_AXIS][RAD_FIT_N_KNOT]; /* log2 of the coordinate, ascending */
    float *log_ratio;                            /* [n_knot[0]]..[n_knot[n_axis-1]]; NULL: none */
};

/* Board power: min(idle + (F flop + B byte) / (t + settle), cap). Kernels much shorter than settle
 * draw less, as measured: the board is not at its working point while it runs them. */
struct rad_power {
    double idle_w, flop_j, byte_j, cap_w; /* cap_w 0: not fitted */
    double settle_s;
};

struct rad_fit {
    const struct rad_law *law;
    char op[16], format[8], software[48], data[128];
    double head_dim; /* of attention; 0: any */
    double rows, ape_frac, lo_ratio, hi_ratio;
    double common_frac, shape_frac, near_frac; /* of the residuals' variance: hw_residual.h;
                                                * common_frac -1: not estimated */
    double p[RAD_LAW_N_PARAM];
    struct rad_power power;
    struct rad_surface surface, power_surface;
};

/* ---- surfaces --------------------------------------------------------------------------- */

enum { RAD_SURFACE_CORNERS = 1 << RAD_LAW_N_AXIS };

/* The cells around x and their shares, which sum to 1; true if x is beyond the outermost knots. */
bool rad_surface_corners(const struct rad_surface *s, const double x[RAD_LAW_N_AXIS],
                         int cell[RAD_SURFACE_CORNERS], double share[RAD_SURFACE_CORNERS]);
size_t rad_surface_cells(const struct rad_surface *s); /* 0 without an axis */
double rad_surface_value(const struct rad_surface *s, const double x[RAD_LAW_N_AXIS],
                         bool *outside);

/* ---- fits ------------------------------------------------------------------------------- */

/* Read profile `fits`. *out is malloc'ed; NULL and 0 for a NULL node. */
enum rad_status rad_fits_read(const rad_yaml_node *node, struct rad_fit **out, size_t *n,
                              struct rad_err *err);
void rad_fits_free(struct rad_fit *fits, size_t n);
void rad_fit_clear(struct rad_fit *fit);                           /* frees its surfaces */
void rad_fit_write(struct rad_buf *to, const struct rad_fit *fit); /* one item of the list */

struct rad_fit_list {
    const struct rad_fit *of; /* [n] */
    size_t n;
};
/* The profile `text` with its fits replaced by those of `first`, then those of `then` that are not
 * for the same operation, format, software and head width. errors: RAD_E_NOMEM */
enum rad_status rad_fits_text(struct rad_buf *to, const char *text, struct rad_fit_list first,
                              struct rad_fit_list then, struct rad_err *err);

/* The format that fits have for an operation: fp32 tf32 fp16 bf16 fp8 int8 int4
 * w8a16 w4a16. */
const char *rad_fit_format(const struct rad_op *op);

/* The same name, or both of 16 bits: these serve each other. */
bool rad_fit_same_format(const char *a, const char *b);

struct rad_fit_key {
    const char *op, *format, *software; /* software NULL: the first one */
    double head_dim;
};
/* The fit for that operation and format (fp16 and bf16 serve each other) that has most words of its
 * software in key->software, then the nearest head_dim; NULL if there is none. */
const struct rad_fit *rad_fit_find(const struct rad_fit *fits, size_t n,
                                   const struct rad_fit_key *key);

/* Time of the law times the surface. *extrapolated is set if work is outside the knots. */
void rad_fit_time(const struct rad_fit *fit, const struct rad_chip *chip,
                  const struct rad_work *work, struct rad_law_time *out, bool *extrapolated);

/* Board power while that work takes time_s: the law of five values, and times the surface. */
double rad_power_w(const struct rad_power *power, const struct rad_work *work, double time_s);
double rad_fit_power_w(const struct rad_fit *fit, const struct rad_work *work, double time_s);

#endif
