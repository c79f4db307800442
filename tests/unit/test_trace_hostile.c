/* test_trace_hostile.c - every rule of docs/trace-format.md, broken once: one line that names
 * table, row and column, and nothing loaded. */
#include "test_trace.h"

#include <sys/stat.h>
#include <unistd.h>

#define FILE_NAME TMP "hostile.db"

/* ---- a reader's view --------------------------------------------------------------------- */

/* Sequences 0 and 1, tokens 0 and 1 of each; paths 0,2 with all keys; statistics; timing. */
static void write_good(void)
{
    struct rad_trace_run run = trace_run(4);
    rad_trace_writer *w = NULL;
    run.nll = 1.25;
    unlink(FILE_NAME); /* what an earlier test left is no trace */
    OK(rad_trace_create(&w, FILE_NAME, &run, &err));
    for (int64_t seq = 0; seq < 2; seq++)
        for (int32_t pos = 0; pos < 2; pos++) {
            struct rad_trace_token tok = trace_token(seq, pos, 2);
            const uint32_t keys = (uint32_t)pos + 1;
            const struct rad_hop_rec hop[2] = {{0, BOTH, keys}, {2, BOTH, keys}};
            const struct rad_hop_stat stat[2] = {{1, 1, 1, 1, 1, 1, 1}, {1, 1, 1, 1, 1, 1, 1}};
            tok.nll = 1.25f;
            tok.phase = pos == 0 ? RAD_PHASE_PREFILL : RAD_PHASE_DECODE;
            OK(rad_trace_put(w, &tok, hop, stat, &err));
        }
    OK(rad_trace_timing(w, 0, RAD_PHASE_PREFILL, 0.5, &err));
    OK(rad_trace_finish(w, 1.25, true, &err));
}

#define PATH(hex) "UPDATE token SET stats = NULL, path = x'" hex "' WHERE seq = 1 AND pos = 0"
#define HOP0 "0000030001000000" /* layer 0, both, 1 key */
#define STATS(at, hex)                                                                             \
    "UPDATE token SET stats = CAST(substr(stats, 1, " #at ") || x'" hex "' || substr(stats, " #at  \
    " + 5) AS BLOB) WHERE seq = 1 AND pos = 0"
#define TOKEN "table token, row seq=1 pos=0, column "
#define RUN "table run, row id=1, column "
#define NOT_STRICT(table, columns)                                                                 \
    "ALTER TABLE " table " RENAME TO old; CREATE TABLE " table "(" columns "); INSERT INTO " table \
    " SELECT * FROM old; DROP TABLE old"

