/* skip_loss.c - what each sublayer is worth to a token: the loss without it, by running it so.
 *
 * A chosen token goes through the network once per sublayer, each time without that one, then as
 * it should; after each trial its cache entries are taken away again. */
#include "infer/engine.h"

#include <math.h>
#include <stdlib.h>

struct job {
    const rad_model *model;
    const struct rad_tokens *tokens;
    int64_t n_predicted, n_wanted;
    int64_t *before;            /* [n_seq + 1] predicted tokens of earlier sequences */
    rad_engine **engine;        /* [threads] */
    int64_t first;              /* sequence of task 0 */
    struct rad_skip_loss **row; /* [tasks] */
    size_t *n_row;
    enum rad_status *status;
    struct rad_err *err;
};

/* Whether predicted token i is one of the n_wanted that are spread over all of them. */
static bool wanted(const struct job *j, int64_t i)
{
    return (i + 1) * j->n_wanted / j->n_predicted > i * j->n_wanted / j->n_predicted;
}

static void measure(struct rad_skip_loss *row, const struct rad_hop_stat *s)
{
    const double a = (double)(row->mlp ? s->a_mlp : s->a_attn);
    const double b = (double)(row->mlp ? s->b_mlp : s->b_attn);
    const double c = (double)(row->mlp ? s->c_mlp : s->c_attn);
    const double out = a + b + 2.0 * c;
    row->ratio_in = (float)sqrt(b / a);
    row->ratio_out = (float)sqrt(b / out);
    row->cos_in_out = (float)((a + c) / sqrt(a * out));
}

/* The last token of slot 0 without each of its sublayers. */
static enum rad_status try_all(rad_engine *e, const int32_t id[2], struct rad_skip_loss *row,
                               struct rad_err *err)
{
    const struct rad_row token = {0, id[0]};
    for (int32_t i = 0; i < 2 * e->model->config.card.n_layer; i++) {
        e->omit = (struct omit){i / 2, i % 2 != 0};
        row[i].layer = i / 2;
        row[i].mlp = i % 2 != 0;
        enum rad_status status = rad_engine_forward(e, &token, 1, RAD_ROUTE_EVAL, err);
        if (status == RAD_OK)
            status = rad_engine_nll(e, 1, &id[1], &row[i].delta, err);
        e->omit.layer = -1;
        RAD_TRY(status);
        rad_engine_undo(e, 0);
    }
    return RAD_OK;
}

/* The token as it should be; rows become differences to it. */
static enum rad_status compare(rad_engine *e, const int32_t id[2], struct rad_skip_loss *row,
                               struct rad_err *err)
{
    const struct rad_row token = {0, id[0]};
    const struct rad_hop_rec *hop;
    const struct rad_hop_stat *stat;
    float nll = NAN;
    RAD_TRY(rad_engine_forward(e, &token, 1, RAD_ROUTE_EVAL, err));
    RAD_TRY(rad_engine_nll(e, 1, &id[1], &nll, err));
    (void)rad_engine_path(e, 0, &hop, &stat);
    for (int32_t i = 0; i < 2 * e->model->config.card.n_layer; i++) {
        measure(&row[i], &stat[i / 2]);
        row[i].nll = nll;
        row[i].delta -= nll;
    }
    return RAD_OK;
}

/* One chosen token: trials, then the real thing. */
static enum rad_status run_token(rad_engine *e, const int32_t id[2], struct rad_skip_loss *row,
                                 int64_t seq, int64_t pos, struct rad_err *err)
{
    RAD_TRY(try_all(e, id, row, err));
    RAD_TRY(compare(e, id, row, err));
    for (int32_t k = 0; k < 2 * e->model->config.card.n_layer; k++) {
        row[k].seq = seq;
        row[k].pos = (int32_t)pos;
    }
    return RAD_OK;
}

/* The chosen tokens of a sequence; those between them go through together. */
static enum rad_status run_sequence(struct job *j, rad_engine *e, int64_t seq, struct rad_row *feed,
                                    struct rad_skip_loss *row, struct rad_err *err)
{
    const int32_t *id = j->tokens->id + j->tokens->first[seq];
    const int64_t n = j->before[seq + 1] - j->before[seq];
    int32_t waiting = 0;
    rad_engine_start(e, 0, seq);
    for (int64_t i = 0; i < n; i++) {
        if (!wanted(j, j->before[seq] + i)) {
            feed[waiting++] = (struct rad_row){0, id[i]};
            continue;
        }
        if (waiting > 0)
            RAD_TRY(rad_engine_forward(e, feed, waiting, RAD_ROUTE_EVAL, err));
        waiting = 0;
        RAD_TRY(run_token(e, id + i, row, seq, i, err));
        row += 2 * e->model->config.card.n_layer;
    }
    return RAD_OK;
}

