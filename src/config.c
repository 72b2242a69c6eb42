/* secure_getenv: a set-uid host must not be steered by its caller's environment. */
#define _GNU_SOURCE
#include "config.h"

#include "base/mem.h"
#include "options.h"
#include "workers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
    THREADS_MAX = 1024,
    CACHE_MODELS_DEFAULT = 4,
    CACHE_MODELS_MAX = 1000,
    CACHE_IDLE_SECONDS_MAX = 31536000, /* a year */
    BATCH_TOKENS_DEFAULT = 1024,
    BATCH_TOKENS_MIN = 16,
    BATCH_TOKENS_MAX = 1048576,
    WARMUP_ITERATIONS_DEFAULT = 10,
    WARMUP_ITERATIONS_MAX = 1000
};

/* Above any machine's, and far from where sums wrap. */
#define CACHE_BYTES_MAX (UINT64_C(1) << 60)

static const char *environment(const citadel_engine_options *options, const char *name)
{
    if (options->flags & CITADEL_ENGINE_NO_ENVIRONMENT)
        return NULL;
    const char *value = secure_getenv(name);
    return value && *value ? value : NULL;
}

static int out_of_range(const char *name, const char *value, unsigned min, unsigned max,
                        ce_error *error)
{
    return ce_fail(error, CE_E_INVALID_ARGUMENT,
                   "%s is '%s', expected a whole number from %u to %u", name, value, min, max);
}

static int parse_number(const char *name, const char *text, unsigned min, unsigned max,
                        unsigned *out, ce_error *error)
{
    unsigned long value = 0;
    size_t length = strlen(text);
    if (length == 0 || length > 9)
        return out_of_range(name, text, min, max, error);
    for (size_t i = 0; i < length; i++) {
        if (text[i] < '0' || text[i] > '9')
            return out_of_range(name, text, min, max, error);
        value = value * 10 + (unsigned long)(text[i] - '0');
    }
    if (value < min || value > max)
        return out_of_range(name, text, min, max, error);
    *out = (unsigned)value;
    return CE_OK;
}

/* An option of 0 stands for the environment variable (if there is one), and that for the default. */
static int choose_number(const citadel_engine_options *options, const char *option_name,
                         unsigned option, const char *variable, unsigned min, unsigned max,
                         unsigned *out, ce_error *error)
{
    if (option) {
        char text[16];
        snprintf(text, sizeof text, "%u", option);
        return parse_number(option_name, text, min, max, out, error);
    }
    const char *value = variable ? environment(options, variable) : NULL;
    return value ? parse_number(variable, value, min, max, out, error) : CE_OK;
}

static int parse_switch(const char *name, const char *text, int *out, ce_error *error)
{
    static const char *const words[] = {"false", "true", "0", "1", "off", "on", "no", "yes"};
    for (int i = 0; i < (int)(sizeof words / sizeof words[0]); i++) {
        if (strcasecmp(text, words[i]) == 0) {
            *out = i % 2;
            return CE_OK;
        }
    }
    return ce_fail(error, CE_E_INVALID_ARGUMENT,
                   "%s is '%s', expected true, false, 1, 0, on, off, yes or no", name, text);
}

static int choose_switch(const citadel_engine_options *options, const char *option_name,
                         int32_t option, const char *variable, int *out, ce_error *error)
{
    if (option < CITADEL_SWITCH_OFF || option > CITADEL_SWITCH_ON)
        return ce_fail(error, CE_E_INVALID_ARGUMENT,
                       "engine options: %s is %d, expected a CITADEL_SWITCH_* (%d to %d)",
                       option_name, (int)option, CITADEL_SWITCH_OFF, CITADEL_SWITCH_ON);
    const char *value = environment(options, variable);
    if (option == CITADEL_SWITCH_DEFAULT)
        return value ? parse_switch(variable, value, out, error) : CE_OK;
    *out = option == CITADEL_SWITCH_ON;
    return CE_OK;
}

/* Without optimization nothing is compiled and no precision mixed, whatever their own switches say. */
static int read_switches(ce_config *config, const citadel_engine_options *options, ce_error *error)
{
    config->optimization = config->compile = 1;
    int status = choose_switch(options, "optimization", options->optimization,
                               "INFERENCE_OPTIMIZATION", &config->optimization, error);
    if (status == CE_OK)
        status = choose_switch(options, "compile", options->compile, "TORCH_COMPILE_ENABLED",
                               &config->compile, error);
    if (status == CE_OK)
        status = choose_switch(options, "mixed_precision", options->mixed_precision,
                               "MIXED_PRECISION_ENABLED", &config->mixed_precision, error);
    config->compile &= config->optimization;
    config->mixed_precision &= config->optimization;
    return status;
}

static int read_warmup(ce_config *config, const citadel_engine_options *options, ce_error *error)
{
    config->warmup_iterations = WARMUP_ITERATIONS_DEFAULT;
    int status = choose_switch(options, "warmup", CITADEL_SWITCH_DEFAULT, "MODEL_WARMUP_ENABLED",
                               &config->warmup_enabled, error);
    if (status == CE_OK)
        status = choose_number(options, "warmup_iterations", 0, "WARMUP_ITERATIONS", 1,
                               WARMUP_ITERATIONS_MAX, &config->warmup_iterations, error);
    return status;
}

