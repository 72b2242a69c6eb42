/* A backend without arithmetic worth the name: the vector of a text is, by dimension d,
 *
 *     bias[d] + 1/n * sum over its tokens t of table[ids[t]][d] * (1 + positions[t] % 7)
 *
 * with `table` and `bias` from the weights of the pack, or what make_packs.py puts there if the tensors are inside. Its
 * graph file, and that of a recovery, holds words: first `fake`, then what is to be different, some with a number:
 *
 *     fail-load, oom-load    the model cannot be loaded
 *     fail-id, oom-id        a batch with this id fails
 *     nan-id, inf-id         the vector of a text with this id is not finite
 *     wait-id                a batch with this id waits while the probe says so
 *     bf16                   the vectors are rounded to bf16
 *     tilt                   so many thousandths of its length are added to a vector's first number
 *     bytes                  not an id, but what the model says that it takes of memory
 *
 * A call that breaks the contract of src/backend.h fails as CE_E_INTERNAL, which no test expects. */
#include "fake_backend.h"

#include "backend.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef FAKE_VERSION
#define FAKE_VERSION CE_BACKEND_VERSION
#endif

/* 1: behaves as the native kernels do, which any thread may run and which like small batches. */
#ifndef FAKE_NATIVE
#define FAKE_NATIVE 0
#endif

#define EXPORT __attribute__((visibility("default")))

enum { NO_ID = -1, INSIDE_VOCAB = 33 };

/* What a graph file says. */
typedef struct fake_graph {
    int fail_load, oom_load, bf16;
    int fail_id, oom_id, nan_id, inf_id, wait_id, tilt, bytes;
} fake_graph;

typedef struct fake_model {
    struct fake_model *next;   /* of all that are loaded, guarded by the probe's lock */
    const float *table, *bias; /* NULL: inside */
    int64_t vocab_size;
    size_t dim;
    ce_layout layout;
    fake_graph graph, recovery;
    int has_recovery;
} fake_model;

extern fake_probe fake_backend_probe;
EXPORT fake_probe fake_backend_probe = {.lock = PTHREAD_MUTEX_INITIALIZER,
                                        .changed = PTHREAD_COND_INITIALIZER};

static void add(int *number, int by)
{
    pthread_mutex_lock(&fake_backend_probe.lock);
    *number += by;
    pthread_cond_broadcast(&fake_backend_probe.changed);
    pthread_mutex_unlock(&fake_backend_probe.lock);
}

static void wait_at_gate(void)
{
    fake_probe *probe = &fake_backend_probe;
    add(&probe->waiting, 1);
    pthread_mutex_lock(&probe->lock);
    while (probe->closed)
        pthread_cond_wait(&probe->changed, &probe->lock);
    pthread_mutex_unlock(&probe->lock);
    add(&probe->waiting, -1);
}

/* ---- Load --------------------------------------------------------------------------------- */

static int set_word(fake_graph *graph, const char *word, int number)
{
    const struct {
        const char *word;
        int *number, *flag;
    } words[] = {
        {"fail-load", NULL, &graph->fail_load}, {"oom-load", NULL, &graph->oom_load},
        {"bf16", NULL, &graph->bf16},           {"fail-id", &graph->fail_id, NULL},
        {"oom-id", &graph->oom_id, NULL},       {"nan-id", &graph->nan_id, NULL},
        {"inf-id", &graph->inf_id, NULL},       {"wait-id", &graph->wait_id, NULL},
        {"tilt", &graph->tilt, NULL},           {"bytes", &graph->bytes, NULL},
    };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcmp(words[i].word, word) != 0)
            continue;
        if (words[i].flag)
            *words[i].flag = 1;
        else
            *words[i].number = number;
        return 1;
    }
    return 0;
}

