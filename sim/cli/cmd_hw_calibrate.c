/* cmd_hw_calibrate.c - `radial hw calibrate host`: this machine as a profile. */
#include "cli/cmd_hw.h"
#include "cli/host_probe.h"

#include <stdio.h>
#include <string.h>

static enum rad_status calibrate(const struct hw_options *o, struct rad_host_rates *rates,
                                 double *seconds, struct rad_err *err)
{
    char about[160], *yaml = NULL;
    const double start = rad_now_s();
    rad_progress *progress =
        rad_progress_open(stderr, "calibrate", HOST_RATES_STEPS, o->sub.common.progress);
    enum rad_status status = host_rates(rates, about, progress, err);
    if (status == RAD_OK)
        status = host_overheads(rates, err);
    rad_progress_step(progress, HOST_RATES_STEPS, "engine");
    rad_progress_close(progress);
    if (status == RAD_OK)
        status = rad_hw_host_profile(rates, &yaml, err);
    if (status == RAD_OK)
        status = rad_cli_write(o->out_path, yaml, strlen(yaml), err);
    free(yaml);
    *seconds = rad_now_s() - start;
    return status;
}

static enum rad_status print(const struct hw_options *o, const struct rad_host_rates *r,
                             double seconds, struct rad_err *err)
{
    static const int rows[RAD_HOST_N_M] = RAD_HOST_ROWS;
    rad_out *out;
    (void)rad_out_open(&out, o->sub.common.format, stdout);
    rad_out_begin_row(out);
    rad_out_text(out, "out", o->out_path);
    rad_out_int(out, "threads", r->n_threads);
    for (int j = 0; j < RAD_HOST_N_M; j++) {
        char key[48];
        snprintf(key, sizeof key, "sgemm_m%d_flop_per_s", rows[j]);
        rad_out_real(out, key, r->gemm_flop_per_s[0][RAD_HOST_N_SIZE - 1][j]);
    }
    rad_out_real(out, "bf16_flop_per_s", r->bf16_peak_flop_per_s);
    rad_out_real(out, "l2_bytes", r->l2_bytes);
    rad_out_real(out, "l2_bytes_per_s", r->l2_bytes_per_s);
    rad_out_real(out, "l3_bytes", r->l3_bytes);
    rad_out_real(out, "l3_bytes_per_s", r->l3_bytes_per_s);
    rad_out_real(out, "mem_bytes_per_s", r->dram_bytes_per_s);
    rad_out_real(out, "layer_overhead_s", r->layer_overhead_s);
    rad_out_real(out, "step_overhead_s", r->step_overhead_s);
    rad_out_real(out, "seconds", seconds);
    rad_out_end_row(out);
    return rad_out_close(out, true, err);
}

int hw_calibrate(const void *options)
{
    const struct hw_options *o = options;
    if (o->measured != NULL)
        return hw_calibrate_measured(o);
    if (o->like != NULL)
        return hw_calibrate_like(o);
    struct rad_err err;
    struct rad_host_rates rates;
    double seconds = 0.0;
    enum rad_status status = calibrate(o, &rates, &seconds, &err);
    if (status == RAD_OK)
        status = print(o, &rates, seconds, &err);
    return status == RAD_OK ? EXIT_SUCCESS : rad_cli_fail("hw calibrate", &err);
}
