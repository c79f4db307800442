/* cmd_sweep.c - `radial sweep`: the design space into a results database. */
#include "cli/capture.h"
#include "cli/cli.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { KEY_DB = 0x200, KEY_RESUME, N_REASON = 5 };

struct options {
    struct rad_cli_common common;
    const char *spec, *db;
    long jobs;
    bool dry_run;
};

static const struct argp_option option_rows[] = {
    {"db", KEY_DB, "R.db", 0, "Results database; made if absent, else extended", 0},
    {"jobs", 'j', "N", 0, "Threads; default: one per CPU", 0},
    {"resume", KEY_RESUME, NULL, 0, "Compute only what R.db does not have: always so", 0},
    {"dry-run", 'n', NULL, 0, "List the points and stop", 0},
    {0},
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
    struct options *o = state->input;
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &o->common;
        return 0;
    case KEY_DB:
        o->db = arg;
        return 0;
    case 'j':
        o->jobs = rad_cli_int(state, "--jobs", arg, 1, RAD_POOL_MAX);
        return 0;
    case 'n':
        o->dry_run = true;
        return 0;
    case KEY_RESUME:
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 0)
            argp_error(state, "expected one spec but found '%s' too", arg);
        o->spec = arg;
        return 0;
    case ARGP_KEY_END:
        if (o->spec == NULL)
            argp_error(state, "expected a spec: SPEC.yaml");
        if (o->db == NULL && !o->dry_run)
            argp_error(state, "expected --db R.db");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* The axes are listed behind the options, from the same table that the parser reads. */
static char *help_filter(int key, const char *text, void *input)
{
    struct rad_buf all = {0};
    char *out = NULL;
    (void)input;
    if (key != ARGP_KEY_HELP_POST_DOC || text == NULL)
        return strdup(text != NULL ? text : "");
    rad_buf_add(&all, "Keys of the spec: method (grid, random, sobol), points and seed (random,"
                      " sobol), parameters, constraints (\"batch <= 32\","
                      " \"hw != u280 or dtype == int8\").\nParameters, each {values: [...]},"
                      " {min, max, step|factor} or, to draw from, {min, max, distribution: uniform"
                      "|log_uniform} (name, default, meaning):\n");
    for (int i = 0; i < RAD_N_AXIS; i++) {
        const enum rad_sweep_axis axis = (enum rad_sweep_axis)i;
        const char *def = rad_sweep_axis_default(axis);
        rad_buf_printf(&all, "  %-9s %-9s %s\n", rad_sweep_axis_name(axis),
                       def[0] != '\0' ? def : "-", rad_sweep_axis_doc(axis));
    }
    rad_buf_printf(&all, "\n%s", text);
    out = all.failed ? NULL : strdup(all.data);
    rad_buf_free(&all);
    return out;
}

static const struct argp argp = {
    .options = option_rows,
    .parser = parse_option,
    .args_doc = "SPEC.yaml --db R.db",
    .doc = "Replay traces over a design space, into an SQLite database. Interrupted and started "
           "again, it computes only what is missing.\v"
           "Example:\n"
           "  method: grid\n"
           "  parameters:\n"
           "    trace: {values: [traces/radial-tiny-*.db]}\n"
           "    hw:    {values: [a100-sxm-80gb, tpu-v5e, u280]}\n"
           "    batch: {values: [1, 2, 4, 8]}\n"
           "    dtype: {values: [fp16, int8]}\n\n"
           "  radial sweep spec.yaml --db results/r.db\n"
           "  radial query results/r.db @pareto\n",
    .children = rad_cli_children,
    .help_filter = help_filter,
};

/* ---- the sink: rows into the store ----------------------------------------------------- */

struct reason {
    char message[RAD_ERR_MAX];
    int64_t n;
};

struct sink {
    rad_store *store;
    struct reason reason[N_REASON]; /* why points failed, the first few */
    int64_t other;
    int64_t too_large; /* points that do not fit into their machine */
};

static bool sink_done(void *ctx, const char *key, const char *inputs)
{
    struct sink *sink = ctx;
    return rad_store_has(sink->store, key, inputs);
}

static void count_reason(struct sink *sink, const char *message)
{
    for (int i = 0; i < N_REASON; i++) {
        struct reason *reason = &sink->reason[i];
        if (reason->n == 0)
            snprintf(reason->message, sizeof reason->message, "%s", message);
        if (strcmp(reason->message, message) == 0) {
            reason->n++;
            return;
        }
    }
    sink->other++;
}

static enum rad_status sink_row(void *ctx, const struct rad_sweep_row *row, struct rad_err *err)
{
    struct sink *sink = ctx;
    struct rad_store_axis axis[RAD_N_AXIS];
    for (int i = 0; i < RAD_N_AXIS; i++)
        axis[i] = (struct rad_store_axis){rad_sweep_axis_name((enum rad_sweep_axis)i),
                                          row->point->value[i]};
    axis[RAD_AXIS_DTYPE].value = row->dtype;
    const struct rad_store_row out = {
        .key = row->point->key,
        .inputs = row->inputs,
        .axis = axis,
        .n_axis = RAD_N_AXIS,
        .error = row->message,
        .result = row->result,
        .trace = row->trace,
        .trace_path = row->trace_path,
        .hw = row->hw,
        .card = row->card,
        .eval_s = row->eval_s,
    };
    if (row->message != NULL)
        count_reason(sink, row->message);
    else
        sink->too_large += row->result->device_memory_frac > 1.0;
    return rad_store_put(sink->store, &out, err);
}

static enum rad_status sink_flush(void *ctx, struct rad_err *err)
{
    struct sink *sink = ctx;
    return rad_store_flush(sink->store, err);
}

