/* db_func.c - functions of C doubles, callable from SQL. */
#include "db/db_impl.h"

#include <math.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

/* Deterministic and harmless, so that views and indexes may use them without a trusted schema. */
#define FLAGS (SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS)

enum { MAX_ARG = 8 };

static void call_scalar(sqlite3_context *context, int n, sqlite3_value **value)
{
    const struct rad_db_scalar *f = sqlite3_user_data(context);
    double arg[MAX_ARG];
    for (int i = 0; i < n; i++) {
        if (sqlite3_value_type(value[i]) == SQLITE_NULL)
            return; /* NULL */
        arg[i] = sqlite3_value_double(value[i]);
    }
    sqlite3_result_double(context, f->fn(arg)); /* NaN becomes NULL */
}

/* The user data is only read: the const that SQLite's interface lacks is put back there. */
static void *user_data(const void *row)
{
    union {
        const void *in;
        void *out;
    } u = {row};
    return u.out;
}

enum rad_status rad_db_add_scalar(rad_db *db, const struct rad_db_scalar *f, struct rad_err *err)
{
    if (f->n_arg < 0 || f->n_arg > MAX_ARG)
        return rad_fail(err, RAD_E_ARG, "'%s': expected 0..%d arguments but found %d", f->name,
                        MAX_ARG, f->n_arg);
    if (sqlite3_create_function_v2(db->handle, f->name, f->n_arg, FLAGS, user_data(f), call_scalar,
                                   NULL, NULL, NULL) != SQLITE_OK)
        return rad_db_fail(db, err, f->name);
    return RAD_OK;
}

/* Zeroed by SQLite at the first row of a group. */
struct sample {
    double *x;
    size_t n, cap;
    double arg;
    bool has_arg, failed;
};

static void step_aggregate(sqlite3_context *context, int n, sqlite3_value **value)
{
    struct sample *s = sqlite3_aggregate_context(context, (int)sizeof *s);
    if (s == NULL || s->failed || sqlite3_value_type(value[0]) == SQLITE_NULL)
        return;
    if (s->n == s->cap) {
        const size_t cap = s->cap > 0 ? s->cap * 2 : 64;
        double *x = realloc(s->x, cap * sizeof *x);
        s->failed = x == NULL;
        if (s->failed)
            return;
        s->x = x;
        s->cap = cap;
    }
    s->x[s->n++] = sqlite3_value_double(value[0]);
    s->has_arg = n > 1;
    s->arg = n > 1 ? sqlite3_value_double(value[1]) : 0.0;
}

static void finish_aggregate(sqlite3_context *context)
{
    const struct rad_db_aggregate *f = sqlite3_user_data(context);
    struct sample none = {0};
    struct sample *s = sqlite3_aggregate_context(context, 0);
    s = s != NULL ? s : &none;
    if (s->failed)
        sqlite3_result_error_nomem(context);
    else
        sqlite3_result_double(context, f->fn(s->x, s->n, s->has_arg ? s->arg : (double)NAN));
    free(s->x);
    s->x = NULL;
}

enum rad_status rad_db_add_aggregate(rad_db *db, const struct rad_db_aggregate *f,
                                     struct rad_err *err)
{
    if (sqlite3_create_function_v2(db->handle, f->name, f->has_arg ? 2 : 1, FLAGS, user_data(f),
                                   NULL, step_aggregate, finish_aggregate, NULL) != SQLITE_OK)
        return rad_db_fail(db, err, f->name);
    return RAD_OK;
}
