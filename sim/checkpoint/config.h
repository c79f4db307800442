/* config.h - private to checkpoint: parts of config.json that other files here ask for. */
#ifndef RAD_CHECKPOINT_CONFIG_H
#define RAD_CHECKPOINT_CONFIG_H

#include "base/io.h"
#include "base/json.h"
#include "checkpoint/checkpoint.h"

/* Parse folder/config.json, at most 1 MiB; *out is the caller's (json_decref). path is filled for
 * messages. */
struct rad_config_file {
    char path[RAD_PATH_MAX];
    json_t *root;
};
RAD_MUST_CHECK enum rad_status rad_config_read(struct rad_config_file *out, const char *folder,
                                               struct rad_err *err);

/* "radial_tokenizer": "bytes" or absent. errors: RAD_E_UNSUPPORTED (another word) */
RAD_MUST_CHECK enum rad_status rad_config_byte_tokens(const json_t *root, bool *out,
                                                      struct rad_err *err);

/* Fill *out, whose card has its name, from config.json or the metadata of a GGUF file; what is left
 * in it on failure is no config. errors as rad_model_config_open, without the file's name */
RAD_MUST_CHECK enum rad_status rad_config_fill(struct rad_model_config *out, const json_t *root,
                                               struct rad_err *err);
struct rad_gguf_parts;
RAD_MUST_CHECK enum rad_status rad_gguf_config_fill(struct rad_model_config *out,
                                                    const struct rad_gguf_parts *parts,
                                                    struct rad_err *err);
/* What files of this model_type call their tensors; NULL for an unknown one. */
const struct rad_layout *rad_gguf_layout(const char *model_type);

/* "float32", "float16", "bfloat16"; NULL for other formats. */
const char *rad_config_dtype_word(enum rad_dtype dtype);

#endif
