/* host_probe.c - see host_probe.h. Rates are the best of many samples: other programs on the
 * machine only ever make a sample slower. */
#include "cli/host_probe.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const double kb = 1024.0, mb = 1048576.0;
static const double probe_s = 0.15;

enum rad_status host_sgemm(int32_t m, int32_t size, double budget_s, double *flop_per_s,
                           struct rad_err *err)
{
    const struct rad_probe_gemm shape = {RAD_MAT_F32, m, size, size};
    struct rad_probe_time t;
    RAD_TRY(rad_probe_gemm(&shape, budget_s, &t, err));
    *flop_per_s = 2.0 * m * size * size / t.best_s;
    return RAD_OK;
}

/* Read bandwidth of one thread over a block of memory, bytes/s. */
static enum rad_status probe_read(double bytes, double budget_s, double *bytes_per_s,
                                  struct rad_err *err)
{
    struct rad_probe_time t;
    RAD_TRY(rad_probe_read((size_t)bytes, budget_s, &t, err));
    *bytes_per_s = bytes / t.best_s;
    return RAD_OK;
}

static double system_bytes(int name, double otherwise)
{
    const long value = sysconf(name);
    return value > 0 ? (double)value : otherwise;
}

static double memory_bytes(void)
{
    return system_bytes(_SC_PHYS_PAGES, 1 << 20) * system_bytes(_SC_PAGESIZE, 4096);
}

double host_dram_bytes(void)
{
    return fmin(512.0 * mb, memory_bytes() / 8.0);
}

/* ---- the probes of a calibration ----------------------------------------------------------- */

struct calibration {
    struct rad_host_rates *r;
    rad_progress *progress;
    int done;
};

static void step(struct calibration *c, const char *what)
{
    rad_progress_step(c->progress, ++c->done, what);
}

/* Weights in bf16, as most checkpoints have them: the sizes of the fp32 table. */
static enum rad_status probe_bf16(struct calibration *c, struct rad_err *err)
{
    static const int32_t size[RAD_HOST_N_SIZE] = RAD_HOST_SIZES, rows[RAD_HOST_N_M] = RAD_HOST_ROWS;
    struct rad_probe_time t;
    for (int i = 0; i < RAD_HOST_N_SIZE; i++)
        for (int j = 0; j < RAD_HOST_N_M; j++) {
            const struct rad_probe_gemm shape = {RAD_MAT_BF16, rows[j], size[i], size[i]};
            RAD_TRY(rad_probe_gemm(&shape, probe_s / 2.0, &t, err));
            c->r->bf16_gemm_flop_per_s[i][j] = 2.0 * rows[j] * size[i] * size[i] / t.best_s;
        }
    step(c, "GEMM");
    return RAD_OK;
}

static enum rad_status probe_gemm(struct calibration *c, struct rad_err *err)
{
    static const int32_t size[RAD_HOST_N_SIZE] = RAD_HOST_SIZES, rows[RAD_HOST_N_M] = RAD_HOST_ROWS;
    for (int i = 0; i < RAD_HOST_N_SIZE; i++)
        for (int j = 0; j < RAD_HOST_N_M; j++) {
            double *rate = &c->r->gemm_flop_per_s[0][i][j];
            RAD_TRY(host_sgemm(rows[j], size[i], probe_s, rate, err));
            c->r->gemm_flop_per_s[1][i][j] = *rate;
            step(c, "GEMM");
        }
    return probe_bf16(c, err);
}

/* The last-level cache of a shared machine is partly others': what of it serves this program shows
 * in the bandwidth, at the largest block read clearly faster than from memory. */
static enum rad_status probe_memory(struct calibration *c, struct rad_err *err)
{
    struct rad_host_rates *r = c->r;
    r->memory_bytes = memory_bytes();
    r->l2_bytes = system_bytes(_SC_LEVEL2_CACHE_SIZE, 512.0 * kb);
    RAD_TRY(probe_read(r->l2_bytes / 2.0, probe_s, &r->l2_bytes_per_s, err));
    step(c, "L2 cache");
    RAD_TRY(probe_read(host_dram_bytes(), 4.0 * probe_s, &r->dram_bytes_per_s, err));
    step(c, "memory");
    RAD_TRY(probe_read(4.0 * r->l2_bytes, probe_s, &r->l3_bytes_per_s, err));
    step(c, "L3 cache");
    r->l3_bytes = 2.0 * r->l2_bytes;
    const double limit = system_bytes(_SC_LEVEL3_CACHE_SIZE, 64.0 * mb);
    const double between = sqrt(r->l3_bytes_per_s * r->dram_bytes_per_s);
    for (double size = 4.0 * r->l2_bytes; size <= limit && size <= host_dram_bytes(); size *= 2.0) {
        double rate = 0.0;
        RAD_TRY(probe_read(size, probe_s, &rate, err));
        if (rate < between)
            break;
        r->l3_bytes = size;
    }
    step(c, "L3 cache");
    return RAD_OK;
}

