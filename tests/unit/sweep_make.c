/* sweep_make.c - small trace files for tests of sweep, store and plot. */
#include "sweep_make.h"

#include "test.h"
#include "test_trace.h"

enum { MAX_LAYER = 32 };

static int32_t path_of(const struct made_file *w, int32_t pos, int32_t seen[MAX_LAYER],
                       struct rad_hop_rec *hop)
{
    int32_t n = 0;
    for (int32_t i = 0; i < w->n_layer; i++) {
        const int32_t layer = w->backwards ? w->n_layer - 1 - i : i;
        if ((layer + pos) % 4 >= w->keep)
            continue;
        hop[n++] = (struct rad_hop_rec){(uint16_t)layer, BOTH, (uint32_t)++seen[layer]};
    }
    return n;
}

static void stats_of(const struct rad_hop_rec *hop, int32_t n, struct rad_hop_stat *stat)
{
    for (int32_t i = 0; i < n; i++) {
        const float f = 1.0F / (float)(hop[i].layer + 1);
        stat[i] = (struct rad_hop_stat){4, 4 * f * f, 0, 4, f * f, 0, 0.5F};
    }
}

static void put_all(rad_trace_writer *w, const struct made_file *what)
{
    for (int64_t seq = 0; seq < what->n_seq; seq++) {
        int32_t seen[MAX_LAYER] = {0};
        for (int32_t pos = 0; pos < what->n_pos; pos++) {
            struct rad_hop_rec hop[MAX_LAYER];
            struct rad_hop_stat stat[MAX_LAYER];
            const int32_t n = path_of(what, pos, seen, hop);
            const struct rad_trace_token token = trace_token(seq, pos, n);
            stats_of(hop, n, stat);
            OK(rad_trace_put(w, &token, hop, what->stats ? stat : NULL, &err));
        }
    }
}

void made_file(const char *path, const struct made_file *what)
{
    struct made_file w = *what;
    w.n_layer = w.n_layer > 0 ? w.n_layer : 4;
    w.keep = w.keep > 0 ? w.keep : 4;
    w.n_seq = w.n_seq > 0 ? w.n_seq : 4;
    w.n_pos = w.n_pos > 0 ? w.n_pos : 12;
    struct rad_trace_run run = trace_run(w.n_layer);
    rad_trace_writer *writer = NULL;
    run.policy = w.policy != NULL ? w.policy : "dense";
    run.text_hash = w.text_hash != NULL ? w.text_hash : run.text_hash;
    run.parent = "";
    run.forward_only = !w.backwards;
    OK(rad_dir_make("build/tmp", &err));
    OK(rad_trace_create(&writer, path, &run, &err));
    put_all(writer, &w);
    OK(rad_trace_finish(writer, w.nll > 0 ? w.nll : nan(""), !w.backwards, &err));
}
