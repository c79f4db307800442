/* store_make.h - rows made by hand for tests of the results database and its plots. */
#ifndef RAD_TEST_STORE_MAKE_H
#define RAD_TEST_STORE_MAKE_H

#include "store/store.h"

extern const struct rad_store_run made_run; /* version 1.2.3 on host "here" */

/* Remove a database and its journals. */
void remove_db(const char *path);

/* A new database at path, with nothing in it. */
rad_store *made_store(const char *path);

/* A design point with price and energy x, quality y; its key is its number in hexadecimal. All
 * other metrics are their place in the list plus 1/3, but for ttft_s, which is NaN, and
 * device_memory_frac. */
struct made_point {
    double x, y;
    bool transplanted, kv_recomputed, incomplete;
    const char *hw;     /* NULL: a100-sxm-80gb */
    double memory_frac; /* device_memory_frac */
    const char *tp;     /* NULL: 1 */
};
#define MADE_INPUTS "00000000000000aa"
RAD_MUST_CHECK enum rad_status made_put(rad_store *store, int number, const struct made_point *p);

/* The trace behind these points: 4 layers, 4 sequences of 12 tokens. */
#define MADE_TRACE "build/tmp/store-t.db"
void made_inputs(void);

/* The first number that a query gives; NaN for NULL. */
double ask_number(const char *path, const char *sql);

/* Run a query to its end. */
RAD_MUST_CHECK enum rad_status ask_status(const char *path, const char *sql);

#endif
