/* class.c - class fits: what measured parts have in common, for a part without measurements.
 *
 * Over the donors with a measured fit of one kind (operation, format, source and way of running of
 * its software, width of a head): parameters are their geometric mean, the surface is the mean of
 * the logarithms on the knots of the largest. Laws know a part by its datasheet, so that the mean
 * moves to others. The interval: each donor's own fit against the mean of the others over a set of
 * shapes, and the donor's own interval, as independent errors. */
#include "base/stat.h"
#include "hw/class_probe.h"
#include "hw/hw_profile.h"
#include "hw/residual.h"
#include "hw/surface.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DONOR = 32 };

struct donors {
    const rad_hw *hw[MAX_DONOR];
    const struct rad_fit *fit[MAX_DONOR];
    size_t n;
};

#define RAD_LAW(name) extern const struct rad_law rad_law_##name;
#include "hw/laws.def"
#undef RAD_LAW

static size_t first_word(const char *software)
{
    return strcspn(software, " ");
}

/* The last word, if it tells of a way of running ("launched"); "" for a version or an only word. */
static const char *mode_word(const char *software)
{
    const char *last = strrchr(software, ' ');
    return last == NULL || strpbrk(last, "0123456789") != NULL ? "" : last;
}

/* Decoding that reads keys faster than the part's memory (the RTX A6000's rows: their sequences
 * must have shared a cache). */
static bool beats_memory(const struct rad_fit *f)
{
    for (int i = 0; i < f->law->n_param; i++)
        if (strcmp(f->law->params[i].key, "bandwidth_frac") == 0)
            return strcmp(f->op, "decode") == 0 && f->p[i] > 1.2;
    return false;
}

/* Fitted to rows of the part itself, and well enough to say something of others: rows that a law
 * does not follow (the P4's contradict each other) are no ground for a class. */
static bool is_measured(const struct rad_fit *f)
{
    return f->rows > 0.0 && f->ape_frac < 0.15 && !beats_memory(f);
}

static bool like(const struct rad_fit *a, const struct rad_fit *b)
{
    const char *sa = a->software, *sb = b->software;
    sa += strncmp(sa, "class ", 6) == 0 ? 6 : 0;
    sb += strncmp(sb, "class ", 6) == 0 ? 6 : 0;
    if (strcmp(a->op, b->op) != 0 || strcmp(a->format, b->format) != 0 ||
        fabs(a->head_dim - b->head_dim) > 0.0)
        return false;
    if (a->law == &rad_law_link) /* how devices are joined is part of its software */
        return strcmp(sa, sb) == 0;
    return first_word(sa) == first_word(sb) && strncmp(sa, sb, first_word(sa)) == 0 &&
           strcmp(mode_word(sa), mode_word(sb)) == 0;
}

/* Whether one of fits[n] is of that kind. */
static bool has(const struct rad_fit *fits, size_t n, const struct rad_fit *kind)
{
    for (size_t i = 0; i < n; i++)
        if (like(&fits[i], kind))
            return true;
    return false;
}

/* Whether what was fitted to one part says nothing of the other: a board of under 100 W does not
 * hold the clock of its datasheet, and a network on PCIe is none of NVLink's kind. */
static bool differ(const struct rad_fit *kind, const rad_hw *a, const rad_hw *b)
{
    struct rad_chip x = {0}, y = {0};
    a->model->chip(a->params, RAD_F32, &x);
    b->model->chip(b->params, RAD_F32, &y);
    if (kind->law == &rad_law_link)
        return (x.link_bytes_per_s < 100e9) != (y.link_bytes_per_s < 100e9);
    return (a->machine.tdp_w < 100.0) != (b->machine.tdp_w < 100.0);
}

/* The donors' first measured fits of that kind; those that differ from hw only if there are no
 * others. */
