/* hw_host.c - what was measured on this machine, written as a profile of the cpu model.
 *
 * Probes are noisy, and a profile must obey laws that noise breaks: the time of a GEMM does not
 * fall with its rows, a cache is not slower than what is behind it, no rate exceeds the peak. Each
 * is repaired towards the slower reading. Power and price cannot be probed from a program: they
 * are shares of a server's, marked as such. */
#include "base/buf.h"
#include "hw/hw.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { N_SIZE = RAD_HOST_N_SIZE, N_M = RAD_HOST_N_M };
static const int sizes[N_SIZE] = RAD_HOST_SIZES;
static const int rows[N_M] = RAD_HOST_ROWS;

/* Shares of a two-socket cloud server of 2023; DDR5 and SRAM energies as in energy_tables. */
static const double static_w_per_thread = 3.0, tdp_w_per_thread = 8.0;
static const double usd_per_hour_per_thread = 0.05;
static const double dram_byte_j = 80e-12, cache_byte_j = 1.25e-12;

static enum rad_status need_positive(const char *name, double value, struct rad_err *err)
{
    if (value > 0.0 && isfinite(value))
        return RAD_OK;
    return rad_fail(err, RAD_E_RANGE, "host rates: expected a positive %s but found %g; measure it",
                    name, value);
}

static enum rad_status need_time(const char *name, double value, struct rad_err *err)
{
    if (value >= 0.0 && value < 1e-3)
        return RAD_OK;
    return rad_fail(err, RAD_E_RANGE, "host rates: expected %s of 0 to 1 ms but found %g s", name,
                    value);
}

static enum rad_status check_scalars(const struct rad_host_rates *r, struct rad_err *err)
{
    const struct {
        const char *name;
        double value;
    } must[] = {
        {"n_threads", r->n_threads},
        {"memory_bytes", r->memory_bytes},
        {"l2_bytes", r->l2_bytes},
        {"l2_bytes_per_s", r->l2_bytes_per_s},
        {"l3_bytes", r->l3_bytes},
        {"l3_bytes_per_s", r->l3_bytes_per_s},
        {"dram_bytes_per_s", r->dram_bytes_per_s},
        {"attend_decode_flop_per_s", r->attend_decode_flop_per_s},
        {"attend_prefill_flop_per_s", r->attend_prefill_flop_per_s},
    };
    for (size_t i = 0; i < sizeof must / sizeof must[0]; i++)
        RAD_TRY(need_positive(must[i].name, must[i].value, err));
    RAD_TRY(need_time("attend_head_s", r->attend_head_s, err));
    RAD_TRY(need_time("op_overhead_s", r->op_overhead_s, err));
    RAD_TRY(need_time("layer_overhead_s", r->layer_overhead_s, err));
    return need_time("step_overhead_s", r->step_overhead_s, err);
}

static bool has_bf16(const struct rad_host_rates *r)
{
    return r->bf16_gemm_flop_per_s[0][0] > 0.0;
}

static enum rad_status check_rates(const struct rad_host_rates *r, struct rad_err *err)
{
    RAD_TRY(check_scalars(r, err));
    for (int i = 0; i < RAD_HOST_N_VECTOR; i++)
        RAD_TRY(need_positive("vector_bytes_per_s", r->vector_bytes_per_s[i], err));
    for (int i = 0; i < N_SIZE && has_bf16(r); i++)
        for (int j = 0; j < N_M; j++)
            RAD_TRY(need_positive("bf16_gemm_flop_per_s", r->bf16_gemm_flop_per_s[i][j], err));
    for (int t = 0; t < 2; t++)
        for (int i = 0; i < N_SIZE; i++)
            for (int j = 0; j < N_M; j++)
                RAD_TRY(need_positive("gemm_flop_per_s", r->gemm_flop_per_s[t][i][j], err));
    return RAD_OK;
}

