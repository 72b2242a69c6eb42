/* secure_getenv: a set-uid host must not be steered by its caller's environment. */
#define _GNU_SOURCE
#include "config.h"

#include "base/mem.h"
#include "kernels/isa.h"
#include "options.h"
#include "precision.h"
#include "workers.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CACHE_MODELS_DEFAULT = 4, BATCH_TOKENS_DEFAULT = 1024, WARMUP_ITERATIONS_DEFAULT = 10 };

static const char *environment(const citadel_engine_options *options, const char *name)
{
    if (options->flags & CITADEL_ENGINE_NO_ENVIRONMENT)
        return NULL;
    const char *value = secure_getenv(name);
    return value && *value ? value : NULL;
}

static int no_memory(ce_error *error)
{
    return ce_fail(error, CE_E_NO_MEMORY, "no memory for the configuration");
}

/* ---- Options ------------------------------------------------------------------------------ */

static int check_switch(const char *name, int32_t value, ce_error *error)
{
    if (value < CITADEL_SWITCH_OFF || value > CITADEL_SWITCH_ON)
        return ce_fail(error, CE_E_INVALID_ARGUMENT,
                       "engine options: %s is %d, expected a CITADEL_SWITCH_* (%d to %d)", name,
                       (int)value, CITADEL_SWITCH_OFF, CITADEL_SWITCH_ON);
    return CE_OK;
}

static int check_switches(const citadel_engine_options *options, ce_error *error)
{
    int status = check_switch("optimization", options->optimization, error);
    if (status == CE_OK)
        status = check_switch("compile", options->compile, error);
    if (status == CE_OK)
        status = check_switch("mixed_precision", options->mixed_precision, error);
    if (status == CE_OK)
        status = check_switch("prepared_weights", options->prepared_weights, error);
    return status == CE_OK ? check_switch("warmup", options->warmup, error) : status;
}

static int check(const citadel_engine_options *options, ce_error *error)
{
    if (options->flags & ~CITADEL_ENGINE_NO_ENVIRONMENT)
        return ce_fail(error, CE_E_INVALID_ARGUMENT, "engine options: unknown flags 0x%x",
                       options->flags & ~CITADEL_ENGINE_NO_ENVIRONMENT);
    if (options->log_level < CITADEL_LOG_NONE || options->log_level > CITADEL_LOG_DEBUG)
        return ce_fail(error, CE_E_INVALID_ARGUMENT,
                       "engine options: log_level is %d, expected CITADEL_LOG_NONE (%d) to "
                       "CITADEL_LOG_DEBUG (%d)",
                       (int)options->log_level, CITADEL_LOG_NONE, CITADEL_LOG_DEBUG);
    if (options->backend < CITADEL_BACKEND_AUTO || options->backend > CITADEL_BACKEND_TORCH)
        return ce_fail(error, CE_E_INVALID_ARGUMENT,
                       "engine options: backend is %d, expected a CITADEL_BACKEND_* (0 to %d)",
                       (int)options->backend, CITADEL_BACKEND_TORCH);
    int status = ce_precision_check(options->precision, "engine options", error);
    return status == CE_OK ? check_switches(options, error) : status;
}

static const char *switch_text(int32_t value)
{
    return value == CITADEL_SWITCH_DEFAULT ? NULL : value == CITADEL_SWITCH_ON ? "true" : "false";
}

/* An option of 0 is not set. `text` has room for any number. */
static const char *number_text(uint64_t value, char text[24])
{
    snprintf(text, 24, "%llu", (unsigned long long)value);
    return value ? text : NULL;
}

/* What an option says, as the environment would spell it; NULL: nothing. */
static const char *option_text(const citadel_engine_options *options, ce_setting setting,
                               char text[24])
{
    switch (setting) {
    case CE_SET_OPTIMIZATION:
        return switch_text(options->optimization);
    case CE_SET_COMPILE:
        return switch_text(options->compile);
    case CE_SET_MIXED_PRECISION:
        return switch_text(options->mixed_precision);
    case CE_SET_WARMUP:
        return switch_text(options->warmup);
    case CE_SET_WARMUP_ITERATIONS:
        return number_text(options->warmup_iterations, text);
    case CE_SET_PRECISION:
        return options->precision ? ce_precision_name(options->precision) : NULL;
    case CE_SET_CACHE_MODELS:
        return number_text(options->cache_models, text);
    case CE_SET_CACHE_BYTES:
        return number_text(options->cache_bytes, text);
    case CE_SET_CACHE_IDLE_SECONDS:
        return number_text(options->cache_idle_seconds, text);
    case CE_SET_THREADS:
        return number_text(options->threads, text);
    case CE_SET_BATCH_TOKENS:
        return number_text(options->batch_tokens, text);
    case CE_SET_MODEL_PATH:
        return options->model_path;
    case CE_SET_TORCH_BACKEND:
        return options->torch_backend;
    case CE_SET_BACKEND:
        return options->backend ? ce_setting_backend_name(options->backend) : NULL;
    case CE_SET_ISA:
        return options->isa;
    case CE_SET_PREPARED_WEIGHTS:
        return switch_text(options->prepared_weights);
    case CE_SET_PREPARED_PATH:
        return options->prepared_path;
    case CE_SETTINGS:
        break;
    }
    return NULL;
}

