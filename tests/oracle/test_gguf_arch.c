/* test_gguf_arch.c - GGUF models of every architecture and tensor type against gguf_vectors.py
 * (vectors in gguf_vectors.tsv), from files with the same bytes as those that it writes. */
#include "arch_run.h"
#include "base/io.h"
#include "gguf_make.h"
#include "refuse.h"

#include <stdlib.h>
#include <string.h>

#define FILE_NAME "build/tmp/arch.gguf"

enum { MAX_KEY = 24, MAX_TENSOR = 64, LINE_BYTES = 4096, DATA_BYTES = 1 << 19 };

struct line { /* of a key or tensor, cut at its tabs */
    char text[160];
    const char *field[5];
};

struct model { /* one of the vectors */
    char name[32];
    uint64_t seed;
    int n_key, n_tensor;
    struct line key[MAX_KEY], tensor[MAX_TENSOR];
    struct arch_run run;
};

struct variant { /* a file of a model */
    char kind[8];
    unsigned version;
    uint64_t hash;
};

static const struct {
    const char *word;
    uint32_t number;
} kinds[] = {{"F32", 0}, {"F16", 1}, {"Q4_0", 2}, {"Q8_0", 8}, {"Q6_K", 14}, {"BF16", 30}};

/* ---- tensors from the stream --------------------------------------------------------------- */

static uint32_t step(uint64_t *x)
{
    *x = *x * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(*x >> 40);
}

/* Exact for the values of the stream, which have few bits and are no subnormals. */
static uint16_t half_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    const uint32_t sign = bits >> 16 & 0x8000u, rest = bits & 0x7fffffffu;
    return (uint16_t)(rest == 0 ? sign : sign | (rest - (112u << 23)) >> 13);
}

static void put_plain(struct rad_buf *to, const char *kind, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if (strcmp(kind, "F32") == 0)
        gguf_put(to, bits, 4);
    else
        gguf_put(to, strcmp(kind, "BF16") == 0 ? bits >> 16 : half_of(value), 2);
}

static void put_block(struct rad_buf *to, const char *kind, double scale, uint64_t *x)
{
    const bool q8 = strcmp(kind, "Q8_0") == 0;
    const double d = scale / (q8 ? 128 : 8) * (1 + step(x) % 4 / 4.0);
    gguf_put(to, half_of((float)d), 2);
    for (int i = 0; i < (q8 ? 32 : 16); i++)
        gguf_put(to, step(x) % 256, 1);
}

static void put_superblock(struct rad_buf *to, double scale, uint64_t *x)
{
    for (int i = 0; i < 192; i++)
        gguf_put(to, step(x) % 256, 1);
    for (int i = 0; i < 16; i++)
        gguf_put(to, (step(x) % 128 + 192) & 255, 1);
    gguf_put(to, half_of((float)(scale / 1024 * (1 + step(x) % 4 / 4.0))), 2);
}

static void put_stream(struct rad_buf *to, const char *kind, const struct line *t, int64_t n,
                       uint64_t *x)
{
    const double offset = atof(t->field[3]), scale = atof(t->field[4]);
    if (strcmp(kind, "Q6_K") == 0)
        for (int64_t i = 0; i < n / 256; i++)
            put_superblock(to, scale, x);
    else if (kind[0] == 'Q')
        for (int64_t i = 0; i < n / 32; i++)
            put_block(to, kind, scale, x);
    else
        for (int64_t i = 0; i < n; i++)
            put_plain(to, kind, (float)(offset + scale * ((int)(step(x) % 16) - 8) / 8.0));
}

static void put_tensor(struct gguf_make *m, const struct line *t, const char *kind, uint64_t *x)
{
    struct rad_buf data = {0};
    uint64_t dim[4] = {0}, n = 1;
    uint32_t n_dim = 0, number = 0;
    if (strcmp(t->field[0], "matrix") != 0)
        kind = "F32";
    if (strcmp(t->field[0], "literal") == 0) {
        char *end;
        for (const char *p = t->field[2]; *p != '\0'; p = end, dim[0]++)
            put_plain(&data, "F32", strtof(p, &end));
        n_dim = 1;
    } else {
        char *end;
        for (const char *p = t->field[2]; *p != '\0'; p = *end == 'x' ? end + 1 : end, n_dim++)
            n *= dim[n_dim] = strtoull(p, &end, 10);
        put_stream(&data, kind, t, (int64_t)n, x);
    }
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (strcmp(kinds[i].word, kind) == 0)
            number = kinds[i].number;
    gguf_tensor(m, t->field[1], number, n_dim, dim, data.data, data.len);
    rad_buf_free(&data);
}

/* ---- the file ------------------------------------------------------------------------------ */

static void put_key(struct gguf_make *m, const struct line *k)
{
    const char *key = k->field[1], *type = k->field[2], *value = k->field[3];
    if (strcmp(type, "string") == 0)
        gguf_string(m, key, value);
    else if (strcmp(type, "f32") == 0)
        gguf_f32(m, key, strtof(value, NULL));
    else
        gguf_int(m, key, MAKE_U32, atol(value));
}

