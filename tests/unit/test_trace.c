/* test_trace.c - what is written is read: by the C reader, by a second reader, and after a kill. */
#include "test_trace.h"
#include "base/buf.h"

#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { N_LAYER = 6, N_SEQ = 3, N_POS = 20, MAX_HOP = 5 };

/* ---- a trace with everything in it ------------------------------------------------------ */

/* Small numbers that differ from place to place. */
static uint32_t mix(int64_t seq, int32_t pos, int32_t i)
{
    uint32_t x = (uint32_t)seq * 2654435761u + (uint32_t)pos * 40503u + (uint32_t)i * 97u + 1u;
    x ^= x >> 15;
    x *= 2246822519u;
    return x ^ x >> 13;
}

static int32_t example_path(int64_t seq, int32_t pos, struct rad_hop_rec *hop)
{
    const int32_t n = (int32_t)(mix(seq, pos, 99) % (MAX_HOP + 1));
    for (int32_t i = 0; i < n; i++) {
        const uint32_t x = mix(seq, pos, i);
        hop[i].layer = (uint16_t)(x % N_LAYER);
        hop[i].flags = (uint16_t)(x % 7 == 0   ? RAD_HOP_ATTN
                                  : x % 7 == 1 ? RAD_HOP_MLP
                                  : x % 7 == 2 ? 0
                                               : BOTH);
        hop[i].n_keys = (hop[i].flags & RAD_HOP_ATTN) != 0 ? 1 + (x >> 4) : 0;
    }
    return n;
}

static void example_stats(int64_t seq, int32_t pos, int32_t n, struct rad_hop_stat *stat)
{
    for (int32_t i = 0; i < n; i++) {
        const float x = (float)(mix(seq, pos, i) % 1000) / 7.0f;
        stat[i] = (struct rad_hop_stat){x + 1, x / 3, -x, NAN, NAN, NAN, i == 0 ? NAN : x};
    }
}

/* A context so long that all four bytes of n_keys are used. */
static struct rad_trace_run example_run(void)
{
    struct rad_trace_run run = trace_run(N_LAYER);
    run.card.n_ctx = 1 << 28;
    return run;
}

static struct rad_trace_token example_token(int64_t seq, int32_t pos)
{
    struct rad_trace_token tok = trace_token(seq, pos, 0);
    tok.phase = pos < N_POS / 2 ? RAD_PHASE_PREFILL : RAD_PHASE_DECODE;
    tok.token = pos % 4 == 0 ? -1 : tok.token;
    tok.nll = pos % 3 == 0 ? NAN : (float)(mix(seq, pos, 7) % 100) / 9.0f;
    return tok;
}

/* Sequences 10, 20, 30 token by token in turn, as a batched run does; 10 has no statistics. */
static void write_example(const char *path)
{
    const struct rad_trace_run run = example_run();
    rad_trace_writer *w = NULL;
    OK(rad_trace_create(&w, path, &run, &err));
    for (int32_t pos = 0; pos < N_POS; pos++)
        for (int64_t seq = 10; seq <= 10 * N_SEQ; seq += 10) {
            struct rad_hop_rec hop[MAX_HOP];
            struct rad_hop_stat stat[MAX_HOP];
            struct rad_trace_token tok = example_token(seq, pos);
            tok.n_hop = example_path(seq, pos, hop);
            example_stats(seq, pos, tok.n_hop, stat);
            OK(rad_trace_put(w, &tok, hop, seq == 10 ? NULL : stat, &err));
        }
    OK(rad_trace_timing(w, 10, RAD_PHASE_PREFILL, 0.25, &err));
    OK(rad_trace_timing(w, 10, RAD_PHASE_PREFILL, 0.125, &err)); /* adds up */
    OK(rad_trace_timing(w, 30, RAD_PHASE_PREFILL, 1.0 / 3, &err));
    OK(rad_trace_finish(w, 1.5, false, &err));
}

/* ---- the C reader ------------------------------------------------------------------------ */

