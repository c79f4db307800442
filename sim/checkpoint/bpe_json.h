/* bpe_json.h - private to checkpoint: parts of a byte-pair encoding that are written as JSON. */
#ifndef RAD_CHECKPOINT_BPE_JSON_H
#define RAD_CHECKPOINT_BPE_JSON_H

#include "base/json.h"
#include "checkpoint/bpe.h"

/* Pieces of {"text": id, ...}, which must outlive spec. errors: RAD_E_PARSE, RAD_E_RANGE,
 * RAD_E_NOMEM; messages lack the file */
RAD_MUST_CHECK enum rad_status rad_bpe_read_vocab(struct rad_bpe_spec *spec, const json_t *vocab,
                                                  struct rad_err *err);

/* The id of a piece or added token by its text, or -1. */
int32_t rad_bpe_spec_find(const struct rad_bpe_spec *spec, struct rad_slice text);

/* The text of a token named in a config, such as "eos_token": a string, or an object with content;
 * data is NULL if it is absent or null. errors: RAD_E_PARSE */
RAD_MUST_CHECK enum rad_status rad_bpe_token_name(const json_t *config, const char *key,
                                                  struct rad_slice *out, struct rad_err *err);

/* normalizer, pre_tokenizer, post_processor and decoder of a tokenizer.json, after its model and
 * added tokens. errors: RAD_E_PARSE, RAD_E_RANGE, RAD_E_UNSUPPORTED, RAD_E_NOMEM */
RAD_MUST_CHECK enum rad_status rad_bpe_read_steps(struct rad_bpe_spec *spec, const json_t *root,
                                                  struct rad_err *err);

/* A file that may be absent: *out is NULL then, else the caller's. errors: RAD_E_PARSE, RAD_E_NOMEM
 */
RAD_MUST_CHECK enum rad_status
rad_bpe_parse_file(json_t **out, const struct rad_tokenizer_file *file, struct rad_err *err);

#endif