static enum rad_status probe_vectors(struct calibration *c, struct rad_err *err)
{
    static const int32_t size[2] = {64, 256}; /* 64 KiB: what a visit works on, in the caches */
    for (int k = 0; k < RAD_HOST_N_VECTOR; k++) {
        struct rad_probe_time t;
        const struct rad_op op =
            rad_op_vector((enum rad_op_kind)((int)RAD_OP_NORM + k), size[0], size[1], RAD_F32);
        RAD_TRY(rad_probe_vector((enum rad_probe_vector)k, size, probe_s, &t, err));
        c->r->vector_bytes_per_s[k] = op.act_bytes / t.best_s;
        step(c, "vectors");
    }
    return RAD_OK;
}

static double attend_flop(const struct rad_probe_attend *s)
{
    double keys = 0.0;
    for (int32_t i = 0; i < s->n_q; i++)
        keys += fmax(1.0, s->n_k - s->n_q + i + 1);
    return 4.0 * keys * s->n_head * s->d_head;
}

/* Decode: a line through the times at few and many keys gives time per key and per head. Prefill
 * is one measurement, of which the heads take at most a quarter. */
static enum rad_status probe_attend(struct calibration *c, struct rad_err *err)
{
    const struct rad_probe_attend few = {1, 16, 4, 32}, many = {1, 256, 4, 32};
    const struct rad_probe_attend square = {256, 256, 4, 32};
    struct rad_probe_time a, b, p;
    RAD_TRY(rad_probe_attend(&few, probe_s, &a, err));
    step(c, "attention");
    RAD_TRY(rad_probe_attend(&many, probe_s, &b, err));
    step(c, "attention");
    RAD_TRY(rad_probe_attend(&square, 2.0 * probe_s, &p, err));
    step(c, "attention");
    const double per_key = fmax(0.0, b.best_s - a.best_s) / (256 - 16);
    const double fixed = fmax(0.0, a.best_s - 16 * per_key) / 4.0;
    const double head = fmin(fixed, 0.25 * p.best_s / (256 * 4));
    c->r->attend_head_s = head;
    c->r->attend_decode_flop_per_s = attend_flop(&many) / (b.best_s - 4 * head);
    c->r->attend_prefill_flop_per_s = attend_flop(&square) / (p.best_s - 256 * 4 * head);
    return RAD_OK;
}

/* ---- who this is --------------------------------------------------------------------------- */

static void cpu_name(char out[96])
{
    static const char key[] = "model name";
    char line[256];
    FILE *f = fopen("/proc/cpuinfo", "r");
    snprintf(out, 96, "CPU");
    while (f != NULL && fgets(line, sizeof line, f) != NULL) {
        const char *colon = strchr(line, ':');
        if (strncmp(line, key, sizeof key - 1) != 0 || colon == NULL)
            continue;
        line[strcspn(line, "\n")] = '\0';
        snprintf(out, 96, "%.95s", colon + 1 + strspn(colon + 1, " "));
        break;
    }
    if (f != NULL)
        fclose(f);
}

static void describe(char about[160])
{
    char name[96], blas[128], day[16] = "";
    const time_t now = time(NULL);
    struct tm tm;
    cpu_name(name);
    rad_tensor_describe(blas, sizeof blas);
    if (gmtime_r(&now, &tm) != NULL)
        strftime(day, sizeof day, "%Y-%m-%d", &tm);
    snprintf(about, 160, "%.60s, one thread, %.60s, %s", name, blas, day);
}

enum rad_status host_rates(struct rad_host_rates *out, char about[160], rad_progress *progress,
                           struct rad_err *err)
{
    struct calibration c = {out, progress, 0};
    describe(about);
    *out = (struct rad_host_rates){.about = about, .n_threads = 1};
    RAD_TRY(probe_gemm(&c, err));
    RAD_TRY(probe_memory(&c, err));
    RAD_TRY(probe_vectors(&c, err));
    return probe_attend(&c, err);
}