static const struct {
    const char *sql, *message;
} rows[] = {
    /* what the file is */
    {"PRAGMA application_id = 7", "expected a trace but found another kind of SQLite database"},
    {"PRAGMA user_version = 2", "expected version 1 of the trace format but found version 2"},
    {"DROP TABLE timing", "expected 4 STRICT tables run, sequence, token, timing but found 3"},
    {"DROP TABLE timing; CREATE VIEW timing AS SELECT 1 AS seq, 'decode' AS phase, 1.0 AS "
     "elapsed_s",
     "expected 4 STRICT tables run, sequence, token, timing but found 3"},
    {NOT_STRICT("timing", "seq, phase, elapsed_s"), "expected 4 STRICT tables"},
    {"ALTER TABLE token ADD COLUMN more INTEGER AS (pos + 1)",
     "expected 0 generated columns but found 1"},
    {"ALTER TABLE token RENAME COLUMN path TO paths", "no such column: path"},
    /* run */
    {"DELETE FROM run", "table run: expected one row but found none"},
    {"INSERT INTO run SELECT 2, card, card_name, n_layer, policy, source, model_hash, text_hash,"
     " engine, host, parent, kv, forward_only, has_router, seed, nll, complete FROM run",
     RUN "id: expected 0 to 1 but found 2"},
    {"UPDATE run SET card = '{'", RUN "card: "},
    {"UPDATE run SET card = '{\"name\": \"tiny\"}'", RUN "card: "},
    {"UPDATE run SET card = card || printf('%65536s', '')",
     RUN "card: expected at most 65536 bytes but found "},
    {"UPDATE run SET card_name = 'large'", RUN "card_name: expected 'tiny', as the card has"},
    {"UPDATE run SET n_layer = 5", RUN "n_layer: expected 4, as the card has, but found 5"},
    {"UPDATE run SET policy = 'a' || char(27) || '[2J'",
     RUN "policy: expected one line of UTF-8 but found other bytes"},
    {"UPDATE run SET host = char(155) || '2J'", RUN "host: expected one line of UTF-8"},
    {"UPDATE run SET engine = CAST(x'ff' AS TEXT)", RUN "engine: expected one line of UTF-8"},
    {"UPDATE run SET parent = 'a' || char(0)", RUN "parent: expected one line of UTF-8"},
    {"UPDATE run SET policy = printf('%4097s', '')",
     RUN "policy: expected at most 4096 bytes but found 4097"},
    {"UPDATE run SET kv = 'magic'", RUN "kv: expected hole, project or copy but found 'magic'"},
    {"UPDATE run SET forward_only = 2", RUN "forward_only: expected 0 to 1 but found 2"},
    {"UPDATE run SET has_router = -1", RUN "has_router: expected 0 to 1 but found -1"},
    {"UPDATE run SET complete = 3", RUN "complete: expected 0 to 1 but found 3"},
    {"UPDATE run SET nll = 9e999", RUN "nll: expected a finite number or NULL but found inf"},
    {"UPDATE run SET source = 'synth'", RUN "nll: expected NULL, as the source is synth"},
    {"UPDATE run SET source = 'transplant', nll = NULL",
     "row seq=0 pos=0, column nll: expected NULL, as the source is transplant, but found 1.25"},
    /* sequence */
    {"UPDATE sequence SET n_token = 3 WHERE id = 1",
     "table sequence, row id=1, column n_token: expected 2, the rows in table token, but found 3"},
    {"UPDATE sequence SET n_token = NULL WHERE id = 0",
     "table sequence, row id=0, column n_token: expected a number, as run.complete is 1"},
    {"INSERT INTO sequence VALUES(-4, 1)",
     "table sequence, row id=0, column id: expected 0 to 9223372036854775807 but found -4"},
    {"INSERT INTO sequence VALUES(7, 1)",
     "table sequence, row id=7, column id: expected rows in table token but found none"},
    {"DELETE FROM token WHERE seq = 0; DELETE FROM timing",
     "table sequence, row id=0, column id: expected rows in table token but found none"},
    {"DELETE FROM sequence WHERE id = 1", TOKEN "seq: expected a row of table sequence"},
    /* token */
    {"DELETE FROM token WHERE seq = 1 AND pos = 0",
     "row seq=1 pos=1, column pos: expected 0, the next position of the sequence, but found 1"},
    {"UPDATE token SET pos = 5 WHERE seq = 1 AND pos = 1",
     "row seq=1 pos=5, column pos: expected 1, the next position of the sequence, but found 5"},
    {"UPDATE token SET pos = -1 WHERE seq = 1 AND pos = 0", "column pos: expected 0 to "},
    {"UPDATE token SET pos = 1 << 40 WHERE seq = 1 AND pos = 1", "column pos: expected 0 to "},
    {"UPDATE token SET phase = 'draft' WHERE seq = 1 AND pos = 0",
     TOKEN "phase: expected prefill or decode but found 'draft'"},
    {"UPDATE token SET phase = iif(pos = 0, 'decode', 'prefill') WHERE seq = 1",
     "row seq=1 pos=1, column phase: expected decode, which has begun, but found prefill"},
    {"UPDATE token SET token = -3 WHERE seq = 1 AND pos = 0", TOKEN "token: expected 0 to "},
    {"UPDATE token SET token = 1 << 31 WHERE seq = 1 AND pos = 0", TOKEN "token: expected 0 to "},
    {"UPDATE token SET nll = 9e999 WHERE seq = 1 AND pos = 0",
     TOKEN "nll: expected a finite number or NULL but found inf"},
    {"UPDATE token SET nll = 1e39 WHERE seq = 1 AND pos = 0", TOKEN "nll: expected a finite"},
    /* path */
    {PATH(HOP0 "02"), TOKEN "path: expected a multiple of 8 bytes but found 9"},
    {"UPDATE token SET path = zeroblob(8 * 65536) WHERE seq = 1 AND pos = 0",
     TOKEN "path: expected at most 65535 hops but found 65536"},
    {PATH("0400030001000000"), TOKEN "path: hop 0: expected a layer below 4 but found 4"},
    {PATH(HOP0 "ffff030001000000"), TOKEN "path: hop 1: expected a layer below 4 but found 65535"},
    {PATH("0000100000000000"), TOKEN "path: hop 0: expected flags of attn 1, mlp 2, project 4, "
                                     "copy 8 but found 0x10"},
    {PATH("0000050001000000"), TOKEN "path: hop 0: expected project or copy alone but found them "
                                     "on a visit (0x5)"},
    {PATH("0000040000000000"), TOKEN "path: hop 0: expected what kv=hole does but found flags 0x4"},
    {"UPDATE run SET kv = 'copy';" PATH("0000040000000000"),
     TOKEN "path: hop 0: expected what kv=copy does but found flags 0x4"},
    {PATH("0000020001000000"), TOKEN "path: hop 0: expected 0 keys without attention but found 1"},
    {PATH("0000030000000000"), TOKEN "path: hop 0: expected 1 to 512 keys but found 0"},
    {PATH("0000030001020000"), TOKEN "path: hop 0: expected 1 to 512 keys but found 513"},
    {PATH("0200030001000000" HOP0), TOKEN "path: hop 1: expected a layer above 2, as "
                                          "run.forward_only is 1, but found 0"},
    {PATH(HOP0 HOP0), TOKEN "path: hop 1: expected a layer above 0"},
    {"UPDATE run SET forward_only = 0, kv = 'project';" PATH(HOP0 HOP0),
     TOKEN "path: hop 1: expected a layer above 0, as run.kv is project, but found 0"},
    /* stats */
    {"UPDATE token SET stats = zeroblob(28) WHERE seq = 1 AND pos = 0",
     TOKEN "stats: expected 56 bytes for 2 hops but found 28"},
    {"UPDATE token SET stats = zeroblob(27) WHERE seq = 1 AND pos = 0",
     TOKEN "stats: expected a multiple of 28 bytes but found 27"},
    {STATS(0, "0000c07f"), TOKEN "stats: hop 0: expected |x|^2 >= 0, |f|^2 >= 0 and x.f of "
                                 "attention, finite or all three NaN"},
    {STATS(4, "0000807f"), TOKEN "stats: hop 0: expected |x|^2 >= 0"},
    {STATS(0, "000080bf"), TOKEN "stats: hop 0: expected |x|^2 >= 0"},
    {STATS(40, "0000c07f"), TOKEN "stats: hop 1: expected |x|^2 >= 0, |f|^2 >= 0 and x.f of the "
                                  "mlp, finite or all three NaN"},
    {STATS(24, "0000807f"), TOKEN "stats: hop 0: expected a finite margin or NaN"},
    /* timing */
    {"UPDATE timing SET elapsed_s = -1", "table timing, row seq=0, column elapsed_s: expected "
                                         "seconds >= 0 but found -1"},
    {"UPDATE timing SET elapsed_s = 9e999", "column elapsed_s: expected a finite number"},
    {"UPDATE timing SET phase = 'rest'", "table timing, row seq=0, column phase: expected prefill "
                                         "or decode but found 'rest'"},
    {"UPDATE timing SET seq = 5",
     "table timing, row seq=5, column seq: expected a row of table sequence but found none"},
};

