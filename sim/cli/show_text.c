/* show_text.c - see show_text.h. Text from a model is text from outside: on a terminal no control
 * character of it gets through. A character of several byte tokens has the depth of its last. */
#include "cli/show_text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WIDTH = 80, N_SHADE = 8 };

/* Colours of the xterm palette from dark violet (no layer) to yellow (all of them), ink to match.
 */
static const struct {
    int paper, ink;
} shades[N_SHADE] = {{54, 231}, {61, 231}, {67, 231}, {31, 231},
                     {36, 16},  {78, 16},  {148, 16}, {220, 16}};

static int shade_of(const struct show_text *s, double depth)
{
    const double share = depth / s->n_layer;
    const int shade = (int)lrint(share * (N_SHADE - 1));
    return shade < 0 ? 0 : shade >= N_SHADE ? N_SHADE - 1 : shade;
}

/* Layers run as one character: 0-9, then letters. */
static char digit_of(double depth)
{
    static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyz";
    const long n = lrint(depth);
    return n < 0 || n >= (long)sizeof digits - 1 ? '+' : digits[n];
}

static bool colour_wanted(FILE *to)
{
    const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
    return isatty(fileno(to)) && (no == NULL || *no == '\0') &&
           (term == NULL || strcmp(term, "dumb") != 0);
}

static void legend(const struct show_text *s)
{
    fputs("layers: ", s->to);
    for (int l = 0; l <= s->n_layer; l++) {
        const int shade = shade_of(s, l);
        fprintf(s->to, "\x1b[48;5;%dm\x1b[38;5;%dm %d \x1b[0m", shades[shade].paper,
                shades[shade].ink, l);
    }
    fputs("\n", s->to);
}

void show_text_open(struct show_text *s, FILE *to, bool depth, int n_layer)
{
    *s = (struct show_text){.to = to, .n_layer = n_layer};
    if (depth)
        s->mode = colour_wanted(to) ? SHOW_COLOUR : SHOW_LINES;
    else
        s->mode = isatty(fileno(to)) ? SHOW_SAFE : SHOW_RAW;
    if (s->mode == SHOW_COLOUR)
        legend(s);
}

/* ---- characters ---------------------------------------------------------------------------- */

static void end_line(struct show_text *s)
{
    if (s->n_column > 0)
        fprintf(s->to, "%s\n%s\n", s->chars.data, s->digits.data);
    rad_buf_free(&s->chars);
    rad_buf_free(&s->digits);
    s->n_column = 0;
}

static void put_in_lines(struct show_text *s, const char *shown, bool newline, double depth)
{
    const char digit[2] = {digit_of(depth), '\0'};
    rad_buf_add(&s->chars, newline ? "\xe2\x86\xb5" : shown); /* a newline has a depth too */
    rad_buf_add(&s->digits, digit);
    if (++s->n_column == WIDTH || newline)
        end_line(s);
}

static void put_colour(struct show_text *s, const char *shown, bool newline, double depth)
{
    const int shade = shade_of(s, depth);
    fprintf(s->to, "\x1b[48;5;%dm\x1b[38;5;%dm%s\x1b[0m%s", shades[shade].paper, shades[shade].ink,
            newline ? " " : shown, newline ? "\n" : "");
}

/* One character: a valid UTF-8 sequence, or a single byte that is none. */
static void put_char(struct show_text *s, const char *bytes, int n, double depth)
{
    char shown[8] = "";
    const unsigned char c = (unsigned char)bytes[0];
    const bool newline = c == '\n', c1 = n == 2 && c == 0xc2 && (unsigned char)bytes[1] < 0xa0;
    if (n == 1 && c >= 0x80)
        snprintf(shown, sizeof shown, "\xef\xbf\xbd");
    else if (c == '\t')
        snprintf(shown, sizeof shown, " ");
    else if ((c < 0x20 && !newline) || c == 0x7f || c1)
        snprintf(shown, sizeof shown, "\xc2\xb7");
    else
        memcpy(shown, bytes, (size_t)n);
    if (s->mode == SHOW_LINES)
        put_in_lines(s, shown, newline, depth);
    else if (s->mode == SHOW_COLOUR)
        put_colour(s, shown, newline, depth);
    else
        fputs(shown, s->to);
}

static int length_of(unsigned char lead)
{
    return lead < 0x80                   ? 1
           : lead >= 0xc2 && lead < 0xe0 ? 2
           : lead >= 0xe0 && lead < 0xf0 ? 3
           : lead >= 0xf0 && lead < 0xf5 ? 4
                                         : 1;
}

static void put_byte(struct show_text *s, char byte, double depth)
{
    const unsigned char c = (unsigned char)byte;
    if (s->n_part > 0 && (c & 0xc0) != 0x80) { /* the character before was cut short */
        for (int i = 0; i < s->n_part; i++)
            put_char(s, "\xff", 1, depth);
        s->n_part = 0;
    }
    s->part[s->n_part++] = byte;
    if (s->n_part == length_of((unsigned char)s->part[0])) {
        put_char(s, s->part, s->n_part, depth);
        s->n_part = 0;
    }
}

void show_text_put(struct show_text *s, const char *bytes, size_t len, double depth)
{
    if (s->mode == SHOW_RAW)
        fwrite(bytes, 1, len, s->to);
    else
        for (size_t i = 0; i < len; i++)
            put_byte(s, bytes[i], depth);
    fflush(s->to);
}

void show_text_close(struct show_text *s)
{
    for (int i = 0; i < s->n_part; i++)
        put_char(s, "\xff", 1, 0.0);
    if (s->mode == SHOW_LINES)
        end_line(s);
    else
        fputs("\n", s->to);
    rad_buf_free(&s->chars);
    rad_buf_free(&s->digits);
}