/* without: leave this tensor out; NULL: none. */
static void make_file(const struct model *m, const struct variant *v, const char *without)
{
    struct gguf_make made = gguf_begin(v->version);
    uint64_t x = m->seed, hash = UINT64_C(0xcbf29ce484222325);
    for (int i = 0; i < m->n_key; i++)
        put_key(&made, &m->key[i]);
    for (int i = 0; i < m->n_tensor; i++)
        if (without == NULL || strcmp(without, m->tensor[i].field[1]) != 0)
            put_tensor(&made, &m->tensor[i], v->kind, &x);
    struct rad_buf file = gguf_bytes(&made);
    for (size_t i = 0; i < file.len; i++) /* FNV-1a */
        hash = (hash ^ (unsigned char)file.data[i]) * UINT64_C(0x100000001b3);
    if (without == NULL)
        CU_ASSERT_EQUAL(hash, v->hash);
    OK(rad_file_write(FILE_NAME, file.data, file.len, &err));
    rad_buf_free(&file);
}

/* ---- the vectors --------------------------------------------------------------------------- */

static void cut(struct line *to, const char *line)
{
    CU_ASSERT_FATAL(strlen(line) < sizeof to->text);
    snprintf(to->text, sizeof to->text, "%s", line);
    to->text[strcspn(to->text, "\n")] = '\0';
    char *p = to->text;
    for (int i = 0; i < 5; i++) {
        to->field[i] = p;
        p += strcspn(p, "\t");
        if (*p == '\t')
            *p++ = '\0';
    }
}

static void read_numbers(struct arch_run *run, const char *line)
{
    char *end;
    const char *p = strchr(line, '\t') + 1;
    if (strncmp(line, "tokens", 6) == 0)
        for (run->n_token = 0; *p != '\n' && run->n_token < ARCH_MAX_TOKEN; p = end)
            run->token[run->n_token++] = (int32_t)strtol(p, &end, 10);
    else
        for (run->n_value = 0; *p != '\n' && run->n_value < ARCH_MAX_TOKEN; p = end)
            run->value[run->n_value++] = strtod(p, &end);
}

/* check(model, variant) for every file; returns how many there were. */
static int each_file(void (*check)(struct model *m, const struct variant *v))
{
    static struct model m;
    static char line[LINE_BYTES];
    struct variant v;
    int n = 0;
    FILE *f = fopen("tests/oracle/gguf_vectors.tsv", "r");
    CU_ASSERT_PTR_NOT_NULL_FATAL(f);
    while (fgets(line, sizeof line, f) != NULL) {
        unsigned long long number;
        if (sscanf(line, "model\t%31[^\t]\t%llu", m.name, &number) == 2) {
            m.seed = number;
            m.n_key = m.n_tensor = 0;
        } else if (sscanf(line, "file\t%7[^\t]\t%u\t%llx", v.kind, &v.version, &number) == 3) {
            v.hash = number;
        } else if (strncmp(line, "tokens", 6) == 0 || strncmp(line, "values", 6) == 0) {
            read_numbers(&m.run, line);
            if (line[0] == 'v' && ++n > 0)
                check(&m, &v);
        } else if (strncmp(line, "key", 3) == 0) {
            CU_ASSERT_FATAL(m.n_key < MAX_KEY);
            cut(&m.key[m.n_key++], line);
        } else {
            CU_ASSERT_FATAL(m.n_tensor < MAX_TENSOR);
            cut(&m.tensor[m.n_tensor++], line);
        }
    }
    fclose(f);
    return n;
}

/* ---- tests --------------------------------------------------------------------------------- */

static void check_numbers(struct model *m, const struct variant *v)
{
    char name[48];
    rad_model *net = NULL;
    snprintf(name, sizeof name, "%s %s", m->name, v->kind);
    make_file(m, v, NULL);
    OK(rad_model_open(&net, FILE_NAME, &err));
    m->run.name = name;
    m->run.net = net;
    arch_check_text(&m->run);
    arch_check_skips(&m->run);
    arch_check_threads(&m->run);
    rad_model_close(net);
}

static void files_match_the_reference(void)
{
    CU_ASSERT_EQUAL(each_file(check_numbers), 36);
}

/* Every tensor is needed but a head of its own, divisors and biases, and is named when missing. */
static void check_missing(struct model *m, const struct variant *v)
{
    for (int i = 0; strcmp(v->kind, "Q4_0") == 0 && i < m->n_tensor; i++) {
        const char *name = m->tensor[i].field[1];
        rad_model *net = NULL;
        if (strcmp(name, "output.weight") == 0 || strcmp(name, "rope_freqs.weight") == 0 ||
            strstr(name, "blk.0.attn_q.bias") != NULL ||
            strstr(name, "blk.0.attn_output.bias") != NULL ||
            strstr(name, "blk.0.ffn_down.bias") != NULL)
            continue;
        make_file(m, v, name);
        REFUSES(rad_model_open(&net, FILE_NAME, &err), RAD_E_RANGE, name);
    }
}

static void missing_tensors_are_named(void)
{
    CU_ASSERT_EQUAL(each_file(check_missing), 36);
}

CU_TestInfo gguf_arch_tests[] = {
    {"files match the reference", files_match_the_reference},
    {"missing tensors are named", missing_tensors_are_named},
    CU_TEST_INFO_NULL,
};
