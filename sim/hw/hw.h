/* hw.h - hardware models: one operation in, seconds and joules out.
 *
 * A *model* is C code for a class of machine (gpu, systolic, fpga, cpu): one file and one row of
 * models.def. A *profile* is data for one machine: a YAML file in hwprofiles/ that names its model
 * and fills that model's parameters; every value has a unit and a source. hw knows operations
 * (spec.h), not layers, tokens or traces.
 *
 * A profile file:
 *   model: gpu
 *   about: one line
 *   sources: {name: text, ...}                      # what "@name" behind a value means
 *   machine: {memory: 80 GB @name, price: ..., static_power: ..., tdp: ..., layer_overhead: ...,
 *             step_overhead: ..., burst_gain: 1.14} # the same keys for every model
 *   basis: measured                     # else datasheet: no measurements, class defaults
 *   own: {purchase: 30000 USD @name}    # optional: what it costs its owner, hw_price.h
 *   gpu: {peak: {fp16: 312 TFLOP/s @name}, ...}     # the model's keys, under the model's name
 *   fits: [...]                # optional: laws fitted to measured kernels of this part, see fit.h
 */
#ifndef RAD_HW_H
#define RAD_HW_H

#include "base/err.h"
#include "base/param.h"
#include "hw/hw_facts.h" /* what a profile rests on, ownership, links */
#include "spec/spec.h"

enum rad_bound {
    RAD_BOUND_COMPUTE,
    RAD_BOUND_MEMORY,
    RAD_BOUND_OVERHEAD,
    RAD_BOUND_LINK,
    RAD_N_BOUND
};
const char *rad_bound_name(enum rad_bound bound);

/* The cost of one operation. time_s >= max(compute_s, memory_s), time_s >= overhead_s, and bound
 * names the largest of the three (ties: compute, then memory). */
struct rad_cost {
    double time_s;
    double compute_s;  /* time if memory were free */
    double memory_s;   /* time if arithmetic were free */
    double overhead_s; /* launch, fill, latency floor: part of time_s */
    double dynamic_j;  /* arithmetic */
    double memory_j;   /* bytes moved */
    double static_j;   /* static power during time_s */
    enum rad_bound bound;
};

struct rad_chip; /* hw/law.h */

/* What a hardware model is. cost() is pure: one profile may be shared by any number of threads. */
struct rad_hw_model {
    const char *name; /* as written in profiles and SQL */
    const char *summary;
    const char *source;             /* the paper or manual the equations are from */
    const struct rad_param *params; /* ends with RAD_PARAM_END */
    size_t params_bytes;
    double error_frac; /* of parts whose profile gives none; 0: 35 % */
    bool grouped;      /* cost() takes products of several groups; else one after the other */
    /* May check relations between parameters; NULL if there is nothing to check. */
    enum rad_status (*check)(const void *params, struct rad_err *err);
    bool (*supports)(const void *params, enum rad_dtype dtype);
    /* Fills the times but for the power limit, dynamic_j and memory_j; rad_hw_cost adds the rest.
     * errors: RAD_E_UNSUPPORTED if the machine cannot run op (dtype without a rate) */
    enum rad_status (*cost)(const void *params, const struct rad_op *op, struct rad_cost *out);
    /* NULL: no links, see rad_hw_link_time */
    bool (*link)(const void *params, const char *kind, double bytes, double ranks, double *time_s);
    /* NULL: never, see rad_hw_skips_pay */
    bool (*skips_pay)(const void *params);
    /* What fits need to know of the part; NULL: this class of machine takes no fits. */
    void (*chip)(const void *params, enum rad_dtype dtype, struct rad_chip *out);
};

typedef struct rad_hw rad_hw; /* a loaded profile; immutable */

/* Load a profile by name (hwprofiles/NAME.yaml, then the data folder, then RADIAL_PATH) or path.
 * errors: RAD_E_IO, RAD_E_PARSE (line:col), RAD_E_RANGE, RAD_E_UNSUPPORTED (unknown model) */
RAD_MUST_CHECK enum rad_status rad_hw_open(rad_hw **out, const char *name_or_path,
                                           struct rad_err *err);

/* The same from text[len]; name stands for the file in messages and in rad_hw_name. */
RAD_MUST_CHECK enum rad_status rad_hw_parse(rad_hw **out, const char *text, size_t len,
                                            const char *name, struct rad_err *err);
void rad_hw_close(rad_hw *hw);

const char *rad_hw_name(const rad_hw *hw);
const char *rad_hw_about(const rad_hw *hw); /* the profile's one line */
const char *rad_hw_text(const rad_hw *hw);  /* the profile file, byte for byte */
const char *rad_hw_hash(const rad_hw *hw);  /* of that text, 16 hex digits */
const struct rad_hw_model *rad_hw_model(const rad_hw *hw);
const void *rad_hw_params(const rad_hw *hw); /* the struct that the model's table describes */

/* Values common to all models, and their table. */
const struct rad_param *rad_hw_machine_params(void);
const void *rad_hw_machine(const rad_hw *hw);     /* the struct that this table describes */
double rad_hw_usd_per_hour(const rad_hw *hw);     /* NaN: no price in the profile */
double rad_hw_memory_bytes(const rad_hw *hw);     /* capacity */
double rad_hw_layer_overhead_s(const rad_hw *hw); /* per layer visit, on top of its operations */
double rad_hw_step_overhead_s(
    const rad_hw *hw); /* per batch step: host and sync; sampling is an operation */
double rad_hw_static_w(const rad_hw *hw); /* drawn during overheads too */
double rad_hw_tdp_w(const rad_hw *hw);

bool rad_hw_supports(const rad_hw *hw, enum rad_dtype dtype);
/* What a user who names no format means: fp32 on a CPU, elsewhere the first that the machine has
 * of fp16, bf16, fp32 and int8. */
enum rad_dtype rad_hw_default_dtype(const rad_hw *hw);

/* Cost one operation: the model's answer, then
 *   static_j = static_power * time_s
 *   if dynamic_j + memory_j > (tdp - static_power) * time_s the clock drops until it fits:
 *     time_s = (dynamic_j + memory_j) / (tdp - static_power), compute_s grows with it.
 * Where the profile has a fit, times are the fit's, and energies are its board power, or the
 * model's, cut to the limit. The same as rad_hw_predict with no software named: sustained, see
 * enum rad_rate. No allocation; 0.1 to 1 us. errors: RAD_E_UNSUPPORTED */
RAD_MUST_CHECK enum rad_status rad_hw_cost(const rad_hw *hw, const struct rad_op *op,
                                           struct rad_cost *out, struct rad_err *err);

const struct rad_hw_model *const *rad_hw_models(size_t *n);

/* The profile that measured data under this hardware name belongs to, by hwprofiles/aliases.yaml
 * ("A100-SXM4-80GB" -> "a100-sxm-80gb"); a name that is not in there is copied as it is. */
enum { RAD_HW_NAME = 64 };
RAD_MUST_CHECK enum rad_status rad_hw_alias(const char *measured_name, char out[RAD_HW_NAME],
                                            struct rad_err *err);

#include "hw/hw_host.h"
#include "hw/hw_measured.h"
#include "hw/hw_residual.h"

#endif
