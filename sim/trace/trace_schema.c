/* trace_schema.c - the SQL of a trace file: docs/trace-format.md says the same in words.
 *
 * The views use plain SQLite, so that they work in the sqlite3 shell, in pandas or in Datasette.
 * SQLite cannot read numbers out of a blob, so a record is turned into hexadecimal text and each
 * digit into its value: instr() of the digit in '123456789ABCDEF' (0 is not in it: 0). Functions
 * that SQLite thinks unsafe in a schema, JSON among them, are not used: they fail where trust is
 * off. */
#include "trace/trace_build.h"

/* The value of the hexadecimal digit at character `at` of text h. */
#define NIB(at) "instr('123456789ABCDEF', substr(h, " #at ", 1))"
#define TABLES                                                                                     \
    "CREATE TABLE run("                                                                            \
    " id INTEGER PRIMARY KEY CHECK (id = 1),"                                                      \
    " card TEXT NOT NULL, card_name TEXT NOT NULL, n_layer INTEGER NOT NULL,"                      \
    " policy TEXT NOT NULL, source TEXT NOT NULL, model_hash TEXT NOT NULL,"                       \
    " text_hash TEXT NOT NULL, engine TEXT NOT NULL, host TEXT NOT NULL, parent TEXT NOT NULL,"    \
    " kv TEXT NOT NULL CHECK (kv IN ('hole', 'project', 'copy')),"                                 \
    " forward_only INTEGER NOT NULL CHECK (forward_only IN (0, 1)),"                               \
    " has_router INTEGER NOT NULL CHECK (has_router IN (0, 1)),"                                   \
    " seed INTEGER NOT NULL, nll REAL,"                                                            \
    " complete INTEGER NOT NULL CHECK (complete IN (0, 1))) STRICT;\n"                             \
    "CREATE TABLE sequence("                                                                       \
    " id INTEGER PRIMARY KEY CHECK (id >= 0), n_token INTEGER CHECK (n_token > 0)) STRICT;\n"      \
    "CREATE TABLE token("                                                                          \
    " seq INTEGER NOT NULL REFERENCES sequence(id), pos INTEGER NOT NULL CHECK (pos >= 0),"        \
    " phase TEXT NOT NULL CHECK (phase IN ('prefill', 'decode')),"                                 \
    " token INTEGER CHECK (token >= 0), nll REAL,"                                                 \
    " path BLOB NOT NULL CHECK (length(path) % 8 = 0),"                                            \
    " stats BLOB CHECK (length(stats) * 8 = length(path) * 28),"                                   \
    " PRIMARY KEY (seq, pos)) STRICT;\n"                                                           \
    "CREATE TABLE timing("                                                                         \
    " seq INTEGER NOT NULL REFERENCES sequence(id),"                                               \
    " phase TEXT NOT NULL CHECK (phase IN ('prefill', 'decode')),"                                 \
    " elapsed_s REAL NOT NULL CHECK (elapsed_s >= 0), PRIMARY KEY (seq, phase)) STRICT;\n"         \
    "CREATE TABLE column_doc("                                                                     \
    " table_name TEXT NOT NULL, column_name TEXT NOT NULL, unit TEXT NOT NULL,"                    \
    " doc TEXT NOT NULL, PRIMARY KEY (table_name, column_name)) STRICT;\n"

/* Bytes of a number from their two hexadecimal digits, the lowest byte first. */
#define BYTE_0(high, low) "  16 * " NIB(high) " + " NIB(low)
#define BYTE_1(high, low) " + 4096 * " NIB(high) " + 256 * " NIB(low)
#define BYTE_2(high, low) "  + 1048576 * " NIB(high) " + 65536 * " NIB(low)
#define BYTE_3(high, low) "  + 268435456 * " NIB(high) " + 16777216 * " NIB(low)

#define LAYER BYTE_0(1, 2) BYTE_1(3, 4)
#define FLAGS BYTE_0(5, 6)
#define N_KEYS BYTE_0(9, 10) BYTE_1(11, 12) BYTE_2(13, 14) BYTE_3(15, 16)

#define VIEW_VISIT                                                                                 \
    "CREATE VIEW visit(seq, pos, phase, hop, layer, attn, mlp, project, copy, n_keys) AS"          \
    " WITH RECURSIVE step(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM step"                        \
    "  WHERE i + 1 < (SELECT max(length(path)) / 8 FROM token)),"                                  \
    " record(seq, pos, phase, i, h) AS (SELECT seq, pos, phase, i,"                                \
    " hex(substr(path, 8 * i + 1, 8))  FROM token JOIN step ON 8 * i < length(path)),"             \
    " number(seq, pos, phase, i, layer, flags, n_keys) AS (SELECT seq, pos, phase, i," LAYER       \
    "," FLAGS "," N_KEYS " FROM record)"                                                           \
    " SELECT seq, pos, phase, i, layer, flags & 1, flags >> 1 & 1, flags >> 2 & 1,"                \
    "  flags >> 3 & 1, n_keys FROM number;\n"

