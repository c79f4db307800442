/* llama_peer.c - what llama.cpp says of a GGUF file, and how fast, to hold radial against.
 *
 *   llama_peer nll MODEL TOKENS        per line of ids in TOKENS: the negative log-likelihoods
 *   llama_peer decode MODEL B N R      B sequences, N steps each, R runs: best and median tokens/s
 *   llama_peer prefill MODEL N R       N tokens at once
 *   llama_peer quantize IN OUT FTYPE   llama.cpp's own quantiser (2 Q4_0, 7 Q8_0, 18 Q6_K)
 *
 * Linked to a libllama that is already on the machine (peer.sh says where from); its C interface
 * is declared here, as it is in releases of 2025 and 2026: structs that only pass through are
 * blocks of bytes, their sizes generous. LLAMA_BACKENDS: the folder with libggml-cpu-*.so.
 */
#define _GNU_SOURCE
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct params {
    int32_t word[256];
};
enum { N_CTX, N_BATCH, N_UBATCH, N_SEQ_MAX, N_THREADS = 7, N_THREADS_BATCH };
enum { FLASH_ATTENTION = 13, TYPE_K = 26, TYPE_V }; /* of a context */
enum { F32 = 0, F16 = 1 };
enum { QUANTIZE_FTYPE = 1 };

struct batch {
    int32_t n_tokens;
    int32_t *token;
    float *embd;
    int32_t *pos;
    int32_t *n_seq_id;
    int32_t **seq_id;
    int8_t *logits;
};

void ggml_backend_load_all_from_path(const char *folder);
void llama_log_set(void (*log)(int, const char *, void *), void *user);
struct params llama_model_default_params(void);
struct params llama_context_default_params(void);
struct params llama_model_quantize_default_params(void);
uint32_t llama_model_quantize(const char *in, const char *out, const struct params *params);
void *llama_model_load_from_file(const char *path, struct params params);
void *llama_init_from_model(void *model, struct params params);
const void *llama_model_get_vocab(const void *model);
int32_t llama_vocab_n_tokens(const void *vocab);
struct batch llama_batch_init(int32_t n_tokens, int32_t embd, int32_t n_seq_max);
int32_t llama_decode(void *context, struct batch batch);
void llama_synchronize(void *context);
float *llama_get_logits_ith(void *context, int32_t i);
void *llama_get_memory(const void *context);
void llama_memory_clear(void *memory, bool data);

static void quiet(int level, const char *text, void *user)
{
    (void)user;
    if (level == 4)
        fputs(text, stderr);
}

static void die(const char *what, const char *which)
{
    fprintf(stderr, "llama_peer: %s: %s\n", what, which);
    exit(1);
}

