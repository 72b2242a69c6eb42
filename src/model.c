#include "model.h"

#include "backend_open.h"
#include "base/mem.h"
#include "embed.h"
#include "engine.h"
#include "options.h"
#include "precision.h"

#include <math.h>
#include <string.h>
#include <time.h>

/* Golden texts that a load embeds: the first ones of a pack are short, so that this costs milliseconds. */
enum { GOLDEN_CHECKED = 3 };

static double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static int load_tokenizer(citadel_model *model, ce_error *error)
{
    ce_bytes file;
    int status = ce_pack_map(model->pack, model->pack->tokenizer, &file, error);
    if (status != CE_OK)
        return status;
    size_t before = ce_mem_held();
    status = ce_tokenizer_create(file.data, file.size, &model->tokenizer, error);
    model->tokenizer_bytes = ce_mem_held() - before;
    ce_pack_unmap(&file);
    if (status != CE_OK) {
        ce_error_prefix(error, "%s", model->pack->tokenizer);
        return status;
    }
    size_t ids = ce_tokenizer_vocab_size(model->tokenizer);
    if (ids > model->pack->vocab_size)
        return ce_fail(error, CE_E_BAD_MODEL,
                       "the tokenizer has ids up to %zu, but the model has %u embeddings", ids - 1,
                       model->pack->vocab_size);
    size_t specials = ce_tokenizer_special_count(model->tokenizer);
    if (specials > model->pack->max_tokens)
        return ce_fail(error, CE_E_BAD_MODEL, "max_tokens is %u, below the %zu special tokens",
                       model->pack->max_tokens, specials);
    return CE_OK;
}

static int load_backend(citadel_model *model, ce_error *error)
{
    const ce_pack *pack = model->pack;
    int status = ce_backend_open(model->engine->config.torch_backend, &model->backend, error);
    if (status != CE_OK)
        return status;
    ce_bytes graph;
    status = ce_pack_map(pack, pack->chosen->graph, &graph, error);
    if (status != CE_OK)
        return status;
    const ce_backend_model description = {
        .form = pack->chosen->form,
        .graph = graph.data,
        .graph_size = graph.size,
        .tensors = pack->weights.tensors,
        .tensor_count = pack->weights.count,
        .dim = pack->dim,
        .layout = pack->layout,
        .threads = model->engine->config.threads,
    };
    status = model->backend->model_load(&description, &model->backend_model, error);
    ce_pack_unmap(&graph);
    return status;
}

/* Largest difference from the stored vector; the comparison is written so that NaN is a difference too. */
static double largest_difference(const float *a, const float *b, size_t count)
{
    double largest = 0;
    for (size_t i = 0; i < count; i++) {
        double difference = fabs((double)a[i] - b[i]);
        if (!(difference <= largest))
            largest = difference;
    }
    return largest;
}

/* Vectors that are not normalised are compared relative to their size. */
static double tolerance_of(const float *vector, size_t count, double tolerance)
{
    double scale = 1;
    for (size_t i = 0; i < count; i++)
        if (fabs((double)vector[i]) > scale)
            scale = fabs((double)vector[i]);
    return tolerance * scale;
}

static int check_golden_text(citadel_model *model, size_t index, float *vector, ce_error *error)
{
    const ce_golden *golden = &model->pack->golden;
    const citadel_embed_options options = {.size = sizeof options, .prompt = ""};
    size_t dim = model->pack->dim;
    const char *text = golden->texts[index];
    int status =
        ce_embed(model, &text, &golden->lengths[index], 1, &options, vector, dim, NULL, error);
    if (status != CE_OK) {
        ce_error_prefix(error, "golden text %zu", index);
        return status == CE_E_NOT_FINITE ? CE_E_BAD_MODEL : status;
    }
    const float *expected = golden->vectors + index * dim;
    double difference = largest_difference(vector, expected, dim);
    double tolerance = tolerance_of(expected, dim, 1e-5);
    if (!isfinite(difference) || difference > tolerance)
        return ce_fail(
            error, CE_E_BAD_MODEL,
            "golden text %zu: the vector differs by %.3g from the one in the pack, %.3g is "
            "allowed: this backend does not compute this model correctly",
            index, difference, tolerance);
    if (difference > model->golden_error)
        model->golden_error = difference;
    return CE_OK;
}

