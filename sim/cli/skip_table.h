/* skip_table.h - private to cli/: what `profile --skip-loss` found, per sublayer and over all. */
#ifndef RAD_SKIP_TABLE_H
#define RAD_SKIP_TABLE_H

#include "cli/out.h"

struct skip_table {
    struct rad_skip_loss *row; /* [n_row] by sequence, position, layer, attention first */
    size_t n_row, cap;
    int32_t n_layer;
};

/* For rad_skip_loss_options.row with a zeroed struct skip_table that knows its n_layer as ctx. */
RAD_MUST_CHECK enum rad_status skip_table_add(void *table, const struct rad_skip_loss *row,
                                              struct rad_err *err);
void skip_table_free(struct skip_table *t);

/* Every row as csv, whole or not at all. */
RAD_MUST_CHECK enum rad_status skip_table_save(const struct skip_table *t, const char *path,
                                               struct rad_err *err);

/* A row per sublayer, then the figures over all, to stdout: one JSON object, or two tables (csv:
 * the first only). */
RAD_MUST_CHECK enum rad_status skip_table_print(const struct skip_table *t, enum rad_format format,
                                                const char *model, struct rad_err *err);

#endif