static int read_words(fake_graph *graph, const char *data, size_t size, ce_error *error)
{
    char text[256] = "", word[32];
    int number, used = 0;
    *graph = (fake_graph){
        .fail_id = NO_ID, .oom_id = NO_ID, .nan_id = NO_ID, .inf_id = NO_ID, .wait_id = NO_ID};
    if (size < sizeof text)
        memcpy(text, data, size);
    if (sscanf(text, "%31s%n", word, &used) != 1 || strcmp(word, "fake") != 0)
        return ce_fail(error, CE_E_BAD_MODEL, "fake: the graph does not begin with 'fake'");
    for (const char *at = text + used; sscanf(at, "%31s%n", word, &used) == 1; at += used) {
        int next = 0;
        int has_number = sscanf(at + used, "%d%n", &number, &next) == 1;
        used += next;
        if (!set_word(graph, word, has_number ? number : NO_ID))
            return ce_fail(error, CE_E_BAD_MODEL, "fake: unknown word '%s' in the graph", word);
    }
    if (graph->fail_load)
        return ce_fail(error, CE_E_BACKEND, "fake: the graph says fail-load");
    if (graph->oom_load)
        return ce_fail(error, CE_E_NO_MEMORY, "fake: the graph says oom-load");
    return CE_OK;
}

/* As the dynamic loader does: by the path, whatever the caller has mapped. */
static int read_compiled(fake_graph *graph, const ce_backend_model *given, ce_error *error)
{
    char text[256];
    if (given->graph || !given->path || given->path[0] != '/')
        return ce_fail(error, CE_E_INTERNAL, "fake: a compiled graph has a path and no bytes");
    FILE *file = fopen(given->path, "rb");
    if (!file)
        return ce_fail(error, CE_E_BACKEND, "fake: cannot open '%s'", given->path);
    size_t size = fread(text, 1, sizeof text, file);
    fclose(file);
    return read_words(graph, text, size, error);
}

static int read_graphs(fake_model *model, const ce_backend_model *given, ce_error *error)
{
    int status = strcmp(given->form, "compiled") == 0
                     ? read_compiled(&model->graph, given, error)
                     : read_words(&model->graph, given->graph, given->graph_size, error);
    model->has_recovery = given->recovery != NULL;
    if (status == CE_OK && model->has_recovery)
        status = read_words(&model->recovery, given->recovery, given->recovery_size, error);
    return status;
}

static const ce_tensor *find(const ce_backend_model *given, const char *name, uint32_t dims)
{
    for (size_t i = 0; i < given->tensor_count; i++) {
        const ce_tensor *tensor = &given->tensors[i];
        if (strcmp(tensor->name, name) == 0 && tensor->dtype == CE_DTYPE_F32 &&
            tensor->dims == dims && tensor->shape[dims - 1] == (int64_t)given->dim)
            return tensor;
    }
    return NULL;
}

static int bind_weights(fake_model *model, const ce_backend_model *given, ce_error *error)
{
    if (given->tensors_inside) {
        model->vocab_size = INSIDE_VOCAB;
        return CE_OK;
    }
    const ce_tensor *table = find(given, "table", 2), *bias = find(given, "bias", 1);
    if (!table || !bias || given->tensor_count != 2)
        return ce_fail(error, CE_E_BAD_MODEL, "fake: the weights are not table and bias of dim %u",
                       given->dim);
    model->table = table->data;
    model->bias = bias->data;
    model->vocab_size = table->shape[0];
    return CE_OK;
}

static int same_weights(const fake_model *a, const fake_model *b)
{
    return a->dim == b->dim && memcmp(a->bias, b->bias, a->dim * sizeof *a->bias) == 0;
}

static fake_model *loaded;

static void enlist(fake_model *model)
{
    fake_probe *probe = &fake_backend_probe;
    pthread_mutex_lock(&probe->lock);
    for (const fake_model *m = loaded; m; m = m->next)
        probe->twins += same_weights(m, model);
    model->next = loaded;
    loaded = model;
    probe->models++;
    if (probe->models > probe->most_models)
        probe->most_models = probe->models;
    pthread_cond_broadcast(&probe->changed);
    pthread_mutex_unlock(&probe->lock);
}

static void strike_off(fake_model *model)
{
    fake_probe *probe = &fake_backend_probe;
    pthread_mutex_lock(&probe->lock);
    fake_model **link = &loaded;
    while (*link != model)
        link = &(*link)->next;
    *link = model->next;
    probe->models--;
    pthread_cond_broadcast(&probe->changed);
    pthread_mutex_unlock(&probe->lock);
}