static int check_golden(citadel_model *model, ce_error *error)
{
    size_t count = model->pack->golden.count;
    if (count > GOLDEN_CHECKED)
        count = GOLDEN_CHECKED;
    float *vector = ce_malloc(model->pack->dim * sizeof *vector);
    if (!vector)
        return ce_fail(error, CE_E_NO_MEMORY, "no memory for a vector of %u", model->pack->dim);
    int status = CE_OK;
    for (size_t i = 0; i < count && status == CE_OK; i++)
        status = check_golden_text(model, i, vector, error);
    ce_free(vector);
    model->golden_texts = (uint32_t)count;
    return status;
}

int ce_model_load(citadel_model *model, ce_pack *pack, ce_error *error)
{
    double start = seconds_now();
    model->pack = pack;
    int status = load_tokenizer(model, error);
    if (status == CE_OK)
        status = ce_pack_load_weights(pack, error);
    if (status == CE_OK)
        status = load_backend(model, error);
    if (status == CE_OK)
        status = ce_pack_load_golden(pack, error);
    if (status == CE_OK)
        status = check_golden(model, error);
    ce_pack_drop_golden(pack);
    ce_pack_close_directory(pack);
    if (status != CE_OK) {
        ce_error_prefix(error, "model '%s'", pack->path);
        return status;
    }
    model->load_seconds = seconds_now() - start;
    ce_log_write(&model->engine->log, CITADEL_LOG_INFO, "loaded '%s' from '%s' in %.3f s: %s, %s",
                 pack->name, pack->path, model->load_seconds, model->backend->description,
                 pack->chosen->form);
    return CE_OK;
}

uint64_t ce_model_bytes(const citadel_model *model)
{
    return model->pack->weights_file.size + model->tokenizer_bytes +
           model->backend->model_bytes(model->backend_model);
}

void ce_model_free(citadel_model *model)
{
    if (model->backend_model)
        model->backend->model_unload(model->backend_model);
    ce_tokenizer_destroy(model->tokenizer);
    ce_pack_close(model->pack);
}

/* ---- Public ------------------------------------------------------------------------------- */

int ce_load_options_read(const citadel_load_options *options, citadel_load_options *known,
                         ce_error *error)
{
    int status = ce_options_read(known, sizeof *known, options, CE_LOAD_OPTIONS_SIZE_1,
                                 "citadel_load_options", error);
    if (status != CE_OK)
        return status;
    if (known->flags)
        return ce_fail(error, CE_E_INVALID_ARGUMENT, "load options: unknown flags 0x%x",
                       known->flags);
    if (known->reserved0)
        return ce_fail(error, CE_E_INVALID_ARGUMENT, "load options: reserved0 must be 0");
    status = ce_precision_check(known->precision, "load options", error);
    if (status != CE_OK)
        return status;
    if (known->require_id && (strlen(known->require_id) != 64 ||
                              strspn(known->require_id, "0123456789abcdefABCDEF") != 64))
        return ce_fail(error, CE_E_INVALID_ARGUMENT,
                       "load options: require_id is '%s', expected 64 hexadecimal digits",
                       known->require_id);
    return CE_OK;
}

/* The handle keeps the engine that the call entered. */
static int load_handle(citadel_engine *engine, const char *name,
                       const citadel_load_options *options, citadel_model **out, ce_error *error)
{
    if (!engine || !name || !out)
        return ce_fail(error, CE_E_INVALID_ARGUMENT, "%s is NULL",
                       !engine ? "engine"
                       : !name ? "name"
                               : "model");
    citadel_load_options known;
    int status = ce_load_options_read(options, &known, error);
    if (status == CE_OK)
        status = ce_engine_enter(engine, error);
    if (status != CE_OK)
        return status;
    status = ce_cache_acquire(engine, name, &known, out, error);
    if (status != CE_OK) {
        ce_engine_leave(engine);
        return status;
    }
    ce_cache_add_handle(*out);
    ce_cache_release(*out);
    return CE_OK;
}

