/* save.c - resumable state, and the model folder in Hugging Face layout. */
#include "base/buf.h"
#include "base/hash.h"
#include "base/io.h"
#include "checkpoint/checkpoint.h"
#include "train/trainer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- train.state: header, then w, m, v as raw float32 of this machine ---------------------- */

struct state_head {
    char magic[8]; /* "radtrain" */
    uint64_t version, spec_hash, n_param, step, body_hash;
    double seconds, ema_loss;
};

/* Of all that decides the numbers of a run: the spec and the corpus. */
static uint64_t spec_hash(const struct trainer *t)
{
    struct rad_train_spec s;
    memset(&s, 0, sizeof s);
    s.steps = t->spec->steps, s.batch = t->spec->batch, s.shards = t->spec->shards;
    s.seed = t->spec->seed, s.gemm = t->spec->gemm;
    s.beta1 = t->spec->beta1, s.beta2 = t->spec->beta2, s.decay = t->spec->decay;
    s.clip = t->spec->clip, s.distill = t->spec->distill, s.align = t->spec->align;
    memcpy(s.teacher, t->spec->teacher, strlen(t->spec->teacher));
    memcpy(s.init, t->spec->init, strlen(t->spec->init));
    memcpy(s.policy, t->spec->policy, strlen(t->spec->policy));
    memcpy(&s.lr, &t->spec->lr, sizeof s.lr);
    memcpy(&s.router, &t->spec->router, sizeof s.router);
    uint64_t h = rad_hash(&s, sizeof s, 1);
    const struct rad_card *c = &t->spec->card;
    const int64_t shape[] = {c->n_layer, c->d_model,  c->n_head,       c->n_kv, c->ffn,
                             c->vocab,   c->n_ctx,    c->norm,         c->act,  c->tied,
                             c->d_head,  c->max_hops, c->router_hidden};
    h = rad_hash(shape, sizeof shape, h);
    h = rad_hash(&t->corpus.n_train, sizeof t->corpus.n_train, h);
    for (int i = 0; i < t->corpus.n_file; i++)
        h = rad_hash(t->corpus.file[i].token,
                     (size_t)t->corpus.file[i].n * sizeof *t->corpus.file[i].token, h);
    return h;
}

static void state_path(char *out, size_t size, const char *folder)
{
    snprintf(out, size, "%s/train.state", folder);
}

enum rad_status rad_state_save(const struct trainer *t, const char *out, struct rad_err *err)
{
    const size_t n = t->net.n_param * sizeof(float);
    char path[RAD_PATH_MAX + 32], *data = malloc(sizeof(struct state_head) + 3 * n);
    if (data == NULL)
        return rad_fail(err, RAD_E_NOMEM, "train: cannot hold a checkpoint of %zu bytes", 3 * n);
    char *body = data + sizeof(struct state_head);
    memcpy(body, t->net.w, n);
    memcpy(body + n, t->m, n);
    memcpy(body + 2 * n, t->v, n);
    struct state_head head = {.magic = "radtrain",
                              .version = 1,
                              .spec_hash = spec_hash(t),
                              .n_param = t->net.n_param,
                              .step = (uint64_t)t->step,
                              .body_hash = rad_hash(body, 3 * n, 0),
                              .seconds = t->seconds,
                              .ema_loss = t->ema_loss};
    memcpy(data, &head, sizeof head);
    state_path(path, sizeof path, out);
    const enum rad_status status = rad_file_write(path, data, sizeof head + 3 * n, err);
    free(data);
    return status;
}

static enum rad_status take_state(struct trainer *t, const char *path, const char *data, size_t len,
                                  struct rad_err *err)
{
    struct state_head head;
    const size_t n = t->net.n_param * sizeof(float);
    if (len < sizeof head)
        return rad_fail(err, RAD_E_PARSE, "%s: expected a training state but found %zu bytes", path,
                        len);
    memcpy(&head, data, sizeof head);
    if (memcmp(head.magic, "radtrain", 8) != 0 || head.version != 1)
        return rad_fail(err, RAD_E_PARSE, "%s: not a training state of this version", path);
    if (head.spec_hash != spec_hash(t) || head.n_param != t->net.n_param)
        return rad_fail(err, RAD_E_ARG,
                        "%s: belongs to another spec or corpus; remove it to start again, or "
                        "choose another --out",
                        path);
    if (len != sizeof head + 3 * n || rad_hash(data + sizeof head, 3 * n, 0) != head.body_hash)
        return rad_fail(err, RAD_E_PARSE, "%s: damaged; remove it to start again", path);
    memcpy(t->net.w, data + sizeof head, n);
    memcpy(t->m, data + sizeof head + n, n);
    memcpy(t->v, data + sizeof head + 2 * n, n);
    t->step = (int64_t)head.step;
    t->seconds = head.seconds;
    t->ema_loss = head.ema_loss;
    return RAD_OK;
}