static struct donors of_kind(const rad_hw *hw, const rad_hw *const *from, size_t n,
                             const struct rad_fit *kind)
{
    struct donors d = {.n = 0};
    for (int all = 0; all < 2 && d.n == 0; all++)
        for (size_t i = 0; i < n && d.n < MAX_DONOR; i++)
            for (size_t j = 0; j < from[i]->n_fit; j++) {
                const struct rad_fit *f = &from[i]->fits[j];
                if (!is_measured(f) || !like(f, kind) || (all == 0 && differ(kind, hw, from[i])))
                    continue;
                d.hw[d.n] = from[i];
                d.fit[d.n++] = f;
                break;
            }
    return d;
}

/* ---- means ------------------------------------------------------------------------------ */

static double surface_at(const struct rad_surface *s, const double x[RAD_LAW_N_AXIS])
{
    bool outside;
    return s->n_axis > 0 ? rad_surface_value(s, x, &outside) : 0.0;
}

/* The coordinates of a cell of s. */
static void coordinates(const struct rad_surface *s, size_t cell, double x[RAD_LAW_N_AXIS])
{
    for (int a = s->n_axis - 1; a >= 0; a--) {
        x[a] = exp2(s->knot[a][cell % (size_t)s->n_knot[a]]);
        cell /= (size_t)s->n_knot[a];
    }
}

/* Knots of the donor that has most of them. */
static const struct rad_surface *widest(const struct donors *d)
{
    const struct rad_surface *most = NULL;
    for (size_t i = 0; i < d->n; i++)
        if (d->fit[i]->surface.log_ratio != NULL &&
            (most == NULL || rad_surface_cells(&d->fit[i]->surface) > rad_surface_cells(most)))
            most = &d->fit[i]->surface;
    return most;
}

/* The mean of all donors but `without` into *out; its surface is malloc'ed. */
static enum rad_status mean_of(const struct donors *d, size_t without, struct rad_fit *out,
                               struct rad_err *err)
{
    const struct rad_surface *knots = widest(d);
    const double n = (double)(d->n - (without < d->n));
    for (int j = 0; j < out->law->n_param; j++) {
        double sum = 0.0;
        for (size_t i = 0; i < d->n; i++)
            sum += i == without ? 0.0 : log(d->fit[i]->p[j]);
        out->p[j] = exp(sum / n);
    }
    out->surface = (struct rad_surface){0};
    if (knots == NULL)
        return RAD_OK;
    out->surface = *knots;
    const size_t cells = rad_surface_cells(knots);
    out->surface.log_ratio = malloc(cells * sizeof(float));
    if (out->surface.log_ratio == NULL)
        return rad_fail(err, RAD_E_NOMEM, "out of memory for a surface of %zu cells", cells);
    for (size_t c = 0; c < cells; c++) {
        double x[RAD_LAW_N_AXIS] = {0}, sum = 0.0;
        coordinates(knots, c, x);
        for (size_t i = 0; i < d->n; i++)
            sum += i == without ? 0.0 : surface_at(&d->fit[i]->surface, x);
        out->surface.log_ratio[c] = (float)(sum / n);
    }
    return RAD_OK;
}

/* ---- intervals -------------------------------------------------------------------------- */

static enum rad_dtype dtype_of(const char *format)
{
    enum rad_dtype dtype = RAD_F16;
    struct rad_err none;
    if (strcmp(format, "any") == 0)
        return RAD_F32;
    return rad_dtype_parse(format, &dtype, &none) == RAD_OK ? dtype : RAD_F16;
}

/* ln(donor / mean of the others), donor by donor. */
struct deviations {
    const double *r; /* [donors][n_work] */
    const struct rad_work *work;
    size_t n_work;
};

/* What residuals of the mean have in common: how donors differ from it is common to all shapes as
 * far as a donor's deviations are alike, to the rows of a shape as far as those of the shape are,
 * and to near shapes for the rest; beside that stands what donors err by themselves, own_sd. */
