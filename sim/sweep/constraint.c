/* constraint.c - small comparisons over the axes: "batch <= 32", "hw != u280 or dtype == int8".
 *
 *   constraint = term { "or" term }        term = axis op value
 *   op = "<" | "<=" | ">" | ">=" | "==" | "!="  (only the last two for words)
 *
 * Tokens are separated by blanks, except that operators need none. Nothing else is accepted. */
#include "sweep/space.h"

#include "base/buf.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct scanner {
    const char *at;
    const rad_yaml_node *node;
    rad_arena *arena;
};

enum { WORD_MAX = 256 };

static void blanks(struct scanner *s)
{
    while (*s->at == ' ' || *s->at == '\t')
        s->at++;
}

/* Copy what comes before any of the stop characters; false if that is nothing or too long. */
static bool word(struct scanner *s, const char *stop, char out[WORD_MAX])
{
    blanks(s);
    const size_t n = strcspn(s->at, stop);
    if (n == 0 || n >= WORD_MAX)
        return false;
    memcpy(out, s->at, n);
    out[n] = '\0';
    s->at += n;
    return true;
}

static bool compare(struct scanner *s, enum rad_compare *out)
{
    static const struct {
        const char *text;
        enum rad_compare op;
    } rows[] = {{"<=", RAD_LE}, {">=", RAD_GE}, {"==", RAD_EQ},
                {"!=", RAD_NE}, {"<", RAD_LT},  {">", RAD_GT}};
    blanks(s);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const size_t n = strlen(rows[i].text);
        if (strncmp(s->at, rows[i].text, n) == 0) {
            s->at += n;
            *out = rows[i].op;
            return true;
        }
    }
    return false;
}

static enum rad_status read_axis(struct scanner *s, enum rad_sweep_axis *out, struct rad_err *err)
{
    char name[WORD_MAX], show[RAD_SHOW_MAX];
    if (!word(s, " \t<>=!", name))
        return rad_yaml_fail(s->node, err, RAD_E_PARSE,
                             "constraint: expected the name of a parameter before '%s'",
                             rad_show(show, s->at));
    *out = rad_axis_find(name);
    if (*out != RAD_N_AXIS)
        return RAD_OK;
    const char *near = rad_axis_near(name);
    return rad_yaml_fail(s->node, err, RAD_E_PARSE, "constraint: unknown parameter '%s'%s%s%s",
                         rad_show(show, name), near != NULL ? "; did you mean '" : "",
                         near != NULL ? near : "", near != NULL ? "'?" : "");
}

static enum rad_status read_value(struct scanner *s, struct rad_term *term, struct rad_err *err)
{
    char value[WORD_MAX], show[RAD_SHOW_MAX];
    const char *name = rad_axes[term->axis].name;
    if (!word(s, " \t", value))
        return rad_yaml_fail(s->node, err, RAD_E_PARSE,
                             "constraint: expected a value to compare '%s' with", name);
    if (!rad_axis_is_number(term->axis)) {
        if (term->op != RAD_EQ && term->op != RAD_NE)
            return rad_yaml_fail(s->node, err, RAD_E_PARSE,
                                 "constraint: '%s' is no number: only == and != apply", name);
        term->text = rad_space_copy(s->arena, value);
        return term->text != NULL ? RAD_OK : rad_fail(err, RAD_E_NOMEM, "sweep: out of memory");
    }
    char *end = NULL;
    errno = 0;
    term->number = strtod(value, &end);
    if (*end != '\0' || errno != 0 || !isfinite(term->number) ||
        strspn(value, "+-.0123456789eE") != strlen(value))
        return rad_yaml_fail(s->node, err, RAD_E_PARSE,
                             "constraint: expected a number to compare '%s' with but found '%s'",
                             name, rad_show(show, value));
    return RAD_OK;
}

static enum rad_status read_term(struct scanner *s, struct rad_term *term, struct rad_err *err)
{
    char show[RAD_SHOW_MAX];
    RAD_TRY(read_axis(s, &term->axis, err));
    if (!compare(s, &term->op))
        return rad_yaml_fail(s->node, err, RAD_E_PARSE,
                             "constraint: expected < <= > >= == or != after '%s' but found '%s'",
                             rad_axes[term->axis].name, rad_show(show, s->at));
    return read_value(s, term, err);
}

enum rad_status rad_constraint_parse(struct rad_constraint *out, const rad_yaml_node *node,
                                     rad_arena *arena, struct rad_err *err)
{
    struct scanner s = {rad_yaml_text(node), node, arena};
    char show[RAD_SHOW_MAX], joint[WORD_MAX];
    out->n = 0;
    if (rad_yaml_kind(node) != RAD_YAML_SCALAR)
        return rad_yaml_fail(node, err, RAD_E_PARSE, "constraint: expected text");
    for (;;) {
        if (out->n == RAD_MAX_TERM)
            return rad_yaml_fail(node, err, RAD_E_RANGE, "constraint: more than %d terms",
                                 RAD_MAX_TERM);
        RAD_TRY(read_term(&s, &out->term[out->n++], err));
        blanks(&s);
        if (*s.at == '\0')
            return RAD_OK;
        const char *rest = s.at;
        if (!word(&s, " \t", joint) || strcmp(joint, "or") != 0)
            return rad_yaml_fail(node, err, RAD_E_PARSE,
                                 "constraint: expected `or` or the end but found '%s'",
                                 rad_show(show, rest));
    }
}

static bool number_holds(const struct rad_term *term, double x)
{
    switch (term->op) {
    case RAD_LT:
        return x < term->number;
    case RAD_LE:
        return x <= term->number;
    case RAD_GT:
        return x > term->number;
    case RAD_GE:
        return x >= term->number;
    case RAD_EQ:
        return x == term->number;
    default:
        return x != term->number;
    }
}

bool rad_constraint_holds(const struct rad_constraint *c, const char *const value[RAD_N_AXIS])
{
    for (size_t i = 0; i < c->n; i++) {
        const struct rad_term *term = &c->term[i];
        const char *text = value[term->axis];
        if (text[0] == '\0')
            return true;
        if (rad_axis_is_number(term->axis)
                ? number_holds(term, strtod(text, NULL))
                : (strcmp(text, term->text) == 0) == (term->op == RAD_EQ))
            return true;
    }
    return false;
}