static double now_s(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

struct peer {
    void *context;
    int32_t n_vocab;
    struct batch batch;
};

/* Where the interface is another, its defaults would not be found in their places. */
static void check_layout(const struct params *p)
{
    if (p->word[N_CTX] != 512 || p->word[N_BATCH] != 2048 || p->word[N_UBATCH] != 512 ||
        p->word[N_SEQ_MAX] != 1 || p->word[FLASH_ATTENTION] != -1 || p->word[TYPE_K] != F16 ||
        p->word[TYPE_V] != F16)
        die("another interface than this was written for", "llama_context_params");
}

/* exact: keys and values in float32, and no flash attention, which sums in float16 */
static struct peer open_peer(const char *path, int32_t n_ctx, int32_t n_seq, bool exact)
{
    void *model = llama_model_load_from_file(path, llama_model_default_params());
    if (!model)
        die("cannot load", path);
    struct params p = llama_context_default_params();
    const char *threads = getenv("LLAMA_THREADS");
    check_layout(&p);
    if (exact)
        p.word[TYPE_K] = p.word[TYPE_V] = p.word[FLASH_ATTENTION] = 0;
    p.word[N_CTX] = n_ctx;
    p.word[N_BATCH] = p.word[N_UBATCH] = n_ctx < 512 ? 512 : n_ctx;
    p.word[N_SEQ_MAX] = n_seq;
    p.word[N_THREADS] = p.word[N_THREADS_BATCH] = threads ? atoi(threads) : 2;
    struct peer peer = {.context = llama_init_from_model(model, p)};
    if (!peer.context)
        die("no context for", path);
    peer.n_vocab = llama_vocab_n_tokens(llama_model_get_vocab(model));
    peer.batch = llama_batch_init(p.word[N_BATCH], 0, 1);
    return peer;
}

static void add(struct batch *b, int32_t token, int32_t pos, int32_t seq, bool logits)
{
    int32_t i = b->n_tokens++;
    b->token[i] = token;
    b->pos[i] = pos;
    b->n_seq_id[i] = 1;
    b->seq_id[i][0] = seq;
    b->logits[i] = logits;
}

static void step(struct peer *p)
{
    if (llama_decode(p->context, p->batch))
        die("llama_decode", "failed");
    llama_synchronize(p->context);
}

static double nll(const float *z, int32_t n, int32_t target)
{
    double top = z[0], sum = 0;
    for (int32_t i = 1; i < n; i++)
        top = z[i] > top ? z[i] : top;
    for (int32_t i = 0; i < n; i++)
        sum += exp(z[i] - top);
    return top + log(sum) - z[target];
}

static void print_nlls(struct peer *p, char *line)
{
    p->batch.n_tokens = 0;
    llama_memory_clear(llama_get_memory(p->context), true);
    for (char *word = strtok(line, " \n"); word; word = strtok(NULL, " \n"))
        add(&p->batch, atoi(word), p->batch.n_tokens, 0, true);
    step(p);
    for (int32_t i = 0; i + 1 < p->batch.n_tokens; i++)
        printf("%s%.7f", i ? " " : "",
               nll(llama_get_logits_ith(p->context, i), p->n_vocab, p->batch.token[i + 1]));
    printf("\n");
}

static void print_file(const char *model, const char *tokens)
{
    FILE *f = fopen(tokens, "r");
    struct peer p = open_peer(model, 512, 1, true);
    char line[1 << 14];
    if (!f)
        die("cannot open", tokens);
    while (fgets(line, sizeof line, f))
        print_nlls(&p, line);
    fclose(f);
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* One run: tokens a second, and the CPU time of all threads. */
static double decode(struct peer *p, int32_t n_seq, int32_t n_step, double *cpu_s)
{
    llama_memory_clear(llama_get_memory(p->context), true);
    double wall = now_s(CLOCK_MONOTONIC), cpu = now_s(CLOCK_PROCESS_CPUTIME_ID);
    for (int32_t at = 0; at < n_step; at++) {
        p->batch.n_tokens = 0;
        for (int32_t s = 0; s < n_seq; s++)
            add(&p->batch, (at * 7 + s * 13 + 5) % p->n_vocab, at, s, true);
        step(p);
    }
    *cpu_s = now_s(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    return n_seq * n_step / (now_s(CLOCK_MONOTONIC) - wall);
}

static double prefill(struct peer *p, int32_t n, double *cpu_s)
{
    llama_memory_clear(llama_get_memory(p->context), true);
    double wall = now_s(CLOCK_MONOTONIC), cpu = now_s(CLOCK_PROCESS_CPUTIME_ID);
    p->batch.n_tokens = 0;
    for (int32_t at = 0; at < n; at++)
        add(&p->batch, (at * 7 + 5) % p->n_vocab, at, 0, at == n - 1);
    step(p);
    *cpu_s = now_s(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    return n / (now_s(CLOCK_MONOTONIC) - wall);
}

static void bench(const char *model, int32_t n_seq, int32_t n, int32_t runs, bool whole)
{
    struct peer p = open_peer(model, n * n_seq, n_seq, false);
    double rate[64], cpu_s, least = INFINITY;
    runs = runs > 64 ? 64 : runs;
    for (int32_t r = -1; r < runs; r++) {
        double x = whole ? prefill(&p, n, &cpu_s) : decode(&p, n_seq, n, &cpu_s);
        if (r < 0)
            continue;
        rate[r] = x;
        least = cpu_s < least ? cpu_s : least;
    }
    qsort(rate, (size_t)runs, sizeof *rate, by_size);
    printf("%.1f %.1f %.3f\n", rate[runs - 1], rate[runs / 2], 1e3 * least / (whole ? 1 : n));
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "", *backends = getenv("LLAMA_BACKENDS");
    llama_log_set(quiet, NULL);
    if (backends)
        ggml_backend_load_all_from_path(backends);
    if (argc == 4 && !strcmp(what, "nll")) {
        print_file(argv[2], argv[3]);
    } else if (argc == 6 && !strcmp(what, "decode")) {
        bench(argv[2], atoi(argv[3]), atoi(argv[4]), atoi(argv[5]), false);
    } else if (argc == 5 && !strcmp(what, "prefill")) {
        bench(argv[2], 1, atoi(argv[3]), atoi(argv[4]), true);
    } else if (argc == 5 && !strcmp(what, "quantize")) {
        struct params p = llama_model_quantize_default_params();
        p.word[QUANTIZE_FTYPE] = atoi(argv[4]);
        if (llama_model_quantize(argv[2], argv[3], &p))
            die("cannot quantise", argv[2]);
    } else {
        die("nll MODEL TOKENS | decode MODEL B N R | prefill MODEL N R | quantize IN OUT FTYPE",
            what);
    }
    return 0;
}
