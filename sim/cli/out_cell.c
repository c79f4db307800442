/* out_cell.c - one value as text in a format: escaping and digits. */
#include "cli/out_cell.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const replacement = "\xef\xbf\xbd"; /* U+FFFD in UTF-8 */

static bool continues(unsigned char c)
{
    return (c & 0xc0) == 0x80;
}

/* Bytes of the UTF-8 sequence at s (Unicode 15, table 3-7), 0 if there is none. */
static size_t utf8_length(const unsigned char *s)
{
    const unsigned char a = s[0], b = a != 0 ? s[1] : 0;
    if (a < 0x80)
        return 1;
    if (a >= 0xc2 && a <= 0xdf)
        return continues(b) ? 2 : 0;
    if (a >= 0xe0 && a <= 0xef) {
        const bool second = a == 0xe0   ? b >= 0xa0 && b <= 0xbf
                            : a == 0xed ? b >= 0x80 && b <= 0x9f
                                        : continues(b);
        return second && continues(s[2]) ? 3 : 0;
    }
    if (a >= 0xf0 && a <= 0xf4) {
        const bool second = a == 0xf0   ? b >= 0x90 && b <= 0xbf
                            : a == 0xf4 ? b >= 0x80 && b <= 0x8f
                                        : continues(b);
        return second && continues(s[2]) && continues(s[3]) ? 4 : 0;
    }
    return 0;
}

/* U+0000..001F and U+007F..009F move cursors and start escape sequences. */
static bool is_control(const unsigned char *s, size_t length)
{
    return (length == 1 && (s[0] < 0x20 || s[0] == 0x7f)) ||
           (length == 2 && s[0] == 0xc2 && s[1] < 0xa0);
}

static char *put(char *to, const void *from, size_t n)
{
    memcpy(to, from, n);
    return to + n;
}

static char *put_json(char *to, const unsigned char *s, size_t length)
{
    static const char from[] = "\"\\\n\r\t", code[] = "\"\\nrt";
    const char *special = length == 1 ? strchr(from, s[0]) : NULL;
    if (special != NULL && s[0] != '\0') {
        *to++ = '\\';
        *to++ = code[special - from];
        return to;
    }
    if (length == 1 && (s[0] < 0x20 || s[0] == 0x7f))
        return to + sprintf(to, "\\u%04x", s[0]);
    return put(to, s, length);
}

static char *put_screen(char *to, const unsigned char *s, size_t length, bool md)
{
    if (length == 1 && s[0] == '\n')
        return put(to, "\\n", 2);
    if (is_control(s, length))
        return to + sprintf(to, "\\x%02x", length == 1 ? s[0] : s[1]);
    if (md && length == 1 && s[0] == '|')
        return put(to, "\\|", 2);
    return put(to, s, length);
}

static char *put_csv(char *to, const unsigned char *s, size_t length)
{
    if (length == 1 && s[0] == '"')
        *to++ = '"';
    return put(to, s, length);
}

char *rad_cell_text(enum rad_format format, const char *value)
{
    if (value == NULL)
        return rad_cell_null(format);
    const bool quote = format == RAD_FORMAT_JSON ||
                       (format == RAD_FORMAT_CSV && strpbrk(value, ",\"\r\n"));
    char *const text = malloc(6 * strlen(value) + 3), *to = text;
    if (text == NULL)
        return NULL;
    if (quote)
        *to++ = '"';
    for (const unsigned char *s = (const unsigned char *)value; *s != '\0';) {
        const size_t length = utf8_length(s);
        if (length == 0)
            to = put(to, replacement, 3);
        else if (format == RAD_FORMAT_JSON)
            to = put_json(to, s, length);
        else if (format == RAD_FORMAT_CSV)
            to = put_csv(to, s, length);
        else
            to = put_screen(to, s, length, format == RAD_FORMAT_MD);
        s += length > 0 ? length : 1;
    }
    if (quote)
        *to++ = '"';
    *to = '\0';
    return text;
}

/* The fewest digits that read back to the same double: 17 always do. */
static void shortest(char out[32], double value)
{
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(out, 32, "%.*g", digits, value);
        if (strtod(out, NULL) == value)
            return;
    }
}

/* Four significant digits; whole numbers that people read (12345) stay whole. */
static void readable(char out[32], double value)
{
    const double size = fabs(value);
    snprintf(out, 32, size >= 1e4 && size < 999999.5 ? "%.0f" : "%.4g", value);
}

char *rad_cell_real(enum rad_format format, double value)
{
    char text[32];
    if (isnan(value) || (isinf(value) && format == RAD_FORMAT_JSON))
        return rad_cell_null(format);
    if (format == RAD_FORMAT_JSON || format == RAD_FORMAT_CSV)
        shortest(text, value);
    else
        readable(text, value);
    return strdup(text);
}

char *rad_cell_int(int64_t value)
{
    char text[32];
    snprintf(text, sizeof text, "%" PRId64, value);
    return strdup(text);
}

char *rad_cell_bool(enum rad_format format, bool value)
{
    if (format == RAD_FORMAT_JSON || format == RAD_FORMAT_CSV)
        return strdup(value ? "true" : "false");
    return strdup(value ? "yes" : "no");
}

char *rad_cell_null(enum rad_format format)
{
    static const char *const names[] = {"-", "null", "", ""};
    return strdup(names[format]);
}

size_t rad_cell_width(const char *text)
{
    size_t n = 0;
    for (; *text != '\0'; text++)
        n += !continues((unsigned char)*text);
    return n;
}

void rad_out_escape(FILE *to, const char *text)
{
    char *safe = rad_cell_text(RAD_FORMAT_TABLE, text);
    fputs(safe != NULL ? safe : "(no memory)", to);
    free(safe);
}
