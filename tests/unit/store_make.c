/* store_make.c - rows made by hand for tests of the results database and its plots. */
#include "store_make.h"

#include "sweep_make.h"
#include "test.h"

#include <string.h>
#include <unistd.h>

const struct rad_store_run made_run = {
    .version = "1.2.3", .spec = "method: grid\n", .spec_hash = "0000000000000001", .host = "here"};

void remove_db(const char *path)
{
    static const char *const endings[] = {"", "-wal", "-shm", "-journal"};
    for (size_t i = 0; i < 4; i++) {
        char name[256];
        snprintf(name, sizeof name, "%s%s", path, endings[i]);
        unlink(name);
    }
}

/* What all rows share; made once per program. */
static struct {
    rad_trace *trace;
    rad_hw *hw[2];
} made;

static const char *const hw_names[2] = {"a100-sxm-80gb", "tpu-v4"};

void made_inputs(void)
{
    if (made.trace != NULL)
        return;
    made_file(MADE_TRACE, &(struct made_file){.policy = "dense", .nll = 1.5});
    OK(rad_trace_open(&made.trace, MADE_TRACE, &err));
    for (int i = 0; i < 2; i++)
        OK(rad_hw_open(&made.hw[i], hw_names[i], &err));
}

enum rad_status made_put(rad_store *store, int number, const struct made_point *p)
{
    char key[17];
    const int hw = p->hw != NULL && strcmp(p->hw, hw_names[1]) == 0;
    struct rad_replay_result result;
    size_t n = 0;
    const struct rad_metric *metrics = rad_replay_metrics(&n);
    const struct rad_store_axis axis[] = {
        {"trace", MADE_TRACE}, {"kv", "recorded"},
        {"card", "recorded"},  {"phase", "decode"},
        {"batch", "2"},        {"batcher", "auto"},
        {"resample", "false"}, {"seed", "0"},
        {"dtype", "fp16"},     {"hw", hw_names[hw]},
        {"policy", ""},        {"depth", ""},
        {"rate", "sustained"}, {"tp", p->tp != NULL ? p->tp : "1"},
        {"pp", "1"},
    };
    memset(&result, 0, sizeof result);
    for (size_t i = 0; i < n; i++) {
        const double value = (double)i + 1.0 / 3;
        memcpy((char *)&result + metrics[i].offset, &value, sizeof value);
    }
    result.usd_per_mtok = result.j_per_token = p->x;
    result.nll = p->y;
    result.device_memory_frac = p->memory_frac;
    result.ttft_s = nan("");
    result.bound_kind = RAD_BOUND_MEMORY;
    result.transplanted = p->transplanted;
    result.kv_recomputed = p->kv_recomputed;
    result.complete_trace = !p->incomplete;
    snprintf(key, sizeof key, "%016x", (unsigned)number);
    const struct rad_store_row row = {.key = key,
                                      .inputs = MADE_INPUTS,
                                      .axis = axis,
                                      .n_axis = sizeof axis / sizeof axis[0],
                                      .result = &result,
                                      .trace = made.trace,
                                      .trace_path = MADE_TRACE,
                                      .hw = made.hw[hw],
                                      .card = &rad_trace_run(made.trace)->card,
                                      .eval_s = 0.25};
    return rad_store_put(store, &row, &err);
}

rad_store *made_store(const char *path)
{
    rad_store *store = NULL;
    made_inputs();
    remove_db(path);
    OK(rad_store_open(&store, path, &made_run, &err));
    return store;
}

double ask_number(const char *path, const char *sql)
{
    rad_db *db = NULL;
    sqlite3_stmt *stmt = NULL;
    bool row = false;
    OK(rad_store_read(&db, path, &err));
    OK(rad_db_prepare(db, &stmt, sql, &err));
    OK(rad_db_step(db, stmt, &row, &err));
    const double x = row ? rad_db_column_real(stmt, 0) : nan("");
    rad_db_finalize(stmt);
    rad_db_close(db);
    return x;
}

enum rad_status ask_status(const char *path, const char *sql)
{
    rad_db *db = NULL;
    sqlite3_stmt *stmt = NULL;
    bool row = true;
    OK(rad_store_read(&db, path, &err));
    enum rad_status status = rad_db_prepare(db, &stmt, sql, &err);
    while (status == RAD_OK && row)
        status = rad_db_step(db, stmt, &row, &err);
    rad_db_finalize(stmt);
    rad_db_close(db);
    return status;
}
