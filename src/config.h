/* What an engine runs with: options, else environment, else defaults. */
#ifndef CE_CONFIG_H
#define CE_CONFIG_H

#include "base/error.h"
#include "citadel_embed.h"

typedef struct ce_config {
    unsigned threads;
    unsigned cache_models;
    uint64_t cache_bytes;        /* no budget: 0 */
    unsigned cache_idle_seconds; /* never: 0 */
    unsigned batch_tokens;
    int optimization, compile, mixed_precision; /* the last two only where the first is on */
    int warmup_enabled;
    unsigned warmup_iterations;
    char *model_path;
    char *torch_backend; /* NULL: beside the library */
    citadel_log_fn *log;
    void *log_user;
    int32_t log_level;
} ce_config;

int ce_config_read(ce_config *config, const citadel_engine_options *options, ce_error *error);
void ce_config_free(ce_config *config);

#endif