citadel_status citadel_model_load(citadel_engine *engine, const char *name,
                                  const citadel_load_options *options, citadel_model **model,
                                  citadel_error *error)
{
    if (model)
        *model = NULL;
    if (!ce_error_ready(error))
        return CITADEL_E_ABI;
    ce_error failure;
    int status = load_handle(engine, name, options, model, &failure);
    return ce_error_report(error, status, &failure);
}

citadel_model *citadel_model_ref(citadel_model *model)
{
    if (model && !ce_engine_forked(model->engine)) {
        ce_engine_hold(model->engine);
        ce_cache_add_handle(model);
    }
    return model;
}

void citadel_model_unload(citadel_model *model)
{
    if (!model || ce_engine_forked(model->engine))
        return;
    citadel_engine *engine = model->engine;
    ce_cache_drop_handle(model);
    ce_engine_leave(engine);
}

size_t citadel_model_dim(const citadel_model *model)
{
    return model ? model->pack->dim : 0;
}

static int describe(const citadel_model *model, citadel_info *info, ce_error *error)
{
    if (!model)
        return ce_fail(error, CE_E_INVALID_ARGUMENT, "model is NULL");
    int status = ce_result_check(info, CE_INFO_SIZE_1, "citadel_info", error);
    if (status != CE_OK)
        return status;
    const ce_pack *pack = model->pack;
    const citadel_info known = {
        .size = sizeof known,
        .name = pack->name,
        .path = pack->path,
        .id = pack->id,
        .architecture = pack->architecture,
        .backend = model->backend->description,
        .form = pack->chosen->form,
        .pooling = pack->pooling,
        .layout = pack->layout == CE_LAYOUT_PADDED ? "padded" : "packed",
        .default_prompt = pack->default_prompt,
        .dim = pack->dim,
        .max_tokens = pack->max_tokens,
        .vocab_size = pack->vocab_size,
        .precision = pack->chosen->precision,
        .normalize = (uint32_t)pack->normalize,
        .prompts = (uint32_t)pack->prompt_count,
        .weight_bytes = pack->weights_file.size,
        .load_seconds = model->load_seconds,
        .golden_error = model->golden_error,
        .golden_texts = model->golden_texts,
    };
    ce_result_write(info, &known, sizeof known);
    return CE_OK;
}

citadel_status citadel_model_info(const citadel_model *model, citadel_info *info,
                                  citadel_error *error)
{
    if (!ce_error_ready(error))
        return CITADEL_E_ABI;
    ce_error failure;
    int status = describe(model, info, &failure);
    return ce_error_report(error, status, &failure);
}

static int find_prompt(const citadel_model *model, uint32_t index, const char **name,
                       const char **text, ce_error *error)
{
    if (!model || !name || !text)
        return ce_fail(error, CE_E_INVALID_ARGUMENT, "%s is NULL",
                       !model  ? "model"
                       : !name ? "name"
                               : "text");
    *name = *text = NULL;
    if (index >= model->pack->prompt_count)
        return ce_fail(error, CE_E_NOT_FOUND, "prompt %u was asked for, the model has %zu", index,
                       model->pack->prompt_count);
    *name = model->pack->prompts[index].name;
    *text = model->pack->prompts[index].text;
    return CE_OK;
}

citadel_status citadel_model_prompt(const citadel_model *model, uint32_t index, const char **name,
                                    const char **text, citadel_error *error)
{
    if (!ce_error_ready(error))
        return CITADEL_E_ABI;
    ce_error failure;
    int status = find_prompt(model, index, name, text, &failure);
    return ce_error_report(error, status, &failure);
}