static int unit_bits(const char *suffix)
{
    static const char *const units[][2] = {{"", ""}, {"K", "KiB"}, {"M", "MiB"}, {"G", "GiB"}};
    for (int i = 0; i < (int)(sizeof units / sizeof units[0]); i++)
        if (strcmp(suffix, units[i][0]) == 0 || strcmp(suffix, units[i][1]) == 0)
            return 10 * i;
    return -1;
}

static int parse_bytes(const char *name, const char *text, uint64_t *out, ce_error *error)
{
    uint64_t value = 0;
    size_t digits = strspn(text, "0123456789");
    int bits = unit_bits(text + digits);
    int valid = digits > 0 && digits <= 19 && bits >= 0;
    for (size_t i = 0; valid && i < digits; i++)
        value = value * 10 + (uint64_t)(text[i] - '0');
    if (!valid || value > CACHE_BYTES_MAX >> bits)
        return ce_fail(error, CE_E_INVALID_ARGUMENT,
                       "%s is '%s', expected a whole number of bytes up to 2^60; K, M, G, KiB, MiB "
                       "or GiB may follow",
                       name, text);
    *out = value << bits;
    return CE_OK;
}

static int choose_cache_bytes(const citadel_engine_options *options, uint64_t *out, ce_error *error)
{
    const char *variable = "CITADEL_CACHE_BYTES";
    const char *value = environment(options, variable);
    if (options->cache_bytes) {
        char text[24];
        snprintf(text, sizeof text, "%llu", (unsigned long long)options->cache_bytes);
        return parse_bytes("cache_bytes", text, out, error);
    }
    return value ? parse_bytes(variable, value, out, error) : CE_OK;
}

static int set_string(char **out, const char *value, ce_error *error)
{
    *out = ce_strndup(value, strlen(value));
    return *out ? CE_OK : ce_fail(error, CE_E_NO_MEMORY, "no memory for the configuration");
}

/* $XDG_DATA_HOME/citadel/models:<directory set when built>; a relative XDG path is to be ignored. */
static int default_model_path(const citadel_engine_options *options, char **out, ce_error *error)
{
    const char *data = environment(options, "XDG_DATA_HOME");
    const char *middle = "/citadel/models";
    if (data && data[0] != '/')
        data = NULL;
    if (!data) {
        data = environment(options, "HOME");
        middle = "/.local/share/citadel/models";
    }
    if (!data || data[0] != '/')
        return set_string(out, CE_DEFAULT_MODEL_PATH, error);
    size_t size = strlen(data) + strlen(middle) + sizeof CE_DEFAULT_MODEL_PATH + 1;
    *out = ce_malloc(size);
    if (!*out)
        return ce_fail(error, CE_E_NO_MEMORY, "no memory for the configuration");
    snprintf(*out, size, "%s%s:%s", data, middle, CE_DEFAULT_MODEL_PATH);
    return CE_OK;
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
    if (options->reserved0)
        return ce_fail(error, CE_E_INVALID_ARGUMENT, "engine options: reserved0 must be 0");
    return CE_OK;
}

static int read_all(ce_config *config, const citadel_engine_options *options, ce_error *error)
{
    config->threads = ce_workers_available_cpus();
    config->cache_models = CACHE_MODELS_DEFAULT;
    config->batch_tokens = BATCH_TOKENS_DEFAULT;
    config->log = options->log;
    config->log_user = options->log_user;
    config->log_level = options->log_level;

    int status = check(options, error);
    if (status == CE_OK)
        status = choose_number(options, "threads", options->threads, "CITADEL_THREADS", 1,
                               THREADS_MAX, &config->threads, error);
    if (status == CE_OK)
        status = choose_number(options, "cache_models", options->cache_models, "MODEL_CACHE_SIZE",
                               1, CACHE_MODELS_MAX, &config->cache_models, error);
    if (status == CE_OK)
        status = choose_cache_bytes(options, &config->cache_bytes, error);
    if (status == CE_OK)
        status = choose_number(options, "cache_idle_seconds", options->cache_idle_seconds,
                               "CITADEL_CACHE_IDLE_SECONDS", 0, CACHE_IDLE_SECONDS_MAX,
                               &config->cache_idle_seconds, error);
    if (status == CE_OK)
        status = choose_number(options, "batch_tokens", options->batch_tokens, NULL,
                               BATCH_TOKENS_MIN, BATCH_TOKENS_MAX, &config->batch_tokens, error);
    if (status == CE_OK)
        status = read_switches(config, options, error);
    if (status == CE_OK)
        status = read_warmup(config, options, error);
    if (status != CE_OK)
        return status;

    const char *path =
        options->model_path ? options->model_path : environment(options, "CITADEL_MODEL_PATH");
    status = path ? set_string(&config->model_path, path, error)
                  : default_model_path(options, &config->model_path, error);
    if (status != CE_OK)
        return status;

    const char *backend = options->torch_backend ? options->torch_backend
                                                 : environment(options, "CITADEL_TORCH_BACKEND");
    return backend ? set_string(&config->torch_backend, backend, error) : CE_OK;
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
    ce_free(config->model_path);
    ce_free(config->torch_backend);
    *config = (ce_config){0};
}