/* ---- running --------------------------------------------------------------------------- */

static enum rad_status list_points(const struct options *o, const rad_sweep_spec *spec,
                                   struct rad_err *err)
{
    rad_out *out = NULL;
    rad_out_open(&out, o->common.format, stdout);
    const struct rad_sweep_point *points = rad_sweep_points(spec);
    for (size_t i = 0; i < rad_sweep_n_point(spec); i++) {
        rad_out_begin_row(out);
        rad_out_text(out, "key", points[i].key);
        for (int a = 0; a < RAD_N_AXIS; a++)
            rad_out_text(out, rad_sweep_axis_name((enum rad_sweep_axis)a),
                         points[i].value[a][0] != '\0' ? points[i].value[a] : NULL);
        rad_out_end_row(out);
    }
    return rad_out_close(out, false, err);
}

static void print_reasons(const struct sink *sink)
{
    for (int i = 0; i < N_REASON && sink->reason[i].n > 0; i++)
        rad_cli_warn("sweep", "%lld point%s failed: %s", (long long)sink->reason[i].n,
                     sink->reason[i].n == 1 ? "" : "s", sink->reason[i].message);
    if (sink->other > 0)
        rad_cli_warn("sweep", "%lld points failed for other reasons; see @failures",
                     (long long)sink->other);
    if (sink->too_large > 0)
        rad_cli_warn("sweep",
                     "%lld point(s) need more memory than their machine has "
                     "(device_memory_frac > 1): no frontier has them",
                     (long long)sink->too_large);
}

static enum rad_status print_summary(const struct options *o, const struct rad_sweep_summary *s,
                                     struct rad_err *err)
{
    rad_out *out = NULL;
    rad_out_open(&out, o->common.format, stdout);
    rad_out_begin_row(out);
    rad_out_int(out, "points", s->points);
    rad_out_int(out, "done", s->skipped + s->computed);
    rad_out_int(out, "failed", s->failed);
    rad_out_real(out, "points_per_s",
                 s->wall_s > 0 ? (double)(s->computed + s->failed) / s->wall_s : 0);
    rad_out_int(out, "computed", s->computed);
    rad_out_int(out, "skipped", s->skipped);
    rad_out_text(out, "db", o->db);
    rad_out_end_row(out);
    return rad_out_close(out, true, err);
}

/* One run of the command. */
struct job {
    const struct options *o;
    const rad_sweep_spec *spec;
    struct sink sink;
    struct rad_sweep_provider provider;
    struct rad_sweep_summary summary;
};

static enum rad_status sweep_points(struct job *job, struct rad_err *err)
{
    const struct rad_sweep_options options = {
        .jobs = (int)job->o->jobs,
        .provider = &job->provider,
        .sink = {&job->sink, sink_done, sink_row, sink_flush},
        .progress = rad_progress_open(stderr, "sweep", (int64_t)rad_sweep_n_point(job->spec),
                                      job->o->common.progress),
    };
    const enum rad_status status = rad_sweep_run(job->spec, &options, &job->summary, err);
    rad_progress_close(options.progress);
    return status;
}

/* Traces of models are captured by all threads and kept beside the database. */
static enum rad_status sweep_with_models(struct job *job, struct rad_err *err)
{
    struct rad_buf folder = {0};
    rad_pool *pool = NULL;
    rad_buf_printf(&folder, "%s.traces", job->o->db);
    enum rad_status status = folder.failed ? rad_fail(err, RAD_E_NOMEM, "out of memory")
                                           : rad_pool_open(&pool, (int)job->o->jobs, err);
    job->provider = (struct rad_sweep_provider){pool, capture_trace, folder.data, rad_model_find};
    if (status == RAD_OK)
        status = sweep_points(job, err);
    rad_pool_close(pool);
    rad_buf_free(&folder);
    return status;
}

static enum rad_status run_sweep(struct job *job, struct rad_err *err)
{
    char host[64] = "";
    (void)gethostname(host, sizeof host - 1);
    const struct rad_store_run run = {
        .version = RAD_VERSION,
        .spec = rad_sweep_text(job->spec),
        .spec_hash = rad_sweep_hash(job->spec),
        .host = host,
    };
    RAD_TRY(rad_sweep_check(job->spec, err)); /* before a database is made */
    RAD_TRY(rad_cli_make_folder(job->o->db, err));
    RAD_TRY(rad_store_open(&job->sink.store, job->o->db, &run, err));
    const enum rad_status status = sweep_with_models(job, err);
    if (status != RAD_OK) {
        rad_store_abandon(job->sink.store);
        return status;
    }
    RAD_TRY(rad_store_finish(job->sink.store, err));
    print_reasons(&job->sink);
    return print_summary(job->o, &job->summary, err);
}

static int run(int argc, char *argv[])
{
    struct options o = {0};
    struct rad_err err = {RAD_OK, ""};
    struct job job = {.o = &o};
    rad_sweep_spec *spec = NULL;
    if (rad_cli_parse(&argp, argc, argv, &o) != 0)
        return EXIT_FAILURE;
    enum rad_status status = rad_sweep_open(&spec, o.spec, &err);
    job.spec = spec;
    if (status == RAD_OK)
        status = o.dry_run ? list_points(&o, spec, &err) : run_sweep(&job, &err);
    rad_sweep_close(spec);
    if (status != RAD_OK)
        return rad_cli_fail("sweep", &err);
    const bool none = job.summary.failed > 0 && job.summary.failed == job.summary.points;
    return none ? EXIT_FAILURE : EXIT_SUCCESS;
}

const struct rad_command rad_command_sweep = {
    .name = "sweep",
    .summary = "replay traces over a design space, into a results database",
    .run = run,
};