static void write_bytes(const char *path, const char *data, size_t len)
{
    FILE *file = fopen(path, "wb");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    CU_ASSERT_EQUAL(fwrite(data, 1, len, file), len);
    CU_ASSERT_EQUAL(fclose(file), 0);
}

static void refused(const char *sql, const char *message)
{
    rad_trace *t = NULL;
    err.msg[0] = '\0';
    CU_ASSERT_NOT_EQUAL(rad_trace_open(&t, FILE_NAME, &err), RAD_OK);
    CU_ASSERT_PTR_NULL(t);
    const bool clear = strstr(err.msg, message) != NULL && strchr(err.msg, '\n') == NULL &&
                       strstr(err.msg, FILE_NAME) != NULL;
    if (!clear)
        fprintf(stderr, "\n%s\n  expected %s\n  found    %s\n", sql, message, err.msg);
    CU_ASSERT_TRUE(clear);
    rad_trace_close(t);
}

static void every_broken_rule_is_named(void)
{
    rad_trace *t = NULL;
    char *good = NULL;
    size_t len = 0;
    OK(rad_dir_make("build/tmp", &err));
    write_good();
    OK(rad_trace_verify(&t, FILE_NAME, &err));
    rad_trace_close(t);
    OK(rad_file_read(FILE_NAME, 1 << 20, &good, &len, &err));
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        write_bytes(FILE_NAME, good, len);
        trace_sql(FILE_NAME, rows[i].sql);
        refused(rows[i].sql, rows[i].message);
    }
    free(good);
}