/* ---- Defaults ----------------------------------------------------------------------------- */

static uint64_t default_number(ce_setting setting)
{
    switch (setting) {
    case CE_SET_OPTIMIZATION:
    case CE_SET_COMPILE:
    case CE_SET_PREPARED_WEIGHTS:
        return 1;
    case CE_SET_ISA:
        return ce_isa_best();
    case CE_SET_WARMUP_ITERATIONS:
        return WARMUP_ITERATIONS_DEFAULT;
    case CE_SET_CACHE_MODELS:
        return CACHE_MODELS_DEFAULT;
    case CE_SET_THREADS:
        return ce_workers_available_cpus();
    case CE_SET_BATCH_TOKENS:
        return BATCH_TOKENS_DEFAULT;
    default:
        return 0;
    }
}

/* The directory that the XDG rules name, which ignore a relative one. */
static int xdg_directory(const citadel_engine_options *options, const char *variable,
                         const char *below_home, char *out, size_t size)
{
    const char *home = environment(options, variable), *below = "";
    if (!home || home[0] != '/') {
        home = environment(options, "HOME");
        below = below_home;
    }
    return home && home[0] == '/' && snprintf(out, size, "%s%s", home, below) < (int)size;
}

/* $XDG_DATA_HOME/citadel/models:<directory set when built> */
static int default_model_path(const citadel_engine_options *options, char **out, ce_error *error)
{
    char data[PATH_MAX] = "";
    const char *middle = "";
    if (xdg_directory(options, "XDG_DATA_HOME", "/.local/share", data, sizeof data))
        middle = "/citadel/models:";
    else
        data[0] = '\0';
    size_t size = strlen(data) + strlen(middle) + sizeof CE_DEFAULT_MODEL_PATH;
    *out = ce_malloc(size);
    if (!*out)
        return no_memory(error);
    snprintf(*out, size, "%s%s%s", data, middle, CE_DEFAULT_MODEL_PATH);
    return CE_OK;
}

/* ---- All together ------------------------------------------------------------------------- */

static int read_file(ce_config *config, const citadel_engine_options *options, ce_error *error)
{
    char usual[PATH_MAX];
    const char *path = options->config_file;
    config->file_origin = CE_FROM_OPTION;
    if (!path) {
        path = environment(options, "CITADEL_CONFIG");
        config->file_origin = path ? CE_FROM_VARIABLE : CE_FROM_DEFAULT;
    }
    if (path)
        return *path ? ce_config_file_read(&config->file, path, 1, error) : CE_OK;
    static const char name[] = "/citadel/optimization_config.yaml";
    if (!xdg_directory(options, "XDG_CONFIG_HOME", "/.config", usual, sizeof usual - sizeof name))
        return CE_OK;
    memcpy(usual + strlen(usual), name, sizeof name);
    return ce_config_file_read(&config->file, usual, 0, error);
}

/* Where a setting comes from, and its text there; the file's has been checked. */
static const char *find_text(ce_config *config, const citadel_engine_options *options,
                             ce_setting setting, char number[24], const char **name)
{
    const ce_setting_info *info = ce_setting_get(setting);
    const char *text = option_text(options, setting, number);
    ce_origin origin = CE_FROM_OPTION;
    *name = info->option;
    if (!text) {
        text = environment(options, info->variable);
        origin = CE_FROM_VARIABLE;
        *name = info->variable;
    }
    if (!text && config->file.settings[setting]) {
        text = config->file.settings[setting]->text;
        origin = CE_FROM_FILE;
        *name = info->key;
    }
    config->origins[setting] = text ? origin : CE_FROM_DEFAULT;
    return text;
}

static int set_string(char **out, const char *value, ce_error *error)
{
    *out = ce_strndup(value, strlen(value));
    return *out ? CE_OK : no_memory(error);
}

/* None where there is no home to keep anything in. */
static int read_prepared_path(ce_config *config, const citadel_engine_options *options,
                              ce_error *error)
{
    static const char below[] = "/citadel/prepared";
    char number[24], usual[PATH_MAX];
    const char *name;
    const char *path = find_text(config, options, CE_SET_PREPARED_PATH, number, &name);
    if (!path &&
        xdg_directory(options, "XDG_CACHE_HOME", "/.cache", usual, sizeof usual - sizeof below)) {
        memcpy(usual + strlen(usual), below, sizeof below);
        path = usual;
    }
    return path && *path ? set_string(&config->prepared_path, path, error) : CE_OK;
}