static void share_out(const struct donors *d, struct rad_fit *pool, const struct deviations *v,
                      double own_sd)
{
    double square = 0.0, all = 0.0, same = 0.0, n_all = 0.0, n_same = 0.0;
    double own[2] = {0.0, 0.0};
    for (size_t i = 0; i < d->n; i++)
        for (size_t j = 0; j < v->n_work; j++)
            for (size_t k = 0; k < v->n_work; k++) {
                const double *r = v->r + i * v->n_work, product = r[j] * r[k];
                const bool shape = rad_residual_shape(pool->op, &v->work[j]) ==
                                   rad_residual_shape(pool->op, &v->work[k]);
                square += j == k ? product : 0.0;
                all += j == k ? 0.0 : product;
                n_all += j != k;
                same += j != k && shape ? product : 0.0;
                n_same += j != k && shape;
            }
    for (size_t i = 0; i < d->n; i++) {
        const double share = d->fit[i]->common_frac < 0.0 ? 0.15 : d->fit[i]->shape_frac;
        own[0] += share / (double)d->n;
        own[1] += (d->fit[i]->common_frac < 0.0 ? 0.15 : d->fit[i]->near_frac) / (double)d->n;
    }
    const double var = square / (double)(d->n * v->n_work), sum = var + own_sd * own_sd;
    const double common = n_all > 0.0 ? fmin(var, fmax(0.0, all / n_all)) : 0.0;
    const double shape = n_same > 0.0 ? fmin(var, fmax(common, same / n_same)) : common;
    pool->common_frac = common / sum;
    pool->shape_frac = (shape - common + own[0] * own_sd * own_sd) / sum;
    pool->near_frac = (var - shape + own[1] * own_sd * own_sd) / sum;
}

/* Interval and typical error of the mean `pool` of two donors or more. */
static enum rad_status spread(const struct donors *d, struct rad_fit *pool, struct rad_err *err)
{
    struct rad_work work[RAD_MAX_PROBE];
    double r[MAX_DONOR * RAD_MAX_PROBE], own_lo = 0.0, own_hi = 0.0;
    const enum rad_dtype dtype = dtype_of(pool->format);
    const size_t n_work = rad_class_probes(pool, dtype, work);
    size_t n = 0;
    for (size_t i = 0; i < d->n; i++) {
        struct rad_fit rest = *pool;
        struct rad_chip chip = {0};
        RAD_TRY(mean_of(d, i, &rest, err));
        d->hw[i]->model->chip(d->hw[i]->params, dtype, &chip);
        for (size_t j = 0; j < n_work; j++) {
            struct rad_law_time mine, theirs;
            bool outside;
            rad_fit_time(d->fit[i], &chip, &work[j], &mine, &outside);
            rad_fit_time(&rest, &chip, &work[j], &theirs, &outside);
            r[n++] = log(mine.time_s / theirs.time_s);
        }
        free(rest.surface.log_ratio);
        own_lo += log(d->fit[i]->lo_ratio) / (double)d->n;
        own_hi += log(d->fit[i]->hi_ratio) / (double)d->n;
    }
    share_out(d, pool, &(struct deviations){r, work, n_work},
              (own_hi - own_lo) / (2.0 * RAD_RESIDUAL_Z80));
    rad_sort_doubles(r, n);
    pool->lo_ratio = exp(-hypot(fmin(0.0, rad_quantile(r, n, 0.1)), own_lo));
    pool->hi_ratio = exp(hypot(fmax(0.0, rad_quantile(r, n, 0.9)), own_hi));
    for (size_t i = 0; i < n; i++)
        r[i] = fabs(r[i]);
    rad_sort_doubles(r, n);
    pool->ape_frac = rad_quantile(r, n, 0.5);
    return RAD_OK;
}

/* ---- kinds ------------------------------------------------------------------------------ */

static void name_class(const struct donors *d, const struct rad_fit *kind, struct rad_fit *out)
{
    const char *mode = mode_word(kind->software);
    const size_t word = first_word(kind->software);
    if (kind->law == &rad_law_link)
        snprintf(out->software, sizeof out->software, "class %.40s", kind->software);
    else
        snprintf(out->software, sizeof out->software, "class %.*s%.20s",
                 (int)(word < 20 ? word : 20), kind->software, mode);
    if (d->n > 1)
        snprintf(out->data, sizeof out->data, "class: mean of %zu measured GPUs", d->n);
    else
        snprintf(out->data, sizeof out->data, "class: %.40s alone", d->hw[0]->name);
}

