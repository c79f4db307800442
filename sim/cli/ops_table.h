/* ops_table.h - private to cli/: operations in the columns of measured data.
 *
 * op,dtype and what the operation needs of M,N,K,batch,seq,kv,heads,kv_heads,head_dim,hidden,tp;
 * latency_us and energy_j where it was measured; source and notes say with which software. */
#ifndef RAD_CLI_OPS_TABLE_H
#define RAD_CLI_OPS_TABLE_H

#include "cli/csv.h"

enum { OPS_N_COLUMN = 17, OPS_SOFTWARE = 48 };

struct ops_table {
    struct csv csv;
    const char *path;
    int at[OPS_N_COLUMN]; /* place of a column, -1 if it is not there */
};

struct ops_row {
    struct rad_measured m; /* latency_s 0: not measured; software points to the array below */
    char software[OPS_SOFTWARE];
    bool hot; /* measured with weights that stayed in a cache */
};

/* errors: as csv_read, and RAD_E_PARSE without columns op and dtype */
RAD_MUST_CHECK enum rad_status ops_open(struct ops_table *t, const char *path, struct rad_err *err);
void ops_close(struct ops_table *t);
bool ops_has_sources(const struct ops_table *t);

/* Row from 0. errors: RAD_E_RANGE, RAD_E_PARSE, RAD_E_UNSUPPORTED; without file and row */
RAD_MUST_CHECK enum rad_status ops_row(const struct ops_table *t, size_t row, struct ops_row *out,
                                       struct rad_err *err);

#endif
