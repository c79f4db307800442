/* text_split.c - words by a regular expression, in a bounded number of steps.
 *
 * pcre2 bounds the backtracking of a match, but not how far a repeat looks ahead; both are bounded
 * here. A match is first tried with little text and few steps. Where the text was too short for an
 * answer (a hard partial match) or the steps too few, it is tried again with four times as much,
 * and the most that this may cost is taken from an allowance that grows with the text. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "checkpoint/text_split.h"

#include "base/buf.h"

#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

enum { PATTERN_MAX = 4096, NEST_MAX = 32, HEAP_MAX_KIB = 64 << 10 };
enum { WINDOW = 256, STEPS = 1000, GROWTH = 4 };                  /* bytes, steps */
enum { STEPS_PER_BYTE = 1 << 12, ALLOWED = 16, GRANT = 1 << 22 }; /* of the allowance */

/* Memory of pcre2, which tells a failed allocation from other reasons. */
struct memory {
    bool failed;
};

struct rad_split {
    struct memory memory;
    pcre2_code *search, *here; /* anywhere, and at one place: JIT code cannot be told at a match */
    bool keep_gaps;
};

struct rad_splitter {
    struct memory memory;
    const struct rad_split *split;
    pcre2_general_context *general;
    pcre2_match_context *context;
    pcre2_match_data *data;
    uint64_t allowance;
};

static void *get_memory(size_t size, void *ctx)
{
    struct memory *memory = ctx;
    void *p = malloc(size);
    memory->failed = memory->failed || p == NULL;
    return p;
}

static void free_memory(void *p, void *ctx)
{
    (void)ctx;
    free(p);
}

static enum rad_status no_memory(struct rad_err *err)
{
    return rad_fail(err, RAD_E_NOMEM, "no memory for a regular expression");
}

/* ---- patterns -------------------------------------------------------------------------- */

/* White_Space of the Unicode character database (PropList.txt). */
#define SPACES                                                                                     \
    "\\x{9}-\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}"    \
    "\\x{205f}\\x{3000}"

static enum rad_status unsupported(const char *what, struct rad_err *err)
{
    return rad_fail(err, RAD_E_UNSUPPORTED, "regular expression: %s is not supported", what);
}

/* Copy what begins with a backslash; returns its length. */
static size_t put_escape(struct rad_buf *out, const char *at, const char *end, bool in_class)
{
    const char c = end - at > 1 ? at[1] : '\0';
    if (c == 's')
        rad_buf_add(out, in_class ? SPACES : "[" SPACES "]");
    else if (c == 'S' && !in_class)
        rad_buf_add(out, "[^" SPACES "]");
    else
        rad_buf_append(out, at, end - at > 1 ? 2 : 1);
    return end - at > 1 ? 2 : 1;
}

/* A class inside a class is their union; returns the bytes of at that were dealt with. */
static enum rad_status put_in_class(struct rad_buf *out, const char *at, const char *end,
                                    int *depth, struct rad_err *err)
{
    const char next = end - at > 1 ? at[1] : '\0';
    if (*at == '&' && next == '&')
        return unsupported("an intersection of classes", err);
    if (*at == '[' && next == '^')
        return unsupported("a negated class inside a class", err);
    if (*at == '[' && next == ':')
        return unsupported("a POSIX class", err);
    if (*at == '[') {
        *depth += 1;
        return RAD_OK;
    }
    *depth -= *at == ']';
    if (*at != ']' || *depth == 0)
        rad_buf_append(out, at, 1);
    return RAD_OK;
}

/* Write the pattern as pcre2 reads it. */
static enum rad_status translate(const char *pattern, size_t len, struct rad_buf *out,
                                 struct rad_err *err)
{
    const char *end = pattern + len;
    int depth = 0; /* of classes */
    for (const char *at = pattern; at < end;) {
        if (*at == '\\') {
            at += put_escape(out, at, end, depth > 0);
        } else if (depth > 0) {
            RAD_TRY(put_in_class(out, at++, end, &depth, err));
        } else if (*at == '[') {
            const size_t head = end - at > 1 && at[1] == '^' ? 2 : 1;
            rad_buf_append(out, at, head);
            at += head;
            depth = 1;
            if (at < end && *at == ']') /* the first of a class stands for itself */
                rad_buf_append(out, at++, 1);
        } else {
            rad_buf_append(out, at++, 1);
        }
    }
    return out->failed ? no_memory(err) : RAD_OK;
}