static void a_trace_reads_back_as_written(void)
{
    rad_trace *t = NULL;
    write_example(TMP "round.db");
    OK(rad_trace_open(&t, TMP "round.db", &err));
    const struct rad_trace_run *run = rad_trace_run(t), want = example_run();
    CU_ASSERT_STRING_EQUAL(run->card.name, "tiny");
    CU_ASSERT_EQUAL(run->card.n_ctx, want.card.n_ctx);
    CU_ASSERT_STRING_EQUAL(run->policy, want.policy);
    CU_ASSERT_STRING_EQUAL(run->source, want.source);
    CU_ASSERT_STRING_EQUAL(run->model_hash, want.model_hash);
    CU_ASSERT_STRING_EQUAL(run->parent, "");
    CU_ASSERT_EQUAL(run->seed, want.seed);
    CU_ASSERT_EQUAL(run->nll, 1.5);
    CU_ASSERT_TRUE(rad_trace_complete(t));
    CU_ASSERT_EQUAL_FATAL(rad_trace_n_token(t), N_SEQ * N_POS);
    CU_ASSERT_EQUAL(rad_trace_n_seq(t), N_SEQ);
    CU_ASSERT_EQUAL(rad_trace_measured_s(t, RAD_PHASE_PREFILL), 0.375 + 1.0 / 3);
    CU_ASSERT_TRUE(isnan(rad_trace_measured_s(t, RAD_PHASE_DECODE)));
    int64_t halves = 0, hops = 0;
    for (int64_t i = 0; i < N_SEQ * N_POS; i++) {
        const struct rad_trace_token *tok = &rad_trace_tokens(t)[i];
        const struct rad_trace_token wanted =
            example_token(10 * (1 + i / N_POS), (int32_t)(i % N_POS));
        struct rad_hop_rec hop[MAX_HOP];
        CU_ASSERT_EQUAL_FATAL(tok->n_hop, example_path(wanted.seq, wanted.pos, hop));
        CU_ASSERT_EQUAL(tok->hop_first, hops);
        CU_ASSERT(tok->seq == wanted.seq && tok->pos == wanted.pos && tok->token == wanted.token);
        CU_ASSERT_EQUAL(tok->phase, wanted.phase);
        CU_ASSERT(tok->nll == wanted.nll || (isnan(tok->nll) && isnan(wanted.nll)));
        CU_ASSERT_EQUAL(memcmp(hop, rad_trace_hops(t) + hops, (size_t)tok->n_hop * sizeof *hop), 0);
        for (int32_t h = 0; h < tok->n_hop; h++)
            halves += (hop[h].flags & 1) + (hop[h].flags >> 1 & 1);
        hops += tok->n_hop;
    }
    CU_ASSERT_EQUAL(rad_trace_n_hop(t), hops);
    NEAR(rad_trace_mean_depth(t), (double)halves / 2 / (N_SEQ * N_POS), 1e-12);
    rad_trace_close(t);
}

/* A finished trace is one file: nothing has to be copied along with it. */
static void a_finished_trace_leaves_no_journal(void)
{
    write_example(TMP "journal.db");
    CU_ASSERT_EQUAL(access(TMP "journal.db", F_OK), 0);
    CU_ASSERT_NOT_EQUAL(access(TMP "journal.db-wal", F_OK), 0);
    CU_ASSERT_NOT_EQUAL(access(TMP "journal.db-shm", F_OK), 0);
}

/* ---- the second reader ------------------------------------------------------------------- */

static void add_real(struct rad_buf *b, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    if (isnan(value))
        rad_buf_add(b, "nan");
    else
        rad_buf_printf(b, "%016llx", (unsigned long long)bits);
}

static void add_single(struct rad_buf *b, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if (isnan(value))
        rad_buf_add(b, "nan");
    else
        rad_buf_printf(b, "%08x", (unsigned)bits);
}

static void dump_run(struct rad_buf *b, const rad_trace *t)
{
    const struct rad_trace_run *r = rad_trace_run(t);
    rad_buf_printf(b, "card %s n_layer=%d d_model=%d\n", r->card.name, r->card.n_layer,
                   r->card.d_model);
    rad_buf_printf(b, "policy %s\nsource %s\nmodel_hash %s\ntext_hash %s\n", r->policy, r->source,
                   r->model_hash, r->text_hash);
    rad_buf_printf(b, "engine %s\nhost %s\nparent %s\nkv %s\n", r->engine, r->host, r->parent,
                   rad_kv_name(r->kv));
    rad_buf_printf(b, "forward_only=%d has_router=%d seed=%llu complete=%d nll=", r->forward_only,
                   r->has_router, (unsigned long long)r->seed, rad_trace_complete(t));
    add_real(b, r->nll);
    rad_buf_add(b, "\ntiming prefill ");
    add_real(b, rad_trace_measured_s(t, RAD_PHASE_PREFILL));
    rad_buf_add(b, "\ntiming decode ");
    add_real(b, rad_trace_measured_s(t, RAD_PHASE_DECODE));
    rad_buf_add(b, "\n");
}

