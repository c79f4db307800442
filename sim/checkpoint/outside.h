/* outside.h - private to checkpoint: the words in which files that are not ours are read. */
#ifndef RAD_CHECKPOINT_OUTSIDE_H
#define RAD_CHECKPOINT_OUTSIDE_H

#include "base/buf.h"
#include "base/err.h"
#include "base/io.h"
#include "base/json.h"

#include <stdbool.h>
#include <stddef.h>

/* Text of a file made safe for a message, as an argument of the call that prints it. */
#define SHOW(text) rad_show((char[RAD_SHOW_MAX]){0}, text)

/* out = folder/name. errors: RAD_E_ARG (too long) */
RAD_MUST_CHECK enum rad_status rad_ckpt_path(char out[RAD_PATH_MAX], const char *folder,
                                             const char *name, struct rad_err *err);

/* Whether folder has something called name, whatever it is. */
bool rad_ckpt_has(const char *folder, const char *name);

/* Whether folder has weights that rad_tensors_open takes from folders: all but GGUF. */
bool rad_ckpt_has_weights(const char *folder);

/* Whether path names a GGUF file: it ends in .gguf and is no folder. */
bool rad_ckpt_is_gguf(const char *path);

/* What a model at path is called: ORG--NAME in the cache of the hub, a GGUF file without its
 * ending, the last part of another path. */
void rad_hub_name(char *out, size_t size, const char *path);

/* A Git-LFS pointer stands where the file should be, as in a clone made without git-lfs.
 * errors: RAD_E_PARSE if data begins like one */
RAD_MUST_CHECK enum rad_status rad_ckpt_refuse_lfs(const void *data, size_t len, const char *path,
                                                   struct rad_err *err);

/* rad_file_read, but a Git-LFS pointer is refused. The text is malloc'ed, NUL-terminated. */
RAD_MUST_CHECK enum rad_status rad_ckpt_read(const char *path, size_t max_bytes, char **out,
                                             size_t *len, struct rad_err *err);

/* A file mapped for reading; it must not be shortened while it is. */
struct rad_map {
    const unsigned char *data; /* NULL: nothing is mapped */
    size_t len;
};

/* Map a regular file that is not empty; what: "a file of weights", for messages. errors: RAD_E_IO,
 * RAD_E_PARSE (empty, or a Git-LFS pointer) */
RAD_MUST_CHECK enum rad_status rad_map_open(struct rad_map *out, const char *path, const char *what,
                                            struct rad_err *err);
/* As rad_tensors_expect. */
void rad_map_expect(const struct rad_map *map, bool sparse);
void rad_map_close(struct rad_map *map); /* leaves it empty; an empty one is fine */

/* Bytes of the UTF-8 character at p (1 to 4), or 0 if p starts none: overlong forms, surrogates
 * and values over U+10FFFF are none. end > p. */
size_t rad_ckpt_utf8(const char *p, const char *end);

/* Append value as JSON; false if memory ran out. json_dumps itself may lose a part then and still
 * succeed (jansson 2.14 does not check what it returns for keys). */
bool rad_ckpt_dump(struct rad_buf *out, const json_t *value, size_t flags);

/* Whether all of text[len] is UTF-8 without NUL. */
bool rad_ckpt_is_utf8(const char *text, size_t len);

#endif
