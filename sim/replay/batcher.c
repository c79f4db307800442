/* batcher.c - the registry of batchers. */
#include "replay/batcher.h"

#include "base/buf.h"
#include "base/near.h"

#include <string.h>

#define RAD_BATCHER(name) extern const struct rad_batcher rad_batcher_##name;
#include "replay/batchers.def"
#undef RAD_BATCHER

static const struct rad_batcher *const registry[] = {
#define RAD_BATCHER(name) &rad_batcher_##name,
#include "replay/batchers.def"
#undef RAD_BATCHER
};
enum { N_BATCHER = sizeof registry / sizeof registry[0] };

const struct rad_batcher *const *rad_batchers(size_t *n)
{
    *n = N_BATCHER;
    return registry;
}

static const struct rad_batcher *find(const char *name)
{
    for (size_t i = 0; i < N_BATCHER; i++)
        if (strcmp(registry[i]->name, name) == 0)
            return registry[i];
    return NULL;
}

static enum rad_status unknown(const char *name, struct rad_err *err)
{
    const char *names[N_BATCHER + 1] = {"auto"};
    for (size_t i = 0; i < N_BATCHER; i++)
        names[i + 1] = registry[i]->name;
    char shown[RAD_SHOW_MAX];
    const char *near = rad_nearest(name, names, N_BATCHER + 1);
    if (near != NULL)
        return rad_fail(err, RAD_E_ARG, "batcher: unknown name '%s'; did you mean '%s'",
                        rad_show(shown, name), near);
    return rad_fail(err, RAD_E_ARG, "batcher: expected auto, layer, hop or grouped but found '%s'",
                    rad_show(shown, name));
}

enum rad_status rad_batcher_choose(const struct rad_batcher **out, const char *name,
                                   bool forward_only, struct rad_err *err)
{
    if (name == NULL || strcmp(name, "auto") == 0)
        name = forward_only ? "layer" : "hop";
    *out = find(name);
    if (*out == NULL)
        return unknown(name, err);
    if (!forward_only && !(*out)->any_order)
        return rad_fail(err, RAD_E_ARG,
                        "batcher: '%s' runs layers in order, but the paths of this trace go back "
                        "or repeat layers; use 'hop' or 'auto'",
                        name);
    return RAD_OK;
}
