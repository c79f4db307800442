/* model_args.h - private to cli/: what run, eval, profile and bench have in common. */
#ifndef RAD_MODEL_ARGS_H
#define RAD_MODEL_ARGS_H

#include "cli/cli.h"

enum { MODEL_ARGS_TEXT_MAX = 64 };

struct model_args {
    const char *folder, *policy, *kv, *trace, *tokens;
    const char *text[MODEL_ARGS_TEXT_MAX];
    int n_text, ctx, threads;
    double tail; /* last share of every text */
    bool stats;
    bool images; /* the command reads images too; others refuse models that do */
    bool alone;  /* one engine at a time: it has the threads, and there is no pool */
    uint64_t seed;
    struct rad_engine_options engine; /* filled by model_args_open, like found */
    char found[RAD_PATH_MAX];         /* where the model is: rad_model_find */
};

struct model_run {
    rad_model *model;
    rad_pool *pool;
};

enum {
    MODEL_KEY_POLICY = 500,
    MODEL_KEY_KV,
    MODEL_KEY_TRACE,
    MODEL_KEY_TEXT,
    MODEL_KEY_TOKENS,
    MODEL_KEY_CTX,
    MODEL_KEY_SEED,
    MODEL_KEY_STATS,
    MODEL_KEY_TAIL
};

#define MODEL_ARGS_OPTIONS                                                                         \
    {"policy",                                                                                     \
     MODEL_KEY_POLICY,                                                                             \
     "P",                                                                                          \
     0,                                                                                            \
     "dense | radial:budget=B | uls:speedup=S | skip:frac=F | oracle:theta=T (default dense, "     \
     "or radial for a model with a router)",                                                       \
     1},                                                                                           \
        {"kv", MODEL_KEY_KV, "K", 0, "cache of skipped layers: hole | project | copy", 1},         \
        {"text",                                                                                   \
         MODEL_KEY_TEXT,                                                                           \
         "F",                                                                                      \
         0,                                                                                        \
         "a text file; may be repeated, or stand for several: --text *.txt",                       \
         1},                                                                                       \
        {"tokens", MODEL_KEY_TOKENS, "F", 0, "token ids, one sequence per line", 1},               \
        {"ctx", MODEL_KEY_CTX, "N", 0, "window length (default: the model's)", 1},                 \
        {"seed", MODEL_KEY_SEED, "S", 0, "of sampling and of policy skip", 1},                     \
        {"jobs", 'j', "N", 0, "threads (default: one per CPU)", 1},                                \
        {"trace", MODEL_KEY_TRACE, "T.db", 0, "write what every token did", 1},                    \
    {                                                                                              \
        "stats", MODEL_KEY_STATS, NULL, 0, "with --trace: residual norms of every hop", 1          \
    }

/* Ends the text of --help, behind the example. */
#define MODEL_ARGS_DOC                                                                             \
    "\nMODEL is a folder in Hugging Face layout, a .gguf file, or ORG/NAME in the cache of the "   \
    "Hugging Face hub.\n"

/* For commands that evaluate. */
#define MODEL_TAIL_OPTION                                                                          \
    {                                                                                              \
        "tail", MODEL_KEY_TAIL, "FRAC", 0,                                                         \
            "only the last FRAC of every text (default 1: all of it)", 2                           \
    }

void model_args_default(struct model_args *a);
error_t model_args_parse(struct model_args *a, int key, char *arg, struct argp_state *state);

/* Load the model, parse policy and kv, start the pool if there is to be one. */
RAD_MUST_CHECK enum rad_status model_args_open(struct model_args *a, struct model_run *run,
                                               struct rad_err *err);
void model_args_close(struct model_run *run);

/* The tokens of --text (their last share --tail) or --tokens; free with rad_tokens_free. */
RAD_MUST_CHECK enum rad_status model_args_tokens(const struct model_args *a,
                                                 const struct model_run *run,
                                                 struct rad_tokens *out, struct rad_err *err);

/* Create --trace if given; *out stays NULL otherwise. */
RAD_MUST_CHECK enum rad_status model_args_trace(const struct model_args *a,
                                                const struct model_run *run, const char *source,
                                                const struct rad_tokens *tokens,
                                                rad_trace_writer **out, struct rad_err *err);
/* Finish a trace after success, abandon it after failure; returns the status to go on with. */
RAD_MUST_CHECK enum rad_status model_args_trace_end(rad_trace_writer *w, enum rad_status status,
                                                    double nll, bool forward_only,
                                                    struct rad_err *err);

/* How `eval` and `profile` go over a text. */
struct model_eval {
    const char *name; /* on the progress line */
    enum rad_progress_mode progress;
    bool decode;
};

/* Evaluate --text or --tokens with --trace. sinks: who else listens; trace and progress are filled
 * in here. *out keeps its values if nothing ran. */
RAD_MUST_CHECK enum rad_status model_args_eval(const struct model_args *a,
                                               const struct model_run *run,
                                               const struct model_eval *how,
                                               struct rad_eval_sinks sinks,
                                               struct rad_eval_result *out, struct rad_err *err);

#endif
