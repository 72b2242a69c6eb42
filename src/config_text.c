/* The effective configuration, with the origin of every value. */
#include "engine.h"
#include "kernels/isa.h"
#include "lines.h"
#include "options.h"
#include "precision.h"

#include <stdio.h>
#include <string.h>

static const char *switch_name(int on)
{
    return on ? "true" : "false";
}

static void number_value(uint64_t number, char *text, size_t size)
{
    snprintf(text, size, "%llu", (unsigned long long)number);
}

/* `text` has room for any number. */
static const char *value(const ce_config *config, ce_setting setting, char *text, size_t size)
{
    switch (setting) {
    case CE_SET_OPTIMIZATION:
        return switch_name(config->optimization);
    case CE_SET_COMPILE:
        return switch_name(config->compile);
    case CE_SET_MIXED_PRECISION:
        return switch_name(config->mixed_precision);
    case CE_SET_WARMUP:
        return switch_name(config->warmup_enabled);
    case CE_SET_PRECISION:
        return ce_precision_name(config->precision);
    case CE_SET_MODEL_PATH:
        return config->model_path;
    case CE_SET_TORCH_BACKEND:
        return config->torch_backend ? config->torch_backend : "beside the library";
    case CE_SET_WARMUP_ITERATIONS:
        number_value((uint64_t)config->warmup_iterations, text, size);
        return text;
    case CE_SET_CACHE_MODELS:
        number_value(config->cache_models, text, size);
        return text;
    case CE_SET_CACHE_BYTES:
        number_value(config->cache_bytes, text, size);
        return text;
    case CE_SET_CACHE_IDLE_SECONDS:
        number_value(config->cache_idle_seconds, text, size);
        return text;
    case CE_SET_THREADS:
        number_value(config->threads, text, size);
        return text;
    case CE_SET_BATCH_TOKENS:
        number_value(config->batch_tokens, text, size);
        return text;
    case CE_SET_BACKEND:
        return ce_setting_backend_name(config->backend);
    case CE_SET_ISA:
        return ce_isa_name((ce_isa)config->isa);
    case CE_SET_PREPARED_WEIGHTS:
        return switch_name(config->prepared);
    case CE_SET_PREPARED_PATH:
        return config->prepared_path ? config->prepared_path : "none";
    case CE_SETTINGS:
        break;
    }
    return "";
}

static void add_setting(ce_lines *lines, const ce_config *config, ce_setting setting)
{
    const ce_setting_info *info = ce_setting_get(setting);
    char number[24];
    const char *text = value(config, setting, number, sizeof number);
    const char *off = config->masked[setting] ? "without inference_optimization, instead of " : "";
    switch (config->origins[setting]) {
    case CE_FROM_OPTION:
        ce_lines_add(lines, "%s = %s   # %soption %s", info->key, text, off, info->option);
        break;
    case CE_FROM_VARIABLE:
        ce_lines_add(lines, "%s = %s   # %svariable %s", info->key, text, off, info->variable);
        break;
    case CE_FROM_FILE:
        ce_lines_add(lines, "%s = %s   # %s%s:%u", info->key, text, off, config->file.path,
                     config->file.settings[setting]->line);
        break;
    case CE_FROM_DEFAULT:
        ce_lines_add(lines, "%s = %s   # %sdefault", info->key, text, off);
        break;
    }
}

static void add_file(ce_lines *lines, const ce_config *config)
{
    static const char *const origins[] = {
        [CE_FROM_DEFAULT] = "default",
        [CE_FROM_VARIABLE] = "variable CITADEL_CONFIG",
        [CE_FROM_OPTION] = "option config_file",
    };
    ce_lines_add(lines, "config_file = %s   # %s", config->file.path ? config->file.path : "none",
                 origins[config->file_origin]);
}

/* ---- Models ------------------------------------------------------------------------------- */

typedef struct model_lines {
    ce_lines *lines;
    const ce_config_model *model;
    const char *file;
} model_lines;

/* `key`: the member of the model in the file that `text` comes from, if it is there. */
static void add_member(const model_lines *to, const char *name, const char *text, const char *key)
{
    const ce_yaml *member = ce_yaml_member(to->model->node, key);
    ce_lines_add(to->lines, "models.%s%s = %s   # %s:%u", to->model->name, name, text, to->file,
                 member ? member->line : to->model->line);
}

static void add_model(const model_lines *to)
{
    const ce_config_model *model = to->model;
    add_member(to, "", model->target, "path");
    for (const ce_yaml *a = model->aliases ? model->aliases->first : NULL; a; a = a->next)
        ce_lines_add(to->lines, "models.%s.alias = %s   # %s:%u", model->name, a->text, to->file,
                     a->line);
    for (const ce_yaml *p = model->prompts ? model->prompts->first : NULL; p; p = p->next)
        ce_lines_add(to->lines, "models.%s.prompts.%s = \"%s\"   # %s:%u", model->name, p->key,
                     p->text, to->file, p->line);
    if (model->default_prompt)
        add_member(to, ".default_prompt", model->default_prompt, "default_prompt");
    if (model->has_precision)
        add_member(to, ".precision", ce_precision_name(model->precision), "precision");
    if (model->has_warmup)
        add_member(to, ".warmup", switch_name(model->warmup), "warmup");
}

static void add_all(ce_lines *lines, const ce_config *config)
{
    add_file(lines, config);
    for (int i = 0; i < CE_SETTINGS; i++)
        add_setting(lines, config, (ce_setting)i);
    for (size_t i = 0; i < config->file.model_count; i++) {
        const model_lines to = {lines, &config->file.models[i], config->file.path};
        add_model(&to);
    }
}

static int config_text(citadel_engine *engine, char *buffer, size_t capacity, size_t *length,
                       ce_error *error)
{
    if (!engine)
        return ce_fail(error, CE_E_INVALID_ARGUMENT, "engine is NULL");
    int status = ce_engine_enter(engine, error);
    if (status != CE_OK)
        return status;
    ce_lines lines = {0};
    add_all(&lines, &engine->config);
    status = ce_lines_give(&lines, buffer, capacity, length, error);
    ce_engine_leave(engine);
    return status;
}

citadel_status citadel_config_text(const citadel_engine *engine, char *buffer, size_t capacity,
                                   size_t *length, citadel_error *error)
{
    if (!ce_error_ready(error))
        return CITADEL_E_ABI;
    ce_error failure;
    int status = config_text((citadel_engine *)engine, buffer, capacity, length, &failure);
    return ce_error_report(error, status, &failure);
}