static void task(void *ctx, int task, int thread)
{
    struct job *j = ctx;
    const int64_t seq = j->first + task, n = j->before[seq + 1] - j->before[seq];
    size_t n_row = 0;
    for (int64_t i = 0; i < n; i++)
        n_row += wanted(j, j->before[seq] + i) ? 2 * (size_t)j->model->config.card.n_layer : 0;
    j->n_row[task] = n_row;
    j->status[task] = RAD_OK;
    if (n_row == 0)
        return;
    struct rad_row *feed = malloc((size_t)n * sizeof *feed);
    j->row[task] = calloc(n_row, sizeof **j->row);
    j->status[task] =
        feed != NULL && j->row[task] != NULL
            ? run_sequence(j, j->engine[thread], seq, feed, j->row[task], &j->err[task])
            : rad_fail(&j->err[task], RAD_E_NOMEM, "skip loss: out of memory");
    free(feed);
}

static enum rad_status give(const struct job *j, int i, const struct rad_skip_loss_options *opt,
                            struct rad_err *err)
{
    if (j->status[i] != RAD_OK)
        return rad_fail(err, j->status[i], "sequence %lld: %s", (long long)(j->first + i),
                        j->err[i].msg);
    for (size_t k = 0; k < j->n_row[i]; k++)
        RAD_TRY(opt->row(opt->ctx, &j->row[i][k], err));
    return RAD_OK;
}

static enum rad_status run_all(struct job *j, int threads, const struct rad_skip_loss_options *opt,
                               struct rad_err *err)
{
    enum rad_status status = RAD_OK;
    for (j->first = 0; j->first < j->tokens->n_seq && status == RAD_OK; j->first += threads) {
        const int64_t left = j->tokens->n_seq - j->first;
        const int n = left < threads ? (int)left : threads;
        rad_pool_run(opt->pool, n, task, j);
        for (int i = 0; i < n; i++) {
            if (status == RAD_OK)
                status = give(j, i, opt, err);
            free(j->row[i]);
            j->row[i] = NULL;
        }
        rad_progress_step(opt->progress, j->before[j->first + n] * j->n_wanted / j->n_predicted,
                          NULL);
    }
    return status;
}

static enum rad_status open_job(struct job *j, int threads, struct rad_err *err)
{
    const size_t n = (size_t)threads;
    struct rad_engine_options options = {.kv = RAD_KV_HOLE, .n_slot = 1, .stats = true};
    j->engine = calloc(n, sizeof *j->engine);
    j->row = calloc(n, sizeof *j->row);
    j->n_row = calloc(n, sizeof *j->n_row);
    j->status = calloc(n, sizeof *j->status);
    j->err = calloc(n, sizeof *j->err);
    j->before = calloc((size_t)j->tokens->n_seq + 1, sizeof *j->before);
    if (!j->engine || !j->row || !j->n_row || !j->status || !j->err || !j->before)
        return rad_fail(err, RAD_E_NOMEM, "skip loss: out of memory");
    for (int64_t s = 0; s < j->tokens->n_seq; s++) {
        const int64_t len = j->tokens->first[s + 1] - j->tokens->first[s];
        j->before[s + 1] = j->before[s] + (len > 1 ? len - 1 : 0);
    }
    j->n_predicted = j->before[j->tokens->n_seq];
    if (j->n_predicted == 0 || j->n_wanted < 1)
        return rad_fail(err, RAD_E_ARG, "skip loss: expected tokens to predict but found none");
    j->n_wanted = j->n_wanted < j->n_predicted ? j->n_wanted : j->n_predicted;
    RAD_TRY(rad_route_parse(&options.route, "dense", j->model->config.card.n_layer, err));
    for (int i = 0; i < threads; i++)
        RAD_TRY(rad_engine_open(&j->engine[i], j->model, &options, err));
    return RAD_OK;
}

enum rad_status rad_skip_loss_run(const rad_model *m, const struct rad_tokens *tokens,
                                  const struct rad_skip_loss_options *opt, struct rad_err *err)
{
    const int threads = rad_pool_size(opt->pool);
    struct job j = {.model = m, .tokens = tokens, .n_wanted = opt->n_token};
    enum rad_status status = open_job(&j, threads, err);
    if (status == RAD_OK)
        status = run_all(&j, threads, opt, err);
    for (int i = 0; j.engine != NULL && i < threads; i++)
        rad_engine_close(j.engine[i]);
    free(j.engine);
    free(j.row);
    free(j.n_row);
    free(j.status);
    free(j.err);
    free(j.before);
    return status;
}
