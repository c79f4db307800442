/* test_forward.c - the engine against ref_forward.py (vectors in ref_forward.tsv), and against the
 * published numbers of a real checkpoint if it is at hand. */
#include "base/io.h"
#include "infer/infer.h"
#include "net_make.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>

#define DIR "build/tmp/forward"

enum { MAX_TOKEN = 32, MAX_HOP = 8 };

struct expected { /* one case */
    char model[32], policy[64], kv[16];
    int n;
    int32_t token[MAX_TOKEN], n_hop[MAX_TOKEN];
    double nll[MAX_TOKEN]; /* NaN: last token */
    struct rad_hop_rec hop[MAX_TOKEN][MAX_HOP];
};

/* ---- a policy that walks the paths of a case ----------------------------------------------- */

static const struct expected *given; /* of the engine that runs now */

static enum rad_status forward_decide(const void *params, const struct rad_hop *h, int32_t *dest,
                                      struct rad_err *e)
{
    (void)params;
    (void)e;
    for (int32_t t = 0; t < h->n_tok; t++) {
        dest[t] = RAD_EXIT;
        for (int32_t i = given->n_hop[h->pos[t]] - 1; i >= 0; i--) {
            const struct rad_hop_rec *r = &given->hop[h->pos[t]][i];
            if ((r->flags & RAD_HOP_ATTN) != 0 && (int32_t)r->layer > h->last[t])
                dest[t] = r->layer;
        }
    }
    return RAD_OK;
}

static enum rad_status any_decide(const void *params, const struct rad_hop *h, int32_t *dest,
                                  struct rad_err *e)
{
    (void)params;
    (void)e;
    for (int32_t t = 0; t < h->n_tok; t++)
        dest[t] = h->hop < given->n_hop[h->pos[t]] ? given->hop[h->pos[t]][h->hop].layer : RAD_EXIT;
    return RAD_OK;
}

static const struct rad_param no_params[] = {RAD_PARAM_END};
static const struct rad_policy given_forward = {
    .name = "given", .params = no_params, .decide = forward_decide};
static const struct rad_policy given_any = {
    .name = "given", .params = no_params, .any_order = true, .decide = any_decide};

/* ---- the vectors --------------------------------------------------------------------------- */

static void read_path(const char *text, struct expected *x, int pos)
{
    for (const char *p = text; *p >= '0' && *p <= '9';) {
        unsigned layer, flags, keys;
        int used = 0;
        CU_ASSERT_EQUAL_FATAL(sscanf(p, "%u:%u:%u%n", &layer, &flags, &keys, &used), 3);
        CU_ASSERT_FATAL(x->n_hop[pos] < MAX_HOP);
        x->hop[pos][x->n_hop[pos]++] = (struct rad_hop_rec){(uint16_t)layer, (uint16_t)flags, keys};
        p += used + (p[used] == ' ');
    }
}

/* Read the next case; *line is the line after it. False at the end. */
static bool read_case(FILE *f, char line[512], struct expected *x)
{
    memset(x, 0, sizeof *x);
    if (line[0] == '\0' && fgets(line, 512, f) == NULL)
        return false;
    if (sscanf(line, "case\t%31[^\t]\t%63[^\t]\t%15s", x->model, x->policy, x->kv) != 3)
        return false;
    line[0] = '\0';
    while (fgets(line, 512, f) != NULL && strncmp(line, "case", 4) != 0) {
        char nll[32];
        int pos = 0, used = 0;
        int32_t token = 0;
        CU_ASSERT_EQUAL_FATAL(sscanf(line, "%d\t%d\t%31s\t%n", &pos, &token, nll, &used), 3);
        CU_ASSERT_FATAL(pos == x->n && pos < MAX_TOKEN);
        x->token[pos] = token;
        x->nll[pos] = strcmp(nll, "-") == 0 ? (double)NAN : strtod(nll, NULL);
        read_path(line + used, x, pos);
        x->n++;
        line[0] = '\0';
    }
    return x->n > 1;
}

static rad_model *model_of(const char *name)
{
    char folder[64];
    snprintf(folder, sizeof folder, DIR "/%s", name);
    struct made_net net = {.folder = folder, .config = net_config(strcmp(name, "llama") != 0)};
    net.seed = strcmp(name, "llama") == 0 ? 21 : strcmp(name, "router") == 0 ? 22 : 23;
    if (strcmp(name, "layernorm") == 0) {
        net.config.card.norm = RAD_NORM_LAYER;
        net.config.card.act = RAD_ACT_GELU;
        net.config.card.tied = true;
    }
    return net_open_made(&net);
}

static void compare(rad_engine *e, const struct expected *x, const float *nll)
{
    double worst = 0.0;
    bool paths = true;
    for (int i = 0; i < x->n; i++) {
        const struct rad_hop_rec *hop;
        const int32_t n = rad_engine_path(e, i, &hop, NULL);
        paths = paths && n == x->n_hop[i] && memcmp(hop, x->hop[i], (size_t)n * sizeof *hop) == 0;
        if (!isnan(x->nll[i]))
            worst = fmax(worst, fabs((double)nll[i] - x->nll[i]));
        CU_ASSERT_EQUAL(isnan(nll[i]) != 0, isnan(x->nll[i]) != 0);
    }
    if (!paths || !(worst <= 1e-4))
        fprintf(stderr, "\n%s, %s, kv %s: NLL off by %g, paths %s\n", x->model, x->policy, x->kv,
                worst, paths ? "agree" : "differ");
    CU_ASSERT(worst <= 1e-4);
    CU_ASSERT(paths);
}

