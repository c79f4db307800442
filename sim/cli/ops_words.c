/* ops_words.c - see ops_words.h. */
#include "cli/ops_words.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A word that does not fit is left out. */
static void add_word(char out[OPS_SOFTWARE], const char *word)
{
    const size_t len = strlen(out);
    if (len + strlen(word) < OPS_SOFTWARE)
        snprintf(out + len, OPS_SOFTWARE - len, "%s", word);
}

/* The blocks of phi-2 have LayerNorm where the others of that source have RMSNorm, and add three
 * tensors where they add two: other kernels under the same name. */
void ops_software(const char *source, const char *notes, const char *ranks, const char *hardware,
                  char out[OPS_SOFTWARE])
{
    static const struct {
        const char *note, *word;
    } modes[] = {{"phi-2;input_layernorm", " mean"},
                 {"with_mean", " mean"},
                 {"phi-2;add", " three"},
                 {"eager", " eager"},
                 {"graph", " graph"},
                 {"event_incl_launch", " launched"},
                 {"devices_per_node=1;", " node1"},
                 {"devices_per_node=2;", " node2"},
                 {"devices_per_node=4;", " node4"},
                 {"devices_per_node=8;", " node8"}};
    snprintf(out, OPS_SOFTWARE, "%.32s", *source != '\0' ? source : "measured");
    for (char *at = out; *at != '\0'; at++)
        *at = *at == '-' || *at == '"' || *at == '\\' || (unsigned char)*at < ' ' ? ' ' : *at;
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++)
        if (strstr(notes, modes[i].note) != NULL)
            add_word(out, modes[i].word);
    const char *node = strstr(notes, "devices_per_node=");
    if (node != NULL && atoi(ranks) > atoi(node + strlen("devices_per_node=")))
        add_word(out, " across");
    if (strstr(hardware, "_pairwise") != NULL)
        add_word(out, " pairwise");
    else if (strstr(hardware, "_dgx") != NULL)
        add_word(out, " dgx");
}

void ops_model(const char *notes, char out[OPS_MODEL])
{
    const size_t len = strcspn(notes, ";");
    const size_t digits = strcspn(notes, "0123456789"), equal = strcspn(notes, "=");
    out[0] = '\0';
    if (notes[len] == ';' && digits < len && equal > len && len < OPS_MODEL)
        snprintf(out, OPS_MODEL, "%.*s", (int)len, notes);
}
