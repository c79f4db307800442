/* hw_profile.c - reading profiles: hostile YAML until every value has a unit, a source and a range.
 */
#include "hw/hw_profile.h"

#include "base/buf.h"
#include "base/hash.h"
#include "base/io.h"
#include "base/near.h"
#include "base/yaml.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define RAD_HW_MODEL(name) extern const struct rad_hw_model rad_hw_model_##name;
#include "hw/models.def"
#undef RAD_HW_MODEL

static const struct rad_hw_model *const registry[] = {
#define RAD_HW_MODEL(name) &rad_hw_model_##name,
#include "hw/models.def"
#undef RAD_HW_MODEL
};
enum { N_MODEL = sizeof registry / sizeof registry[0] };

#define P(field) offsetof(struct machine, field)

static const struct rad_param machine_params[] = {
    {"memory", P(memory_bytes), RAD_DIM_BYTES, 1e3, 1e16, RAD_REQUIRED, "capacity"},
    {"price", P(usd_per_hour), RAD_DIM_USD_PER_H, 0, 1e6, (double)NAN, "price of an hour"},
    {"static_power", P(static_w), RAD_DIM_W, 0, 1e6, RAD_REQUIRED, "power drawn when idle"},
    {"tdp", P(tdp_w), RAD_DIM_W, 0.1, 1e6, RAD_REQUIRED, "power limit"},
    {"layer_overhead", P(layer_overhead_s), RAD_DIM_S, 0, 1, RAD_REQUIRED,
     "per layer visit, on top of its operations"},
    {"step_overhead", P(step_overhead_s), RAD_DIM_S, 0, 10, RAD_REQUIRED,
     "per batch step: host and synchronisation; drawing tokens is an operation"},
    {"link_energy", P(link_byte_j), RAD_DIM_J_PER_BYTE, 0, 1e-6, 0,
     "energy per byte that leaves the device over a link"},
    {"error", P(error_frac), RAD_DIM_ONE, 0.01, 4, (double)NAN,
     "80 % of operations take between 1/(1 + error) and 1 + error of the predicted time"},
    {"burst_gain", P(burst_gain), RAD_DIM_ONE, 1, 3, 1,
     "how much faster short bursts are than sustained runs at the power limit; 1: not known"},
    RAD_PARAM_END,
};

const struct rad_hw_model *const *rad_hw_models(size_t *n)
{
    *n = N_MODEL;
    return registry;
}

const struct rad_param *rad_hw_machine_params(void)
{
    return machine_params;
}

static enum rad_status find_model(const rad_yaml_node *root, const struct rad_hw_model **out,
                                  struct rad_err *err)
{
    const rad_yaml_node *node = NULL;
    const char *names[N_MODEL];
    RAD_TRY(rad_yaml_need(root, "model", &node, err));
    for (size_t i = 0; i < N_MODEL; i++) {
        names[i] = registry[i]->name;
        *out = registry[i];
        if (strcmp(names[i], rad_yaml_text(node)) == 0)
            return RAD_OK;
    }
    char shown[RAD_SHOW_MAX];
    const char *near = rad_nearest(rad_yaml_text(node), names, N_MODEL);
    return rad_yaml_fail(node, err, RAD_E_UNSUPPORTED, "unknown hardware model '%s'%s%s%s",
                         rad_show(shown, rad_yaml_text(node)), near ? "; did you mean '" : "",
                         near ? near : "", near ? "'" : "");
}

/* The value that a message "peak.fp8: ..." is about: written peak.fp8, or peak: {fp8: }. */
static const rad_yaml_node *blamed(const rad_yaml_node *map, const char *msg)
{
    char key[64] = "";
    const size_t len = strcspn(msg, ":");
    if (len < sizeof key)
        memcpy(key, msg, len); /* the rest is zero */
    const rad_yaml_node *node = rad_yaml_find(map, key);
    char *dot = strchr(key, '.');
    if (node == NULL && dot != NULL) {
        *dot = '\0';
        const rad_yaml_node *group = rad_yaml_find(map, key);
        node = rad_yaml_find(group, dot + 1);
        node = node ? node : group;
    }
    return node ? node : map;
}