static int model_load(const ce_backend_model *given, void **out, ce_error *error)
{
    add(&fake_backend_probe.loads, 1);
    if (strcmp(given->form, "torchscript") != 0 && strcmp(given->form, "compiled") != 0)
        return ce_fail(error, CE_E_INTERNAL, "fake: form '%s'", given->form);
    fake_model *model = malloc(sizeof *model);
    if (!model)
        return ce_fail(error, CE_E_NO_MEMORY, "fake: no memory");
    *model = (fake_model){.dim = given->dim, .layout = given->layout};
    int status = read_graphs(model, given, error);
    if (status == CE_OK)
        status = bind_weights(model, given, error);
    if (status != CE_OK) {
        free(model);
        return status;
    }
    enlist(model);
    *out = model;
    return CE_OK;
}

static void model_unload(void *model)
{
    strike_off(model);
    free(model);
}

static size_t model_bytes(const void *model)
{
    const fake_model *self = model;
    return self->graph.bytes ? (size_t)self->graph.bytes : sizeof *self;
}

/* ---- Run ---------------------------------------------------------------------------------- */

static int check_text(const fake_model *model, const ce_batch *batch, size_t text, ce_error *error)
{
    int32_t first = batch->cu_seqlens[text], end = batch->cu_seqlens[text + 1];
    if (first >= end || (size_t)end > batch->tokens)
        return ce_fail(error, CE_E_INTERNAL, "fake: text %zu lies at %d to %d of %zu tokens", text,
                       first, end, batch->tokens);
    if (model->layout == CE_LAYOUT_PADDED && end - first != batch->cu_seqlens[1])
        return ce_fail(error, CE_E_INTERNAL, "fake: texts of %d and %d tokens in a padded layout",
                       batch->cu_seqlens[1], end - first);
    for (int32_t t = first; t < end; t++)
        if (batch->positions[t] != t - first || batch->ids[t] < 0 ||
            batch->ids[t] >= model->vocab_size)
            return ce_fail(error, CE_E_INTERNAL, "fake: token %d of text %zu: position %d, id %d",
                           t - first, text, batch->positions[t], batch->ids[t]);
    return CE_OK;
}

static int check_batch(const fake_model *model, const ce_batch *batch, int threads, ce_error *error)
{
    if (threads < 1 || batch->texts < 1 || batch->cu_seqlens[0] != 0 ||
        (size_t)batch->cu_seqlens[batch->texts] != batch->tokens)
        return ce_fail(error, CE_E_INTERNAL, "fake: %d threads, %zu texts, %zu tokens", threads,
                       batch->texts, batch->tokens);
    for (size_t i = 0; i < batch->texts; i++) {
        int status = check_text(model, batch, i, error);
        if (status != CE_OK)
            return status;
    }
    return CE_OK;
}

static int has_id(const int32_t *ids, size_t count, int id)
{
    for (size_t i = 0; i < count; i++)
        if (ids[i] == id)
            return 1;
    return 0;
}

/* Also in tests/fake/make_packs.py. */
static float weight(const fake_model *model, size_t id, size_t d)
{
    return model->table ? model->table[id * model->dim + d]
                        : (float)(((id * 7 + d * 13) % 23 - 11.0) / 8);
}

