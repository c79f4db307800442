/* test_residual.c - what residuals have in common: estimated from made-up rows whose correlation is
 * known, and intervals of ratios against draws. */
#include "replay_make.h"
#include "test.h"

#include "base/stat.h"
#include "hw/hw_profile.h"

#include <gsl/gsl_randist.h>
#include <gsl/gsl_rng.h>
#include <stdlib.h>
#include <string.h>

enum { N_M = 12, N_DIM = 8, N_ROW = N_M * N_DIM * N_DIM };

/* ---- shares of made-up rows ------------------------------------------------------------- */

/* GEMMs of a known machine, with sd of noise, so much of its variance common to all rows of a
 * shape, and to rows of near shapes. */
static void make_rows(struct rad_measured *rows, double sd, double shape, double near)
{
    static const int64_t ms[N_M] = {1, 2, 4, 16, 20, 64, 128, 160, 512, 1024, 2048, 8192};
    gsl_rng *rng = gsl_rng_alloc(gsl_rng_mt19937);
    size_t n = 0;
    CU_ASSERT_PTR_NOT_NULL_FATAL(rng);
    for (int64_t j = 0; j < N_DIM * N_DIM; j++) {
        const int64_t dim[2] = {1024 * (1 + j % N_DIM), 1024 * (1 + j / N_DIM)};
        const double of_shape = gsl_ran_gaussian(rng, sd * sqrt(shape));
        double of_near = 0.0;
        for (int i = 0; i < N_M; i++, n++) {
            if (ms[i] != 20 && ms[i] != 160) /* those share an octave with the one before */
                of_near = gsl_ran_gaussian(rng, sd * sqrt(near));
            const struct rad_op op = rad_op_gemm(ms[i], dim[0], dim[1], RAD_F16);
            const double own = gsl_ran_gaussian(rng, sd * sqrt(1.0 - shape - near));
            const double t_c = op.flop / 200e12, t_m = (op.weight_bytes + op.act_bytes) / 1.6e12;
            const double t = 6e-6 + cbrt(t_c * t_c * t_c + t_m * t_m * t_m);
            rows[n] = (struct rad_measured){.op = op,
                                            .latency_s = t * exp(of_shape + of_near + own),
                                            .software = "made",
                                            .row = n};
        }
    }
    gsl_rng_free(rng);
}

static void hear(void *ctx, const struct rad_fit_report *r)
{
    *(struct rad_fit_report *)ctx = *r;
}

/* The only fit of rows, its report in *r; to be closed. */
static rad_hw *fitted(const struct rad_measured *rows, struct rad_fit_report *r)
{
    const struct rad_calibration o = {.data = "made up", .fresh = true, .report = hear, .ctx = r};
    struct rad_buf yaml = {0};
    rad_hw *hw = NULL, *out = NULL;
    /* without fits of its own: one of other software would draw the surface to itself */
    OK(rad_hw_open(&hw, "tests/oracle/hw_vectors_gpu.yaml", &err));
    OK(rad_hw_calibrate(hw, rows, N_ROW, &o, &yaml, &err));
    OK(rad_hw_parse(&out, yaml.data, yaml.len, "fitted.yaml", &err));
    rad_buf_free(&yaml);
    rad_hw_close(hw);
    return out;
}

/* Rows that share half of their noise by shape are found to, and 80 % of ratios lie within the
 * interval that this gives, where that of independent rows would hold more. */
static void known_shares_are_found(void)
{
    static struct rad_measured rows[N_ROW];
    static const double truth[3] = {0.0, 0.3, 0.6};
    for (int i = 0; i < 3; i++) {
        struct rad_fit_report r;
        make_rows(rows, 0.06, truth[i], 0.0);
        rad_hw *hw = fitted(rows, &r);
        const struct rad_fit *fit = &hw->fits[0];
        CU_ASSERT_STRING_EQUAL(fit->op, "gemm");
        CU_ASSERT(fabs(fit->common_frac + fit->shape_frac - truth[i]) < 0.15);
        CU_ASSERT(fit->common_frac >= 0.0 && fit->common_frac < 0.1);
        CU_ASSERT(r.ratio_coverage > 0.74 && r.ratio_coverage < 0.86);
        rad_hw_close(hw);
    }
}

