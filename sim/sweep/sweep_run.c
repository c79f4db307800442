/* sweep_run.c - points to rows, trace by trace.
 *
 * Points with the same trace are neighbours, and among them those with the same plan. Threads take
 * plans from a counter, as plans differ a lot in cost; whoever finishes one hands all rows that
 * are ready to the sink in order, so that the rows do not depend on the threads. Nobody waits for
 * the sink: if another thread has it, the rows stay for the next one that finishes. */
#include "sweep/machines.h"
#include "sweep/source.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/pool.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* A point that the sink does not have, and what became of it. */
struct task {
    const struct rad_sweep_point *point;
    char inputs[17];
    enum rad_status status;
    char *message; /* malloc'ed, of a failed point */
    struct rad_replay_result result;
    struct rad_card card;
    enum rad_dtype dtype;
    double weight_share; /* of weight-only formats, else 1 */
    double eval_s;
};

/* Tasks first..last-1 differ in hardware only. */
struct group {
    size_t first, last;
    atomic_bool ready;
};

struct run {
    const rad_sweep_spec *spec;
    const struct rad_sweep_options *opt;
    struct rad_sweep_summary *summary;
    struct rad_machines machines;
    rad_identities *ids;
    rad_pool *pool;
    /* of the trace at hand */
    const rad_trace *trace;
    const char *trace_path;
    struct task *task;   /* [n_task] */
    struct group *group; /* [n_group] */
    size_t n_task, n_group;
    atomic_size_t next; /* group to be taken */
    atomic_bool stop;   /* the sink failed */
    atomic_flag busy;   /* a thread has the sink and what follows */
    size_t n_given;     /* groups given to the sink */
    enum rad_status sink_status;
    struct rad_err sink_err;
};

/* ---- costing: any thread --------------------------------------------------------------- */

static void fail_task(struct task *task, enum rad_status status, const char *message)
{
    task->status = status;
    task->message = strdup(message); /* NULL is printed as "out of memory" */
}

/* The axes of a point as options of replay; kv is where options->kv points to. */
static enum rad_status replay_options(const struct run *run, const struct rad_sweep_point *point,
                                      struct rad_replay_options *out, enum rad_kv *kv,
                                      struct rad_err *err)
{
    const struct rad_shape *shape = rad_shape_of(&run->machines, point);
    const char *kv_name = point->value[RAD_AXIS_KV];
    const bool as_run = point->value[RAD_AXIS_MODEL][0] != '\0' ||
                        strcmp(kv_name, rad_axes[RAD_AXIS_KV].def) == 0;
    *out = (struct rad_replay_options){
        .batch = (int32_t)strtol(point->value[RAD_AXIS_BATCH], NULL, 10),
        .tp = (int32_t)strtol(point->value[RAD_AXIS_TP], NULL, 10),
        .pp = (int32_t)strtol(point->value[RAD_AXIS_PP], NULL, 10),
        .resample = strcmp(point->value[RAD_AXIS_RESAMPLE], "true") == 0,
        .seed = strtoull(point->value[RAD_AXIS_SEED], NULL, 10),
        .batcher = point->value[RAD_AXIS_BATCHER],
        .kv = as_run ? NULL : kv,
        .card = shape != NULL ? &shape->card : NULL,
    };
    RAD_TRY(rad_rate_parse(point->value[RAD_AXIS_RATE], &out->rate, err));
    if (!as_run)
        RAD_TRY(rad_kv_parse(kv_name, kv, err));
    return rad_replay_phase_parse(point->value[RAD_AXIS_PHASE], &out->phase, err);
}

static enum rad_status build_plan(const struct run *run, const struct task *task, rad_plan **out,
                                  struct rad_err *err)
{
    struct rad_replay_options options;
    enum rad_kv kv;
    rad_plan_free(*out);
    *out = NULL;
    RAD_TRY(replay_options(run, task->point, &options, &kv, err));
    options.dtype = task->dtype;
    options.weight_share = task->weight_share;
    return rad_plan_build(out, run->trace, &options, err);
}

static void find_dtype(const struct run *run, struct task *task)
{
    const char *name = task->point->value[RAD_AXIS_DTYPE];
    struct rad_err err;
    if (rad_dtype_parse_weights(name, &task->dtype, &task->weight_share, &err) == RAD_OK)
        return;
    task->dtype = rad_hw_default_dtype(rad_machine_of(&run->machines, task->point)->hw); /* auto */
    task->weight_share = 1.0;
}