/* The class fit of one kind into *out; or for one_asked, if it is not NULL, that of the only donor.
 */
static enum rad_status pool_kind(const struct donors *d, const struct rad_fit *kind,
                                 const rad_hw *one_asked, struct rad_fit *out, struct rad_err *err)
{
    const struct rad_fit *f = d->fit[0];
    *out = (struct rad_fit){.law = kind->law, .head_dim = kind->head_dim};
    memcpy(out->op, kind->op, sizeof out->op);
    memcpy(out->format, kind->format, sizeof out->format);
    name_class(d, kind, out);
    RAD_TRY(mean_of(d, d->n, out, err));
    if (d->n > 1) {
        const enum rad_status status = spread(d, out, err);
        if (status != RAD_OK)
            free(out->surface.log_ratio);
        return status;
    }
    /* one donor says nothing of the spread: twice its own, and what parts of a class differ by */
    const double apart = one_asked != NULL ? log(1.15) : log(1.35);
    out->lo_ratio = exp(-hypot(2.0 * log(f->lo_ratio), apart));
    out->hi_ratio = exp(hypot(2.0 * log(f->hi_ratio), apart));
    const double own = 0.5 * log(f->hi_ratio / f->lo_ratio), sum = 4.0 * own * own + apart * apart;
    out->common_frac = apart * apart / sum; /* of another part, all shapes alike */
    out->shape_frac = out->near_frac = 0.15 * (1.0 - out->common_frac);
    out->ape_frac = hypot(f->ape_frac, apart / 1.9); /* 80 % of a normal error is 1.9 medians */
    if (one_asked != NULL) {
        memcpy(out->software, f->software, sizeof out->software);
        snprintf(out->data, sizeof out->data, "like %.40s: %.60s", d->hw[0]->name, f->data);
        const double watts = one_asked->machine.tdp_w / d->hw[0]->machine.tdp_w;
        out->power = f->power; /* the same chip under another limit */
        out->power.idle_w *= watts;
        out->power.cap_w *= watts;
        if (rad_surface_copy(&out->power_surface, &f->power_surface, err) != RAD_OK) {
            free(out->surface.log_ratio);
            return RAD_E_NOMEM;
        }
    }
    return RAD_OK;
}

enum rad_status rad_hw_pool(const rad_hw *hw, const rad_hw *const *donors, size_t n, bool fresh,
                            struct rad_buf *yaml, struct rad_err *err)
{
    if (hw->model->chip == NULL)
        return rad_fail(err, RAD_E_UNSUPPORTED, "profile '%s': model '%s' takes no fits", hw->name,
                        hw->model->name);
    const size_t n_old = fresh ? 0 : hw->n_fit;
    struct rad_fit *fits = calloc(RAD_FIT_MAX, sizeof *fits);
    enum rad_status status = fits ? RAD_OK
                                  : rad_fail(err, RAD_E_NOMEM, "out of memory for the fits");
    size_t n_new = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; status == RAD_OK && j < donors[i]->n_fit; j++) {
            const struct rad_fit *kind = &donors[i]->fits[j];
            struct rad_chip chip = {0};
            if (!is_measured(kind) || has(hw->fits, n_old, kind) || has(fits, n_new, kind))
                continue;
            hw->model->chip(hw->params, dtype_of(kind->format), &chip);
            const struct donors d = of_kind(hw, donors, n, kind);
            if (!(chip.peak_flop_per_s > 0.0) && strcmp(kind->format, "any") != 0)
                continue; /* a format that it does not compute with */
            if (n_old + n_new == RAD_FIT_MAX)
                status = rad_fail(err, RAD_E_RANGE, "expected at most %d kinds", RAD_FIT_MAX);
            else
                status = pool_kind(&d, kind, n == 1 ? hw : NULL, &fits[n_new], err);
            n_new += status == RAD_OK;
        }
    if (status == RAD_OK)
        status = rad_fits_text(yaml, hw->text, (struct rad_fit_list){hw->fits, n_old},
                               (struct rad_fit_list){fits, n_new}, err);
    rad_fits_free(fits, n_new);
    return status;
}
