/* param.h - typed, unit-checked parameters described by tables.
 *
 * A parameter is described once. The profile reader (yaml.h), policies and batchers given as
 * "name:key=value", --help, the manual, the SQL schema and the sweep grid read the same table. */
#ifndef RAD_BASE_PARAM_H
#define RAD_BASE_PARAM_H

#include "base/err.h"

#include <stddef.h>

/* What a value measures. Text in files carries a unit; it must be of this kind.
 * Prefixes: p n u m k M G T P (powers of 1000) and Ki Mi Gi Ti (powers of 1024). */
enum rad_dim {
    RAD_DIM_ONE,         /* plain number, or "40 %" -> 0.4; no prefix   */
    RAD_DIM_S,           /* seconds: "5 us" -> 5e-6                     */
    RAD_DIM_W,           /* watts: "60 W"                               */
    RAD_DIM_BYTES,       /* "80 GB" = 80e9, "50 MiB" = 50 * 2^20        */
    RAD_DIM_BYTES_PER_S, /* "3.35 TB/s", or "400 Gbit/s" = 50e9         */
    RAD_DIM_FLOP_PER_S,  /* "989 TFLOP/s"; integers as "1979 TOP/s"     */
    RAD_DIM_J_PER_BYTE,  /* "31 pJ/B", or "3.9 pJ/bit" = 31.2e-12       */
    RAD_DIM_J_PER_FLOP,  /* "0.4 pJ/FLOP", or "0.1 pJ/OP"               */
    RAD_DIM_USD_PER_H,   /* "2.5 USD/h"                                 */
    RAD_DIM_HZ,          /* "1.4 GHz"                                   */
    RAD_DIM_J,           /* "20 uJ"                                     */
    RAD_DIM_USD,         /* "7500 USD"                                  */
    RAD_DIM_INT,         /* whole number of at most 2^53; no prefix     */
};

/* One row of a parameter table; all values are SI doubles. */
struct rad_param {
    const char *key;  /* name in files, options and SQL; "peak.fp16" is peak: {fp16: } in YAML */
    size_t offset;    /* offsetof the double it fills */
    enum rad_dim dim; /* the unit its text must have */
    double min, max;  /* inclusive limits, SI */
    double def;       /* default, or RAD_REQUIRED */
    const char *doc;  /* one line, no full stop */
};

#define RAD_REQUIRED (-1.0 / 0.0)
#define RAD_PARAM_END                                                                              \
    {                                                                                              \
        .key = NULL                                                                                \
    }

/* The SI unit of a kind: "B/s"; "" for plain and whole numbers. Never NULL. */
const char *rad_dim_unit(enum rad_dim dim);

/* Parse "number [prefix]unit" of kind dim into an SI value. The number is decimal and finite; the
 * blank before the unit may be left out. LC_NUMERIC must be "C", as it is unless set.
 * errors: RAD_E_PARSE for no number, trailing text, or a unit of another kind
 *         RAD_E_RANGE for a value that a double cannot hold, or a RAD_DIM_INT that is not whole */
RAD_MUST_CHECK enum rad_status rad_quantity_parse(const char *text, enum rad_dim dim, double *out,
                                                  struct rad_err *err);

/* Set every double of the table to its default; required ones to NaN. */
void rad_params_default(const struct rad_param *table, void *base);

/* Set one key from text. errors: RAD_E_PARSE (unknown key, with the nearest; bad number or unit),
 * RAD_E_RANGE (outside min..max; NaN is always outside) */
RAD_MUST_CHECK enum rad_status rad_params_set(const struct rad_param *table, void *base,
                                              const char *key, const char *text,
                                              struct rad_err *err);

/* Check that every value is set and within its limits: after rad_params_default and some
 * rad_params_set, or for a struct filled in C. errors: RAD_E_RANGE, naming key and doc */
RAD_MUST_CHECK enum rad_status rad_params_check(const struct rad_param *table, const void *base,
                                                struct rad_err *err);

/* The row called key, or NULL. */
const struct rad_param *rad_param_find(const struct rad_param *table, const char *key);

/* The key of table closest to name by edit distance, or NULL if none is near. */
const char *rad_param_nearest(const struct rad_param *table, const char *name);

#endif
