/* sweep.h - the design space: a spec becomes many replays, and their rows go to a sink.
 *
 * A spec names values for axes (axes.def) and a method: `grid` takes every combination, `random`
 * and `sobol` draw `points` of them. A point is one value per axis; its key is a hash of its
 * canonical text, so that a sink can tell which points it has already. Points that differ only in
 * hardware share one plan (replay.h). The sweep knows neither SQLite nor inference: rows go to a
 * callback, and traces that do not exist yet come from one. */
#ifndef RAD_SWEEP_H
#define RAD_SWEEP_H

#include "base/err.h"
#include "base/io.h"
#include "base/progress.h"
#include "hw/hw.h"
#include "replay/replay.h"
#include "trace/trace.h"

#include <stdbool.h>
#include <stdint.h>

enum rad_sweep_axis {
#define RAD_AXIS(id, name, kind, def, doc) RAD_AXIS_##id,
#include "sweep/axes.def"
#undef RAD_AXIS
    RAD_N_AXIS
};

const char *rad_sweep_axis_name(enum rad_sweep_axis axis);
const char *rad_sweep_axis_doc(enum rad_sweep_axis axis);
const char *rad_sweep_axis_default(enum rad_sweep_axis axis); /* "" if there is none */

/* One design point. Strings belong to the spec. */
struct rad_sweep_point {
    char key[17];                  /* 16 hex digits: hash of text */
    const char *text;              /* canonical: one "axis=value" per line, axes in order */
    const char *value[RAD_N_AXIS]; /* canonical value of each axis, "" if it does not apply */
};

/* ---- the spec -------------------------------------------------------------------------- */

typedef struct rad_sweep_spec rad_sweep_spec; /* immutable */

/* Read a spec and list its points: globs expanded, constraints applied, duplicates dropped. The
 * same text and files give the same points; random and sobol points also do not depend on how
 * many follow them.
 * errors: RAD_E_IO, RAD_E_PARSE (line:col), RAD_E_RANGE (no point or too many), RAD_E_NOMEM */
RAD_MUST_CHECK enum rad_status rad_sweep_open(rad_sweep_spec **out, const char *path,
                                              struct rad_err *err);

/* The same from text; name stands for the file in messages. */
RAD_MUST_CHECK enum rad_status rad_sweep_parse(rad_sweep_spec **out, const char *text,
                                               const char *name, struct rad_err *err);
void rad_sweep_close(rad_sweep_spec *spec);

const char *rad_sweep_text(const rad_sweep_spec *spec); /* the file, byte for byte */
const char *rad_sweep_hash(const rad_sweep_spec *spec); /* of that text, 16 hex digits */
size_t rad_sweep_n_point(const rad_sweep_spec *spec);
const struct rad_sweep_point *rad_sweep_points(const rad_sweep_spec *spec);

/* ---- callbacks ------------------------------------------------------------------------- */

/* What a trace is made from when a spec names models: run `model` under `policy` over `text`. */
struct rad_sweep_capture {
    const char *model, *policy, *text;
    const char *kv; /* "recorded": the policy's or model's own */
    int64_t ctx;    /* window in tokens; 0: the model's own */
};

/* Where captured traces come from and where they are kept. */
struct rad_sweep_provider {
    void *ctx;
    /* Run the model and write a complete trace to path. Called by one thread at a time. */
    enum rad_status (*capture)(void *ctx, const struct rad_sweep_capture *what, const char *path,
                               struct rad_err *err);
    const char *folder; /* traces are kept here as HASH-OF-INPUTS.db and used again */
    /* The file or folder that `model` means, whose content is hashed; NULL: it is a path. */
    enum rad_status (*find)(char out[RAD_PATH_MAX], const char *model, struct rad_err *err);
};

/* The outcome of a point. Everything is borrowed for the call. */
struct rad_sweep_row {
    const struct rad_sweep_point *point;
    const char *inputs;                     /* see done() */
    enum rad_status status;                 /* RAD_OK, or why the point failed */
    const char *message;                    /* of a failed point, else NULL */
    const struct rad_replay_result *result; /* NULL if failed, like the rest */
    const char *dtype;                      /* that was costed: of the point or the machine */
    const rad_trace *trace;
    const char *trace_path;
    const rad_hw *hw;
    const struct rad_card *card; /* the card that was costed */
    double eval_s;               /* wall time of costing this point and its share of the plan */
};

/* Where rows go. Calls come from several threads but never two at a time, and rows in the order
 * of the points. A failing row() or flush() ends the sweep. */
struct rad_sweep_sink {
    void *ctx;
    /* The sink has this point: key, made from the same inputs (16 hex digits, a hash of trace or
     * model, text, profile and card). NULL: it has none. */
    bool (*done)(void *ctx, const char *key, const char *inputs);
    enum rad_status (*row)(void *ctx, const struct rad_sweep_row *row, struct rad_err *err);
    /* Long work follows: make durable what was given. May be NULL. */
    enum rad_status (*flush)(void *ctx, struct rad_err *err);
};

/* ---- running --------------------------------------------------------------------------- */

struct rad_sweep_options {
    int jobs;                                  /* threads; 0: one per CPU */
    const struct rad_sweep_provider *provider; /* NULL: specs with `model` are refused */
    struct rad_sweep_sink sink;
    rad_progress *progress; /* NULL: none */
};

struct rad_sweep_summary {
    int64_t points;   /* in the spec */
    int64_t skipped;  /* of these the sink had already */
    int64_t computed; /* and these have a result now */
    int64_t failed;   /* and these have none */
    double wall_s;    /* without skipped points and capturing */
};

/* Whether every profile and card of the spec can be read, before anything is written.
 * errors: those of profiles and cards */
RAD_MUST_CHECK enum rad_status rad_sweep_check(const rad_sweep_spec *spec, struct rad_err *err);

/* Compute what the sink does not have. A point that cannot be computed is a row with a message;
 * a profile or card that cannot be read ends the sweep before the first row.
 * errors: those of profiles and cards, RAD_E_UNSUPPORTED (models without provider), RAD_E_NOMEM,
 * and what the sink returned */
RAD_MUST_CHECK enum rad_status rad_sweep_run(const rad_sweep_spec *spec,
                                             const struct rad_sweep_options *opt,
                                             struct rad_sweep_summary *out, struct rad_err *err);

#endif