#define VIEW_SUMMARY                                                                               \
    "CREATE VIEW summary AS"                                                                       \
    " SELECT card_name AS card, policy, kv, source, tokens,"                                       \
    "  prefill_tokens, sequences, hops, depth / tokens AS mean_depth,"                             \
    "  depth / tokens / n_layer AS depth_frac, nll,"                                               \
    "  (SELECT sum(elapsed_s) FROM timing WHERE phase = 'prefill') AS prefill_s,"                  \
    "  (SELECT sum(elapsed_s) FROM timing WHERE phase = 'decode') AS decode_s, complete"           \
    " FROM run,"                                                                                   \
    "  (SELECT count(*) AS tokens, sum(phase = 'prefill') AS prefill_tokens FROM token),"          \
    "  (SELECT count(*) AS sequences FROM sequence),"                                              \
    "  (SELECT sum(attn | mlp) AS hops, sum(attn + mlp) / 2.0 AS depth FROM visit);\n"

/* Rows of table column_doc: table, column, unit, what it is. */
static const struct rad_trace_doc docs[] = {
    {"run", "id", "", "always 1: a file is one run"},
    {"run", "card", "", "shape of the model, JSON"},
    {"run", "card_name", "", "its name"},
    {"run", "n_layer", "", "its layers"},
    {"run", "policy", "", "routing policy with all its parameters"},
    {"run", "source", "", "who made the trace: eval, run, import, synth, transplant"},
    {"run", "model_hash", "", "of the weights; empty: none"},
    {"run", "text_hash", "", "of the token ids; empty: none"},
    {"run", "engine", "", "program version, BLAS kernels, threads"},
    {"run", "host", "", "machine that ran it"},
    {"run", "parent", "", "transplant: hash of the original trace; else empty"},
    {"run", "kv", "", "KV cache semantics of skipped layers: hole, project, copy"},
    {"run", "forward_only", "", "1: every path visits layers in increasing order"},
    {"run", "has_router", "", "1: the router ran after every hop"},
    {"run", "seed", "", "64 bits; negative when the highest bit is set"},
    {"run", "nll", "nats", "mean over predicted tokens; NULL: none"},
    {"run", "complete", "", "end mark: 1 once the run finished"},
    {"sequence", "id", "", "sequence id"},
    {"sequence", "n_token", "", "its rows in token; NULL until the run finished"},
    {"token", "seq", "", "sequence id"},
    {"token", "pos", "", "position in the sequence, from 0"},
    {"token", "phase", "", "prefill or decode"},
    {"token", "token", "", "token id; NULL: unknown"},
    {"token", "nll", "nats", "of predicting the next token; NULL: none"},
    {"token", "path", "", "8 bytes per hop, little-endian: u16 layer, u16 flags, u32 n_keys"},
    {"token", "stats", "", "7 float32 per hop, little-endian; NULL: not recorded"},
    {"timing", "seq", "", "sequence id"},
    {"timing", "phase", "", "prefill or decode"},
    {"timing", "elapsed_s", "s", "measured on the machine that ran it"},
    {"visit", "hop", "", "index in the path, from 0"},
    {"visit", "layer", "", "layer visited, from 0"},
    {"visit", "attn", "", "1: attention ran"},
    {"visit", "mlp", "", "1: the MLP ran"},
    {"visit", "project", "", "1: no visit, K and V were projected into the cache"},
    {"visit", "copy", "", "1: no visit, the entry of a lower layer stands in"},
    {"visit", "n_keys", "", "keys attended, itself included; 0 without attention"},
    {"summary", "hops", "", "visits: rows of view visit with attn or mlp"},
    {"summary", "mean_depth", "", "layers executed per token, attention and MLP one half each"},
    {"summary", "depth_frac", "", "mean_depth over the layers of the card"},
};

const struct rad_trace_doc *rad_trace_docs(size_t *n)
{
    *n = sizeof docs / sizeof docs[0];
    return docs;
}

const char *const rad_trace_views[RAD_TRACE_N_VIEW] = {VIEW_VISIT, VIEW_SUMMARY};

const struct rad_db_format rad_trace_format_sql = {
    .application_id = RAD_TRACE_APPLICATION_ID,
    .user_version = RAD_TRACE_VERSION,
    .name = "trace",
    .schema_sql = TABLES,
};