static enum rad_status compile(struct rad_split *s, const struct rad_buf *pattern,
                               pcre2_compile_context *context, struct rad_err *err)
{
    enum { OPTIONS = PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C };
    pcre2_set_max_pattern_length(context, 16 * PATTERN_MAX); /* translated */
    pcre2_set_parens_nest_limit(context, NEST_MAX);
    for (int here = 0; here < 2; here++) {
        int code = 0;
        PCRE2_SIZE at = 0;
        PCRE2_UCHAR why[128];
        pcre2_code *made = pcre2_compile((PCRE2_SPTR)pattern->data, pattern->len,
                                         OPTIONS | (here ? PCRE2_ANCHORED : 0), &code, &at,
                                         context);
        *(here ? &s->here : &s->search) = made;
        if (s->memory.failed)
            return no_memory(err);
        if (made == NULL) {
            pcre2_get_error_message(code, why, sizeof why);
            return rad_fail(err, RAD_E_PARSE, "regular expression: %s", (const char *)why);
        }
        /* Where there is no JIT the pattern is interpreted. */
        const int jit = pcre2_jit_compile(made, PCRE2_JIT_COMPLETE | PCRE2_JIT_PARTIAL_HARD);
        if (jit != 0 && s->memory.failed)
            return no_memory(err);
    }
    return RAD_OK;
}

static enum rad_status compile_in(struct rad_split *s, const struct rad_buf *pattern,
                                  struct rad_err *err)
{
    pcre2_general_context *general =
        pcre2_general_context_create(get_memory, free_memory, &s->memory);
    pcre2_compile_context *context = general != NULL ? pcre2_compile_context_create(general) : NULL;
    const enum rad_status status = context != NULL ? compile(s, pattern, context, err)
                                                   : no_memory(err);
    pcre2_compile_context_free(context);
    pcre2_general_context_free(general);
    return status;
}

enum rad_status rad_split_open(rad_split **out, const char *pattern, size_t len, bool keep_gaps,
                               struct rad_err *err)
{
    struct rad_buf text = {0};
    *out = NULL;
    if (len == 0 || len > PATTERN_MAX)
        return rad_fail(err, RAD_E_RANGE, "regular expression: expected 1..%d bytes but found %zu",
                        PATTERN_MAX, len);
    struct rad_split *s = calloc(1, sizeof *s);
    if (s == NULL)
        return no_memory(err);
    s->keep_gaps = keep_gaps;
    enum rad_status status = translate(pattern, len, &text, err);
    if (status == RAD_OK)
        status = compile_in(s, &text, err);
    rad_buf_free(&text);
    if (status == RAD_OK)
        *out = s;
    else
        rad_split_close(s);
    return status;
}

void rad_split_close(rad_split *split)
{
    if (split == NULL)
        return;
    pcre2_code_free(split->search);
    pcre2_code_free(split->here);
    free(split);
}

bool rad_split_keeps_gaps(const rad_split *split)
{
    return split->keep_gaps;
}

/* ---- matching -------------------------------------------------------------------------- */

enum rad_status rad_splitter_open(rad_splitter **out, const rad_split *split, size_t total_len,
                                  struct rad_err *err)
{
    struct rad_splitter *s = calloc(1, sizeof *s);
    *out = s;
    if (s == NULL)
        return no_memory(err);
    s->split = split;
    s->allowance = GRANT + ALLOWED * (uint64_t)total_len;
    s->general = pcre2_general_context_create(get_memory, free_memory, &s->memory);
    s->context = s->general != NULL ? pcre2_match_context_create(s->general) : NULL;
    s->data = s->context != NULL ? pcre2_match_data_create(1, s->general) : NULL;
    if (s->data != NULL) {
        pcre2_set_heap_limit(s->context, HEAP_MAX_KIB);
        return RAD_OK;
    }
    rad_splitter_close(s);
    *out = NULL;
    return no_memory(err);
}

void rad_splitter_close(rad_splitter *s)
{
    if (s == NULL)
        return;
    pcre2_match_data_free(s->data);
    pcre2_match_context_free(s->context);
    pcre2_general_context_free(s->general);
    free(s);
}

/* Where a match is looked for, and with what effort. */
struct attempt {
    const char *text;
    size_t len, from;
    size_t window; /* bytes behind from that may be looked at */
    uint32_t steps;
    bool here; /* it begins at from */
};

/* The end of the window, at the end of a character. */
static size_t window_end(const struct attempt *a)
{
    if (a->len - a->from <= a->window)
        return a->len;
    size_t end = a->from + a->window;
    while (((unsigned char)a->text[end] & 0xc0) == 0x80)
        end--;
    return end;
}

