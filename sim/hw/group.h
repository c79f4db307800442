/* group.h - measured rows of one kind. Private to hw/. */
#ifndef RAD_HW_GROUP_H
#define RAD_HW_GROUP_H

#include "hw/refit.h"

/* What makes rows one kind: they are fitted together. */
struct rad_group_key {
    const char *op, *format, *software;
    enum rad_dtype dtype;
    double head_dim;
};

struct rad_group_key rad_group_key_of(const struct rad_measured *m);

/* Those of rows[n] that have this key and are not done yet; done[n] is set for them. g is to be
 * freed whatever the outcome. errors: RAD_E_NOMEM */
enum rad_status rad_group_gather(struct rad_group_rows *g, const struct rad_group_key *key,
                                 const struct rad_law *law, const struct rad_measured *rows,
                                 size_t n, char *done, const struct rad_calibration *options,
                                 struct rad_err *err);
void rad_group_free(struct rad_group_rows *g);

#endif
