/* test_train.c - training runs: the same bits resumed or not and on any threads, losses that fall,
 * models that evaluate to the trainer's own loss, specs that are refused. */
#include "base/io.h"
#include "infer/infer.h"
#include "net_make.h"
#include "refuse.h"
#include "train/train.h"

#include <stdlib.h>

#define DIR "build/tmp/train"

static const char dense[] = "model: {n_layer: 2, d_model: 16, n_head: 2, ffn: 32, ctx: 16}\n"
                            "steps: 12\nbatch: 4\nlr: {max: 1e-2, warmup: 3}\nseed: 5\n";
static const char router[] = "model: {n_layer: 2, d_model: 16, n_head: 2, ffn: 32, ctx: 16}\n"
                             "steps: 12\nbatch: 4\nlr: {max: 1e-2, warmup: 3}\nseed: 5\n"
                             "teacher: " DIR "/teacher\nsave: bf16\n"
                             "router: {hidden: 8, max_hops: 4, lead: 0.3}\n";
static const char skipping[] = "model: {n_layer: 3, d_model: 16, n_head: 2, n_kv: 1, ffn: 32, "
                               "ctx: 16, norm: layer, act: gelu, tied: false}\n"
                               "steps: 12\nbatch: 4\nlr: {max: 1e-2, warmup: 3}\n"
                               "policy: \"skip:frac=0.4,seed=3\"\n";

/* A few hundred words of small sentences that repeat. */
static void make_text(const char *path)
{
    static const char *const words[] = {"the",   "old",  "house", "stood",  "by",  "a",
                                        "quiet", "lake", "and",   "nobody", "came"};
    struct rad_buf b = {0};
    uint32_t s = 1;
    for (int i = 0; i < 700; i++) {
        s = s * 1664525u + 1013904223u;
        rad_buf_printf(&b, "%s%s", words[(s >> 16) % 11], i % 9 == 8 ? ".\n" : " ");
    }
    OK(rad_dir_make(DIR, &err));
    write_file(path, b.data);
    rad_buf_free(&b);
}

struct control {
    int64_t stop_at; /* step; 0: never */
    double first, last;
};

static bool watch(void *ctx, int64_t step, int64_t steps, double loss, double tokens_per_s)
{
    struct control *c = ctx;
    CU_ASSERT(step >= 1 && step <= steps && tokens_per_s > 0.0);
    c->first = step == 1 ? loss : c->first;
    c->last = loss;
    return c->stop_at == 0 || step < c->stop_at;
}

static enum rad_status attempt(const char *yaml, const char *name, int threads, struct control *c,
                               struct rad_train_report *report)
{
    char path[128], out[128];
    const char *const text[1] = {DIR "/text.txt"};
    struct rad_train_spec spec;
    snprintf(path, sizeof path, DIR "/%s.yaml", name);
    snprintf(out, sizeof out, DIR "/%s", name);
    write_file(path, yaml);
    RAD_TRY(rad_train_spec_open(&spec, path, &err));
    const struct rad_train_io io = {.text = text,
                                    .n_text = 1,
                                    .val_frac = 0.1,
                                    .out = out,
                                    .threads = threads,
                                    .progress = watch,
                                    .ctx = c};
    return rad_train_run(&spec, &io, report, &err);
}

/* Train from nothing; a model of an earlier test run is removed. */
static struct rad_train_report train(const char *yaml, const char *name, int threads,
                                     struct control *c)
{
    struct rad_train_report report;
    char path[128];
    snprintf(path, sizeof path, DIR "/%s/train.state", name);
    remove(path);
    make_text(DIR "/text.txt");
    OK(attempt(yaml, name, threads, c, &report));
    return report;
}

static bool same_weights(const char *a, const char *b)
{
    char path[128], *x = NULL, *y = NULL;
    size_t n = 0, m = 0;
    snprintf(path, sizeof path, DIR "/%s/model.safetensors", a);
    OK(rad_file_read(path, 1 << 20, &x, &n, &err));
    snprintf(path, sizeof path, DIR "/%s/model.safetensors", b);
    OK(rad_file_read(path, 1 << 20, &y, &m, &err));
    const bool same = n == m && memcmp(x, y, n) == 0;
    free(x);
    free(y);
    return same;
}

/* ---- exactness ----------------------------------------------------------------------------- */