static int try_match(struct rad_splitter *s, const struct attempt *a)
{
    const size_t end = window_end(a);
    uint32_t options = PCRE2_NO_UTF_CHECK;
    if (end < a->len)
        options |= PCRE2_PARTIAL_HARD;
    pcre2_set_match_limit(s->context, a->steps);
    return pcre2_match(a->here ? s->split->here : s->split->search, (PCRE2_SPTR)a->text, end,
                       a->from, options, s->data, s->context);
}

/* Try with more; false: the allowance is spent. */
static bool grow(struct rad_splitter *s, struct attempt *a, bool window)
{
    if (window)
        a->window *= GROWTH;
    else
        a->steps = a->steps < UINT32_MAX / GROWTH ? a->steps * GROWTH : UINT32_MAX;
    const uint64_t seen = window_end(a) - a->from;
    const uint64_t cost = seen + seen * a->steps / STEPS_PER_BYTE;
    if (cost > s->allowance)
        return false;
    s->allowance -= cost;
    return true;
}

static enum rad_status too_long(const struct attempt *a, struct rad_err *err)
{
    return rad_fail(err, RAD_E_RANGE,
                    "the tokenizer's regular expression takes too many steps at byte %zu of the "
                    "text",
                    a->from);
}

static bool limited(int rc)
{
    return rc == PCRE2_ERROR_MATCHLIMIT || rc == PCRE2_ERROR_HEAPLIMIT ||
           rc == PCRE2_ERROR_DEPTHLIMIT || rc == PCRE2_ERROR_JIT_STACKLIMIT;
}

/* Whether a match begins at a->from, for certain. */
static enum rad_status match_here(struct rad_splitter *s, struct attempt *a, int *rc,
                                  struct rad_err *err)
{
    a->here = true;
    for (;;) {
        const bool partial = *rc == PCRE2_ERROR_PARTIAL;
        if (!partial && *rc != PCRE2_ERROR_MATCHLIMIT)
            break;
        if (!grow(s, a, partial))
            return too_long(a, err);
        *rc = try_match(s, a);
    }
    if (s->memory.failed)
        return no_memory(err);
    return limited(*rc) ? too_long(a, err) : RAD_OK;
}

static size_t next_char(const char *text, size_t len, size_t at)
{
    for (at++; at < len && ((unsigned char)text[at] & 0xc0) == 0x80;)
        at++;
    return at;
}

/* Look once from *from on: either a match is found, or *from is where to look next. */
static enum rad_status look(struct rad_splitter *s, struct attempt *a, bool *found,
                            struct rad_err *err)
{
    const PCRE2_SIZE *at = pcre2_get_ovector_pointer(s->data);
    const size_t end = window_end(a);
    size_t next = end;
    int rc = try_match(s, a);
    if (rc == PCRE2_ERROR_PARTIAL || limited(rc)) {
        /* Nothing begins before a partial match; where steps ran out is not known. */
        if (rc == PCRE2_ERROR_PARTIAL && at[0] > a->from && at[0] <= end)
            a->from = at[0];
        rc = rc == PCRE2_ERROR_PARTIAL ? rc : PCRE2_ERROR_MATCHLIMIT;
        RAD_TRY(match_here(s, a, &rc, err));
        next = next_char(a->text, a->len, a->from);
    }
    if (s->memory.failed)
        return no_memory(err);
    if (rc < 0 && rc != PCRE2_ERROR_NOMATCH)
        return rad_fail(err, RAD_E_RANGE, "regular expression: pcre2 error %d", rc);
    /* \K may put the beginning of a match anywhere: such a match is none. */
    *found = rc >= 0 && at[0] >= a->from && at[1] >= at[0];
    a->from = rc >= 0 && !*found ? next_char(a->text, a->len, a->from) : next;
    return RAD_OK;
}

enum rad_status rad_splitter_find(rad_splitter *s, const char *text, size_t len, size_t from,
                                  size_t *begin, size_t *end, struct rad_err *err)
{
    const PCRE2_SIZE *at = pcre2_get_ovector_pointer(s->data);
    bool found = false;
    *begin = *end = len;
    while (!found && from < len) {
        struct attempt a = {text, len, from, WINDOW, STEPS, false};
        RAD_TRY(look(s, &a, &found, err));
        from = a.from;
    }
    if (found) {
        *begin = at[0];
        *end = at[1];
    }
    return RAD_OK;
}
