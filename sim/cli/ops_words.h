/* ops_words.h - private to cli/: what software ran a measured row, and whose layer it is. */
#ifndef RAD_CLI_OPS_WORDS_H
#define RAD_CLI_OPS_WORDS_H

enum { OPS_SOFTWARE = 48, OPS_MODEL = 32 };

/* Words of the row's software: of its source, and the ways of running that notes, the number of
 * ranks and the name of the hardware tell of. A word for which there is no room is left out. */
void ops_software(const char *source, const char *notes, const char *ranks, const char *hardware,
                  char out[OPS_SOFTWARE]);

/* "internlm-20b;mlp_act": the first word of several, if it can be the name of a model; else "". */
void ops_model(const char *notes, char out[OPS_MODEL]);

#endif