enum rad_status rad_state_load(struct trainer *t, const char *out, bool *found, struct rad_err *err)
{
    char path[RAD_PATH_MAX + 32], *data = NULL;
    size_t len = 0;
    state_path(path, sizeof path, out);
    FILE *probe = fopen(path, "rb");
    *found = probe != NULL;
    if (probe == NULL)
        return RAD_OK;
    fclose(probe);
    RAD_TRY(rad_file_read(path, (size_t)8 << 30, &data, &len, err));
    const enum rad_status status = take_state(t, path, data, len, err);
    free(data);
    return status;
}

/* ---- the model folder ---------------------------------------------------------------------- */

static struct rad_model_config config_of(const struct trainer *t, const struct rad_train_report *r)
{
    const struct rad_card *card = &t->net.card;
    struct rad_model_config c = {.card = *card,
                                 .rms_eps = t->net.eps,
                                 .rope_theta = t->net.rope_theta,
                                 .bos = -1,
                                 .eos = -1,
                                 .dtype = t->spec->save_dtype,
                                 .byte_tokens = true};
    const bool llama = !t->has_router && card->norm == RAD_NORM_RMS && card->act == RAD_ACT_SWIGLU;
    snprintf(c.model_type, sizeof c.model_type, "%s", llama ? "llama" : "radial");
    c.router.hidden = card->router_hidden;
    c.router.max_hops = card->max_hops;
    c.router.n_table = r->n_table;
    for (int32_t i = 0; i < r->n_table; i++) {
        c.router.depth_frac[i] = r->depth_frac[i];
        c.router.price[i] = r->price[i];
    }
    return c;
}

static enum rad_status write_card(const struct trainer *t, const struct rad_train_io *io,
                                  const struct rad_train_report *r, struct rad_err *err)
{
    struct rad_buf b = {0};
    char path[RAD_PATH_MAX + 32];
    const struct rad_card *c = &t->net.card;
    rad_buf_printf(&b, "# Model card\n\nA byte-level decoder-only transformer trained by `radial "
                       "train`.\n\n| | |\n|---|---|\n");
    rad_buf_printf(&b, "| layers, width, heads, FFN, context | %d, %d, %d, %d, %d |\n", c->n_layer,
                   c->d_model, c->n_head, c->ffn, c->n_ctx);
    rad_buf_printf(&b, "| parameters | %zu (router %zu) |\n", t->net.n_param,
                   t->net.n_param - t->net.n_trunk);
    rad_buf_printf(&b,
                   "| corpus | %d files, %lld training bytes, %lld validation bytes (the last "
                   "%g of every file) |\n",
                   t->corpus.n_file, (long long)t->corpus.n_train, (long long)t->corpus.n_val,
                   io->val_frac);
    rad_buf_printf(&b, "| steps, tokens | %lld, %lld |\n", (long long)t->step,
                   (long long)(t->step * t->spec->batch * c->n_ctx));
    rad_buf_printf(&b, "| time | %.0f s on %d threads, products in %s |\n", t->seconds,
                   rad_pool_size(t->pool), rad_gemm_is_amx(t->worker[0].gemm) ? "bf16" : "fp32");
    if (t->has_router)
        rad_buf_printf(&b, "| validation loss at budget 1 (%.2f layers per token) | ",
                       r->mean_depth);
    else
        rad_buf_printf(&b, "| validation loss | ");
    rad_buf_printf(&b, "%.4f nats per byte |\n", r->val_nll);
    if (t->has_teacher)
        rad_buf_printf(&b, "| teacher | %s |\n", t->spec->teacher);
    if (t->has_policy)
        rad_buf_printf(&b, "| trained with policy | %s |\n", t->spec->policy);
    if (io->note != NULL)
        rad_buf_printf(&b, "\n%s\n", io->note);
    for (int32_t i = 0; i < r->n_table; i++)
        rad_buf_printf(&b, "%s| %.4f | %.4f | %.4f |\n",
                       i ? ""
                         : "\n| depth share | price | NLL (every 8th window) "
                           "|\n|---|---|---|\n",
                       r->depth_frac[i], r->price[i], r->nll[i]);
    snprintf(path, sizeof path, "%s/README.md", io->out);
    const enum rad_status status =
        b.failed ? rad_fail(err, RAD_E_NOMEM, "train: cannot write the model card")
                 : rad_file_write(path, b.data, b.len, err);
    rad_buf_free(&b);
    return status;
}

