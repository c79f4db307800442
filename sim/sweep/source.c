/* source.c - the trace behind a point: a file, or a run of a model that is kept as a file.
 *
 * A captured trace is written under a temporary name and renamed when it is complete, so that an
 * interrupted capture is done again and a finished one is never half. */
#include "sweep/source.h"

#include "base/buf.h"
#include "base/hash.h"
#include "base/io.h"

#include <errno.h>
#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const enum rad_sweep_axis capture_axes[] = {RAD_AXIS_MODEL, RAD_AXIS_POLICY, RAD_AXIS_TEXT,
                                                   RAD_AXIS_CTX, RAD_AXIS_KV};
enum { N_CAPTURE = sizeof capture_axes / sizeof capture_axes[0] };

static bool is_captured(const struct rad_sweep_point *point)
{
    return point->value[RAD_AXIS_MODEL][0] != '\0';
}

bool rad_source_equal(const struct rad_sweep_point *a, const struct rad_sweep_point *b)
{
    if (!is_captured(a) || !is_captured(b))
        return is_captured(a) == is_captured(b) &&
               strcmp(a->value[RAD_AXIS_TRACE], b->value[RAD_AXIS_TRACE]) == 0;
    for (size_t i = 0; i < N_CAPTURE; i++)
        if (strcmp(a->value[capture_axes[i]], b->value[capture_axes[i]]) != 0)
            return false;
    return true;
}

enum rad_status rad_source_identity(rad_identities *ids, const struct rad_sweep_provider *provider,
                                    const struct rad_sweep_point *point, uint64_t *out,
                                    struct rad_err *err)
{
    char found[RAD_PATH_MAX];
    if (!is_captured(point))
        return rad_identity(ids, point->value[RAD_AXIS_TRACE], out, err);
    uint64_t part[5] = {RAD_TRACE_VERSION, 0, 0, 0, 0};
    const char *policy = point->value[RAD_AXIS_POLICY], *kv = point->value[RAD_AXIS_KV];
    const char *ctx = point->value[RAD_AXIS_CTX], *model = point->value[RAD_AXIS_MODEL];
    if (provider != NULL && provider->find != NULL) {
        RAD_TRY(provider->find(found, model, err));
        model = found;
    }
    RAD_TRY(rad_identity(ids, model, &part[1], err));
    RAD_TRY(rad_identity(ids, point->value[RAD_AXIS_TEXT], &part[2], err));
    part[3] = rad_hash(policy, strlen(policy), rad_hash(kv, strlen(kv), 0));
    part[4] = rad_hash(ctx, strlen(ctx), 0);
    *out = rad_hash(part, sizeof part, 0);
    return RAD_OK;
}

/* ---- captures -------------------------------------------------------------------------- */

/* Remove what captures of dead processes left: folder/HASH.PID.part and its journals. */
static void sweep_leftovers(const char *folder)
{
    struct rad_buf pattern = {0};
    glob_t found;
    rad_buf_printf(&pattern, "%s/????????????????.*.part*", folder);
    if (!pattern.failed && glob(pattern.data, GLOB_NOSORT, NULL, &found) == 0) {
        for (size_t i = 0; i < found.gl_pathc; i++) {
            const char *name = strrchr(found.gl_pathv[i], '/') + 1;
            const long pid = strtol(name + 17, NULL, 10);
            if (pid > 0 && kill((pid_t)pid, 0) != 0 && errno == ESRCH)
                (void)unlink(found.gl_pathv[i]);
        }
        globfree(&found);
    }
    rad_buf_free(&pattern);
}

static enum rad_status check_complete(const char *path, struct rad_err *err)
{
    rad_trace *trace = NULL;
    RAD_TRY(rad_trace_open(&trace, path, err));
    const bool complete = rad_trace_complete(trace);
    rad_trace_close(trace);
    return complete ? RAD_OK : rad_fail(err, RAD_E_PARSE, "%s: the capture has no end mark", path);
}

static enum rad_status capture_to(const struct rad_source *source, const char *part,
                                  const char *path, struct rad_err *err)
{
    const char *const *value = source->point->value;
    const struct rad_sweep_capture what = {
        .model = value[RAD_AXIS_MODEL],
        .policy = value[RAD_AXIS_POLICY],
        .text = value[RAD_AXIS_TEXT],
        .kv = value[RAD_AXIS_KV],
        .ctx = strtoll(value[RAD_AXIS_CTX], NULL, 10),
    };
    enum rad_status status = source->provider->capture(source->provider->ctx, &what, part, err);
    if (status == RAD_OK)
        status = check_complete(part, err);
    if (status == RAD_OK && rename(part, path) != 0)
        status = rad_fail(err, RAD_E_IO, "%s: cannot rename: %s", part, strerror(errno));
    if (status != RAD_OK)
        (void)unlink(part);
    return status;
}

static enum rad_status capture(const struct rad_source *source, const char *path,
                               struct rad_err *err)
{
    char hash[17];
    struct rad_buf part = {0};
    RAD_TRY(rad_dir_make(source->provider->folder, err));
    sweep_leftovers(source->provider->folder);
    rad_hash_hex(source->identity, hash);
    rad_buf_printf(&part, "%s/%s.%ld.part", source->provider->folder, hash, (long)getpid());
    const enum rad_status status = part.failed ? rad_fail(err, RAD_E_NOMEM, "sweep: out of memory")
                                               : capture_to(source, part.data, path, err);
    rad_buf_free(&part);
    return status;
}

/* A kept trace that cannot be read any more is captured again. */
static enum rad_status load_captured(const struct rad_source *source, rad_trace **out,
                                     const char *path, struct rad_err *err)
{
    if (access(path, F_OK) == 0 && rad_trace_open(out, path, NULL) == RAD_OK) {
        if (rad_trace_complete(*out))
            return RAD_OK;
        rad_trace_close(*out);
        *out = NULL;
    }
    RAD_TRY(capture(source, path, err));
    return rad_trace_open(out, path, err);
}

enum rad_status rad_source_load(const struct rad_source *source, rad_trace **out, char **path,
                                struct rad_err *err)
{
    char hash[17];
    struct rad_buf text = {0};
    const bool captured = is_captured(source->point);
    *out = NULL;
    *path = NULL;
    if (captured && source->provider == NULL)
        return rad_fail(err, RAD_E_UNSUPPORTED, "sweep: models cannot be run here; give traces");
    rad_hash_hex(source->identity, hash);
    if (captured)
        rad_buf_printf(&text, "%s/%s.db", source->provider->folder, hash);
    else
        rad_buf_add(&text, source->point->value[RAD_AXIS_TRACE]);
    *path = text.data;
    if (text.failed)
        return rad_fail(err, RAD_E_NOMEM, "sweep: out of memory");
    return captured ? load_captured(source, out, *path, err) : rad_trace_open(out, *path, err);
}
