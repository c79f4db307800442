/* hw_energy.c - see hw_energy.h. */
#include "hw/hw_energy.h"

#include <string.h>

static const char *const names[] = {"derived", "device", "board"};

const char *rad_energy_basis_name(enum rad_energy_basis basis)
{
    return names[basis];
}

/* The value under key, which may be written nested. */
static const rad_yaml_node *find(const rad_yaml_node *map, const char *key)
{
    const rad_yaml_node *node = rad_yaml_find(map, key);
    const char *dot = strchr(key, '.');
    char group[64] = "";
    if (node != NULL || dot == NULL || (size_t)(dot - key) >= sizeof group)
        return node;
    memcpy(group, key, (size_t)(dot - key)); /* the rest is zero */
    return rad_yaml_find(rad_yaml_find(map, group), dot + 1);
}

static enum rad_energy_basis basis_of(const rad_yaml_node *value, const rad_yaml_node *sources)
{
    const char *at = strrchr(rad_yaml_text(value), '@');
    const char *text = at ? rad_yaml_text(rad_yaml_find(sources, at + 1)) : "";
    for (int b = RAD_ENERGY_DEVICE; b <= RAD_ENERGY_BOARD; b++) {
        const size_t len = strlen(names[b]);
        if (strncmp(text, names[b], len) == 0 && text[len] == ':')
            return (enum rad_energy_basis)b;
    }
    return RAD_ENERGY_DERIVED;
}

static bool is_energy(const struct rad_param *p)
{
    return p->dim == RAD_DIM_J_PER_BYTE || p->dim == RAD_DIM_J_PER_FLOP ||
           strcmp(p->key, "static_power") == 0;
}

enum rad_status rad_energy_check(const rad_yaml_node *map, const struct rad_param *table,
                                 const rad_yaml_node *sources, enum rad_energy_basis *basis,
                                 struct rad_err *err)
{
    for (const struct rad_param *p = table; p->key != NULL; p++) {
        const rad_yaml_node *value = is_energy(p) ? find(map, p->key) : NULL;
        const enum rad_energy_basis found = basis_of(value, sources);
        if (found == RAD_ENERGY_DERIVED || found == *basis)
            continue;
        if (*basis != RAD_ENERGY_DERIVED)
            return rad_yaml_fail(value, err, RAD_E_RANGE,
                                 "%s: expected an energy from %s figures, as before, but found one "
                                 "from %s figures; they must not be mixed",
                                 p->key, names[*basis], names[found]);
        *basis = found;
    }
    return RAD_OK;
}
