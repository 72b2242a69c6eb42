#include "model.h"

#include "backend_open.h"
#include "base/mem.h"
#include "base/rounding.h"
#include "checkpoint.h"
#include "clock.h"
#include "engine.h"
#include "explain.h"
#include "form.h"
#include "golden.h"
#include "graph.h"
#include "native/native_backend.h"
#include "options.h"
#include "precision.h"
#include "warmup.h"

#include <string.h>

/* Add the time since `*since` to a part, in seconds, and begin anew. */
static void lap(uint64_t *since, double *part)
{
    uint64_t now = ce_clock_now();
    *part += 1e-9 * (double)(now - *since);
    *since = now;
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

/* ---- Forms -------------------------------------------------------------------------------- */

static void unload_graph(citadel_model *model)
{
    if (model->backend_model)
        model->backend->model_unload(model->backend_model);
    model->backend_model = NULL;
}

/* On all threads if nobody else computes, else on one: a large model's passes would keep others waiting. */
static int prove(citadel_model *model, int alone, uint64_t *since, ce_error *error)
{
    ce_workers *workers = model->engine->workers;
    if (alone)
        ce_workers_take_back(workers);
    int status = ce_golden_check(model, error);
    lap(since, &model->times.check);
    if (status == CE_OK && ce_config_warms_up(&model->engine->config, model->pack->configured)) {
        status = ce_warmup_load(model, error);
        lap(since, &model->times.warmup);
    }
    if (alone)
        ce_workers_lend(workers);
    return status;
}

/* libtorch is opened when the first form needs it. What was made with another one is skipped then, so that the next form
 * may be a native one. */
static int open_backend(citadel_model *model, ce_error *error)
{
    const ce_backend *torch;
    int status = CE_OK;
    model->backend = &ce_native_backend;
    if (ce_form_is_native(model->pack->chosen))
        return CE_OK;
    status = ce_backend_open(model->engine->config.torch_backend, &torch, error);
    if (status == CE_OK)
        status = ce_form_check_backend(model->pack, torch, error);
    if (status == CE_OK && !ce_form_is_native(model->pack->chosen))
        model->backend = torch;
    return status;
}

static int load_graph(citadel_model *model, ce_error *error)
{
    if (ce_form_is_native(model->pack->chosen))
        return ce_checkpoint_load(model, error);
    return ce_graph_load(model->pack, model->backend, model->engine->config.threads,
                         &model->backend_model, error);
}

static int try_form(citadel_model *model, ce_error *error)
{
    ce_workers *workers = model->engine->workers;
    uint64_t jobs = ce_workers_jobs(workers);
    uint64_t since = ce_clock_now();
    int status = open_backend(model, error);
    lap(&since, &model->times.backend);
    if (status == CE_OK)
        status = ce_pack_load_weights(model->pack, error);
    lap(&since, &model->times.weights);
    if (status != CE_OK)
        return status;
    status = load_graph(model, error);
    lap(&since, &model->times.backend);
    if (status != CE_OK)
        return status;
    status = prove(model, ce_workers_jobs(workers) == jobs, &since, error);
    if (status != CE_OK)
        unload_graph(model);
    return status;
}

static int all_failed(const ce_pack *pack, int status, ce_error *error)
{
    char name[256];
    size_t failed = ce_form_count(pack, CE_FORM_FAILED);
    ce_form_describe(pack->chosen, name, sizeof name);
    if (failed > 1)
        ce_error_prefix(error, "all %zu forms failed, the last was %s", failed, name);
    return status;
}

/* Only a form that has passed its check may recover: one that needs it for golden texts is broken. */
static int load_form(citadel_model *model, ce_error *error)
{
    ce_pack *pack = model->pack;
    int status;
    while ((status = try_form(model, error)) != CE_OK) {
        char name[256];
        ce_form_describe(pack->chosen, name, sizeof name);
        if (!ce_form_fall_back(pack, error))
            return all_failed(pack, status, error);
        ce_metrics_add(&model->engine->metrics.fallbacks, 1);
        ce_log_write(&model->engine->log, CITADEL_LOG_WARNING,
                     "model '%s': %s failed, the next form is tried: %s", pack->path, name,
                     error->message);
    }
    model->recovers = ce_form_recovery(pack->chosen) != NULL;
    return CE_OK;
}

static int load_parts(citadel_model *model, ce_error *error)
{
    ce_load_times *times = &model->times;
    uint64_t start = ce_clock_now(), since = start;
    int status = load_tokenizer(model, error);
    lap(&since, &times->tokenizer);
    if (status == CE_OK) {
        status = open_backend(model, error);
        lap(&since, &times->backend);
    }
    if (status == CE_OK) {
        status = ce_pack_load_golden(model->pack, error);
        lap(&since, &times->check);
    }
    if (status == CE_OK)
        status = load_form(model, error);
    lap(&start, &times->load);
    return status;
}

int ce_model_load(citadel_model *model, ce_pack *pack, ce_error *error)
{
    fenv_t hosts;
    model->pack = pack;
    ce_workers_lend(model->engine->workers);
    ce_rounding_begin(&hosts);
    int status = load_parts(model, error);
    ce_rounding_end(&hosts);
    ce_workers_take_back(model->engine->workers);
    if (status == CE_OK)
        status = ce_explain(pack, &model->explanation, error);
    ce_pack_drop_golden(pack);
    ce_pack_close_directory(pack);
    if (status != CE_OK) {
        ce_error_prefix(error, "model '%s'", pack->path);
        return status;
    }
    ce_log_write(&model->engine->log, CITADEL_LOG_INFO,
                 "loaded '%s' from '%s' in %.3f s: %s, %s %s", pack->name, pack->path,
                 model->times.load, model->backend->description, pack->chosen->form,
                 ce_precision_name(pack->chosen->precision));
    return CE_OK;
}

uint64_t ce_model_bytes(const citadel_model *model)
{
    return model->pack->weights_file.size + model->tokenizer_bytes +
           model->backend->model_bytes(model->backend_model);
}

void ce_model_free(citadel_model *model)
{
    unload_graph(model);
    ce_tokenizer_destroy(model->tokenizer);
    ce_free(model->explanation);
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
    ce_accuracy accuracy = {.min_cosine = pack->chosen->min_cosine};
    if (model->backend->accuracy)
        model->backend->accuracy(model->backend_model, &accuracy);
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
        .explain = model->explanation,
        .dim = pack->dim,
        .max_tokens = pack->max_tokens,
        .vocab_size = pack->vocab_size,
        .precision = pack->chosen->precision,
        .normalize = (uint32_t)pack->normalize,
        .prompts = (uint32_t)pack->prompt_count,
        .weight_bytes = ce_pack_weight_bytes(pack),
        .load_seconds = model->times.load,
        .tokenizer_seconds = model->times.tokenizer,
        .weights_seconds = model->times.weights,
        .backend_seconds = model->times.backend,
        .check_seconds = model->times.check,
        .golden_error = model->golden_error,
        .golden_cosine = model->golden_cosine,
        .min_cosine = accuracy.min_cosine,
        .golden_texts = model->golden_texts,
        .fallbacks = (uint32_t)ce_form_count(pack, CE_FORM_FAILED),
        .warmup_seconds = model->times.warmup,
        .mean_cosine = accuracy.mean_cosine,
        .neighbour_overlap = accuracy.neighbour_overlap,
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
