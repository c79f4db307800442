/* validate_page.c - the page docs/validation.md: what was asked for, and every error. */
#include "cli/validate.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *validate_test_name(enum validate_test test)
{
    static const char *const names[] = {"shapes", "largest model", "part", "part but 30 rows"};
    return (unsigned)test < VALIDATE_N_TEST ? names[test] : "?";
}

void validate_add(struct validate_results *to, enum validate_test test, const char *hw,
                  const struct rad_fit_report *r)
{
    if (to->n == to->cap) {
        const size_t cap = to->cap > 0 ? 2 * to->cap : 128;
        struct validate_result *grown = realloc(to->of, cap * sizeof *grown);
        if (grown == NULL) {
            to->failed = true;
            return;
        }
        to->of = grown;
        to->cap = cap;
    }
    struct validate_result *v = &to->of[to->n++];
    *v = (struct validate_result){.test = test,
                                  .head_dim = r->head_dim,
                                  .rows = r->rows,
                                  .median_ape = r->median_ape,
                                  .mape = r->mape,
                                  .p90_ape = r->p90_ape,
                                  .bias = r->bias,
                                  .coverage = r->coverage,
                                  .ratio_coverage = r->ratio_coverage,
                                  .energy_median_ape = r->energy_median_ape};
    snprintf(v->hw, sizeof v->hw, "%s", hw);
    snprintf(v->op, sizeof v->op, "%s", r->op);
    snprintf(v->format, sizeof v->format, "%s", r->format);
    snprintf(v->software, sizeof v->software, "%s", r->software);
    snprintf(v->model, sizeof v->model, "%s", r->model ? r->model : "");
}

/* ---- goals --------------------------------------------------------------------------------- */

/* One line of issue's table: results of `test` with that operation, format and software. */
struct goal {
    const char *what;
    enum validate_test test;
    const char *op, *format, *software; /* beginnings; "" any */
    bool energy;
    double mean, worst; /* goals of the medians; NaN: none */
};

static const struct goal goals[] = {
    {"bf16 GEMM, unseen N and K", VALIDATE_SHAPES, "gemm", "bf16", "aic", false, 0.035, 0.05},
    {"fp8 GEMM, unseen N and K", VALIDATE_SHAPES, "gemm", "fp8", "aic", false, 0.07, 0.07},
    {"GEMM, larger models", VALIDATE_MODEL, "gemm", "fp16", "vidur", false, 0.05, 0.05},
    {"bf16 GEMM, parts never seen", VALIDATE_PART, "gemm", "bf16", "aic", false, 0.10, 0.16},
    {"the same with 30 rows", VALIDATE_POINTS, "gemm", "bf16", "aic", false, 0.05, 0.05},
    {"decode, unseen heads", VALIDATE_SHAPES, "decode", "", "aic", false, 0.07, 0.07},
    {"prefill, unseen heads", VALIDATE_SHAPES, "prefill", "", "aic", false, 0.08, 0.08},
    {"norm, unseen width", VALIDATE_SHAPES, "norm", "fp16", "vidur", false, 0.08, 0.08},
    {"activation, unseen width", VALIDATE_SHAPES, "act", "fp16", "vidur", false, 0.08, 0.08},
    {"RoPE, unseen width", VALIDATE_SHAPES, "rope", "fp16", "vidur", false, 0.08, 0.08},
    {"all-reduce, unseen size", VALIDATE_SHAPES, "allreduce", "", "", false, 0.06, 0.06},
    {"energy of GEMM >= 100 us", VALIDATE_SHAPES, "gemm", "", "", true, 0.04, 0.04},
    {"energy of attention >= 100 us", VALIDATE_SHAPES, "decode", "", "", true, 0.04, 0.04},
    {"energy of attention >= 100 us", VALIDATE_SHAPES, "prefill", "", "", true, 0.04, 0.04},
};

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

static void put_goal(struct rad_buf *to, const struct goal *g, const struct validate_results *all)
{
    const struct validate_result *worst = NULL;
    double sum = 0.0, most = -1.0;
    size_t n = 0;
    for (size_t i = 0; i < all->n; i++) {
        const struct validate_result *r = &all->of[i];
        const double ape = g->energy ? r->energy_median_ape : r->median_ape;
        if (r->test != g->test || strcmp(r->op, g->op) != 0 || !begins(r->format, g->format) ||
            !begins(r->software, g->software) || !isfinite(ape))
            continue;
        sum += ape;
        n++;
        if (ape > most) {
            most = ape;
            worst = r;
        }
    }
    if (worst == NULL)
        return;
    rad_buf_printf(to, "| %s%s | %zu | %.1f (%.1f) | %.1f (%.1f) | %s |\n", g->what,
                   g->energy ? (strcmp(g->op, "gemm") == 0 ? ""
                                : g->op[0] == 'd'          ? ", decode"
                                                           : ", prefill")
                             : "",
                   n, 100.0 * sum / (double)n, 100.0 * g->mean, 100.0 * most, 100.0 * g->worst,
                   worst->hw);
}