static void near_rows_share_more(void)
{
    static struct rad_measured rows[N_ROW];
    struct rad_fit_report r;
    make_rows(rows, 0.06, 0.2, 0.6);
    rad_hw *hw = fitted(rows, &r);
    const struct rad_fit *fit = &hw->fits[0];
    /* less than was put in: a surface over so few shapes follows their noise */
    CU_ASSERT(fit->near_frac > 0.08 && fit->near_frac < 0.75);
    CU_ASSERT(fit->shape_frac < 0.45);
    CU_ASSERT(r.ratio_coverage > 0.74 && r.ratio_coverage < 0.87);
    struct rad_op op[4] = {
        rad_op_gemm(20, 4096, 4096, RAD_F16), rad_op_gemm(16, 4096, 4096, RAD_F16),
        rad_op_gemm(2048, 4096, 4096, RAD_F16), rad_op_gemm(2048, 3072, 4096, RAD_F16)};
    struct rad_residual x[4];
    for (int i = 0; i < 4; i++) {
        struct rad_prediction p;
        OK(rad_hw_predict(hw, &op[i], NULL, &p, &err));
        rad_hw_residual(hw, &op[i], &p, &x[i]);
        CU_ASSERT(rad_residual_pair_sd(&x[i], &x[i]) < 1e-9);
    }
    const double near = rad_residual_pair_sd(&x[0], &x[1]);
    const double shape = rad_residual_pair_sd(&x[0], &x[2]);
    const double far = rad_residual_pair_sd(&x[0], &x[3]);
    CU_ASSERT(near > 0.0 && near < shape && shape < far);
    CU_ASSERT(far <= sqrt(2.0) * x[0].sd * (1.0 + 1e-9));
    rad_hw_close(hw);
}

/* ---- sums ------------------------------------------------------------------------------- */

/* A normal number for a key: the same for the same key and draw. */
static double normal_of(uint64_t key, uint64_t draw)
{
    gsl_rng *rng = gsl_rng_alloc(gsl_rng_taus2);
    CU_ASSERT_PTR_NOT_NULL_FATAL(rng);
    gsl_rng_set(rng, (unsigned long)((key ^ key >> 32) * 2654435761U + draw * 40503U) & 0xffffffff);
    for (int i = 0; i < 3; i++)
        (void)gsl_rng_get(rng);
    const double x = gsl_ran_gaussian(rng, 1.0);
    gsl_rng_free(rng);
    return x;
}

/* The closed form is what drawing every part once per key gives. */
static void the_closed_form_agrees_with_draws(void)
{
    enum { N_OP = 6, N_DRAW = 4000 };
    static double log_ratio[N_DRAW];
    rad_hw *hw = NULL;
    struct rad_residual r[2][N_OP];
    double seconds[2][N_OP], total_s[2] = {0, 0};
    static struct rad_residual_cell cell[64];
    struct rad_residual_sum sum = {.cell = cell, .size = 64};
    rad_residual_clear(&sum);
    OK(rad_hw_open(&hw, "h100-sxm-80gb", &err));
    for (int side = 0; side < 2; side++)
        for (int i = 0; i < N_OP; i++) {
            const struct rad_op op =
                rad_op_gemm(side ? 3 + i % 2 : 8, 4096 * (1 + i % 3), 4096, RAD_BF16);
            struct rad_prediction p;
            OK(rad_hw_predict(hw, &op, NULL, &p, &err));
            rad_hw_residual(hw, &op, &p, &r[side][i]);
            seconds[side][i] = (1 + i + side) * p.cost.time_s;
            total_s[side] += seconds[side][i];
            rad_residual_add(&sum, &r[side][i], side, seconds[side][i]);
        }
    for (uint64_t draw = 0; draw < N_DRAW; draw++) {
        double t[2] = {0, 0};
        for (int side = 0; side < 2; side++)
            for (int i = 0; i < N_OP; i++) {
                double x = 0.0;
                for (int part = 0; part < RAD_N_RESIDUAL; part++)
                    x += sqrt(r[side][i].share_frac[part]) * normal_of(r[side][i].key[part], draw);
                t[side] += seconds[side][i] * exp(x * r[side][i].sd);
            }
        log_ratio[draw] = log(t[0] / t[1] / (total_s[0] / total_s[1]));
    }
    const double sd = rad_residual_ratio_sd(&sum, total_s);
    rad_sort_doubles(log_ratio, N_DRAW);
    const double width = rad_quantile(log_ratio, N_DRAW, 0.9) -
                         rad_quantile(log_ratio, N_DRAW, 0.1);
    NEAR(2.0 * RAD_RESIDUAL_Z80 * sd, width, 0.08);
    rad_hw_close(hw);
}

