/* test_trace.h - what the tests of traces share: a small card, a run, scratch files, raw SQL. */
#ifndef RAD_TEST_TRACE_H
#define RAD_TEST_TRACE_H

#include "base/io.h"
#include "test.h"
#include "trace/trace.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#define TMP "build/tmp/"

enum { BOTH = RAD_HOP_ATTN | RAD_HOP_MLP };

static inline struct rad_card trace_card(int32_t n_layer)
{
    struct rad_card card = {.name = "tiny",
                            .n_layer = n_layer,
                            .d_model = 64,
                            .n_head = 4,
                            .n_kv = 4,
                            .d_head = 16,
                            .ffn = 128,
                            .vocab = 256,
                            .n_ctx = 512,
                            .norm = RAD_NORM_RMS,
                            .act = RAD_ACT_SWIGLU,
                            .max_hops = n_layer};
    return card;
}

static inline struct rad_trace_run trace_run(int32_t n_layer)
{
    struct rad_trace_run run = {.card = trace_card(n_layer),
                                .policy = "test:a=1",
                                .kv = RAD_KV_HOLE,
                                .seed = UINT64_MAX - 5,
                                .source = "eval",
                                .model_hash = "0123456789abcdef",
                                .text_hash = "fedcba9876543210",
                                .engine = "test engine",
                                .host = "test host",
                                .nll = (double)NAN};
    return run;
}

/* A token without NLL; its id is a function of its place. */
static inline struct rad_trace_token trace_token(int64_t seq, int32_t pos, int32_t n_hop)
{
    struct rad_trace_token tok = {.seq = seq,
                                  .pos = pos,
                                  .phase = RAD_PHASE_PREFILL,
                                  .token = (int32_t)((seq * 31 + pos) % 256),
                                  .nll = NAN,
                                  .n_hop = n_hop};
    return tok;
}

/* Change a file behind the library's back, CHECK constraints and all. */
static inline void trace_sql(const char *path, const char *sql)
{
    sqlite3 *db = NULL;
    char *message = NULL;
    CU_ASSERT_EQUAL_FATAL(sqlite3_open(path, &db), SQLITE_OK);
    sqlite3_exec(db,
                 "PRAGMA ignore_check_constraints = ON; PRAGMA writable_schema = ON;"
                 " PRAGMA synchronous = OFF",
                 NULL, NULL, NULL);
    if (sqlite3_exec(db, sql, NULL, NULL, &message) != SQLITE_OK)
        fprintf(stderr, "\n%s: %s\n", sql, message);
    CU_ASSERT_PTR_NULL(message);
    sqlite3_free(message);
    sqlite3_close(db);
}

#define LINES TMP "make.jsonl"
#define MADE TMP "made.db"

/* The trace of some lines. */
static inline rad_trace *imported(const char *lines, int32_t n_layer,
                                  const struct rad_trace_import_options *opt)
{
    const struct rad_card card = trace_card(n_layer);
    rad_trace *t = NULL;
    OK(rad_dir_make("build/tmp", &err));
    write_file(LINES, lines);
    OK(rad_trace_import(LINES, &card, MADE, opt, &err));
    OK(rad_trace_open(&t, MADE, &err));
    return t;
}

#endif