/* ---- tables -------------------------------------------------------------------------------- */

static void put_share(struct rad_buf *to, double share, int digits)
{
    if (isfinite(share))
        rad_buf_printf(to, " %.*f |", digits, 100.0 * share);
    else
        rad_buf_add(to, " - |");
}

static void put_row(struct rad_buf *to, const struct validate_result *r)
{
    rad_buf_printf(to, "| %s | %s", r->hw, r->op);
    if (r->head_dim > 0.0)
        rad_buf_printf(to, " %.0f", r->head_dim);
    rad_buf_printf(to, " | %s | %s%s%s | %zu | %.1f | %.1f | %.1f | %+.1f |", r->format,
                   r->software, r->model[0] != '\0' ? ", " : "", r->model, r->rows,
                   100.0 * r->median_ape, 100.0 * r->mape, 100.0 * r->p90_ape, 100.0 * r->bias);
    put_share(to, r->coverage, 0);
    put_share(to, r->ratio_coverage, 0);
    put_share(to, r->energy_median_ape, 1);
    rad_buf_add(to, "\n");
}

static const char columns[] =
    "| hw | op | dtype | software | rows | median | mean | p90 | bias | cover | ratios | energy |\n"
    "|---|---|---|---|---|---|---|---|---|---|---|---|\n";

static const char *const intros[] = {
    "\n## Shapes never seen\n\n"
    "Rows are left out by shape, five parts in turn (GEMM: N and K; attention: heads and kv "
    "heads;\n"
    "vector operations: width; transfers: size), and the whole fit - law and surface - is made\n"
    "again without them. Cover: the share of the rows of two parts within the 80 % interval of "
    "the\n"
    "other three. Ratios: of pairs of rows of two parts, each with another of its shape and with "
    "one\n"
    "anywhere, the share whose measured ratio lies within the 80 % interval of the predicted "
    "ratio\n"
    "(residuals that both share cancel; shares and interval from the other three).\n\n",
    "\n## Models larger than those fitted\n\n"
    "The model with the largest operation of each kind is left out, all of its rows. It is named\n"
    "after the software.\n\n",
    "\n## Parts never seen\n\n"
    "The datasheet and class fits: the mean of the fits of all other measured parts (`hw "
    "calibrate\n"
    "--like`), none of the part itself. Where no other part has such a fit, another format or\n"
    "software stands in, or the closed form of the class. Cover: rows within the interval that "
    "the\n"
    "prediction gives.\n\n",
    "\n## Parts never seen, with 30 rows\n\n"
    "The same, calibrated on 30 rows of each kind, evenly spaced in time (`hw calibrate "
    "--measured\n"
    "--points 30`).\n\n",
};

void validate_page(struct rad_buf *to, const struct validate_results *results)
{
    rad_buf_add(to,
                "# Validation of the hardware models\n\n"
                "Written by `radial validate FOLDER -o docs/validation.md`, where FOLDER holds "
                "the unpacked\n"
                "calibration half of the measured data. Every error is of a row that was held "
                "out, never by\n"
                "random rows. GEMM rows: N, K >= 1024, M <= 16384, weights cold. Attention rows "
                "under 20 us are\n"
                "fitted with less weight and not counted. Numbers are per cent of the measured "
                "time; bias is the\n"
                "median of predicted / measured - 1; energy: rows of at least 100 us, their times "
                "and powers\n"
                "held out.\n\n"
                "## Goals\n\n"
                "Median errors, their mean and the worst over parts and software; goals in "
                "brackets.\n\n"
                "| test | fits | mean | worst | of |\n|---|---|---|---|---|\n");
    for (size_t i = 0; i < sizeof goals / sizeof goals[0]; i++)
        put_goal(to, &goals[i], results);
    for (int test = 0; test < VALIDATE_N_TEST; test++) {
        rad_buf_add(to, intros[test]);
        rad_buf_add(to, columns);
        for (size_t i = 0; i < results->n; i++)
            if ((int)results->of[i].test == test)
                put_row(to, &results->of[i]);
    }
}
