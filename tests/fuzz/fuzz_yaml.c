/* fuzz_yaml.c - any bytes are a document or one line of refusal. */
#include "base/yaml.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

/* Touch every node, so that a dangling one is noticed. */
static size_t walk(const rad_yaml_node *node)
{
    size_t bytes = strlen(rad_yaml_text(node));
    for (size_t i = 0; i < rad_yaml_count(node); i++) {
        const char *key = rad_yaml_key(node, i);
        bytes += key != NULL ? strlen(key) + walk(rad_yaml_value(node, i))
                             : walk(rad_yaml_at(node, i));
    }
    return bytes;
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    rad_yaml *doc = NULL;
    struct rad_err err = {.msg = ""};
    const enum rad_status status = rad_yaml_parse(&doc, (const char *)data, size, "input", &err);
    if (status == RAD_OK ? walk(rad_yaml_root(doc)) > size * 2 + 64
                         : doc != NULL || err.msg[0] == '\0' || strchr(err.msg, '\n') != NULL)
        abort();
    rad_yaml_close(doc);
    return 0;
}
