/* cmd_hw_look.c - `radial hw list|show|check`. */
#include "cli/cmd_hw.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- list ---------------------------------------------------------------------------------- */

static bool known(const struct hw_names *names, const char *name)
{
    for (size_t i = 0; i < names->n; i++)
        if (strcmp(names->name[i], name) == 0)
            return true;
    return false;
}

/* Add the profiles of a folder that no folder before it has. */
static void add_folder(void *ctx, const char *folder)
{
    struct hw_names *names = ctx;
    static const char suffix[] = ".yaml";
    DIR *dir = opendir(folder);
    for (const struct dirent *e = dir ? readdir(dir) : NULL; e != NULL; e = readdir(dir)) {
        char name[256];
        const size_t len = strlen(e->d_name), tail = sizeof suffix - 1;
        if (e->d_name[0] == '.' || len <= tail || len - tail >= sizeof name ||
            strcmp(e->d_name + len - tail, suffix) != 0)
            continue;
        memcpy(name, e->d_name, len - tail);
        name[len - tail] = '\0';
        char **grown = strcmp(name, "aliases") == 0 || known(names, name)
                           ? NULL
                           : realloc(names->name, (names->n + 1) * sizeof *grown);
        if (grown == NULL)
            continue;
        names->name = grown;
        names->name[names->n] = strdup(name);
        names->n += names->name[names->n] != NULL;
    }
    if (dir != NULL)
        closedir(dir);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

void hw_find_names(struct hw_names *names)
{
    rad_data_folders("hwprofiles", add_folder, names);
    if (names->n > 1)
        qsort(names->name, names->n, sizeof *names->name, by_name);
}

void hw_free_names(struct hw_names *names)
{
    for (size_t i = 0; i < names->n; i++)
        free(names->name[i]);
    free(names->name);
}

static void put_profile(rad_out *out, const rad_hw *hw)
{
    char dtypes[64] = "";
    for (unsigned d = 0; d < RAD_N_DTYPE; d++)
        if (rad_hw_supports(hw, (enum rad_dtype)d)) {
            strcat(dtypes, dtypes[0] != '\0' ? " " : "");
            strcat(dtypes, rad_dtype_name((enum rad_dtype)d)); /* seven names: 35 bytes */
        }
    rad_out_begin_row(out);
    rad_out_text(out, "hw", rad_hw_name(hw));
    rad_out_text(out, "model", rad_hw_model(hw)->name);
    rad_out_text(out, "dtypes", dtypes);
    rad_out_real(out, "memory_bytes", rad_hw_memory_bytes(hw));
    rad_out_real(out, "tdp_w", rad_hw_tdp_w(hw));
    rad_out_real(out, "usd_per_hour", rad_hw_usd_per_hour(hw));
    rad_out_text(out, "about", rad_hw_about(hw));
    rad_out_end_row(out);
}

int hw_list(const void *options)
{
    const struct hw_options *o = options;
    struct hw_names names = {0};
    rad_out *out;
    hw_find_names(&names);
    (void)rad_out_open(&out, o->sub.common.format, stdout);
    for (size_t i = 0; i < names.n; i++) {
        struct rad_err err;
        rad_hw *hw = NULL;
        if (rad_hw_open(&hw, names.name[i], &err) == RAD_OK)
            put_profile(out, hw);
        else
            rad_cli_warn("hw list", "%s", err.msg);
        rad_hw_close(hw);
    }
    if (names.n == 0)
        rad_cli_warn("hw list",
                     "no profiles in ./hwprofiles and the installed data; run where they "
                     "are, or name the folder above them in RADIAL_PATH");
    hw_free_names(&names);
    return rad_cli_close(out, "hw list", false);
}

/* ---- show ---------------------------------------------------------------------------------- */

static void put_params(rad_out *out, const char *part, const struct rad_param *table,
                       const void *values)
{
    for (const struct rad_param *p = table; p->key != NULL; p++) {
        double value;
        memcpy(&value, (const char *)values + p->offset, sizeof value);
        if (isnan(value))
            continue; /* optional and not in the profile */
        rad_out_begin_row(out);
        rad_out_text(out, "part", part);
        rad_out_text(out, "key", p->key);
        rad_out_real(out, "value", value);
        rad_out_text(out, "unit", rad_dim_unit(p->dim));
        rad_out_text(out, "doc", p->doc);
        rad_out_end_row(out);
    }
}

static void put_word(rad_out *out, const char *key, const char *word, const char *doc)
{
    rad_out_begin_row(out);
    rad_out_text(out, "part", "profile");
    rad_out_text(out, "key", key);
    rad_out_text(out, "value", word);
    rad_out_text(out, "unit", "");
    rad_out_text(out, "doc", doc);
    rad_out_end_row(out);
}

/* What the values rest on. */
static void put_basis(rad_out *out, const rad_hw *hw)
{
    const bool measured = rad_hw_is_measured(hw);
    put_word(out, "basis", measured ? "measured" : "datasheet",
             measured ? "measurements of this part or its kin, see the sources"
                      : "no measurements: datasheet figures and the defaults of the class");
    put_word(out, "energy", rad_hw_energy_basis(hw),
             "whether energies are figures of the device or of the board; never mixed");
    rad_out_begin_row(out);
    rad_out_text(out, "part", "profile");
    rad_out_text(out, "key", "error");
    rad_out_real(out, "value", rad_hw_error_frac(hw));
    rad_out_text(out, "unit", "");
    rad_out_text(out, "doc", "80 % of operations lie within this share, where no fit says better");
    rad_out_end_row(out);
    const double owned = rad_hw_owned_usd_per_hour(hw);
    if (isnan(owned))
        return;
    rad_out_begin_row(out);
    rad_out_text(out, "part", "profile");
    rad_out_text(out, "key", "owned");
    rad_out_real(out, "value", owned);
    rad_out_text(out, "unit", "USD/h");
    rad_out_text(out, "doc", "capital of an owned machine per hour, electricity not included");
    rad_out_end_row(out);
}

/* A row per fit: its held-out error, and what it was fitted to. */
static void put_fits(rad_out *out, const rad_hw *hw)
{
    for (size_t i = 0; i < rad_hw_n_fit(hw); i++) {
        const struct rad_hw_fit_fact f = rad_hw_fit_at(hw, i);
        char key[64], doc[320], rows[32] = "";
        const int n = snprintf(key, sizeof key, "%s.%s", f.op, f.format);
        if (f.head_dim > 0.0)
            snprintf(key + n, sizeof key - (size_t)n, ".%g", f.head_dim);
        if (f.rows > 0.0)
            snprintf(rows, sizeof rows, "%.0f rows of ", f.rows);
        snprintf(doc, sizeof doc,
                 "median error of held-out rows; 80 %% within %.3g to %.3g of the time; %s: %s%s",
                 f.lo_ratio, f.hi_ratio, f.software, rows, f.data);
        rad_out_begin_row(out);
        rad_out_text(out, "part", "fit");
        rad_out_text(out, "key", key);
        rad_out_real(out, "value", f.median_ape);
        rad_out_text(out, "unit", "");
        rad_out_text(out, "doc", doc);
        rad_out_end_row(out);
    }
}

int hw_show(const void *options)
{
    const struct hw_options *o = options;
    struct rad_err err;
    rad_hw *hw = NULL;
    if (rad_hw_open(&hw, o->sub.arg[0], &err) != RAD_OK)
        return rad_cli_fail("hw show", &err);
    int code = EXIT_SUCCESS;
    if (o->text) {
        fputs(rad_hw_text(hw), stdout);
    } else {
        rad_out *out;
        (void)rad_out_open(&out, o->sub.common.format, stdout);
        put_basis(out, hw);
        put_params(out, "machine", rad_hw_machine_params(), rad_hw_machine(hw));
        if (!isnan(rad_hw_owned_usd_per_hour(hw)))
            put_params(out, "own", rad_hw_own_params(), rad_hw_own(hw));
        put_params(out, rad_hw_model(hw)->name, rad_hw_model(hw)->params, rad_hw_params(hw));
        put_fits(out, hw);
        code = rad_cli_close(out, "hw show", false);
    }
    rad_hw_close(hw);
    return code;
}

/* ---- check --------------------------------------------------------------------------------- */

/* hwprofiles/aliases.yaml, which a glob over the folder finds too. */
static bool is_aliases(const char *path)
{
    const char *slash = strrchr(path, '/');
    return strcmp(slash != NULL ? slash + 1 : path, "aliases.yaml") == 0;
}

int hw_check(const void *options)
{
    const struct hw_options *o = options;
    rad_out *out;
    bool all = true;
    (void)rad_out_open(&out, o->sub.common.format, stdout);
    for (int i = 0; i < o->sub.n_arg; i++) {
        struct rad_err err = {RAD_OK, ""};
        rad_hw *hw = NULL;
        if (is_aliases(o->sub.arg[i])) {
            rad_cli_warn("hw check", "%s: names of measured data, not a profile; left out",
                         o->sub.arg[i]);
            continue;
        }
        const bool ok = rad_hw_open(&hw, o->sub.arg[i], &err) == RAD_OK;
        rad_out_begin_row(out);
        rad_out_text(out, "file", o->sub.arg[i]);
        rad_out_bool(out, "ok", ok);
        rad_out_text(out, "model", ok ? rad_hw_model(hw)->name : NULL);
        rad_out_text(out, "hash", ok ? rad_hw_hash(hw) : NULL);
        rad_out_end_row(out);
        if (!ok)
            (void)rad_cli_fail("hw check", &err);
        all = all && ok;
        rad_hw_close(hw);
    }
    const int code = rad_cli_close(out, "hw check", false);
    return all ? code : EXIT_FAILURE;
}
