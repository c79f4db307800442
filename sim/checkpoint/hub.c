/* hub.c - what a MODEL argument means: a folder, a GGUF file, or a name in the cache of the hub.
 *
 * The cache of the Hugging Face hub keeps models--ORG--NAME with refs/main (the commit, 40 hex
 * digits), snapshots/COMMIT with the files, and blobs, to which those are links. */
#include "checkpoint/outside.h"

#include "checkpoint/checkpoint.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { NAME_MAX_BYTES = 96 /* of ORG and of NAME, as on the hub */, REF_MAX = 64 };

/* Letters, digits, '-', '_' and '.', not at the beginning and not two in a row: never a path. */
static bool plain_name(const char *name, size_t len)
{
    static const char ok[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
    bool plain = len > 0 && len <= NAME_MAX_BYTES && name[0] != '.' && name[0] != '-';
    for (size_t i = 0; plain && i < len; i++)
        plain = strchr(ok, name[i]) != NULL && name[i] != '\0' &&
                (i == 0 || name[i] != name[i - 1] || strchr("-.", name[i]) == NULL);
    return plain;
}

/* ORG/NAME? */
static bool hub_name(const char *model)
{
    const char *slash = strchr(model, '/');
    return slash != NULL && plain_name(model, (size_t)(slash - model)) &&
           plain_name(slash + 1, strlen(slash + 1));
}

static bool is_folder(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* ---- GGUF files ---------------------------------------------------------------------------- */

bool rad_ckpt_is_gguf(const char *path)
{
    static const char ext[] = ".gguf";
    const size_t len = strlen(path), n = sizeof ext - 1;
    return len > n && strcmp(path + len - n, ext) == 0 && !is_folder(path);
}

/* path becomes the only .gguf file of that folder, if there is one and no other weights. */
static enum rad_status find_gguf(char path[RAD_PATH_MAX], struct rad_err *err)
{
    char found[RAD_PATH_MAX], name[256] = "";
    int n = 0;
    if (rad_ckpt_has_weights(path))
        return RAD_OK;
    DIR *dir = opendir(path);
    for (struct dirent *e; dir != NULL && (e = readdir(dir)) != NULL;)
        if (rad_ckpt_path(found, path, e->d_name, NULL) == RAD_OK && rad_ckpt_is_gguf(found) &&
            n++ == 0)
            snprintf(name, sizeof name, "%s", e->d_name);
    if (dir != NULL)
        closedir(dir);
    if (n > 1)
        return rad_fail(err, RAD_E_ARG, "%s: has %d .gguf files; give the path of one", path, n);
    if (n == 0)
        return RAD_OK;
    RAD_TRY(rad_ckpt_path(found, path, name, err));
    memcpy(path, found, RAD_PATH_MAX);
    return RAD_OK;
}

/* ---- the cache ----------------------------------------------------------------------------- */

/* The commit that refs/main names, as a plain file name. */
static enum rad_status read_ref(const char *folder, char ref[REF_MAX + 1], struct rad_err *err)
{
    char path[RAD_PATH_MAX], *text = NULL;
    size_t len = 0;
    RAD_TRY(rad_ckpt_path(path, folder, "refs/main", err));
    RAD_TRY(rad_file_read(path, 4096, &text, &len, err));
    while (len > 0 && strchr(" \t\r\n", text[len - 1]) != NULL && text[len - 1] != '\0')
        len--;
    const bool ok = len <= REF_MAX && plain_name(text, len);
    if (ok)
        snprintf(ref, REF_MAX + 1, "%.*s", (int)len, text);
    free(text);
    return ok ? RAD_OK : rad_fail(err, RAD_E_PARSE, "%s: expected the name of a snapshot", path);
}

/* path becomes the snapshot of that folder, if it is one of the cache. */
static enum rad_status find_snapshot(char path[RAD_PATH_MAX], struct rad_err *err)
{
    char ref[REF_MAX + 1], part[REF_MAX + 16], found[RAD_PATH_MAX];
    if (!rad_ckpt_has(path, "snapshots") || rad_ckpt_has(path, "config.json"))
        return RAD_OK;
    RAD_TRY(read_ref(path, ref, err));
    snprintf(part, sizeof part, "snapshots/%s", ref);
    RAD_TRY(rad_ckpt_path(found, path, part, err));
    if (!is_folder(found))
        return rad_fail(err, RAD_E_IO, "%s: refs/main names %s, but there is no such snapshot",
                        path, ref);
    memcpy(path, found, RAD_PATH_MAX);
    return RAD_OK;
}

/* The folder of the cache, and what says so. */
static enum rad_status cache_folder(char out[RAD_PATH_MAX], const char **from, struct rad_err *err)
{
    const char *cache = getenv("HF_HUB_CACHE"), *home = getenv("HF_HOME"), *user = getenv("HOME");
    if (cache != NULL && cache[0] != '\0') {
        *from = "HF_HUB_CACHE";
        const int n = snprintf(out, RAD_PATH_MAX, "%s", cache);
        return n < RAD_PATH_MAX ? RAD_OK : rad_fail(err, RAD_E_ARG, "HF_HUB_CACHE is too long");
    }
    if (home != NULL && home[0] != '\0') {
        *from = "HF_HOME";
        return rad_ckpt_path(out, home, "hub", err);
    }
    *from = "HF_HUB_CACHE and HF_HOME are not set";
    return rad_ckpt_path(out, user != NULL ? user : "", ".cache/huggingface/hub", err);
}

/* model is ORG/NAME. */
static enum rad_status find_cached(char out[RAD_PATH_MAX], const char *model, struct rad_err *err)
{
    char cache[RAD_PATH_MAX], folder[2 * NAME_MAX_BYTES + 16];
    const char *from = NULL, *slash = strchr(model, '/');
    RAD_TRY(cache_folder(cache, &from, err));
    snprintf(folder, sizeof folder, "models--%.*s--%s", (int)(slash - model), model, slash + 1);
    RAD_TRY(rad_ckpt_path(out, cache, folder, err));
    if (is_folder(out))
        return RAD_OK;
    return rad_fail(err, RAD_E_IO,
                    "%s: no such folder, and %s is not in the cache %s (%s); download it first",
                    model, folder, cache, from);
}

/* ---- the whole ----------------------------------------------------------------------------- */

enum rad_status rad_model_find(char out[RAD_PATH_MAX], const char *model, struct rad_err *err)
{
    const int n = snprintf(out, RAD_PATH_MAX, "%s", model);
    if (n < 1 || n >= RAD_PATH_MAX)
        return rad_fail(err, RAD_E_ARG, "model: expected a path of 1 to %d bytes",
                        RAD_PATH_MAX - 1);
    struct stat st;
    if (stat(model, &st) != 0 && hub_name(model))
        RAD_TRY(find_cached(out, model, err));
    else if (stat(model, &st) != 0)
        return rad_fail(err, RAD_E_IO,
                        "%s: cannot open: %s; expected a folder, a .gguf file or ORG/NAME", model,
                        strerror(errno));
    if (!is_folder(out) && !rad_ckpt_is_gguf(out))
        return rad_fail(err, RAD_E_IO,
                        "%s: expected a folder, a .gguf file or ORG/NAME but found a file of "
                        "another kind; a card (.yaml) has no weights",
                        model);
    if (!is_folder(out))
        return RAD_OK;
    RAD_TRY(find_snapshot(out, err));
    return find_gguf(out, err);
}

void rad_hub_name(char *out, size_t size, const char *path)
{
    static const char mark[] = "models--";
    size_t end = strlen(path);
    const char *at = strstr(path, "/snapshots/");
    if (at != NULL) { /* .../models--ORG--NAME/snapshots/COMMIT */
        const char *begin = at;
        while (begin > path && begin[-1] != '/')
            begin--;
        if (strncmp(begin, mark, sizeof mark - 1) == 0) {
            begin += sizeof mark - 1;
            snprintf(out, size, "%.*s", (int)(at - begin), begin);
            return;
        }
    }
    while (end > 0 && path[end - 1] == '/')
        end--;
    size_t begin = end;
    while (begin > 0 && path[begin - 1] != '/')
        begin--;
    if (rad_ckpt_is_gguf(path))
        end -= 5;
    snprintf(out, size, "%.*s", (int)(end - begin), path + begin);
}
