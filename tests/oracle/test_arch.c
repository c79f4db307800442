/* test_arch.c - every architecture in every format against arch_vectors.py (vectors in
 * arch_vectors.tsv): per-token NLL or logits, decoding through the cache, threads. */
#include "arch_run.h"
#include "base/io.h"
#include "infer/infer.h"
#include "refuse.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>

#define DIR "build/tmp/arch"

enum { MAX_TENSOR = 96, LINE_BYTES = 4096, BLOB_BYTES = 1 << 20 };

struct tensor {
    char name[96];
    int n_dim;
    int64_t dim[4];
    double offset, scale;
};

struct model { /* one of the file */
    char name[32], config[LINE_BYTES];
    uint64_t seed;
    int n_tensor;
    struct tensor tensor[MAX_TENSOR];
    struct arch_run run;
    float image[4096]; /* filled by make_model */
};

/* ---- the file ------------------------------------------------------------------------------ */

static void read_tensor(struct model *m, char *line)
{
    struct tensor *t = &m->tensor[m->n_tensor++];
    char dims[64];
    CU_ASSERT_FATAL(m->n_tensor <= MAX_TENSOR);
    CU_ASSERT_EQUAL_FATAL(
        sscanf(line, "tensor\t%95[^\t]\t%63[^\t]\t%lf\t%lf", t->name, dims, &t->offset, &t->scale),
        4);
    t->n_dim = 0;
    for (char *p = dims; *p != '\0' && t->n_dim < 4; p += *p == 'x')
        t->dim[t->n_dim++] = strtol(p, &p, 10);
}

/* The next model; *line holds its first line, and afterwards that of the one behind it. */
static bool read_model(FILE *f, char line[LINE_BYTES], struct model *m)
{
    unsigned long long seed;
    memset(m, 0, sizeof *m);
    if (sscanf(line, "model\t%31[^\t]\t%llu\t%4095[^\n]", m->name, &seed, m->config) != 3)
        return false;
    m->seed = seed;
    line[0] = '\0';
    while (fgets(line, LINE_BYTES, f) != NULL && strncmp(line, "model", 5) != 0) {
        char *p = strchr(line, '\t');
        CU_ASSERT_PTR_NOT_NULL_FATAL(p);
        if (strncmp(line, "tensor", 6) == 0)
            read_tensor(m, line);
        else if (strncmp(line, "tokens", 6) == 0)
            for (char *end; m->run.n_token < ARCH_MAX_TOKEN && *p != '\n'; p = end)
                m->run.token[m->run.n_token++] = (int32_t)strtol(p, &end, 10);
        else
            for (char *end; m->run.n_value < ARCH_MAX_TOKEN && *p != '\n'; p = end)
                m->run.value[m->run.n_value++] = strtod(p, &end);
        line[0] = '\0';
    }
    return true;
}

/* ---- the model as a folder ----------------------------------------------------------------- */

/* Exact for the values of the stream, which have few bits and are no subnormals. */
static size_t put_value(float x, enum rad_dtype dtype, unsigned char *to)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if (dtype == RAD_F32) {
        memcpy(to, &bits, 4);
        return 4;
    }
    const uint32_t sign = bits >> 16 & 0x8000u, rest = bits & 0x7fffffffu;
    const uint32_t half = dtype == RAD_BF16 ? bits >> 16
                          : rest == 0       ? sign
                                            : sign | (rest - (112u << 23)) >> 13;
    const uint16_t narrow = (uint16_t)half;
    memcpy(to, &narrow, 2);
    return 2;
}

static size_t put_tensor(struct model *m, const struct tensor *t, enum rad_dtype dtype, uint64_t *x,
                         unsigned char *to)
{
    int64_t n = 1;
    size_t at = 0;
    for (int i = 0; i < t->n_dim; i++)
        n *= t->dim[i];
    for (int64_t i = 0; i < n; i++) {
        *x = *x * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        const int k = (int)(*x >> 40 & 15) - 8;
        const float value = (float)(t->offset + t->scale * k / 8.0);
        if (strcmp(t->name, "image") == 0)
            m->image[i] = value;
        at += put_value(value, dtype, to + at);
    }
    return at;
}

/* without: leave this tensor out; NULL: none. */
static void make_model(struct model *m, enum rad_dtype dtype, const char *without)
{
    static const char *const words[] = {[RAD_F32] = "F32", [RAD_F16] = "F16", [RAD_BF16] = "BF16"};
    static unsigned char blob[BLOB_BYTES];
    static char header[32768];
    uint64_t x = m->seed;
    size_t at = 0, h = 8;
    h += (size_t)snprintf(header + h, sizeof header - h, "{\"__metadata__\":{\"format\":\"pt\"}");
    for (int i = 0; i < m->n_tensor; i++) {
        const struct tensor *t = &m->tensor[i];
        CU_ASSERT_FATAL(at + BLOB_BYTES / 4 < BLOB_BYTES && h + 512 < sizeof header);
        const size_t n = put_tensor(m, t, dtype, &x, blob + at);
        if (without != NULL && strcmp(without, t->name) == 0)
            continue;
        h += (size_t)snprintf(header + h, sizeof header - h,
                              ",\"%s\":{\"dtype\":\"%s\",\"shape\":[", t->name, words[dtype]);
        for (int d = 0; d < t->n_dim; d++)
            h += (size_t)snprintf(header + h, sizeof header - h, "%s%lld", d > 0 ? "," : "",
                                  (long long)t->dim[d]);
        h += (size_t)snprintf(header + h, sizeof header - h, "],\"data_offsets\":[%zu,%zu]}", at,
                              at + n);
        at += n;
    }
    header[h++] = '}';
    const uint64_t len = h - 8;
    memcpy(header, &len, sizeof len);
    OK(rad_dir_make(DIR, &err));
    write_file(DIR "/config.json", m->config);
    FILE *f = fopen(DIR "/model.safetensors", "wb");
    CU_ASSERT_PTR_NOT_NULL_FATAL(f);
    CU_ASSERT_EQUAL(fwrite(header, 1, h, f) + fwrite(blob, 1, at, f), h + at);
    fclose(f);
}

