/* fault.h - operations whose allocations are made to fail one at a time.
 *
 * tests/fault/fault_<name>.c exports `const struct fault <name>_faults[]`; the Makefile lists the
 * files that are there. run() does the operation from nothing to nothing: whatever it opens it
 * closes, on success and on failure alike. On failure it returns the status of the first call that
 * failed and leaves its message in err. */
#ifndef RAD_TEST_FAULT_H
#define RAD_TEST_FAULT_H

#include "base/err.h"

#include <stdbool.h>

struct fault {
    const char *name; /* of the operation; NULL ends a table */
    enum rad_status (*run)(struct rad_err *err);
    /* Whether what a successful run left is whole; asked with memory at hand. May be NULL. */
    bool (*sound)(struct rad_err *err);
};

/* Where operations may write; the folder exists. */
#define FAULT_TMP "build/tmp/"

#endif
