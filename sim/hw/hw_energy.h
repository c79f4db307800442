/* hw_energy.h - board-level fits and device-level tables are not mixed. Private to hw/.
 *
 * A board's power fitted to its meter (H200: 114 W + 0.77 pJ/FLOP + 74 pJ/B) has regulators, fans
 * and the host path in each of its terms; a table of device energies (HBM3: 24 pJ/B) has the
 * device alone, a third of it. Either is right in itself, their mixture is not. The text of a
 * source says which it is: it starts with "board: " or "device: "; others (derived so that the sum
 * is the power limit, estimates) go with both. */
#ifndef RAD_HW_ENERGY_H
#define RAD_HW_ENERGY_H

#include "base/param.h"
#include "base/yaml.h"

/* What the energies of a profile stand on. */
enum rad_energy_basis { RAD_ENERGY_DERIVED, RAD_ENERGY_DEVICE, RAD_ENERGY_BOARD };
const char *rad_energy_basis_name(enum rad_energy_basis basis);

/* Look at the energies among the values of map (J/B, J/FLOP) and at static_power; *basis is what
 * was found so far. errors: RAD_E_RANGE (one of the other basis than those before it) */
RAD_MUST_CHECK enum rad_status rad_energy_check(const rad_yaml_node *map,
                                                const struct rad_param *table,
                                                const rad_yaml_node *sources,
                                                enum rad_energy_basis *basis, struct rad_err *err);

#endif
