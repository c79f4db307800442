/* ops_experts.c - see ops_experts.h. */
#include "cli/ops_experts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int32_t ops_note_int(const char *notes, const char *key)
{
    const size_t len = strlen(key);
    for (const char *at = notes; *at != '\0'; at += *at == ';') {
        if (strncmp(at, key, len) == 0 && at[len] == '=') {
            char *end = NULL;
            const long value = strtol(at + len + 1, &end, 10);
            const bool whole = end != at + len + 1 && (*end == ';' || *end == '\0');
            return whole && value > 0 && value <= 1000000 ? (int32_t)value : 0;
        }
        at += strcspn(at, ";");
    }
    return 0;
}

/* The share at quantile u of a density proportional to x^-alpha between lo and hi. */
static double power_law(double u, double alpha, double lo, double hi)
{
    const double a = 1.0 - alpha, low = pow(lo, a);
    return pow((pow(hi, a) - low) * u + low, 1.0 / a);
}

int32_t ops_active_experts(int32_t experts, int64_t rows, int64_t tokens, const char *notes)
{
    const char *law = strstr(notes, "dist=power_law_");
    const int32_t most = rows < experts ? (int32_t)rows : experts;
    const double alpha = law ? atof(law + strlen("dist=power_law_")) : 0.0;
    if (!(alpha > 1.0))
        return most;
    const bool many = rows > experts;
    const double lo = many ? 1.0 : 0.01, hi = many ? fmax(0.8 * (double)tokens, 1.0001) : 2.0;
    double sum = 0.0, dealt = 0.0;
    int32_t active = 0;
    for (int32_t i = 0; i < experts; i++)
        sum += power_law((i + 0.5) / experts, alpha, lo, hi);
    for (int32_t i = 0; i < experts; i++) {
        const double share = power_law((i + 0.5) / experts, alpha, lo, hi);
        const double mine = floor(share / sum * (double)rows + 0.5);
        dealt += mine;
        active += mine > 0.0;
    }
    const double left = fmax(0.0, (double)rows - dealt);
    return (int32_t)fmin(fmax(1.0, active + left), most);
}

bool ops_experts_gated(const char *notes, int32_t hidden)
{
    const int32_t experts = ops_note_int(notes, "experts"), top = ops_note_int(notes, "topk");
    const bool squared = (hidden == 2048 && experts == 512 && top == 22) ||
                         (hidden == 2688 && experts == 128 && top == 6);
    return strstr(notes, "ungated") == NULL && !squared;
}