/* Stopped twice and resumed, on other threads, against one uninterrupted run. */
static void resumed_runs_have_the_same_bits(const char *yaml)
{
    struct control whole = {0}, part = {.stop_at = 5};
    struct rad_train_report a = train(yaml, "whole", 1, &whole);
    struct rad_train_report b = train(yaml, "parts", 1, &part);
    CU_ASSERT(b.stopped && !b.resumed);
    CU_ASSERT_EQUAL(b.steps, 5);
    CU_ASSERT(isnan(b.val_nll)); /* no model yet */
    part.stop_at = 9;
    OK(attempt(yaml, "parts", 2, &part, &b));
    CU_ASSERT(b.stopped && b.resumed);
    part.stop_at = 0;
    OK(attempt(yaml, "parts", 2, &part, &b));
    CU_ASSERT(!b.stopped && b.resumed);
    CU_ASSERT_EQUAL(b.steps, 12);
    CU_ASSERT_EQUAL(b.tokens, 12 * 4 * 16);
    CU_ASSERT(same_weights("whole", "parts"));
    CU_ASSERT_EQUAL(whole.last, part.last);
    CU_ASSERT_EQUAL(a.val_nll, b.val_nll);
    CU_ASSERT_EQUAL(a.mean_depth, b.mean_depth);
    CU_ASSERT_EQUAL(a.n_table, b.n_table);
}

static void dense_runs_resume_exactly(void)
{
    resumed_runs_have_the_same_bits(dense);
}

static void routed_runs_resume_exactly(void)
{
    struct control c = {0};
    (void)train(dense, "teacher", 1, &c);
    resumed_runs_have_the_same_bits(router);
}

static void skipping_runs_resume_exactly(void)
{
    resumed_runs_have_the_same_bits(skipping);
}

static void threads_do_not_change_a_bit(void)
{
    struct control one = {0}, two = {0}, three = {0};
    (void)train(dense, "teacher", 1, &one);
    (void)train(router, "one", 1, &one);
    (void)train(router, "two", 2, &two);
    (void)train(router, "three", 3, &three);
    CU_ASSERT(same_weights("one", "two"));
    CU_ASSERT(same_weights("one", "three"));
    CU_ASSERT_EQUAL(one.last, two.last);
}

static void seeds_change_the_run(void)
{
    char other[512];
    struct control c = {0};
    snprintf(other, sizeof other, "%s", dense);
    *(strstr(other, "seed: 5") + 6) = '6';
    (void)train(dense, "seed5", 1, &c);
    (void)train(other, "seed6", 1, &c);
    CU_ASSERT(!same_weights("seed5", "seed6"));
}

/* ---- learning ------------------------------------------------------------------------------ */

/* The engine evaluates the written model on the validation tail. */
static struct rad_eval_result evaluate(const char *name, const char *policy)
{
    char folder[128];
    rad_model *m = NULL;
    struct rad_tokens tokens = {0};
    struct rad_eval_result r;
    const struct rad_eval_sinks sinks = {0};
    snprintf(folder, sizeof folder, DIR "/%s", name);
    OK(rad_model_open(&m, folder, &err));
    OK(rad_tokens_add_text(&tokens, m, DIR "/text.txt", 16, 0.1, &err));
    const struct rad_eval_options o = {net_options(m, policy, RAD_KV_HOLE), false, NULL};
    OK(rad_eval_run(m, &tokens, &o, &sinks, &r, &err));
    rad_tokens_free(&tokens);
    rad_model_close(m);
    return r;
}

static const char longer[] = "model: {n_layer: 2, d_model: 16, n_head: 2, ffn: 32, ctx: 16}\n"
                             "steps: 150\nbatch: 4\nlr: {max: 1e-2, warmup: 10}\nseed: 5\n";

static void the_loss_falls(void)
{
    struct control c = {0};
    const struct rad_train_report r = train(longer, "falls", 2, &c);
    CU_ASSERT(c.first > 4.5 && c.first < 6.5); /* log 256 = 5.5: it starts knowing nothing */
    CU_ASSERT(c.last < 2.7);
    CU_ASSERT(r.val_nll < 2.4);
    CU_ASSERT_EQUAL(r.mean_depth, 2.0);
    CU_ASSERT_EQUAL(r.train_nll, c.last);
    const struct rad_eval_result e = evaluate("falls", "dense");
    CU_ASSERT(fabs(e.nll - r.val_nll) < 1e-4);
}