/* A file made by hand need not keep to STRICT: take the word out of the schema, put values of
 * other types in, and put it back. */
static void values_of_other_types_are_refused(void)
{
    static const struct {
        const char *set, *message;
    } types[] = {
        {"token SET seq = 'x' WHERE seq = 1 AND pos = 1", "column seq: expected an integer but "
                                                          "found text"},
        {"token SET pos = 0.5 WHERE seq = 1 AND pos = 1", "column pos: expected an integer but "
                                                          "found a real"},
        {"token SET phase = x'01'", "column phase: expected text but found a blob"},
        {"token SET phase = 'prefill' || char(0) || 'x'", "column phase: expected prefill or"},
        {"token SET token = 'x'", "column token: expected an integer but found text"},
        {"token SET nll = x'00'", "column nll: expected a real but found a blob"},
        {"token SET path = 'abcdefgh'", "column path: expected a blob but found text"},
        {"token SET path = NULL", "column path: expected a blob but found NULL"},
        {"token SET stats = 3", "column stats: expected a blob but found an integer"},
        {"run SET seed = 'x'", "column seed: expected an integer but found text"},
        {"run SET card = x'7b7d'", "column card: expected text but found a blob"},
        {"run SET nll = 'x'", "column nll: expected a real but found text"},
        {"sequence SET n_token = 'x'", "column n_token: expected an integer but found text"},
        {"timing SET elapsed_s = NULL", "column elapsed_s: expected a real but found NULL"},
    };
    char *good = NULL;
    size_t len = 0;
    write_good();
    OK(rad_file_read(FILE_NAME, 1 << 20, &good, &len, &err));
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        char sql[256];
        write_bytes(FILE_NAME, good, len);
        trace_sql(FILE_NAME, "UPDATE sqlite_schema SET sql = replace(replace(sql, ' STRICT', ''),"
                             " ' NOT NULL', '') WHERE type = 'table'");
        snprintf(sql, sizeof sql, "UPDATE %s", types[i].set);
        trace_sql(FILE_NAME, sql);
        trace_sql(FILE_NAME,
                  "UPDATE sqlite_schema SET sql = sql || ' STRICT' WHERE type = 'table'");
        refused(types[i].set, types[i].message);
    }
    free(good);
}

/* ---- damaged files ----------------------------------------------------------------------- */