/* Where cells run out, what is left counts as shared by nobody: never a narrower interval here. */
static void a_full_table_widens(void)
{
    struct rad_residual_cell small[4], large[256];
    struct rad_residual_sum a = {.cell = small, .size = 4}, b = {.cell = large, .size = 256};
    const double total_s[2] = {32.0, 32.0};
    rad_residual_clear(&a);
    rad_residual_clear(&b);
    for (uint64_t i = 0; i < 32; i++) {
        struct rad_residual r = {.sd = 0.1, .share_frac = {0.25, 0.25, 0.25, 0.25}};
        for (int part = 0; part < RAD_N_RESIDUAL; part++)
            r.key[part] = (i * 4 + (uint64_t)part + 1) * 1000003;
        for (int side = 0; side < 2; side++) {
            rad_residual_add(&a, &r, side, 1.0);
            rad_residual_add(&b, &r, side, 1.0);
        }
    }
    CU_ASSERT(rad_residual_ratio_sd(&b, total_s) == 0.0);
    CU_ASSERT(rad_residual_ratio_sd(&a, total_s) > 0.01);
}

/* ---- speedups --------------------------------------------------------------------------- */

static struct rad_replay_result replay(made_path path, double keep, const char *name)
{
    struct made_draw draw = {.seed = 4, .keep = keep, .n_layer = 8};
    const struct made_shape shape = {4, 6, 20, true, false};
    const struct rad_card card = made_card();
    struct rad_replay_options opt = {.batch = 4};
    struct rad_replay_result r;
    rad_plan *plan = NULL;
    rad_hw *hw = NULL;
    struct made m;
    OK(rad_hw_open(&hw, name, &err));
    opt.dtype = rad_hw_default_dtype(hw);
    made_open(&m, &card, &shape, path, &draw);
    OK(rad_plan_build_from(&plan, &m.in, &opt, &err));
    OK(rad_replay_cost(plan, hw, &r, &err));
    rad_plan_free(plan);
    made_close(&m);
    rad_hw_close(hw);
    return r;
}

static void speedups_have_intervals(void)
{
    static const char *const names[] = {"h100-sxm-80gb", "l4", "tpu-v5e", "u280", "xeon-8480"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const struct rad_replay_result r = replay(made_skip, 0.5, names[i]);
        const struct rad_replay_result again = replay(made_skip, 0.5, names[i]);
        CU_ASSERT(r.speedup_lo < r.speedup && r.speedup < r.speedup_hi);
        CU_ASSERT(r.speedup_hi / r.speedup_lo < 2.0); /* not that of two independent runs */
        CU_ASSERT(r.speedup_lo == again.speedup_lo && r.speedup_hi == again.speedup_hi);
        const struct rad_replay_result dense = replay(made_dense, 1.0, names[i]);
        NEAR(dense.speedup_lo, 1.0, 1e-9);
        NEAR(dense.speedup_hi, 1.0, 1e-9);
    }
    const struct rad_replay_result pays = replay(made_skip, 0.1, "u280-spatial");
    CU_ASSERT(pays.speedup_lo == pays.speedup && pays.speedup_hi == pays.speedup);
}

CU_TestInfo residual_tests[] = {
    {"known shares are found", known_shares_are_found},
    {"near rows share more", near_rows_share_more},
    {"the closed form agrees with draws", the_closed_form_agrees_with_draws},
    {"a full table widens", a_full_table_widens},
    {"speedups have intervals", speedups_have_intervals},
    CU_TEST_INFO_NULL,
};