static void check_case(const struct expected *x)
{
    rad_model *m = model_of(x->model);
    struct rad_engine_options o = {.n_slot = 1};
    struct rad_row row[MAX_TOKEN];
    int32_t target[MAX_TOKEN];
    float nll[MAX_TOKEN];
    rad_engine *e = NULL;
    OK(rad_kv_parse(x->kv, &o.kv, &err));
    given = x;
    if (strncmp(x->policy, "given", 5) == 0)
        o.route.policy = strcmp(x->policy, "given:any") == 0 ? &given_any : &given_forward;
    else
        OK(rad_route_parse(&o.route, x->policy, rad_model_config(m)->card.n_layer, &err));
    OK(rad_engine_open(&e, m, &o, &err));
    for (int i = 0; i < x->n; i++) {
        row[i] = (struct rad_row){0, x->token[i]};
        target[i] = i + 1 < x->n ? x->token[i + 1] : -1;
    }
    rad_engine_start(e, 0, 0);
    OK(rad_engine_forward(e, row, x->n, RAD_ROUTE_EVAL, &err));
    OK(rad_engine_nll(e, x->n, target, nll, &err));
    compare(e, x, nll);
    rad_engine_close(e);
    rad_model_close(m);
}

static void engine_matches_the_reference(void)
{
    static struct expected x;
    char line[512] = "";
    int n = 0;
    FILE *f = fopen("tests/oracle/ref_forward.tsv", "r");
    CU_ASSERT_PTR_NOT_NULL_FATAL(f);
    for (; read_case(f, line, &x); n++)
        check_case(&x);
    fclose(f);
    CU_ASSERT_EQUAL(n, 18);
}

/* ---- a real checkpoint --------------------------------------------------------------------- */

static const char ids[] =
    "1 403 407 261 378 432 383 286 261 376 298 315 421 395 317 426 338 401 396 267 337 410 408 "
    "419 292 411 322 265 282 295 433 426 385 328 432 358 394 261 370 352 266 268 388 426\n";

struct first_five {
    double nll[5];
};

static enum rad_status take_first(void *ctx, const struct rad_trace_token *tok, int32_t target,
                                  double depth, struct rad_err *e)
{
    struct first_five *f = ctx;
    (void)target;
    (void)depth;
    (void)e;
    if (tok->pos < 5)
        f->nll[tok->pos] = (double)tok->nll;
    return RAD_OK;
}

/* Mean and first NLLs of a sentence, by a float64 evaluation of the same files. */
static void real_checkpoint_has_its_known_loss(void)
{
    static const char folder[] = "../shared/data/checkpoints/stories260K";
    static const char sentence[] =
        "Once upon a time, there was a little girl named Lily. She loved "
        "to play outside in the park. One day, she saw a big red ball.";
    static const double known[5] = {0.24374, 0.01751, 0.01211, 0.00072, 0.03170};
    rad_model *m = NULL;
    struct rad_tokens from_ids = {0}, from_text = {0};
    struct rad_eval_result r;
    struct first_five first = {{0}};
    FILE *probe = fopen("../shared/data/checkpoints/stories260K/config.json", "r");
    if (probe == NULL) {
        printf("\n    skipped: %s is not there\n  ", folder);
        return;
    }
    fclose(probe);
    OK(rad_dir_make(DIR, &err));
    write_file(DIR "/ids.txt", ids);
    write_file(DIR "/text.txt", sentence);
    OK(rad_model_open(&m, folder, &err));
    OK(rad_tokens_add_ids(&from_ids, m, DIR "/ids.txt", &err));
    OK(rad_tokens_add_text(&from_text, m, DIR "/text.txt", 128, 1.0, &err));
    CU_ASSERT_EQUAL(from_text.first[1], 44);
    CU_ASSERT_EQUAL(memcmp(from_text.id, from_ids.id, 44 * sizeof *from_ids.id), 0);
    const struct rad_eval_options o = {net_options(m, "dense", RAD_KV_HOLE), false, NULL};
    const struct rad_eval_sinks sinks = {.token = take_first, .ctx = &first};
    OK(rad_eval_run(m, &from_ids, &o, &sinks, &r, &err));
    CU_ASSERT(fabs(r.nll - 0.3450) < 0.0005);
    CU_ASSERT_EQUAL(r.tokens, 43);
    for (int i = 0; i < 5; i++)
        CU_ASSERT(fabs(first.nll[i] - known[i]) < 5e-5);
    rad_tokens_free(&from_ids);
    rad_tokens_free(&from_text);
    rad_model_close(m);
}

CU_TestInfo forward_tests[] = {
    {"engine matches the reference", engine_matches_the_reference},
    {"real checkpoint has its known loss", real_checkpoint_has_its_known_loss},
    CU_TEST_INFO_NULL,
};
