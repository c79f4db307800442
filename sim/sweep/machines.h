/* machines.h - private to sweep: the profiles and cards that a spec names, loaded once. */
#ifndef RAD_SWEEP_MACHINES_H
#define RAD_SWEEP_MACHINES_H

#include "sweep/space.h"

struct rad_machine {
    const char *name; /* as in the points, which share this pointer */
    rad_hw *hw;
    uint64_t hash;
};

struct rad_shape {
    const char *name;
    struct rad_card card;
    uint64_t hash; /* of the card as JSON */
};

struct rad_machines {
    struct rad_machine *hw; /* [n_hw] */
    struct rad_shape *card; /* [n_card] without "recorded" */
    size_t n_hw, n_card;
};

/* errors: those of rad_hw_open and rad_card_open; free with rad_machines_close in any case */
RAD_MUST_CHECK enum rad_status rad_machines_open(struct rad_machines *m, const rad_sweep_spec *spec,
                                                 struct rad_err *err);
void rad_machines_close(struct rad_machines *m);

const struct rad_machine *rad_machine_of(const struct rad_machines *m,
                                         const struct rad_sweep_point *point);
/* NULL: as recorded in the trace */
const struct rad_shape *rad_shape_of(const struct rad_machines *m,
                                     const struct rad_sweep_point *point);

#endif
