/* ops_table.h - private to cli/: operations in the columns of measured data.
 *
 * op,dtype and what the operation needs of M,N,K,batch,seq,kv,heads,kv_heads,head_dim,hidden,
 * ffn,tp; latency_us and energy_j where it was measured; source and notes say with which
 * software. */
#ifndef RAD_CLI_OPS_TABLE_H
#define RAD_CLI_OPS_TABLE_H

#include "cli/csv.h"
#include "cli/ops_words.h"

enum { OPS_N_COLUMN = 19 };

struct ops_table {
    struct csv csv;
    const char *path;
    int at[OPS_N_COLUMN];      /* place of a column, -1 if it is not there */
    const char *last_hardware; /* and its alias: see ops_hardware */
    char last_alias[RAD_HW_NAME];
};

struct ops_row {
    struct rad_measured m; /* latency_s 0: not measured; for its texts see ops_row_measured */
    char software[OPS_SOFTWARE];
    char model[OPS_MODEL]; /* whose layer it is; "": not said */
    bool hot;              /* measured with weights that stayed in a cache */
};

/* errors: as csv_read, and RAD_E_PARSE without columns op and dtype */
RAD_MUST_CHECK enum rad_status ops_open(struct ops_table *t, const char *path, struct rad_err *err);
void ops_close(struct ops_table *t);

/* Row from 0. errors: RAD_E_RANGE, RAD_E_PARSE, RAD_E_UNSUPPORTED; without file and row */
RAD_MUST_CHECK enum rad_status ops_row(const struct ops_table *t, size_t row, struct ops_row *out,
                                       struct rad_err *err);
/* row->m with texts that live as long as *row. */
struct rad_measured ops_row_measured(const struct ops_row *row);

/* Profile that the row's hardware belongs to, by aliases; "" if the row does not say. *known: some
 * profile has that name or alias. Remembers the last answer in t. */
RAD_MUST_CHECK enum rad_status ops_hardware(struct ops_table *t, size_t row, const char **profile,
                                            bool *known, struct rad_err *err);

#endif
