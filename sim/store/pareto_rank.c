/* pareto_rank.c - the window function pareto_rank(x, y) OVER (PARTITION BY ... ORDER BY x, y).
 *
 * Rank 1 is the frontier for small x and small y, rank 2 the frontier without rank 1, and so on
 * (non-dominated sorting, Deb et al., NSGA-II, 2002). In the order of x, then y, a point belongs to
 * the first front whose last point does not dominate it (Jensen 2003): the fronts' last y fall
 * strictly within a front and rise from front to front, so that a binary search finds it. Equal
 * points share a rank; points with a NULL have none. */
#include "store/schema.h"

#include <sqlite3.h>
#include <stdlib.h>

struct point {
    double x, y;
};

/* Zeroed by SQLite at the start of a partition. */
struct state {
    struct point *front; /* [n] last point of each */
    size_t n, cap;
    struct point last;
    size_t rank; /* of the last point; 0: it has none */
    bool begun, unordered, failed;
};

static bool dominates(struct point a, struct point b)
{
    return a.x <= b.x && a.y <= b.y && (a.x < b.x || a.y < b.y);
}

/* The first front whose last point does not dominate p. */
static size_t front_of(const struct state *s, struct point p)
{
    size_t low = 0, high = s->n;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (dominates(s->front[middle], p))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void add(struct state *s, struct point p)
{
    const size_t at = front_of(s, p);
    if (at == s->cap) {
        const size_t cap = s->cap > 0 ? 2 * s->cap : 16;
        struct point *more = realloc(s->front, cap * sizeof *more);
        s->failed = more == NULL;
        if (s->failed)
            return;
        s->front = more;
        s->cap = cap;
    }
    s->front[at] = p;
    s->n = at == s->n ? at + 1 : s->n;
    s->rank = at + 1;
}

static void step(sqlite3_context *context, int n, sqlite3_value **value)
{
    struct state *s = sqlite3_aggregate_context(context, (int)sizeof *s);
    (void)n;
    if (s == NULL || s->failed)
        return;
    s->rank = 0;
    if (sqlite3_value_type(value[0]) == SQLITE_NULL || sqlite3_value_type(value[1]) == SQLITE_NULL)
        return;
    const struct point p = {sqlite3_value_double(value[0]), sqlite3_value_double(value[1])};
    const bool later = p.x > s->last.x || (p.x == s->last.x && p.y >= s->last.y);
    s->unordered = s->unordered || (s->begun && !later);
    s->begun = true;
    s->last = p;
    if (!s->unordered)
        add(s, p);
}

/* A moving frame, or none with ORDER BY: ranks of what left cannot be taken back. */
static void inverse(sqlite3_context *context, int n, sqlite3_value **value)
{
    struct state *s = sqlite3_aggregate_context(context, (int)sizeof *s);
    (void)n;
    (void)value;
    if (s != NULL)
        s->unordered = true;
}

static void value_of(sqlite3_context *context)
{
    const struct state *s = sqlite3_aggregate_context(context, 0);
    if (s == NULL)
        return;
    if (s->failed)
        sqlite3_result_error_nomem(context);
    else if (s->unordered)
        sqlite3_result_error(context, "pareto_rank(x, y) needs OVER (ORDER BY x, y)", -1);
    else if (s->rank > 0)
        sqlite3_result_int64(context, (sqlite3_int64)s->rank);
}

static void final(sqlite3_context *context)
{
    struct state *s = sqlite3_aggregate_context(context, 0);
    value_of(context);
    if (s != NULL) {
        free(s->front);
        *s = (struct state){0};
    }
}

enum rad_status rad_pareto_rank_register(rad_db *db, struct rad_err *err)
{
    const int flags = SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS;
    if (sqlite3_create_window_function(rad_db_handle(db), "pareto_rank", 2, flags, NULL, step,
                                       final, value_of, inverse, NULL) != SQLITE_OK)
        return rad_db_fail(db, err, "pareto_rank");
    return RAD_OK;
}