/* As tests/oracle/read_trace.py prints it. Sequence 10 has no statistics. */
static void dump_token(struct rad_buf *b, const rad_trace *t, const struct rad_trace_token *tok)
{
    rad_buf_printf(b, "token seq=%lld pos=%d %s id=%d nll=", (long long)tok->seq, tok->pos,
                   tok->phase == RAD_PHASE_DECODE ? "decode" : "prefill", tok->token);
    add_single(b, tok->nll);
    for (int32_t h = 0; h < tok->n_hop; h++) {
        const struct rad_hop_rec *hop = &rad_trace_hops(t)[tok->hop_first + h];
        const struct rad_hop_stat *s = &rad_trace_stats(t)[tok->hop_first + h];
        const float value[] = {s->a_attn, s->b_attn, s->c_attn, s->a_mlp,
                               s->b_mlp,  s->c_mlp,  s->margin};
        rad_buf_printf(b, "\nhop %d layer=%d flags=%d keys=%u", h, hop->layer, hop->flags,
                       (unsigned)hop->n_keys);
        for (int k = 0; k < 7 && tok->seq != 10; k++) {
            rad_buf_add(b, " ");
            add_single(b, value[k]);
        }
        CU_ASSERT(tok->seq != 10 || (isnan(s->a_attn) && isnan(s->c_mlp) && isnan(s->margin)));
    }
    rad_buf_add(b, "\n");
}

/* What a command prints, or NULL if it cannot be run. */
static char *output_of(const char *command)
{
    struct rad_buf b = {0};
    char block[4096];
    FILE *pipe = popen(command, "r");
    if (pipe == NULL)
        return NULL;
    for (size_t n; (n = fread(block, 1, sizeof block, pipe)) > 0;)
        rad_buf_append(&b, block, n);
    if (pclose(pipe) == 0 && !b.failed)
        return b.data;
    rad_buf_free(&b);
    return NULL;
}

static void compare_text(const char *found, const char *wanted)
{
    size_t line = 0, i = 0;
    for (; found[i] == wanted[i] && found[i] != '\0'; i++)
        if (found[i] == '\n')
            line = i + 1;
    if (found[i] != wanted[i])
        fprintf(stderr, "\nexpected %.80s\nfound    %.80s\n", wanted + line, found + line);
    CU_ASSERT_EQUAL(found[i], wanted[i]);
}

/* Twice: paths from the blobs, and from the view `visit` by plain SQL. */
static void second_reader_agrees_on_every_field(void)
{
    static const char *const commands[] = {"python3 tests/oracle/read_trace.py " TMP "second.db",
                                           "python3 tests/oracle/read_trace.py " TMP
                                           "second.db --sql"};
    char *python = output_of("python3 -c 'import sqlite3; print(1)' 2>/dev/null");
    rad_trace *t = NULL;
    struct rad_buf b = {0};
    if (python == NULL) {
        puts("\n    skipped: python3 with sqlite3 is not installed");
        return;
    }
    free(python);
    write_example(TMP "second.db");
    OK(rad_trace_open(&t, TMP "second.db", &err));
    dump_run(&b, t);
    for (int64_t i = 0; i < rad_trace_n_token(t); i++)
        dump_token(&b, t, &rad_trace_tokens(t)[i]);
    rad_buf_printf(&b, "sequences=%d tokens=%lld hops=%lld half_layers=%.0f\n", N_SEQ,
                   (long long)rad_trace_n_token(t), (long long)rad_trace_n_visit(t),
                   rad_trace_mean_depth(t) * 2 * (double)rad_trace_n_token(t));
    for (int i = 0; i < 2; i++) {
        char *found = output_of(commands[i]);
        CU_ASSERT_PTR_NOT_NULL_FATAL(found);
        compare_text(found, b.data);
        free(found);
    }
    rad_trace_close(t);
    rad_buf_free(&b);
}

/* ---- killed, replaced, known -------------------------------------------------------------- */

static void write_until_killed(const char *path)
{
    const struct rad_trace_run run = example_run();
    rad_trace_writer *w = NULL;
    if (rad_trace_create(&w, path, &run, NULL) != RAD_OK)
        _exit(1);
    for (int32_t pos = 0;; pos++) {
        struct rad_hop_rec hop[MAX_HOP];
        struct rad_trace_token tok = trace_token(1, pos, 0);
        tok.n_hop = example_path(1, pos, hop);
        if (rad_trace_put(w, &tok, hop, NULL, NULL) != RAD_OK)
            _exit(1);
    }
}