static rad_model *open_made(struct model *m, enum rad_dtype dtype)
{
    rad_model *out = NULL;
    make_model(m, dtype, NULL);
    OK(rad_model_open(&out, DIR, &err));
    return out;
}

/* ---- comparisons --------------------------------------------------------------------------- */

static void check_image(const rad_model *net, const struct model *m)
{
    const struct rad_engine_options o = arch_options(net, "dense");
    const struct rad_hop_rec *hop;
    float logits[ARCH_MAX_TOKEN];
    rad_engine *e = NULL;
    OK(rad_engine_open(&e, net, &o, &err));
    rad_engine_start(e, 0, 0);
    OK(rad_engine_image(e, m->image, &err));
    OK(rad_engine_logits(e, 0, 1, logits, &err));
    const double off = arch_distance(&m->run, logits);
    if (!(off <= 1e-4))
        fprintf(stderr, "\n%s: logits off by %g\n", m->name, off);
    CU_ASSERT(off <= 1e-4);
    CU_ASSERT_EQUAL(rad_engine_path(e, 0, &hop, NULL), 3);
    CU_ASSERT_EQUAL(hop[2].n_keys, 10); /* the class token sees all patches */
    const struct rad_row row = {0, 1};
    REFUSES(rad_engine_forward(e, &row, 1, RAD_ROUTE_EVAL, &err), RAD_E_ARG, "reads images");
    rad_engine_close(e);
}

static void each_model(void (*check)(struct model *m), int want)
{
    static struct model m;
    static char line[LINE_BYTES];
    int n = 0;
    FILE *f = fopen("tests/oracle/arch_vectors.tsv", "r");
    CU_ASSERT_PTR_NOT_NULL_FATAL(f);
    CU_ASSERT_PTR_NOT_NULL_FATAL(fgets(line, sizeof line, f));
    for (; read_model(f, line, &m); n++)
        check(&m);
    fclose(f);
    CU_ASSERT_EQUAL(n, want);
}

static void check_numbers(struct model *m)
{
    for (int dtype = RAD_F32; dtype <= RAD_BF16; dtype += dtype == RAD_F32 ? RAD_F16 : 1) {
        rad_model *net = open_made(m, (enum rad_dtype)dtype);
        const struct rad_card *c = &rad_model_config(net)->card;
        CU_ASSERT_EQUAL(rad_model_weight_bytes(net),
                        (double)rad_card_params(c) * rad_dtype_bytes((enum rad_dtype)dtype));
        if (c->patch > 0) {
            check_image(net, m);
        } else {
            m->run.name = m->name;
            m->run.net = net;
            arch_check_text(&m->run);
            arch_check_skips(&m->run);
            arch_check_threads(&m->run);
        }
        rad_model_close(net);
    }
}

static void architectures_match_the_reference(void)
{
    each_model(check_numbers, 10);
}

/* Without its classes an image model runs, but says nothing. */
static void check_headless(struct model *m)
{
    const char *name = "classifier.weight";
    struct rad_engine_options o;
    float logits[ARCH_MAX_TOKEN] = {0};
    rad_model *net = NULL;
    rad_engine *e = NULL;
    make_model(m, RAD_F32, name);
    OK(rad_model_open(&net, DIR, &err));
    CU_ASSERT(!rad_model_has_head(net));
    o = arch_options(net, "dense");
    OK(rad_engine_open(&e, net, &o, &err));
    rad_engine_start(e, 0, 0);
    OK(rad_engine_image(e, m->image, &err));
    OK(rad_engine_logits(e, 0, 1, logits, &err));
    CU_ASSERT(isnan(logits[0]));
    rad_engine_close(e);
    rad_model_close(net);
}

/* Every tensor but buffers is needed, and is named when it is missing. */
static void check_missing(struct model *m)
{
    for (int i = 0; i < m->n_tensor; i++) {
        const char *name = m->tensor[i].name;
        rad_model *net = NULL;
        if (strstr(name, "attn.bias") != NULL || strstr(name, "masked_bias") != NULL ||
            strcmp(name, "image") == 0)
            continue;
        if (strcmp(name, "classifier.weight") == 0) {
            check_headless(m);
            continue;
        }
        make_model(m, RAD_BF16, name);
        const char *plain = strstr(name, "cls_token") || strstr(name, "embed_tokens") ||
                                    strstr(name, "wte") || strstr(name, "word_embeddings.")
                                ? strrchr(name, '.')
                                : name; /* without it the prefix cannot be told */
        REFUSES(rad_model_open(&net, DIR, &err), RAD_E_RANGE, plain);
    }
}

static void missing_tensors_are_named(void)
{
    each_model(check_missing, 10);
}

CU_TestInfo arch_tests[] = {
    {"architectures match the reference", architectures_match_the_reference},
    {"missing tensors are named", missing_tensors_are_named},
    CU_TEST_INFO_NULL,
};
