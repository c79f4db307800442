/* fault_base.c - readers of base/ without memory. */
#include "fault.h"

#include "base/json.h"
#include "base/pool.h"
#include "base/yaml.h"

#include <stdlib.h>
#include <string.h>

static enum rad_status yaml(struct rad_err *err)
{
    static const char text[] = "a: {b: 3.35 TB/s @x, c: [1, 2, 3]}\nsources:\n  x: somewhere\n";
    rad_yaml *doc = NULL;
    const enum rad_status status = rad_yaml_parse(&doc, text, strlen(text), "test.yaml", err);
    rad_yaml_close(doc);
    return status;
}

static enum rad_status json(struct rad_err *err)
{
    static const char text[] = "{\"name\": \"x\", \"list\": [1, 2.5, true, null, \"long text\"]}";
    json_t *value = NULL;
    char *back = NULL;
    RAD_TRY(rad_json_parse(&value, text, strlen(text), "test.json", err));
    const enum rad_status status = rad_json_dump(value, &back, err);
    free(back);
    json_decref(value);
    return status;
}

static enum rad_status pool(struct rad_err *err)
{
    rad_pool *threads = NULL;
    const enum rad_status status = rad_pool_open(&threads, 2, err);
    rad_pool_close(threads);
    return status;
}

const struct fault base_faults[] = {
    {"rad_yaml_parse", yaml, NULL},
    {"rad_json_parse", json, NULL},
    {"rad_pool_open", pool, NULL},
    {.name = NULL},
};