/* The time of more rows is at least that of fewer. The margin survives printing six digits. */
static void smooth_rows(double rate[N_M])
{
    for (int j = 1; j < N_M; j++) {
        const double limit = rate[j - 1] * rows[j] / rows[j - 1] * (1.0 - 1e-5);
        rate[j] = fmin(rate[j], limit);
    }
}

static void repair(struct rad_host_rates *r)
{
    double best = r->peak_flop_per_s > 0.0 ? r->peak_flop_per_s : 0.0;
    for (int t = 0; t < 2; t++)
        for (int i = 0; i < N_SIZE; i++) {
            smooth_rows(r->gemm_flop_per_s[t][i]);
            for (int j = 0; j < N_M; j++)
                best = fmax(best, r->gemm_flop_per_s[t][i][j]);
        }
    r->peak_flop_per_s = best;
    for (int i = 0; i < N_SIZE && has_bf16(r); i++) {
        smooth_rows(r->bf16_gemm_flop_per_s[i]);
        for (int j = 0; j < N_M; j++)
            r->bf16_peak_flop_per_s = fmax(r->bf16_peak_flop_per_s, r->bf16_gemm_flop_per_s[i][j]);
    }
    r->l3_bytes = fmax(r->l3_bytes, r->l2_bytes);
    r->l3_bytes_per_s = fmin(r->l3_bytes_per_s, r->l2_bytes_per_s);
    r->dram_bytes_per_s = fmin(r->dram_bytes_per_s, r->l3_bytes_per_s);
}

/* Text from the machine goes into a quoted scalar: nothing in it may end the quotes. */
static void put_quoted(struct rad_buf *b, const char *text)
{
    rad_buf_add(b, "\"");
    for (const char *p = text ? text : ""; *p != '\0'; p++) {
        const char plain[2] = {*p, '\0'};
        const bool bad = (unsigned char)*p < 32 || (unsigned char)*p > 126;
        rad_buf_add(b, bad ? "?" : *p == '"' || *p == '\\' ? "'" : plain);
    }
    rad_buf_add(b, "\"");
}

static void put_head(struct rad_buf *b, const struct rad_host_rates *r)
{
    const double n = r->n_threads;
    rad_buf_add(b, "# Written by radial hw calibrate host.\nmodel: cpu\nabout: ");
    put_quoted(b, r->about);
    rad_buf_printf(
        b,
        "\nbasis: measured\nsources:\n"
        "  probe: measured by radial hw calibrate host, %d threads\n"
        "  tables: \"device: energy per byte of DDR and SRAM, reallm and Jouppi ISCA 2021\"\n"
        "  share: share of a 2023 cloud server per thread, unverified\n"
        "  derived: static + memory + compute at full rate = tdp\n"
        "machine:\n"
        "  memory: %.6g GB @probe\n"
        "  price: %.6g USD/h @share\n"
        "  static_power: %.6g W @share\n"
        "  tdp: %.6g W @share\n"
        "  layer_overhead: %.6g us @probe\n"
        "  step_overhead: %.6g us @probe\n",
        r->n_threads, r->memory_bytes / 1e9, usd_per_hour_per_thread * n, static_w_per_thread * n,
        tdp_w_per_thread * n, r->layer_overhead_s * 1e6, r->step_overhead_s * 1e6);
}

static void put_peaks(struct rad_buf *b, const struct rad_host_rates *r)
{
    const struct {
        const char *name;
        double flop_per_s;
    } peaks[] = {{"fp32", r->peak_flop_per_s},
                 {"bf16", r->bf16_peak_flop_per_s},
                 {"int8", r->int8_peak_flop_per_s}};
    const double n = r->n_threads;
    const double watts =
        fmax((tdp_w_per_thread - static_w_per_thread) * n - r->dram_bytes_per_s * dram_byte_j, n);
    rad_buf_add(b, "cpu:\n");
    for (size_t i = 0; i < sizeof peaks / sizeof peaks[0]; i++) {
        if (!(peaks[i].flop_per_s > 0.0))
            continue;
        rad_buf_printf(b, "  peak.%s: %.6g GFLOP/s @probe\n", peaks[i].name,
                       peaks[i].flop_per_s / 1e9);
        rad_buf_printf(b, "  flop_energy.%s: %.4g pJ/FLOP @derived\n", peaks[i].name,
                       watts / peaks[i].flop_per_s * 1e12);
    }
}

