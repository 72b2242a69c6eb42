#include "native/native_backend.h"

#include "base/mem.h"
#include "citadel_embed.h"
#include "native/accuracy.h"
#include "native/layout.h"
#include "native/model.h"
#include "native/pass.h"
#include "native/prepare.h"

#include <string.h>

/* Tokens that are best computed together: activations stay in the second-level cache. */
enum { BATCH_TOKENS = 256, SPLIT_TOKENS = 16 };

/* int8: inputs that share a scale. What comes out of an activation varies most, and is worth smaller groups. */
enum { GROUP = 384, DOWN_GROUP = 192, ACCURATE_GROUP = 128 };

static void unload(void *opaque)
{
    ce_native_model *model = opaque;
    if (!model)
        return;
    while (model->scratch) {
        ce_scratch *next = model->scratch->next;
        ce_free(model->scratch->data);
        ce_free(model->scratch);
        model->scratch = next;
    }
    ce_store_close(&model->store);
    ce_free(model->weights.layers);
    ce_free(model->weights.dense);
    pthread_mutex_destroy(&model->lock);
    ce_free(model);
}

static void choose_numbers(ce_native_model *model)
{
    switch (model->precision) {
    case CITADEL_PRECISION_BF16:
        model->number = CE_NUMBER_BF16;
        break;
    case CITADEL_PRECISION_INT8:
        model->number = CE_NUMBER_INT8;
        model->group = GROUP;
        model->down_group = DOWN_GROUP;
        break;
    case CITADEL_PRECISION_INT8_ACCURATE:
        model->number = CE_NUMBER_INT8;
        model->group = model->down_group = ACCURATE_GROUP;
        break;
    default:
        model->number = CE_NUMBER_FP32;
    }
}

/* A model without weights, for what can be told without them. */
static int outline(const ce_architecture *a, int32_t precision, ce_native_model *model,
                   ce_error *error)
{
    model->architecture = a;
    model->precision = precision;
    choose_numbers(model);
    model->weights.layers = ce_calloc(a->layers, sizeof *model->weights.layers);
    model->weights.dense =
        ce_calloc(a->dense_count ? a->dense_count : 1, sizeof *model->weights.dense);
    if (!model->weights.layers || !model->weights.dense)
        return ce_fail(error, CE_E_NO_MEMORY, "no memory for %u layers", a->layers);
    return CE_OK;
}

uint64_t ce_native_bytes(const ce_architecture *a, int32_t precision)
{
    ce_native_model model = {0};
    int status = outline(a, precision, &model, NULL);
    uint64_t bytes = status == CE_OK ? ce_layout_bytes(&model) : 0;
    ce_free(model.weights.layers);
    ce_free(model.weights.dense);
    return bytes;
}

static int create(const ce_backend_model *description, int32_t precision, ce_native_model **out,
                  ce_error *error)
{
    const ce_architecture *a = description->architecture;
    ce_native_model *model = ce_calloc(1, sizeof *model);
    *out = model;
    if (!model)
        return ce_fail(error, CE_E_NO_MEMORY, "no memory for a model");
    pthread_mutex_init(&model->lock, NULL);
    model->isa = (ce_isa)description->isa;
    int status = outline(a, precision, model, error);
    return status == CE_OK ? ce_prepare_tables(model, description->weights, error) : status;
}

static int write_dense(const ce_native_model *model, const ce_backend_model *description,
                       ce_error *error)
{
    const ce_architecture *a = model->architecture;
    for (uint32_t i = 0; i < a->dense_count; i++) {
        ce_weights *weights;
        int status = ce_weights_open(description->directory, a->dense[i].folder, &weights, error);
        if (status == CE_OK)
            status = ce_prepare_dense(&model->weights.dense[i], weights, a->dense[i].bias, error);
        ce_weights_close(weights);
        if (status != CE_OK) {
            ce_error_prefix(error, "%s", a->dense[i].folder);
            return status;
        }
    }
    return CE_OK;
}

static int write_weights(ce_native_model *model, const ce_backend_model *description,
                         const char *path, const ce_ranges *ranges, ce_error *error)
{
    int status = ce_prepare_check(model, description->weights, error);
    if (status == CE_OK)
        status = ce_store_create(&model->store, path, ce_layout_bytes(model), error);
    if (status != CE_OK)
        return status;
    ce_layout_place(model, model->store.data);
    status = ce_prepare_weights(model, description->weights, ranges, error);
    return status == CE_OK ? write_dense(model, description, error) : status;
}

typedef struct calibration {
    ce_native_model *model;
    const ce_ranges *ranges;
} calibration;

static int take_batch(void *argument, const ce_batch *batch, ce_error *error)
{
    const calibration *c = argument;
    ce_team alone = {.threads = 1};
    size_t dim = ce_native_dim(c->model->architecture);
    float *vectors = ce_reallocarray(NULL, batch->texts, dim * sizeof *vectors);
    if (!vectors)
        return ce_fail(error, CE_E_NO_MEMORY, "no memory for a calibration");
    int status = ce_pass_run(c->model, batch, &alone, c->ranges, vectors, error);
    ce_free(vectors);
    return status;
}

/* The calibration texts through the model in bf16: half the memory of fp32, and ranges need no more. */
static int calibrate(const ce_backend_model *description, const ce_ranges *ranges, ce_error *error)
{
    ce_native_model *model;
    int status = create(description, CITADEL_PRECISION_BF16, &model, error);
    if (status == CE_OK)
        status = write_weights(model, description, NULL, NULL, error);
    calibration c = {model, ranges};
    if (status == CE_OK)
        status = description->calibrate(description->texts, take_batch, &c, error);
    unload(model);
    return status;
}