static float to_bf16(float number)
{
    uint32_t bits;
    memcpy(&bits, &number, sizeof bits);
    bits = (bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000;
    memcpy(&number, &bits, sizeof bits);
    return number;
}

static void tilt(float *vector, size_t dim, int thousandths)
{
    double sum = 0;
    for (size_t d = 0; d < dim; d++)
        sum += (double)vector[d] * vector[d];
    vector[0] += (float)(sqrt(sum) * thousandths / 1000);
}

static void compute_text(const fake_model *model, const fake_graph *graph, const int32_t *ids,
                         const int32_t *positions, size_t count, float *vector)
{
    for (size_t d = 0; d < model->dim; d++) {
        double sum = 0;
        for (size_t t = 0; t < count; t++)
            sum += weight(model, (size_t)ids[t], d) * (1 + positions[t] % 7);
        vector[d] = (float)((model->bias ? model->bias[d] : 0) + sum / (double)count);
    }
    tilt(vector, model->dim, graph->tilt);
    for (size_t d = 0; graph->bf16 && d < model->dim; d++)
        vector[d] = to_bf16(vector[d]);
    if (has_id(ids, count, graph->nan_id))
        vector[model->dim - 1] = NAN;
    if (has_id(ids, count, graph->inf_id))
        vector[0] = -INFINITY;
}

typedef struct share {
    const fake_model *model;
    const fake_graph *graph;
    const ce_batch *batch;
    int threads;
    float *out;
} share;

static void compute_share(void *argument, int index)
{
    const share *s = argument;
    const ce_batch *batch = s->batch;
    for (size_t i = (size_t)index; i < batch->texts; i += (size_t)s->threads) {
        size_t first = (size_t)batch->cu_seqlens[i], end = (size_t)batch->cu_seqlens[i + 1];
        compute_text(s->model, s->graph, batch->ids + first, batch->positions + first, end - first,
                     s->out + i * s->model->dim);
    }
}

static int compute(const fake_model *model, const fake_graph *graph, const ce_batch *batch,
                   ce_team *team, float *out, ce_error *error)
{
    if (has_id(batch->ids, batch->tokens, graph->wait_id))
        wait_at_gate();
    if (has_id(batch->ids, batch->tokens, graph->fail_id))
        return ce_fail(error, CE_E_BACKEND, "fake: the batch has id %d", graph->fail_id);
    if (has_id(batch->ids, batch->tokens, graph->oom_id))
        return ce_fail(error, CE_E_NO_MEMORY, "fake: the batch has id %d", graph->oom_id);
    share all = {model, graph, batch, team->threads, out};
    team->run(team, compute_share, &all);
    return CE_OK;
}

static _Thread_local int last_round;

static void count_run(const ce_batch *batch, int threads)
{
    fake_probe *probe = &fake_backend_probe;
    pthread_mutex_lock(&probe->lock);
    probe->runs++;
    probe->runner = pthread_self();
    probe->callers += last_round != probe->round + 1;
    last_round = probe->round + 1;
    probe->texts += (int)batch->texts;
    if ((int)batch->tokens > probe->most_tokens)
        probe->most_tokens = (int)batch->tokens;
    probe->threads += threads;
    if (probe->threads > probe->most_threads)
        probe->most_threads = probe->threads;
    pthread_mutex_unlock(&probe->lock);
}

static int run(void *model, const ce_batch *batch, ce_team *team, float *out, ce_error *error)
{
    int status = check_batch(model, batch, team->threads, error);
    if (status != CE_OK)
        return status;
    count_run(batch, team->threads);
    status = compute(model, &((fake_model *)model)->graph, batch, team, out, error);
    add(&fake_backend_probe.threads, -team->threads);
    return status;
}

static int recover(void *model, const ce_batch *batch, ce_team *team, float *out, ce_error *error)
{
    const fake_model *self = model;
    int status = check_batch(model, batch, team->threads, error);
    if (status == CE_OK && !self->has_recovery)
        status = ce_fail(error, CE_E_INTERNAL, "fake: no recovery graph");
    if (status != CE_OK)
        return status;
    add(&fake_backend_probe.recovered, (int)batch->texts);
    return compute(model, &self->recovery, batch, team, out, error);
}

/* No machine has it. */
static int describe(ce_backend_device *device, ce_error *error)
{
    (void)error;
    *device = (ce_backend_device){.compiled = 1,
                                  .cuda_devices = 2,
                                  .cuda_major = 9,
                                  .cuda_minor = 5,
                                  .name = "fake device",
                                  .allocated = 1000,
                                  .reserved = 3000};
    return CE_OK;
}

EXPORT ce_backend_entry ce_backend_get;

const ce_backend *ce_backend_get(uint32_t version, ce_error *error)
{
    static const ce_backend backend = {.version = FAKE_VERSION,
                                       .name = "fake",
                                       .description = "fake 1",
                                       .batch_tokens = FAKE_NATIVE ? 64 : 0,
                                       .split_tokens = FAKE_NATIVE ? 16 : 256,
                                       .any_thread = FAKE_NATIVE,
                                       .model_load = model_load,
                                       .model_unload = model_unload,
                                       .model_bytes = model_bytes,
                                       .run = run,
                                       .recover = recover,
                                       .describe = describe};
    (void)version;
    (void)error;
    return &backend;
}