static void engine_and_trainer_agree_on_routed_models(void)
{
    struct control c = {0};
    char text[512];
    (void)train(dense, "teacher", 1, &c);
    snprintf(text, sizeof text, "%s", router);
    memcpy(strstr(text, "bf16"), "fp32", 4); /* nothing is lost in saving */
    const struct rad_train_report r = train(text, "agree", 1, &c);
    const struct rad_eval_result e = evaluate("agree", "radial:price=0.004"); /* of full depth */
    CU_ASSERT(fabs(e.nll - r.val_nll) < 1e-4);
    NEAR(e.mean_depth, r.mean_depth, 1e-9);
    CU_ASSERT(r.n_table >= 1);
    const struct rad_train_report s = train(skipping, "agree2", 1, &c);
    const struct rad_eval_result f = evaluate("agree2", "skip:frac=0.4,seed=3");
    CU_ASSERT(fabs(f.nll - s.val_nll) < 1e-4);
    NEAR(f.mean_depth, s.mean_depth, 1e-9);
}

/* ---- what is refused ----------------------------------------------------------------------- */

static void states_of_other_runs_are_refused(void)
{
    struct control c = {.stop_at = 2};
    struct rad_train_report r;
    char text[512], *data = NULL;
    size_t len = 0;
    (void)train(dense, "state", 1, &c);
    snprintf(text, sizeof text, "%s", dense);
    *(strstr(text, "seed: 5") + 6) = '6';
    REFUSES(attempt(text, "state", 1, &c, &r), RAD_E_ARG, "belongs to another spec or corpus");
    OK(rad_file_read(DIR "/state/train.state", 1 << 20, &data, &len, &err));
    data[len / 2] ^= 1;
    OK(rad_file_write(DIR "/state/train.state", data, len, &err));
    REFUSES(attempt(dense, "state", 1, &c, &r), RAD_E_PARSE, "train.state: damaged");
    OK(rad_file_write(DIR "/state/train.state", data, 10, &err));
    REFUSES(attempt(dense, "state", 1, &c, &r), RAD_E_PARSE, "but found 10 bytes");
    memset(data, 'x', 8);
    OK(rad_file_write(DIR "/state/train.state", data, len, &err));
    REFUSES(attempt(dense, "state", 1, &c, &r), RAD_E_PARSE, "not a training state");
    free(data);
}

static void impossible_runs_are_refused(void)
{
    struct control c = {0};
    struct rad_train_report r;
    const char *const missing[1] = {DIR "/none.txt"}, *const tiny[1] = {DIR "/tiny.txt"};
    struct rad_train_spec spec;
    make_text(DIR "/text.txt");
    write_file(DIR "/refused.yaml", dense);
    write_file(DIR "/tiny.txt", "too short");
    OK(rad_train_spec_open(&spec, DIR "/refused.yaml", &err));
    struct rad_train_io io = {.text = missing, .n_text = 1, .val_frac = 0.1, .out = DIR "/refused"};
    REFUSES(rad_train_run(&spec, &io, &r, &err), RAD_E_IO, "none.txt");
    io.text = tiny;
    REFUSES(rad_train_run(&spec, &io, &r, &err), RAD_E_RANGE, "tiny.txt: 9 bytes are too few");
    (void)train(dense, "teacher", 1, &c);
    char text[2048];
    snprintf(text, sizeof text, "%s", router);
    memcpy(strstr(text, "ctx: 16"), "ctx: 20", 7);
    REFUSES(attempt(text, "refused", 1, &c, &r), RAD_E_RANGE, "a teacher needs the student's");
    snprintf(text, sizeof text, "%sinit: " DIR "/teacher\n", skipping);
    REFUSES(attempt(text, "refused", 1, &c, &r), RAD_E_RANGE, "has other heads");
    char *kept = NULL;
    size_t len = 0;
    OK(rad_file_read(DIR "/teacher/config.json", 1 << 16, &kept, &len, &err));
    snprintf(text, sizeof text, "{\"rope_scaling\": {\"type\": \"linear\", \"factor\": 2}, %s",
             strchr(kept, '{') + 1);
    write_file(DIR "/teacher/config.json", text);
    snprintf(text, sizeof text, "%sinit: " DIR "/teacher\n", dense);
    REFUSES(attempt(text, "refused", 1, &c, &r), RAD_E_UNSUPPORTED, "rope scaling");
    write_file(DIR "/teacher/config.json", kept);
    free(kept);
    snprintf(text, sizeof text, "%sinit: " DIR "/teacher\n", dense);
    memcpy(strstr(text, "ffn: 32"), "ffn: 40", 7);
    REFUSES(attempt(text, "refused", 1, &c, &r), RAD_E_RANGE, "gate_proj");
}