/* Cut short or with bytes changed: an error or a trace that follows the rules, never a crash. */
static void damaged_files_do_no_harm(void)
{
    char *good = NULL;
    size_t len = 0;
    uint32_t x = 1;
    int refusals = 0;
    rad_trace *t = NULL;
    write_good();
    OK(rad_file_read(FILE_NAME, 1 << 20, &good, &len, &err));
    for (int i = 0; i < 150; i++) {
        char *bad = malloc(len);
        CU_ASSERT_PTR_NOT_NULL_FATAL(bad);
        memcpy(bad, good, len);
        for (int k = 0; k < 8; k++) {
            x = x * 1664525u + 1013904223u;
            bad[(x >> 8) % len] = (char)(x >> 24);
        }
        write_bytes(FILE_NAME, bad, i < 30 ? len * (size_t)i / 30 : len);
        refusals += rad_trace_verify(&t, FILE_NAME, &err) != RAD_OK;
        rad_trace_close(t);
        free(bad);
    }
    CU_ASSERT(refusals > 50);
    free(good);
    unlink(FILE_NAME);
    CU_ASSERT_EQUAL(rad_trace_open(&t, FILE_NAME, &err), RAD_E_IO);
    CU_ASSERT_EQUAL(rad_trace_open(&t, TMP, &err), RAD_E_IO);
    CU_ASSERT_EQUAL(mkfifo(TMP "pipe.db", 0600), 0);
    CU_ASSERT_EQUAL(rad_trace_open(&t, TMP "pipe.db", &err), RAD_E_IO); /* and returns */
    unlink(TMP "pipe.db");
    write_file(FILE_NAME, "SQLite format 3");
    CU_ASSERT_EQUAL(rad_trace_open(&t, FILE_NAME, &err), RAD_E_PARSE);
}

