/* bench_load.c - what opening a large checkpoint and its first token read and hold.
 *
 * usage: bench_load [GB [FOLDER]]   a llama of about GB of BF16 weights (default 1) is written to
 * FOLDER (default build/bench/load) and removed again. Each line is a process of its own that finds
 * nothing of the file in the page cache. read_frac: bytes that came from the disk, by
 * /proc/self/io, as a share of the file; *_gb: the most memory held, of its own and mapped file. */
#include "base/clock.h"
#include "base/io.h"
#include "infer/infer.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { D = 2048, FFN = 8192, HEADS = 32, KV = 8, VOCAB = 256, BLOCK = 1 << 20 };

static char folder[1024] = "build/bench/load";

static void die(const char *what)
{
    fprintf(stderr, "bench_load: %s\n", what);
    exit(EXIT_FAILURE);
}

/* ---- the checkpoint ------------------------------------------------------------------------ */

struct header {
    char *text;
    size_t len, data;
};

static void add(struct header *h, const char *prefix, int32_t i, const char *name, int64_t rows,
                int64_t cols)
{
    const int64_t n = rows * (cols > 0 ? cols : 1);
    h->len += (size_t)sprintf(h->text + h->len, "%s\"%s", h->len > 1 ? "," : "", prefix);
    if (i >= 0)
        h->len += (size_t)sprintf(h->text + h->len, "layers.%" PRId32 ".", i);
    h->len += (size_t)sprintf(h->text + h->len,
                              "%s.weight\":{\"dtype\":\"BF16\",\"shape\":[%" PRId64, name, rows);
    if (cols > 0)
        h->len += (size_t)sprintf(h->text + h->len, ",%" PRId64, cols);
    h->len += (size_t)sprintf(h->text + h->len, "],\"data_offsets\":[%zu,%zu]}", h->data,
                              h->data + 2 * (size_t)n);
    h->data += 2 * (size_t)n;
}

static void list_tensors(struct header *h, int32_t n_layer)
{
    const int64_t kv = KV * (D / HEADS);
    h->text[h->len++] = '{';
    add(h, "model.", -1, "embed_tokens", VOCAB, D);
    for (int32_t i = 0; i < n_layer; i++) {
        add(h, "model.", i, "input_layernorm", D, 0);
        add(h, "model.", i, "self_attn.q_proj", D, D);
        add(h, "model.", i, "self_attn.k_proj", kv, D);
        add(h, "model.", i, "self_attn.v_proj", kv, D);
        add(h, "model.", i, "self_attn.o_proj", D, D);
        add(h, "model.", i, "post_attention_layernorm", D, 0);
        add(h, "model.", i, "mlp.gate_proj", FFN, D);
        add(h, "model.", i, "mlp.up_proj", FFN, D);
        add(h, "model.", i, "mlp.down_proj", D, FFN);
    }
    add(h, "model.", -1, "norm", D, 0);
    h->text[h->len++] = '}';
}

/* The same random block of values in (-1/64, 1/64) again and again. */
static void write_values(FILE *f, size_t bytes)
{
    uint16_t *block = malloc(BLOCK);
    uint32_t x = 1;
    if (block == NULL)
        die("out of memory");
    for (size_t i = 0; i < BLOCK / 2; i++) {
        x = x * 1664525u + 1013904223u;
        block[i] = (uint16_t)((x >> 16 & 0x8000u) | 0x3c00u | (x >> 8 & 0x7fu));
    }
    for (size_t n; bytes > 0; bytes -= n) {
        n = bytes < BLOCK ? bytes : BLOCK;
        if (fwrite(block, 1, n, f) != n)
            die("cannot write; is the disk full?");
    }
    free(block);
}

static size_t write_checkpoint(int32_t n_layer)
{
    struct header h = {malloc(4096 + 2048 * (size_t)n_layer), 0, 0};
    char path[1100];
    struct rad_err err;
    if (h.text == NULL || rad_dir_make(folder, &err) != RAD_OK)
        die("cannot make the folder");
    list_tensors(&h, n_layer);
    snprintf(path, sizeof path, "%s/config.json", folder);
    FILE *f = fopen(path, "w");
    if (f == NULL)
        die("cannot write config.json");
    fprintf(f,
            "{\"model_type\": \"llama\", \"hidden_size\": %d, \"num_hidden_layers\": %d, "
            "\"num_attention_heads\": %d, \"num_key_value_heads\": %d, \"intermediate_size\": %d, "
            "\"vocab_size\": %d, \"max_position_embeddings\": 256, \"rms_norm_eps\": 1e-5, "
            "\"hidden_act\": \"silu\", \"tie_word_embeddings\": true, "
            "\"radial_tokenizer\": \"bytes\"}\n",
            D, n_layer, HEADS, KV, FFN, VOCAB);
    fclose(f);
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    f = fopen(path, "wb");
    const uint64_t len = h.len;
    if (f == NULL || fwrite(&len, 8, 1, f) != 1 || fwrite(h.text, 1, h.len, f) != h.len)
        die("cannot write the header");
    write_values(f, h.data);
    if (fflush(f) != 0 || fsync(fileno(f)) != 0)
        die("cannot write; is the disk full?");
    fclose(f);
    free(h.text);
    return 8 + (size_t)len + h.data;
}