static void put_table(struct rad_buf *b, const char *prefix, double rate[N_SIZE][N_M])
{
    for (int i = 0; i < N_SIZE; i++) {
        rad_buf_printf(b, "  %s_n%d: {", prefix, sizes[i]);
        for (int j = 0; j < N_M; j++)
            rad_buf_printf(b, "%sm%d: %.7g GFLOP/s @probe", j > 0 ? ", " : "", rows[j],
                           rate[i][j] / 1e9);
        rad_buf_add(b, "}\n");
    }
}

static void put_rest(struct rad_buf *b, const struct rad_host_rates *r)
{
    static const char *const vector_names[RAD_HOST_N_VECTOR] = {"norm",   "act",   "add",    "rope",
                                                                "gather", "embed", "softmax"};
    rad_buf_printf(b,
                   "  l2: %.6g MB @probe\n"
                   "  l2_bandwidth: %.6g GB/s @probe\n"
                   "  l3: %.6g MB @probe\n"
                   "  l3_bandwidth: %.6g GB/s @probe\n"
                   "  bandwidth: %.6g GB/s @probe\n"
                   "  byte_energy: %.6g pJ/B @tables\n"
                   "  cache_byte_energy: %.6g pJ/B @tables\n"
                   "  attend: {decode: %.6g GFLOP/s @probe, prefill: %.6g GFLOP/s @probe, "
                   "head: %.6g ns @probe}\n"
                   "  op_overhead: %.6g ns @probe\n"
                   "  vector: {",
                   r->l2_bytes / 1e6, r->l2_bytes_per_s / 1e9, r->l3_bytes / 1e6,
                   r->l3_bytes_per_s / 1e9, r->dram_bytes_per_s / 1e9, dram_byte_j * 1e12,
                   cache_byte_j * 1e12, r->attend_decode_flop_per_s / 1e9,
                   r->attend_prefill_flop_per_s / 1e9, r->attend_head_s * 1e9,
                   r->op_overhead_s * 1e9);
    for (int i = 0; i < RAD_HOST_N_VECTOR; i++)
        rad_buf_printf(b, "%s%s: %.6g GB/s @probe", i > 0 ? ", " : "", vector_names[i],
                       r->vector_bytes_per_s[i] / 1e9);
    rad_buf_add(b, "}\n");
}

/* What was written must be what rad_hw_open takes: a rate out of its range shows here. */
static enum rad_status check_text(const char *text, struct rad_err *err)
{
    rad_hw *hw = NULL;
    const enum rad_status status = rad_hw_parse(&hw, text, strlen(text), "host.yaml", err);
    rad_hw_close(hw);
    return status;
}

enum rad_status rad_hw_host_profile(const struct rad_host_rates *rates, char **yaml_text,
                                    struct rad_err *err)
{
    *yaml_text = NULL;
    RAD_TRY(check_rates(rates, err));
    struct rad_host_rates r = *rates;
    repair(&r);
    struct rad_buf b = {0};
    put_head(&b, &r);
    put_peaks(&b, &r);
    put_table(&b, "gemm", r.gemm_flop_per_s[1]);
    put_table(&b, "serial", r.gemm_flop_per_s[0]);
    if (has_bf16(&r))
        put_table(&b, "bf16", r.bf16_gemm_flop_per_s);
    put_rest(&b, &r);
    const enum rad_status status = b.failed
                                       ? rad_fail(err, RAD_E_NOMEM, "cannot allocate host.yaml")
                                       : check_text(b.data, err);
    if (status == RAD_OK)
        *yaml_text = b.data;
    else
        rad_buf_free(&b);
    return status;
}
