/* show_text.h - generated text as it appears, if asked with the depth of every token. */
#ifndef RAD_CLI_SHOW_TEXT_H
#define RAD_CLI_SHOW_TEXT_H

#include "radial.h"

#include <stdio.h>

enum show_mode {
    SHOW_RAW,    /* a file or pipe: the bytes */
    SHOW_SAFE,   /* a terminal: control characters made visible */
    SHOW_COLOUR, /* a terminal: the background says how deep */
    SHOW_LINES   /* two lines: characters, and under each its number of layers */
};

struct show_text {
    FILE *to;
    enum show_mode mode;
    int n_layer;
    char part[4]; /* of a UTF-8 character that is not complete yet */
    int n_part;
    struct rad_buf chars, digits; /* SHOW_LINES: the line being filled */
    int n_column;
};

/* depth: show it, in colour on a terminal unless NO_COLOR is set. */
void show_text_open(struct show_text *s, FILE *to, bool depth, int n_layer);

/* The text of one token that ran `depth` layers. */
void show_text_put(struct show_text *s, const char *bytes, size_t len, double depth);

/* End the text with a newline. */
void show_text_close(struct show_text *s);

#endif