static int read_paths(ce_config *config, const citadel_engine_options *options, ce_error *error)
{
    char number[24];
    const char *name;
    const char *path = find_text(config, options, CE_SET_MODEL_PATH, number, &name);
    int status = path ? set_string(&config->model_path, path, error)
                      : default_model_path(options, &config->model_path, error);
    if (status != CE_OK)
        return status;
    const char *backend = find_text(config, options, CE_SET_TORCH_BACKEND, number, &name);
    if (backend)
        status = set_string(&config->torch_backend, backend, error);
    return status == CE_OK ? read_prepared_path(config, options, error) : status;
}

static int read_values(ce_config *config, const citadel_engine_options *options,
                       uint64_t values[CE_SETTINGS], ce_error *error)
{
    int status = CE_OK;
    for (ce_setting setting = 0; setting < CE_SETTINGS && status == CE_OK; setting++) {
        char number[24];
        const char *name, *text = find_text(config, options, setting, number, &name);
        values[setting] = default_number(setting);
        if (text)
            status = ce_setting_parse(setting, name, text, &values[setting], error);
    }
    return status;
}

/* Without optimization the switches and numbers that depend on it are as they are for the baseline. */
static void mask(ce_config *config, uint64_t values[CE_SETTINGS])
{
    static const ce_setting dependent[] = {CE_SET_COMPILE, CE_SET_MIXED_PRECISION, CE_SET_PRECISION,
                                           CE_SET_PREPARED_WEIGHTS};
    if (values[CE_SET_OPTIMIZATION])
        return;
    for (size_t i = 0; i < sizeof dependent / sizeof dependent[0]; i++) {
        config->masked[dependent[i]] = values[dependent[i]] != 0;
        values[dependent[i]] = 0;
    }
}

static int read_all(ce_config *config, const citadel_engine_options *options, ce_error *error)
{
    uint64_t values[CE_SETTINGS];
    int status = check(options, error);
    if (status == CE_OK)
        status = read_file(config, options, error);
    if (status == CE_OK)
        status = read_values(config, options, values, error);
    if (status == CE_OK)
        status = read_paths(config, options, error);
    if (status != CE_OK)
        return status;
    mask(config, values);
    config->threads = (unsigned)values[CE_SET_THREADS];
    config->cache_models = (unsigned)values[CE_SET_CACHE_MODELS];
    config->cache_bytes = values[CE_SET_CACHE_BYTES];
    config->cache_idle_seconds = (unsigned)values[CE_SET_CACHE_IDLE_SECONDS];
    config->batch_tokens = (unsigned)values[CE_SET_BATCH_TOKENS];
    config->optimization = (int)values[CE_SET_OPTIMIZATION];
    config->compile = (int)values[CE_SET_COMPILE];
    config->mixed_precision = (int)values[CE_SET_MIXED_PRECISION];
    config->precision = (int32_t)values[CE_SET_PRECISION];
    config->warmup_enabled = (int)values[CE_SET_WARMUP];
    config->warmup_iterations = (int)values[CE_SET_WARMUP_ITERATIONS];
    config->backend = (int32_t)values[CE_SET_BACKEND];
    config->isa = (int)values[CE_SET_ISA];
    config->prepared = (int)values[CE_SET_PREPARED_WEIGHTS];
    config->log = options->log;
    config->log_user = options->log_user;
    config->log_level = options->log_level;
    return CE_OK;
}

int ce_config_read(ce_config *config, const citadel_engine_options *options, ce_error *error)
{
    *config = (ce_config){0};
    citadel_engine_options known;
    int status = ce_options_read(&known, sizeof known, options, CE_ENGINE_OPTIONS_SIZE_1,
                                 "citadel_engine_options", error);
    if (status == CE_OK)
        status = read_all(config, &known, error);
    if (status != CE_OK)
        ce_config_free(config);
    return status;
}

void ce_config_free(ce_config *config)
{
    ce_config_file_free(&config->file);
    ce_free(config->model_path);
    ce_free(config->torch_backend);
    ce_free(config->prepared_path);
    *config = (ce_config){0};
}

/* ---- Of one model ------------------------------------------------------------------------- */

/* A model's line in the file comes before the file's setting for all models, and behind everything else. */
static int says_more(const ce_config *config, ce_setting setting)
{
    return config->origins[setting] <= CE_FROM_FILE;
}

int32_t ce_config_precision(const ce_config *config, const ce_config_model *model)
{
    return model && model->has_precision && config->optimization &&
                   says_more(config, CE_SET_PRECISION)
               ? model->precision
               : config->precision;
}

int ce_config_warms_up(const ce_config *config, const ce_config_model *model)
{
    return model && model->has_warmup && says_more(config, CE_SET_WARMUP) ? model->warmup
                                                                          : config->warmup_enabled;
}

size_t ce_config_batch_tokens(const ce_config *config, size_t preferred)
{
    int open = config->origins[CE_SET_BATCH_TOKENS] == CE_FROM_DEFAULT;
    return open && preferred ? preferred : config->batch_tokens;
}