/* One plan serves machines that run the same format. */
static void cost_group(struct run *run, const struct group *group)
{
    struct rad_err err = {RAD_OK, ""};
    rad_plan *plan = NULL;
    enum rad_status planned = RAD_OK;
    const double start_s = rad_now_s();
    for (size_t i = group->first; i < group->last; i++) {
        struct task *task = &run->task[i];
        find_dtype(run, task);
        if (i == group->first || task->dtype != task[-1].dtype)
            planned = build_plan(run, task, &plan, &err);
        enum rad_status status = planned;
        if (status == RAD_OK)
            status = rad_replay_cost(plan, rad_machine_of(&run->machines, task->point)->hw,
                                     &task->result, &err);
        if (status != RAD_OK)
            fail_task(task, status, err.msg);
        else
            task->card = rad_plan_info(plan)->card;
    }
    rad_plan_free(plan);
    const double each_s = (rad_now_s() - start_s) / (double)(group->last - group->first);
    for (size_t i = group->first; i < group->last; i++)
        run->task[i].eval_s = each_s;
}

/* ---- rows: one thread at a time -------------------------------------------------------------- */

static enum rad_status give_row(struct run *run, struct task *task)
{
    const bool good = task->status == RAD_OK;
    const struct rad_sweep_row row = {
        .point = task->point,
        .inputs = task->inputs,
        .status = task->status,
        .message = good                    ? NULL
                   : task->message != NULL ? task->message
                                           : "out of memory",
        .result = good ? &task->result : NULL,
        .dtype = rad_dtype_weights_name(task->dtype, task->weight_share),
        .trace = good ? run->trace : NULL,
        .trace_path = good ? run->trace_path : NULL,
        .hw = good ? rad_machine_of(&run->machines, task->point)->hw : NULL,
        .card = good ? &task->card : NULL,
        .eval_s = task->eval_s,
    };
    RAD_TRY(run->opt->sink.row(run->opt->sink.ctx, &row, &run->sink_err));
    run->summary->computed += good;
    run->summary->failed += !good;
    free(task->message);
    task->message = NULL;
    return RAD_OK;
}

static void step_progress(const struct run *run)
{
    const struct rad_sweep_summary *s = run->summary;
    rad_progress_step(run->opt->progress, s->skipped + s->computed + s->failed, NULL);
}

static void give_ready(struct run *run)
{
    for (; run->n_given < run->n_group && atomic_load(&run->group[run->n_given].ready);
         run->n_given++) {
        const struct group *group = &run->group[run->n_given];
        for (size_t i = group->first; i < group->last && run->sink_status == RAD_OK; i++)
            run->sink_status = give_row(run, &run->task[i]);
        if (run->sink_status != RAD_OK) {
            atomic_store(&run->stop, true);
            return;
        }
    }
    step_progress(run);
}

static void work(void *ctx, int number, int thread)
{
    struct run *run = ctx;
    (void)number;
    (void)thread;
    for (;;) {
        const size_t i = atomic_fetch_add(&run->next, 1);
        if (i >= run->n_group || atomic_load(&run->stop))
            return;
        cost_group(run, &run->group[i]);
        atomic_store(&run->group[i].ready, true);
        if (!atomic_flag_test_and_set(&run->busy)) {
            give_ready(run);
            atomic_flag_clear(&run->busy);
        }
    }
}

/* ---- one trace ------------------------------------------------------------------------- */

/* The points first..last-1 that the sink does not have become tasks. */
static enum rad_status list_tasks(struct run *run, size_t first, size_t last, uint64_t *source,
                                  struct rad_err *err)
{
    const struct rad_sweep_sink *sink = &run->opt->sink;
    const struct rad_sweep_point *points = rad_sweep_points(run->spec);
    RAD_TRY(rad_source_identity(run->ids, run->opt->provider, &points[first], source, err));
    run->n_task = 0;
    for (size_t i = first; i < last; i++) {
        struct task *task = &run->task[run->n_task];
        const struct rad_shape *shape = rad_shape_of(&run->machines, &points[i]);
        const uint64_t parts[] = {*source, rad_machine_of(&run->machines, &points[i])->hash,
                                  shape != NULL ? shape->hash : 0};
        *task = (struct task){.point = &points[i]};
        rad_hash_hex(rad_hash(parts, sizeof parts, 0), task->inputs);
        if (sink->done != NULL && sink->done(sink->ctx, points[i].key, task->inputs))
            run->summary->skipped++;
        else
            run->n_task++;
    }
    return RAD_OK;
}

static bool same_plan(const struct rad_sweep_point *a, const struct rad_sweep_point *b)
{
    for (int i = 0; i < RAD_N_AXIS; i++)
        if (i != RAD_AXIS_HW && strcmp(a->value[i], b->value[i]) != 0)
            return false;
    return true;
}

static void list_groups(struct run *run)
{
    run->n_group = 0;
    for (size_t i = 0; i < run->n_task; i++) {
        if (i == 0 || !same_plan(run->task[i].point, run->task[i - 1].point))
            run->group[run->n_group++].first = i;
        run->group[run->n_group - 1].last = i + 1;
        atomic_store(&run->group[run->n_group - 1].ready, false);
    }
    run->n_given = 0;
    atomic_store(&run->next, 0);
}