static void specs_are_checked(void)
{
    static const struct {
        const char *text, *message;
    } bad[] = {
        {"steps: 5\n", "model"},
        {"model: {n_layer: 2}\nstep: 5\n", "spec.yaml:2:1: "},
        {"model: {n_layer: 2}\nstep: 5\n", "did you mean 'steps'"},
        {"model: {n_layer: 0}\n", "spec.yaml:1:"},
        {"model: {n_layer: two}\n", "spec.yaml:1:18: expected a whole number but found 'two'"},
        {"model: {n_layer: 2, n_haed: 2}\n", "did you mean 'n_head'"},
        {"model: {n_layer: 2, d_model: 30, n_head: 4}\n", "d_model 30 must split into n_head 4"},
        {"model: {n_layer: 2, norm: batch}\n", "'norm' must be rms or layer but is 'batch'"},
        {"model: {}\nbatch: 4\nshards: 5\n", "spec.yaml:3:"},
        {"model: {}\nlr: {max: 2}\n", "spec.yaml:2:"},
        {"model: {}\nlr: {maximum: 2}\n", "maximum"},
        {"model: {}\nprecision: fp8\n", "'precision' must be fp32 or bf16 but is 'fp8'"},
        {"model: {}\nrouter: {price: 1}\n", "'price' must be [lowest, highest]"},
        {"model: {}\nrouter: {price: [0.2, 0.1]}\n", "spec.yaml:2:"},
        {"model: {}\nrouter: {hidden: 4}\n", "spec.yaml:2:"},
        {"model: {n_layer: 3}\nrouter: {order: [0, 2]}\n", "'order' must list all 3 layers"},
        {"model: {n_layer: 3}\nrouter: {order: [0, 2, 2]}\n", "has layer 2 twice"},
        {"model: {n_layer: 3}\nrouter: {order: [0, 2, 3]}\n", "spec.yaml:2:"},
        {"model: {}\nrouter: {hidden: 64}\npolicy: dense\n", "keep one"},
        {"model: {}\nsteps: 1\nsteps: 2\n", "spec.yaml:3:"},
        {"- 1\n", "spec.yaml:1:"},
    };
    struct rad_train_spec spec;
    OK(rad_dir_make(DIR, &err));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        write_file(DIR "/spec.yaml", bad[i].text);
        const enum rad_status status = rad_train_spec_open(&spec, DIR "/spec.yaml", &err);
        if (strstr(err.msg, bad[i].message) == NULL || strstr(err.msg, "spec.yaml:") == NULL)
            fprintf(stderr, "\n%s: %s\n", bad[i].text, err.msg);
        CU_ASSERT(status == RAD_E_PARSE || status == RAD_E_RANGE);
        CU_ASSERT_PTR_NOT_NULL(strstr(err.msg, bad[i].message));
        CU_ASSERT_PTR_NOT_NULL(strstr(err.msg, "spec.yaml:"));
    }
    write_file(DIR "/spec.yaml", router);
    OK(rad_train_spec_open(&spec, DIR "/spec.yaml", &err));
    CU_ASSERT_EQUAL(spec.card.router_hidden, 8);
    CU_ASSERT_EQUAL(spec.card.max_hops, 4);
    CU_ASSERT_EQUAL(spec.save_dtype, RAD_BF16);
    CU_ASSERT_EQUAL(spec.lr.min, 1e-3);
}

CU_TestInfo train_tests[] = {
    {"dense runs resume exactly", dense_runs_resume_exactly},
    {"routed runs resume exactly", routed_runs_resume_exactly},
    {"skipping runs resume exactly", skipping_runs_resume_exactly},
    {"threads do not change a bit", threads_do_not_change_a_bit},
    {"seeds change the run", seeds_change_the_run},
    {"the loss falls", the_loss_falls},
    {"engine and trainer agree on routed models", engine_and_trainer_agree_on_routed_models},
    {"states of other runs are refused", states_of_other_runs_are_refused},
    {"impossible runs are refused", impossible_runs_are_refused},
    {"specs are checked", specs_are_checked},
    CU_TEST_INFO_NULL,
};