/* The trace is read while it is written, then the writer is killed in the middle of a write. */
static void a_killed_writer_leaves_a_readable_prefix(void)
{
    static const char path[] = TMP "killed.db";
    const struct timespec pause = {.tv_nsec = 5000000};
    rad_trace *t = NULL;
    int64_t before = 0;
    CU_ASSERT(unlink(path) == 0 || access(path, F_OK) != 0);
    const pid_t child = fork();
    CU_ASSERT_FATAL(child >= 0);
    if (child == 0)
        write_until_killed(path);
    for (int i = 0; i < 2000 && before == 0; i++) {
        nanosleep(&pause, NULL);
        if (rad_trace_open(&t, path, NULL) == RAD_OK)
            before = rad_trace_n_token(t);
        rad_trace_close(t);
    }
    kill(child, SIGKILL);
    int how = 0;
    CU_ASSERT_EQUAL(waitpid(child, &how, 0), child);
    CU_ASSERT_TRUE(WIFSIGNALED(how));
    OK(rad_trace_open(&t, path, &err));
    CU_ASSERT_FALSE(rad_trace_complete(t));
    CU_ASSERT(before > 0 && rad_trace_n_token(t) >= before);
    for (int64_t i = 0; i < rad_trace_n_token(t); i++) {
        const struct rad_trace_token *tok = &rad_trace_tokens(t)[i];
        struct rad_hop_rec hop[MAX_HOP];
        CU_ASSERT_EQUAL_FATAL(tok->pos, i);
        CU_ASSERT_EQUAL_FATAL(tok->n_hop, example_path(1, (int32_t)i, hop));
        const struct rad_hop_rec *found = rad_trace_hops(t) + tok->hop_first;
        CU_ASSERT_EQUAL_FATAL(memcmp(hop, found, (size_t)tok->n_hop * sizeof *hop), 0);
    }
    rad_trace_close(t);
    write_example(path); /* and it may be replaced */
}

static void only_traces_are_replaced(void)
{
    const struct rad_trace_run run = trace_run(N_LAYER);
    rad_trace_writer *w = NULL;
    rad_trace *t = NULL;
    write_file(TMP "notes.txt", "keep me, I am not a trace at all\n");
    CU_ASSERT_EQUAL(rad_trace_create(&w, TMP "notes.txt", &run, &err), RAD_E_PARSE);
    CU_ASSERT_PTR_NULL(w);
    char *text = NULL;
    OK(rad_file_read(TMP "notes.txt", 100, &text, NULL, &err));
    CU_ASSERT_STRING_EQUAL(text, "keep me, I am not a trace at all\n");
    free(text);
    unlink(TMP "other.db");
    trace_sql(TMP "other.db", "PRAGMA application_id = 7; CREATE TABLE mine(x)");
    CU_ASSERT_EQUAL(rad_trace_create(&w, TMP "other.db", &run, &err), RAD_E_PARSE);
    trace_sql(TMP "other.db", "INSERT INTO mine VALUES(1)"); /* still there */
    CU_ASSERT_EQUAL(rad_trace_create(&w, TMP, &run, &err), RAD_E_IO);
    CU_ASSERT_EQUAL(rad_trace_create(&w, TMP "no/such/folder.db", &run, &err), RAD_E_DB);
    write_file(TMP "empty.db", "");
    OK(rad_trace_create(&w, TMP "empty.db", &run, &err));
    rad_trace_abandon(w);
    OK(rad_trace_open(&t, TMP "empty.db", &err)); /* nothing in it yet */
    CU_ASSERT_EQUAL(rad_trace_n_token(t), 0);
    CU_ASSERT_FALSE(rad_trace_complete(t));
    CU_ASSERT_TRUE(isnan(rad_trace_mean_depth(t)));
    rad_trace_close(t);
}

/* Equal routing has an equal identity, whoever measured it. */
static void the_hash_is_of_run_and_paths(void)
{
    static const char *const changes[] = {
        "UPDATE run SET host = 'another', engine = 'another', nll = 2",
        "UPDATE token SET nll = 3, stats = NULL",
        "UPDATE run SET policy = 'another'",
        "UPDATE token SET path = CAST(x'0100' || substr(path, 3) AS BLOB) WHERE length(path) > 0",
        "UPDATE token SET token = 9",
    };
    char first[17];
    rad_trace *t = NULL;
    for (size_t i = 0; i <= sizeof changes / sizeof changes[0]; i++) {
        write_example(TMP "hash.db");
        if (i > 0)
            trace_sql(TMP "hash.db", changes[i - 1]);
        OK(rad_trace_open(&t, TMP "hash.db", &err));
        if (i == 0)
            memcpy(first, rad_trace_hash(t), sizeof first);
        CU_ASSERT_EQUAL(strlen(rad_trace_hash(t)), 16);
        CU_ASSERT_EQUAL(strcmp(rad_trace_hash(t), first) == 0, i <= 2);
        rad_trace_close(t);
    }
}

static void start(void)
{
    OK(rad_dir_make("build/tmp", &err));
}

CU_TestInfo trace_tests[] = {
    {"scratch folder", start},
    {"a trace reads back as written", a_trace_reads_back_as_written},
    {"a finished trace leaves no journal", a_finished_trace_leaves_no_journal},
    {"second reader agrees on every field", second_reader_agrees_on_every_field},
    {"a killed writer leaves a readable prefix", a_killed_writer_leaves_a_readable_prefix},
    {"only traces are replaced", only_traces_are_replaced},
    {"the hash is of run and paths", the_hash_is_of_run_and_paths},
    CU_TEST_INFO_NULL,
};
