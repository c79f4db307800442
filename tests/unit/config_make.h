/* config_make.h - config.json files made by tests: a good one of each family, with one change. */
#ifndef RAD_CONFIG_MAKE_H
#define RAD_CONFIG_MAKE_H

#define CONFIG_DIR "build/tmp/config/tiny model"
#define CONFIG_FILE CONFIG_DIR "/config.json"

extern const char config_llama[], config_radial[], config_opt[], config_gpt2[], config_bloom[],
    config_vit[];

/* Write base with key set to value (JSON), or without key if value is NULL. A key "router.x" is one
 * of the router. */
void config_put(const char *base, const char *key, const char *value);

#endif
