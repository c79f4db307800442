/* machines.c - the profiles and cards that a spec names, loaded once before the first row. */
#include "sweep/machines.h"

#include "base/hash.h"

#include <stdlib.h>
#include <string.h>

static enum rad_status open_cards(struct rad_machines *m, const struct rad_axis_values *axis,
                                  struct rad_err *err)
{
    for (size_t i = 0; i < axis->n; i++) {
        struct rad_shape *shape = &m->card[m->n_card];
        char *json = NULL;
        if (strcmp(axis->value[i], rad_axes[RAD_AXIS_CARD].def) == 0)
            continue;
        shape->name = axis->value[i];
        RAD_TRY(rad_card_open(&shape->card, shape->name, err));
        RAD_TRY(rad_card_to_json(&shape->card, &json, err));
        shape->hash = rad_hash(json, strlen(json), 0);
        free(json);
        m->n_card++;
    }
    return RAD_OK;
}

enum rad_status rad_machines_open(struct rad_machines *m, const rad_sweep_spec *spec,
                                  struct rad_err *err)
{
    const struct rad_axis_values *hw = &spec->axis[RAD_AXIS_HW];
    const struct rad_axis_values *card = &spec->axis[RAD_AXIS_CARD];
    *m = (struct rad_machines){0};
    m->hw = calloc(hw->n + 1, sizeof *m->hw);
    m->card = calloc(card->n + 1, sizeof *m->card);
    if (m->hw == NULL || m->card == NULL)
        return rad_fail(err, RAD_E_NOMEM, "sweep: out of memory");
    for (; m->n_hw < hw->n; m->n_hw++) {
        struct rad_machine *machine = &m->hw[m->n_hw];
        machine->name = hw->value[m->n_hw];
        RAD_TRY(rad_hw_open(&machine->hw, machine->name, err));
        const char *hash = rad_hw_hash(machine->hw);
        machine->hash = rad_hash(hash, strlen(hash), 0);
    }
    return open_cards(m, card, err);
}

void rad_machines_close(struct rad_machines *m)
{
    for (size_t i = 0; i < m->n_hw; i++)
        rad_hw_close(m->hw[i].hw);
    free(m->hw);
    free(m->card);
    *m = (struct rad_machines){0};
}

const struct rad_machine *rad_machine_of(const struct rad_machines *m,
                                         const struct rad_sweep_point *point)
{
    size_t i = 0;
    while (i + 1 < m->n_hw && m->hw[i].name != point->value[RAD_AXIS_HW])
        i++;
    return &m->hw[i];
}

const struct rad_shape *rad_shape_of(const struct rad_machines *m,
                                     const struct rad_sweep_point *point)
{
    for (size_t i = 0; i < m->n_card; i++)
        if (m->card[i].name == point->value[RAD_AXIS_CARD])
            return &m->card[i];
    return NULL;
}
