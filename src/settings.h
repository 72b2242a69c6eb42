/* What can be set from outside: one table of names, kinds and limits for options, environment and file. */
#ifndef CE_SETTINGS_H
#define CE_SETTINGS_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

typedef enum ce_setting {
    CE_SET_OPTIMIZATION,
    CE_SET_COMPILE,
    CE_SET_MIXED_PRECISION,
    CE_SET_WARMUP,
    CE_SET_WARMUP_ITERATIONS,
    CE_SET_PRECISION,
    CE_SET_BACKEND,
    CE_SET_CACHE_MODELS,
    CE_SET_CACHE_BYTES,
    CE_SET_CACHE_IDLE_SECONDS,
    CE_SET_THREADS,
    CE_SET_BATCH_TOKENS,
    CE_SET_MODEL_PATH,
    CE_SET_TORCH_BACKEND,
    CE_SET_ISA,
    CE_SET_PREPARED_WEIGHTS,
    CE_SET_PREPARED_PATH,
    CE_SETTINGS
} ce_setting;

typedef enum ce_kind {
    CE_KIND_SWITCH,
    CE_KIND_NUMBER,
    CE_KIND_BYTES,
    CE_KIND_PRECISION,
    CE_KIND_BACKEND,
    CE_KIND_ISA,
    CE_KIND_PATH /* any text */
} ce_kind;

typedef struct ce_setting_info {
    const char *key;      /* in the file, and in what is printed */
    const char *variable; /* of the environment */
    const char *option;   /* field of citadel_engine_options, or NULL */
    ce_kind kind;
    unsigned min, max; /* of a number */
} ce_setting_info;

const ce_setting_info *ce_setting_get(ce_setting setting);

/* Of a CITADEL_BACKEND_*. */
const char *ce_setting_backend_name(int32_t backend);

/* `name` is what messages call the setting. Switches become 0 or 1, words CITADEL_PRECISION_*, CITADEL_BACKEND_* and
 * ce_isa; a path is not looked at. */
int ce_setting_parse(ce_setting setting, const char *name, const char *text, uint64_t *out,
                     ce_error *error);

/* The parts of it that the models of a file need too. */
int ce_setting_parse_switch(const char *name, const char *text, uint64_t *out, ce_error *error);
int ce_setting_parse_precision(const char *name, const char *text, uint64_t *out, ce_error *error);

#endif
