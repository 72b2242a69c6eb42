#include "settings.h"

#include "citadel_embed.h"
#include "kernels/isa.h"
#include "precision.h"

#include <string.h>
#include <strings.h>

/* Bytes above any machine's, and far from where sums wrap. */
#define BYTES_MAX (UINT64_C(1) << 60)

enum { YEAR = 31536000 };

/* clang-format off */
static const ce_setting_info settings[] = {
    [CE_SET_OPTIMIZATION] = {"inference_optimization", "INFERENCE_OPTIMIZATION", "optimization", CE_KIND_SWITCH, 0, 1},
    [CE_SET_COMPILE] = {"torch_compile_enabled", "TORCH_COMPILE_ENABLED", "compile", CE_KIND_SWITCH, 0, 1},
    [CE_SET_MIXED_PRECISION] = {"mixed_precision_enabled", "MIXED_PRECISION_ENABLED", "mixed_precision", CE_KIND_SWITCH, 0, 1},
    [CE_SET_WARMUP] = {"model_warmup_enabled", "MODEL_WARMUP_ENABLED", "warmup", CE_KIND_SWITCH, 0, 1},
    [CE_SET_WARMUP_ITERATIONS] = {"warmup_iterations", "WARMUP_ITERATIONS", "warmup_iterations", CE_KIND_NUMBER, 1, 1000},
    [CE_SET_PRECISION] = {"precision", "CITADEL_PRECISION", "precision", CE_KIND_PRECISION, 0, 0},
    [CE_SET_BACKEND] = {"backend", "CITADEL_BACKEND", "backend", CE_KIND_BACKEND, 0, 0},
    [CE_SET_CACHE_MODELS] = {"model_cache_size", "MODEL_CACHE_SIZE", "cache_models", CE_KIND_NUMBER, 1, 1000},
    [CE_SET_CACHE_BYTES] = {"cache_bytes", "CITADEL_CACHE_BYTES", "cache_bytes", CE_KIND_BYTES, 0, 0},
    [CE_SET_CACHE_IDLE_SECONDS] = {"cache_idle_seconds", "CITADEL_CACHE_IDLE_SECONDS", "cache_idle_seconds", CE_KIND_NUMBER, 0, YEAR},
    [CE_SET_THREADS] = {"threads", "CITADEL_THREADS", "threads", CE_KIND_NUMBER, 1, 1024},
    [CE_SET_BATCH_TOKENS] = {"batch_tokens", "CITADEL_BATCH_TOKENS", "batch_tokens", CE_KIND_NUMBER, 16, 1048576},
    [CE_SET_MODEL_PATH] = {"model_path", "CITADEL_MODEL_PATH", "model_path", CE_KIND_PATH, 0, 0},
    [CE_SET_TORCH_BACKEND] = {"torch_backend", "CITADEL_TORCH_BACKEND", "torch_backend", CE_KIND_PATH, 0, 0},
    [CE_SET_ISA] = {"isa", "CITADEL_ISA", "isa", CE_KIND_ISA, 0, 0},
    [CE_SET_PREPARED_WEIGHTS] = {"prepared_weights", "CITADEL_PREPARED_WEIGHTS", "prepared_weights", CE_KIND_SWITCH, 0, 1},
    [CE_SET_PREPARED_PATH] = {"prepared_path", "CITADEL_PREPARED_PATH", "prepared_path", CE_KIND_PATH, 0, 0},
};
/* clang-format on */

const ce_setting_info *ce_setting_get(ce_setting setting)
{
    return &settings[setting];
}

const char *ce_setting_backend_name(int32_t backend)
{
    static const char *const names[] = {"auto", "native", "torch"};
    return names[backend];
}

int ce_setting_parse_switch(const char *name, const char *text, uint64_t *out, ce_error *error)
{
    static const char *const words[] = {"false", "true", "0", "1", "off", "on", "no", "yes"};
    for (int i = 0; i < (int)(sizeof words / sizeof words[0]); i++) {
        if (strcasecmp(text, words[i]) == 0) {
            *out = (uint64_t)i % 2;
            return CE_OK;
        }
    }
    return ce_fail(error, CE_E_INVALID_ARGUMENT,
                   "%s is '%s', expected true, false, 1, 0, on, off, yes or no", name, text);
}

