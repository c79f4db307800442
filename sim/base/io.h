/* io.h - whole files in and out, folders, and where data files are found. */
#ifndef RAD_BASE_IO_H
#define RAD_BASE_IO_H

#include "base/err.h"

#include <stddef.h>

#define RAD_PATH_MAX 4096 /* bytes of a path, its NUL included */

/* Read a regular file of at most max_bytes; a NUL is put behind the data. *out is malloc'ed for
 * the caller, NULL on failure; len may be NULL. A pipe, device or folder is refused without
 * blocking. errors: RAD_E_IO, RAD_E_RANGE (too large), RAD_E_NOMEM */
RAD_MUST_CHECK enum rad_status rad_file_read(const char *path, size_t max_bytes, char **out,
                                             size_t *len, struct rad_err *err);

/* Replace the file by data[len] as a whole: written beside it, synced, then renamed, so that a
 * reader or a kill never sees a part. An existing file keeps its permissions. errors: RAD_E_IO */
RAD_MUST_CHECK enum rad_status rad_file_write(const char *path, const void *data, size_t len,
                                              struct rad_err *err);

/* Make a folder and its parents; an existing one is fine. errors: RAD_E_IO */
RAD_MUST_CHECK enum rad_status rad_dir_make(const char *path, struct rad_err *err);

/* Find the data file `name` of a folder such as "hwprofiles" and write its path to out[size]. A
 * name with a '/' or ending in suffix is taken as a path. Otherwise, the first that exists of
 * ./folder/NAMEsuffix, RADIAL_DATADIR/folder/NAMEsuffix (the installed data; a compile-time
 * string) and DIR/folder/NAMEsuffix or DIR/NAMEsuffix for every DIR of $RADIAL_PATH.
 * errors: RAD_E_IO (no such file; names near ones), RAD_E_RANGE (path too long) */
RAD_MUST_CHECK enum rad_status rad_data_find(char *out, size_t size, const char *folder,
                                             const char *name, const char *suffix,
                                             struct rad_err *err);

/* Visit the folders that rad_data_find looks in for files of `folder`, in its order; they need not
 * exist. */
void rad_data_folders(const char *folder, void (*visit)(void *ctx, const char *path), void *ctx);

#endif