static uint32_t big_endian(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void set_big_endian(unsigned char *p, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        p[i] = (unsigned char)(value >> (24 - 8 * i));
}

/* A file of some kilobytes must not claim gigabytes: rows that share their overflow pages do. The
 * last 400 kB path is made to point to the pages of the one before, and its own are cut off. */
static void blobs_are_not_larger_than_the_file(void)
{
    enum { N_HOP = 50150, PAGE = 4096 }; /* of a size that is nearly all in overflow pages */
    const struct rad_trace_run run = trace_run(4);
    struct rad_hop_rec *hop = calloc(N_HOP, sizeof *hop);
    rad_trace_writer *w = NULL;
    rad_trace *t = NULL;
    size_t len = 0;
    char *text = NULL;
    CU_ASSERT_PTR_NOT_NULL_FATAL(hop);
    unlink(FILE_NAME);
    OK(rad_trace_create(&w, FILE_NAME, &run, &err));
    for (int32_t pos = 0; pos < 2; pos++) {
        const struct rad_trace_token tok = trace_token(0, pos, N_HOP);
        for (int i = 0; i < N_HOP; i++)
            hop[i] = (struct rad_hop_rec){.flags = RAD_HOP_MLP};
        OK(rad_trace_put(w, &tok, hop, NULL, &err));
    }
    free(hop);
    OK(rad_trace_finish(w, (double)NAN, false, &err));
    OK(rad_trace_open(&t, FILE_NAME, &err));
    rad_trace_close(t);
    OK(rad_file_read(FILE_NAME, 1 << 24, &text, &len, &err));
    unsigned char *data = (unsigned char *)text;
    uint32_t first = (uint32_t)(len / PAGE); /* of the last chain: each page names the next */
    while (big_endian(data + (first - 2) * PAGE) == first)
        first--;
    const uint32_t n_page = first - 1;
    int links = 0;
    for (size_t i = 0; i + 4 <= (size_t)PAGE * 16; i++)
        if (big_endian(data + i) == first) {
            set_big_endian(data + i, first - (uint32_t)(len / PAGE - n_page));
            links++;
        }
    CU_ASSERT_EQUAL(links, 1);
    set_big_endian(data + 28, n_page); /* the file's size in its header */
    write_bytes(FILE_NAME, text, (size_t)n_page * PAGE);
    refused("shared pages", "row seq=0 pos=1, column path: expected fewer bytes than the file has");
    free(text);
}

/* ---- the writer's callers ---------------------------------------------------------------- */

/* The same rules for those who write; a refused token is not there afterwards. */
static void the_writer_refuses_what_a_reader_would(void)
{
    struct rad_trace_run run = trace_run(4);
    struct rad_trace_token tok = trace_token(0, 0, 1);
    struct rad_hop_rec hop[2] = {{0, BOTH, 1}, {0, BOTH, 1}};
    rad_trace_writer *w = NULL;
    rad_trace *t = NULL;
    run.card.n_layer = -1;
    unlink(FILE_NAME);
    CU_ASSERT_NOT_EQUAL(rad_trace_create(&w, FILE_NAME, &run, &err), RAD_OK);
    CU_ASSERT_NOT_EQUAL(access(FILE_NAME, F_OK), 0); /* nothing half-made */
    run = trace_run(4);
    run.policy = "two\nlines";
    CU_ASSERT_EQUAL(rad_trace_create(&w, FILE_NAME, &run, &err), RAD_E_ARG);
    run = trace_run(4);
    run.forward_only = true;
    OK(rad_trace_create(&w, FILE_NAME, &run, &err));
    CU_ASSERT_EQUAL(rad_trace_timing(w, 0, RAD_PHASE_DECODE, 1, &err), RAD_E_ARG);
    tok.pos = 1;
    CU_ASSERT_EQUAL(rad_trace_put(w, &tok, hop, NULL, &err), RAD_E_ARG);
    CU_ASSERT_STRING_EQUAL(err.msg,
                           "trace: seq 0, pos 1, pos: expected 0, the next position of the "
                           "sequence, but found 1");
    tok.pos = 0;
    tok.seq = -1;
    CU_ASSERT_EQUAL(rad_trace_put(w, &tok, hop, NULL, &err), RAD_E_ARG);
    tok.seq = 0;
    hop[0].layer = 4;
    CU_ASSERT_EQUAL(rad_trace_put(w, &tok, hop, NULL, &err), RAD_E_ARG);
    hop[0].layer = 0;
    tok.nll = INFINITY;
    CU_ASSERT_EQUAL(rad_trace_put(w, &tok, hop, NULL, &err), RAD_E_ARG);
    tok.nll = NAN;
    tok.n_hop = 2; /* goes back although forward-only was declared */
    CU_ASSERT_EQUAL(rad_trace_put(w, &tok, hop, NULL, &err), RAD_E_ARG);
    tok.n_hop = 1;
    OK(rad_trace_put(w, &tok, hop, NULL, &err));
    CU_ASSERT_EQUAL(rad_trace_timing(w, 0, RAD_PHASE_DECODE, -1, &err), RAD_E_ARG);
    CU_ASSERT_EQUAL(rad_trace_timing(w, 0, RAD_PHASE_DECODE, (double)NAN, &err), RAD_E_ARG);
    CU_ASSERT_EQUAL(rad_trace_finish(w, (double)INFINITY, true, &err), RAD_E_ARG);
    OK(rad_trace_open(&t, FILE_NAME, &err));
    CU_ASSERT_FALSE(rad_trace_complete(t)); /* finish failed: no end mark, and nothing pending */
    rad_trace_close(t);
    run.forward_only = false;
    OK(rad_trace_create(&w, FILE_NAME, &run, &err));
    tok.n_hop = 2;
    OK(rad_trace_put(w, &tok, hop, NULL, &err));
    CU_ASSERT_EQUAL(rad_trace_finish(w, (double)NAN, true, &err), RAD_E_ARG); /* not true */
}

CU_TestInfo trace_hostile_tests[] = {
    {"every broken rule is named", every_broken_rule_is_named},
    {"values of other types are refused", values_of_other_types_are_refused},
    {"damaged files do no harm", damaged_files_do_no_harm},
    {"blobs are not larger than the file", blobs_are_not_larger_than_the_file},
    {"the writer refuses what a reader would", the_writer_refuses_what_a_reader_would},
    CU_TEST_INFO_NULL,
};