static enum rad_status check_machine(const struct machine *m, struct rad_err *err)
{
    if (m->tdp_w <= m->static_w)
        return rad_fail(err, RAD_E_RANGE,
                        "tdp: expected more than static_power %g W but found %g W", m->static_w,
                        m->tdp_w);
    return RAD_OK;
}

static enum rad_status read_fits(struct rad_hw *hw, const rad_yaml_node *root, struct rad_err *err)
{
    const rad_yaml_node *node = rad_yaml_find(root, "fits");
    if (node != NULL && hw->model->chip == NULL)
        return rad_yaml_fail(node, err, RAD_E_UNSUPPORTED, "fits: model '%s' takes none",
                             hw->model->name);
    RAD_TRY(rad_fits_read(node, &hw->fits, &hw->n_fit, err));
    for (size_t i = 0; i < hw->n_fit; i++)
        hw->measured = hw->measured || hw->fits[i].rows > 0.0;
    return RAD_OK;
}

/* Optional sections: what the values rest on, and what the machine costs its owner. */
static enum rad_status fill_basis(struct rad_hw *hw, const rad_yaml_node *root, struct rad_err *err)
{
    const rad_yaml_node *basis = rad_yaml_find(root, "basis"), *own = rad_yaml_find(root, "own");
    const rad_yaml_node *sources = rad_yaml_find(root, "sources");
    const char *word = basis ? rad_yaml_text(basis) : "datasheet"; /* nothing claimed */
    hw->measured = strcmp(word, "measured") == 0;
    if (!hw->measured && strcmp(word, "datasheet") != 0)
        return rad_yaml_fail(basis, err, RAD_E_PARSE,
                             "basis: expected measured or datasheet but found '%.32s'", word);
    RAD_TRY(rad_energy_check(rad_yaml_find(root, "machine"), machine_params, sources, &hw->energy,
                             err));
    RAD_TRY(rad_energy_check(rad_yaml_find(root, hw->model->name), hw->model->params, sources,
                             &hw->energy, err));
    rad_params_default(rad_price_own_params, &hw->own);
    if (own == NULL)
        return RAD_OK;
    RAD_TRY(rad_yaml_params(own, rad_price_own_params, &hw->own, sources, err));
    if (!(rad_price_hardware_usd(&hw->own, hw->machine.memory_bytes) > 0.0) ||
        !isfinite(rad_price_hardware_usd(&hw->own, hw->machine.memory_bytes)))
        return rad_yaml_fail(own, err, RAD_E_RANGE,
                             "own: expected purchase, or a die_mm2 that fits a wafer");
    return RAD_OK;
}

static enum rad_status fill(struct rad_hw *hw, const rad_yaml_node *root, struct rad_err *err)
{
    const char *const keys[] = {"model",         "about", "sources", "machine",
                                hw->model->name, "basis", "own",     "fits"};
    const rad_yaml_node *about = NULL, *sources = NULL, *machine = NULL, *params = NULL;
    RAD_TRY(rad_yaml_only(root, keys, sizeof keys / sizeof keys[0], err));
    RAD_TRY(rad_yaml_need(root, "about", &about, err));
    RAD_TRY(rad_yaml_need(root, "sources", &sources, err));
    RAD_TRY(rad_yaml_need(root, "machine", &machine, err));
    RAD_TRY(rad_yaml_need(root, hw->model->name, &params, err));
    if (rad_yaml_kind(sources) != RAD_YAML_MAP)
        return rad_yaml_fail(sources, err, RAD_E_PARSE,
                             "sources: expected a mapping of names to texts");
    RAD_TRY(rad_yaml_params(machine, machine_params, &hw->machine, sources, err));
    RAD_TRY(rad_yaml_params(params, hw->model->params, hw->params, sources, err));
    RAD_TRY(fill_basis(hw, root, err));
    struct rad_err why;
    enum rad_status status = check_machine(&hw->machine, &why);
    if (status != RAD_OK)
        return rad_yaml_fail(blamed(machine, why.msg), err, status, "%s", why.msg);
    if (hw->model->check != NULL)
        status = hw->model->check(hw->params, &why);
    if (status != RAD_OK)
        return rad_yaml_fail(blamed(params, why.msg), err, status, "%s", why.msg);
    RAD_TRY(read_fits(hw, root, err));
    hw->about = strdup(rad_yaml_text(about));
    return hw->about ? RAD_OK
                     : rad_fail(err, RAD_E_NOMEM, "cannot allocate profile '%s'", hw->name);
}