/* Load or capture the trace; if that fails, all its points fail with the reason. */
static enum rad_status load(struct run *run, uint64_t source, rad_trace **trace, char **path,
                            struct rad_err *err)
{
    struct rad_err why = {RAD_OK, ""};
    const struct rad_sweep_sink *sink = &run->opt->sink;
    if (sink->flush != NULL)
        RAD_TRY(sink->flush(sink->ctx, err));
    rad_progress_step(run->opt->progress,
                      run->summary->skipped + run->summary->computed + run->summary->failed,
                      run->task[0].point->value[RAD_AXIS_POLICY]);
    const struct rad_source from = {run->opt->provider, run->task[0].point, source};
    const enum rad_status status = rad_source_load(&from, trace, path, &why);
    if (status == RAD_OK)
        return RAD_OK;
    for (size_t i = 0; i < run->n_task; i++)
        fail_task(&run->task[i], status, why.msg);
    for (size_t i = 0; i < run->n_group; i++)
        atomic_store(&run->group[i].ready, true);
    atomic_store(&run->next, run->n_group);
    give_ready(run);
    return RAD_OK;
}

static enum rad_status run_source(struct run *run, size_t first, size_t last, struct rad_err *err)
{
    rad_trace *trace = NULL;
    char *path = NULL;
    uint64_t source = 0;
    RAD_TRY(list_tasks(run, first, last, &source, err));
    list_groups(run);
    if (run->n_task == 0) {
        step_progress(run);
        return RAD_OK;
    }
    const enum rad_status status = load(run, source, &trace, &path, err);
    if (status == RAD_OK && trace != NULL) {
        const double begin_s = rad_now_s();
        run->trace = trace;
        run->trace_path = path;
        rad_pool_run(run->pool, rad_pool_size(run->pool), work, run);
        if (!atomic_load(&run->stop))
            give_ready(run);
        run->summary->wall_s += rad_now_s() - begin_s;
    }
    for (size_t i = 0; i < run->n_task; i++)
        free(run->task[i].message);
    rad_trace_close(trace);
    free(path);
    if (status == RAD_OK && run->sink_status != RAD_OK && err != NULL)
        *err = run->sink_err;
    return status != RAD_OK ? status : run->sink_status;
}

/* ---- all ------------------------------------------------------------------------------- */

/* One past the last point with the trace of point `first`. */
static size_t source_end(const rad_sweep_spec *spec, size_t first)
{
    const struct rad_sweep_point *points = rad_sweep_points(spec);
    size_t last = first + 1;
    while (last < rad_sweep_n_point(spec) && rad_source_equal(&points[first], &points[last]))
        last++;
    return last;
}

static enum rad_status run_all(struct run *run, struct rad_err *err)
{
    const size_t n = rad_sweep_n_point(run->spec);
    size_t most = 0;
    for (size_t i = 0, end; i < n; i = end) {
        end = source_end(run->spec, i);
        most = end - i > most ? end - i : most;
    }
    run->task = calloc(most + 1, sizeof *run->task);
    run->group = calloc(most + 1, sizeof *run->group);
    if (run->task == NULL || run->group == NULL)
        return rad_fail(err, RAD_E_NOMEM, "sweep: out of memory");
    for (size_t i = 0, end; i < n; i = end) {
        end = source_end(run->spec, i);
        RAD_TRY(run_source(run, i, end, err));
    }
    return RAD_OK;
}

static enum rad_status open_and_run(struct run *run, struct rad_err *err)
{
    if (run->spec->axis[RAD_AXIS_MODEL].given && run->opt->provider == NULL)
        return rad_fail(err, RAD_E_UNSUPPORTED, "sweep: models cannot be run here; give traces");
    RAD_TRY(rad_identities_open(&run->ids, err));
    RAD_TRY(rad_machines_open(&run->machines, run->spec, err));
    RAD_TRY(rad_pool_open(&run->pool, run->opt->jobs, err));
    return run_all(run, err);
}

enum rad_status rad_sweep_check(const rad_sweep_spec *spec, struct rad_err *err)
{
    struct rad_machines machines = {0};
    const enum rad_status status = rad_machines_open(&machines, spec, err);
    rad_machines_close(&machines);
    return status;
}

enum rad_status rad_sweep_run(const rad_sweep_spec *spec, const struct rad_sweep_options *opt,
                              struct rad_sweep_summary *out, struct rad_err *err)
{
    struct run run = {.spec = spec, .opt = opt, .summary = out, .busy = ATOMIC_FLAG_INIT};
    *out = (struct rad_sweep_summary){.points = (int64_t)rad_sweep_n_point(spec)};
    const enum rad_status status = open_and_run(&run, err);
    rad_pool_close(run.pool);
    rad_machines_close(&run.machines);
    rad_identities_close(run.ids);
    free(run.task);
    free(run.group);
    return status;
}