static void forget_file(void)
{
    char path[1100];
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    const int fd = open(path, O_RDONLY);
    if (fd < 0 || posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) != 0)
        die("cannot drop the file from the page cache");
    close(fd);
}

/* ---- one process --------------------------------------------------------------------------- */

/* The number behind `key` in a file of /proc/self; 0 if there is none. */
static double proc_number(const char *file, const char *key)
{
    char line[256];
    double value = 0.0;
    FILE *f = fopen(file, "r");
    if (f == NULL)
        return 0.0;
    while (fgets(line, sizeof line, f) != NULL)
        if (strncmp(line, key, strlen(key)) == 0)
            value = strtod(line + strlen(key), NULL);
    fclose(f);
    return value;
}

static void run_one(const char *policy, double file_bytes)
{
    struct rad_err err = {.msg = ""};
    struct rusage use;
    rad_model *m = NULL;
    rad_engine *e = NULL;
    float logits[VOCAB];
    const double before = proc_number("/proc/self/io", "read_bytes:"), t0 = rad_now_s();
    if (rad_model_open(&m, folder, &err) != RAD_OK)
        die(err.msg);
    if (policy != NULL) {
        struct rad_engine_options o = {.n_slot = 1};
        const struct rad_row row = {0, 65};
        if (rad_route_parse(&o.route, policy, rad_model_config(m)->card.n_layer, &err) != RAD_OK ||
            rad_engine_open(&e, m, &o, &err) != RAD_OK)
            die(err.msg);
        rad_engine_start(e, 0, 0);
        if (rad_engine_forward(e, &row, 1, RAD_ROUTE_DECODE, &err) != RAD_OK ||
            rad_engine_logits(e, 0, 1, logits, &err) != RAD_OK)
            die(err.msg);
    }
    const double seconds = rad_now_s() - t0;
    const double depth = e != NULL ? rad_engine_depth(e, 0) / rad_model_config(m)->card.n_layer : 0;
    const double read = proc_number("/proc/self/io", "read_bytes:") - before;
    getrusage(RUSAGE_SELF, &use);
    printf("| %s | %.3f | %.4f | %ld | %.3f | %.3f | %.3f | %.2f |\n",
           policy != NULL ? policy : "open only", depth, read / file_bytes, use.ru_majflt,
           proc_number("/proc/self/status", "RssAnon:") * 1024 / 1e9,
           proc_number("/proc/self/status", "RssFile:") * 1024 / 1e9,
           (double)use.ru_maxrss * 1024 / 1e9, seconds);
    rad_engine_close(e);
    rad_model_close(m);
}

int main(int argc, char **argv)
{
    static const char *const policies[] = {NULL, "skip:frac=0.75,seed=1", "skip:frac=0.5,seed=1",
                                           "dense"};
    const double layer = 2.0 * (2.0 * D * D + 2.0 * D * KV * (D / HEADS) + 3.0 * D * FFN);
    const double gb = argc > 1 ? atof(argv[1]) : 1.0;
    char path[1100];
    if (!(gb > 0.0 && gb < 1000.0))
        die("expected GB in 0..1000");
    if (argc > 2)
        snprintf(folder, sizeof folder, "%s", argv[2]);
    const size_t bytes = write_checkpoint((int32_t)(gb * 1e9 / layer + 0.5));
    printf("file: %.3f GB of BF16\n\n| run | depth_frac | read_frac | major_faults | anon_gb | "
           "file_gb | peak_gb | seconds |\n|---|---|---|---|---|---|---|---|\n",
           (double)bytes / 1e9);
    for (size_t i = 0; i < sizeof policies / sizeof policies[0]; i++) {
        int status = 0;
        forget_file();
        fflush(stdout);
        const pid_t child = fork();
        if (child == 0) {
            run_one(policies[i], (double)bytes);
            fflush(stdout);
            _exit(EXIT_SUCCESS);
        }
        if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
            die("a run failed");
    }
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    remove(path);
    return EXIT_SUCCESS;
}