/* ---- Accuracy ------------------------------------------------------------------------------ */

/* Vectors of one model and of another, which is the reference. */
typedef struct evaluation {
    ce_native_model *models[2];
    float *vectors[2]; /* [count, dim] */
    size_t count, capacity;
} evaluation;

static int take_evaluated(void *argument, const ce_batch *batch, ce_error *error)
{
    evaluation *e = argument;
    ce_team alone = {.threads = 1};
    size_t dim = ce_native_dim(e->models[0]->architecture), need = e->count + batch->texts;
    int status = CE_OK;
    for (int i = 0; i < 2 && status == CE_OK; i++) {
        if (need > e->capacity) {
            float *grown = ce_reallocarray(e->vectors[i], 2 * need, dim * sizeof *grown);
            if (!grown)
                return ce_fail(error, CE_E_NO_MEMORY, "no memory for an evaluation");
            e->vectors[i] = grown;
        }
        status =
            ce_pass_run(e->models[i], batch, &alone, NULL, e->vectors[i] + e->count * dim, error);
    }
    e->capacity = need > e->capacity ? 2 * need : e->capacity;
    e->count = need;
    return status;
}

/* Not of models so large that they would hardly be in memory in fp32 for any other purpose. */
static int is_evaluated(const ce_architecture *a, int32_t precision)
{
    const uint64_t largest = UINT64_C(1) << 30;
    return precision != CITADEL_PRECISION_FP32 &&
           ce_native_bytes(a, CITADEL_PRECISION_FP32) <= largest;
}

uint64_t ce_native_preparing_bytes(const ce_architecture *a, int32_t precision)
{
    if (is_evaluated(a, precision))
        return ce_native_bytes(a, CITADEL_PRECISION_FP32);
    int fitted =
        precision == CITADEL_PRECISION_INT8 || precision == CITADEL_PRECISION_INT8_ACCURATE;
    return fitted ? ce_native_bytes(a, CITADEL_PRECISION_BF16) : 0;
}

/* Once, and kept with the weights: where there is no file, nothing is measured. */
static int evaluate(ce_native_model *model, const ce_backend_model *description, ce_error *error)
{
    if (!model->store.path || !is_evaluated(model->architecture, model->precision))
        return CE_OK;
    evaluation e = {.models[0] = model};
    int status = create(description, CITADEL_PRECISION_FP32, &e.models[1], error);
    if (status == CE_OK)
        status = write_weights(e.models[1], description, NULL, NULL, error);
    if (status == CE_OK)
        status = description->evaluate(description->texts, take_evaluated, &e, error);
    if (status == CE_OK)
        ce_accuracy_find(e.vectors[0], e.vectors[1], e.count, ce_native_dim(model->architecture),
                         &model->store.accuracy);
    unload(e.models[1]);
    ce_free(e.vectors[0]);
    ce_free(e.vectors[1]);
    return status;
}

/* ---- Loading ------------------------------------------------------------------------------- */

static int prepare(ce_native_model *model, const ce_backend_model *description, ce_error *error)
{
    ce_ranges ranges = {0};
    int status = CE_OK;
    if (description->preparing)
        description->preparing(description->texts);
    if (ce_layout_smooths(model)) {
        status = ce_ranges_create(&ranges, model->architecture, error);
        if (status == CE_OK)
            status = calibrate(description, &ranges, error);
    }
    if (status == CE_OK)
        status = write_weights(model, description, description->prepared,
                               ce_layout_smooths(model) ? &ranges : NULL, error);
    ce_ranges_free(&ranges);
    if (status == CE_OK)
        status = evaluate(model, description, error);
    if (status == CE_OK)
        ce_store_finish(&model->store, description->prepared_key);
    ce_weights_release(description->weights);
    return status;
}

static int load(const ce_backend_model *description, void **out, ce_error *error)
{
    ce_native_model *model;
    int status = create(description, description->precision, &model, error);
    *out = NULL;
    if (status == CE_OK) {
        if (description->prepared &&
            ce_store_open(&model->store, description->prepared, description->prepared_key,
                          ce_layout_bytes(model)))
            ce_layout_place(model, model->store.data);
        else
            status = prepare(model, description, error);
    }
    if (status != CE_OK) {
        unload(model);
        return status;
    }
    *out = model;
    return CE_OK;
}

static size_t bytes(const void *opaque)
{
    ce_native_model *model = (ce_native_model *)opaque;
    pthread_mutex_lock(&model->lock);
    size_t held = model->store.mapped + model->scratch_bytes;
    pthread_mutex_unlock(&model->lock);
    const ce_tensor *tables[] = {model->words, model->places, model->types};
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++)
        held += tables[i] ? tables[i]->bytes : 0;
    return held;
}

static int run(void *opaque, const ce_batch *batch, ce_team *team, float *out, ce_error *error)
{
    return ce_pass_run(opaque, batch, team, NULL, out, error);
}

static void accuracy(const void *opaque, ce_accuracy *out)
{
    *out = ((const ce_native_model *)opaque)->store.accuracy;
}

static int describe(ce_backend_device *device, ce_error *error)
{
    (void)device;
    (void)error;
    return CE_OK;
}

const ce_backend ce_native_backend = {
    .version = CE_BACKEND_VERSION,
    .name = "native",
    .description = "native",
    .batch_tokens = BATCH_TOKENS,
    .split_tokens = SPLIT_TOKENS,
    .any_thread = 1,
    .model_load = load,
    .model_unload = unload,
    .model_bytes = bytes,
    .run = run,
    .accuracy = accuracy,
    .describe = describe,
};