enum rad_status rad_model_save(const struct trainer *t, const struct rad_train_io *io,
                               const struct rad_train_report *report, struct rad_err *err)
{
    struct rad_tensor_out out[1024];
    char path[RAD_PATH_MAX + 32];
    for (int i = 0; i < t->n_tensor; i++) {
        const struct net_tensor *p = &t->tensor[i];
        out[i] = (struct rad_tensor_out){.name = p->name,
                                         .dtype = t->spec->save_dtype,
                                         .n_dim = p->n_dim,
                                         .dim = {p->dim[0], p->dim[1]},
                                         .data = t->net.w + p->at};
    }
    snprintf(path, sizeof path, "%s/model.safetensors", io->out);
    RAD_TRY(rad_tensors_write(path, out, (size_t)t->n_tensor, "{\"format\":\"pt\"}", err));
    const struct rad_model_config config = config_of(t, report);
    RAD_TRY(rad_model_config_write(&config, io->out, err));
    return write_card(t, io, report, err);
}

enum rad_status rad_model_card(const char *folder, struct rad_card *card, struct rad_err *err)
{
    struct rad_model_config config;
    char path[RAD_PATH_MAX];
    RAD_TRY(rad_model_find(path, folder, err));
    RAD_TRY(rad_model_config_open(&config, path, err));
    *card = config.card;
    return RAD_OK;
}

static enum rad_status read_all(struct net *net, const rad_tensors *file, struct rad_err *err)
{
    struct net_tensor t[1024];
    const int n = rad_net_tensors(net, t, 1024);
    for (int i = 0; i < n; i++) {
        if (strncmp(t[i].name, "router.", 7) == 0 && rad_tensors_find(file, t[i].name) == NULL)
            continue; /* a dense network gets a fresh router */
        const struct rad_shape shape = {t[i].n_dim, {t[i].dim[0], t[i].dim[1]}};
        RAD_TRY(rad_tensors_read(file, t[i].name, shape, net->w + t[i].at, err));
    }
    return RAD_OK;
}

/* Equal tensor shapes do not make equal networks. */
static enum rad_status take_config(struct net *net, const char *folder, struct rad_err *err)
{
    struct rad_model_config config;
    RAD_TRY(rad_model_config_open(&config, folder, err));
    const struct rad_card *a = &net->card, *b = &config.card;
    if (b->bias != RAD_BIAS_NONE || b->learned_positions > 0 || b->alibi || config.window > 0 ||
        config.rope.kind != RAD_ROPE_PLAIN || config.gguf)
        return rad_fail(err, RAD_E_UNSUPPORTED,
                        "%s: training knows no biases, windows, rope scaling, GGUF files or other "
                        "positions than rotary ones; use a plain llama or radial model",
                        folder);
    if (a->n_head != b->n_head || a->n_kv != b->n_kv || a->norm != b->norm || a->act != b->act)
        return rad_fail(err, RAD_E_RANGE,
                        "%s: has other heads (%d, %d for keys), norm or activation than the spec "
                        "(%d, %d)",
                        folder, b->n_head, b->n_kv, a->n_head, a->n_kv);
    net->eps = config.rms_eps;
    net->rope_theta = config.rope_theta;
    rad_rope_table(a->n_ctx, a->d_head, net->rope_theta, net->cs);
    return RAD_OK;
}

enum rad_status rad_model_load(struct net *net, const char *folder, struct rad_err *err)
{
    rad_tensors *file = NULL;
    char path[RAD_PATH_MAX];
    RAD_TRY(rad_model_find(path, folder, err));
    RAD_TRY(take_config(net, path, err));
    RAD_TRY(rad_tensors_open(&file, path, err));
    const enum rad_status status = read_all(net, file, err);
    rad_tensors_close(file);
    return status;
}