/* hwprofiles/a100.yaml -> a100 */
static void base_name(char out[RAD_HW_NAME], const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *base = slash ? slash + 1 : path;
    size_t len = strlen(base);
    if (len > 5 && strcmp(base + len - 5, ".yaml") == 0)
        len -= 5;
    len = len < RAD_HW_NAME ? len : RAD_HW_NAME - 1;
    memcpy(out, base, len);
    out[len] = '\0';
}

static enum rad_status open_root(rad_hw **out, const rad_yaml_node *root, const char *name,
                                 struct rad_err *err)
{
    const struct rad_hw_model *model = NULL;
    RAD_TRY(find_model(root, &model, err));
    struct rad_hw *hw = calloc(1, sizeof *hw + model->params_bytes);
    if (hw == NULL)
        return rad_fail(err, RAD_E_NOMEM, "cannot allocate profile '%s'", name);
    hw->model = model;
    base_name(hw->name, name);
    const enum rad_status status = fill(hw, root, err);
    if (status == RAD_OK)
        *out = hw;
    else
        rad_hw_close(hw);
    return status;
}

enum rad_status rad_hw_parse(rad_hw **out, const char *text, size_t len, const char *name,
                             struct rad_err *err)
{
    *out = NULL;
    rad_yaml *doc = NULL;
    RAD_TRY(rad_yaml_parse(&doc, text, len, name, err));
    const enum rad_status status = open_root(out, rad_yaml_root(doc), name, err);
    rad_yaml_close(doc);
    if (status != RAD_OK)
        return status;
    (*out)->text = malloc(len + 1);
    if ((*out)->text == NULL) {
        rad_hw_close(*out);
        *out = NULL;
        return rad_fail(err, RAD_E_NOMEM, "cannot allocate profile '%s'", name);
    }
    memcpy((*out)->text, text, len);
    (*out)->text[len] = '\0';
    rad_hash_hex(rad_hash(text, len, 0), (*out)->hash);
    return RAD_OK;
}

enum rad_status rad_hw_open(rad_hw **out, const char *name_or_path, struct rad_err *err)
{
    *out = NULL;
    char path[RAD_PATH_MAX];
    char *text = NULL;
    size_t len = 0;
    RAD_TRY(rad_data_find(path, sizeof path, "hwprofiles", name_or_path, ".yaml", err));
    RAD_TRY(rad_file_read(path, RAD_YAML_MAX_BYTES, &text, &len, err));
    const enum rad_status status = rad_hw_parse(out, text, len, path, err);
    free(text);
    return status;
}

void rad_hw_close(rad_hw *hw)
{
    if (hw == NULL)
        return;
    rad_fits_free(hw->fits, hw->n_fit);
    free(hw->about);
    free(hw->text);
    free(hw);
}

enum rad_status rad_hw_alias(const char *measured_name, char out[RAD_HW_NAME], struct rad_err *err)
{
    char path[RAD_PATH_MAX];
    rad_yaml *doc = NULL;
    RAD_TRY(rad_data_find(path, sizeof path, "hwprofiles", "aliases", ".yaml", err));
    RAD_TRY(rad_yaml_open(&doc, path, err));
    const rad_yaml_node *node = rad_yaml_find(rad_yaml_root(doc), measured_name);
    const char *name = node ? rad_yaml_text(node) : measured_name;
    const size_t len = strlen(name);
    enum rad_status status = RAD_OK;
    if (len >= RAD_HW_NAME || len == 0)
        status = rad_fail(err, RAD_E_RANGE, "hardware name: expected 1 to %d bytes but found %zu",
                          RAD_HW_NAME - 1, len);
    else
        memcpy(out, name, len + 1);
    rad_yaml_close(doc);
    return status;
}