int ce_setting_parse_precision(const char *name, const char *text, uint64_t *out, ce_error *error)
{
    int32_t precision =
        strcmp(text, "auto") == 0 ? CITADEL_PRECISION_AUTO : ce_precision_parse(text);
    if (precision < 0)
        return ce_fail(error, CE_E_INVALID_ARGUMENT,
                       "%s is '%s', expected auto, fp32, bf16, fp16, int8 or int8-accurate", name,
                       text);
    *out = (uint64_t)precision;
    return CE_OK;
}

static int parse_backend(const char *name, const char *text, uint64_t *out, ce_error *error)
{
    for (int32_t i = CITADEL_BACKEND_AUTO; i <= CITADEL_BACKEND_TORCH; i++) {
        if (strcmp(text, ce_setting_backend_name(i)) == 0) {
            *out = (uint64_t)i;
            return CE_OK;
        }
    }
    return ce_fail(error, CE_E_INVALID_ARGUMENT, "%s is '%s', expected auto, native or torch", name,
                   text);
}

static int parse_isa(const char *name, const char *text, uint64_t *out, ce_error *error)
{
    ce_isa best = ce_isa_best();
    *out = best;
    if (strcmp(text, "auto") == 0)
        return CE_OK;
    for (ce_isa isa = CE_ISA_GENERIC; isa <= CE_ISA_AVX512_BF16; isa++) {
        if (strcmp(text, ce_isa_name(isa)) != 0)
            continue;
        if (isa > best)
            return ce_fail(error, CE_E_UNSUPPORTED,
                           "%s is '%s', which this processor does not have; its best is %s", name,
                           text, ce_isa_name(best));
        *out = isa;
        return CE_OK;
    }
    return ce_fail(error, CE_E_INVALID_ARGUMENT,
                   "%s is '%s', expected auto, generic, avx2, avx512, avx512_vnni or avx512_bf16",
                   name, text);
}

static int parse_number(const ce_setting_info *setting, const char *name, const char *text,
                        uint64_t *out, ce_error *error)
{
    uint64_t value = 0;
    size_t length = strlen(text);
    int valid = length > 0 && length <= 9 && strspn(text, "0123456789") == length;
    for (size_t i = 0; valid && i < length; i++)
        value = value * 10 + (uint64_t)(text[i] - '0');
    if (!valid || value < setting->min || value > setting->max)
        return ce_fail(error, CE_E_INVALID_ARGUMENT,
                       "%s is '%s', expected a whole number from %u to %u", name, text,
                       setting->min, setting->max);
    *out = value;
    return CE_OK;
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
    if (!valid || value > BYTES_MAX >> bits)
        return ce_fail(error, CE_E_INVALID_ARGUMENT,
                       "%s is '%s', expected a whole number of bytes up to 2^60; K, M, G, KiB, MiB "
                       "or GiB may follow",
                       name, text);
    *out = value << bits;
    return CE_OK;
}

int ce_setting_parse(ce_setting setting, const char *name, const char *text, uint64_t *out,
                     ce_error *error)
{
    const ce_setting_info *info = &settings[setting];
    *out = 0;
    switch (info->kind) {
    case CE_KIND_SWITCH:
        return ce_setting_parse_switch(name, text, out, error);
    case CE_KIND_NUMBER:
        return parse_number(info, name, text, out, error);
    case CE_KIND_BYTES:
        return parse_bytes(name, text, out, error);
    case CE_KIND_PRECISION:
        return ce_setting_parse_precision(name, text, out, error);
    case CE_KIND_BACKEND:
        return parse_backend(name, text, out, error);
    case CE_KIND_ISA:
        return parse_isa(name, text, out, error);
    case CE_KIND_PATH:
        return CE_OK;
    }
    return CE_OK;
}
