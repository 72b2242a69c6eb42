/* What an engine runs with: options, else environment, else configuration file, else defaults. */
#ifndef CE_CONFIG_H
#define CE_CONFIG_H

#include "base/error.h"
#include "citadel_embed.h"
#include "config_file.h"

typedef enum ce_origin {
    CE_FROM_DEFAULT,
    CE_FROM_FILE,
    CE_FROM_VARIABLE,
    CE_FROM_OPTION
} ce_origin;

typedef struct ce_config {
    unsigned threads;
    unsigned cache_models;
    uint64_t cache_bytes;        /* no budget: 0 */
    unsigned cache_idle_seconds; /* never: 0 */
    unsigned batch_tokens;
    /* All but the first only where the first is on. */
    int optimization, compile, mixed_precision;
    int32_t precision; /* of models whose load does not name one: CITADEL_PRECISION_* */
    int warmup_enabled, warmup_iterations;
    char *model_path;
    char *torch_backend; /* NULL: beside the library */
    int32_t backend;     /* CITADEL_BACKEND_* */
    int isa;             /* ce_isa: the highest that native kernels may use */
    int prepared; /* weights are kept prepared, where there is a path; only with optimization */
    char *prepared_path; /* NULL: none */
    citadel_log_fn *log;
    void *log_user;
    int32_t log_level;
    ce_config_file file;
    ce_origin file_origin;
    ce_origin origins[CE_SETTINGS];
    int masked[CE_SETTINGS]; /* off because optimization is, whatever was set */
} ce_config;

int ce_config_read(ce_config *config, const citadel_engine_options *options, ce_error *error);
void ce_config_free(ce_config *config);

/* What a load asks for that names no precision itself; `model` may be NULL. */
int32_t ce_config_precision(const ce_config *config, const ce_config_model *model);

/* Whether a model is to be warmed up when it is loaded; `model` may be NULL. */
int ce_config_warms_up(const ce_config *config, const ce_config_model *model);

/* Tokens of a batch, at most: what has been set, else what a backend prefers, if it does (0: it does not). */
size_t ce_config_batch_tokens(const ce_config *config, size_t preferred);

#endif
