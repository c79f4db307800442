/* hw_facts.c - what a profile was fitted to. */
#include "hw/hw_facts.h"

#include "hw/hw_profile.h"

size_t rad_hw_n_fit(const rad_hw *hw)
{
    return hw->n_fit;
}

struct rad_hw_fit_fact rad_hw_fit_at(const rad_hw *hw, size_t i)
{
    const struct rad_fit *f = &hw->fits[i];
    return (struct rad_hw_fit_fact){
        .op = f->op,
        .format = f->format,
        .software = f->software,
        .data = f->data,
        .law = f->law->name,
        .head_dim = f->head_dim,
        .rows = f->rows,
        .median_ape = f->ape_frac,
        .lo_ratio = f->lo_ratio,
        .hi_ratio = f->hi_ratio,
    };
}
