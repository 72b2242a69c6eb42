/* The boundary: the caller's versioned structs in, the caller's error out. */
#ifndef CE_OPTIONS_H
#define CE_OPTIONS_H

#include "base/error.h"
#include "citadel_embed.h"

/* Copy a caller's option struct over zeros. `first_size` is the size that the struct had when it was first
 * released, `known` its size now. NULL gives zeros, that is, defaults. */
int ce_options_read(void *out, size_t known, const void *given, size_t first_size, const char *name,
                    ce_error *error);

/* Whether a caller's result struct can be written, and the write: as much as both sides know, zeros beyond. */
int ce_result_check(const void *given, size_t first_size, const char *name, ce_error *error);
void ce_result_write(void *given, const void *result, size_t known);

/* Start every public call with this: clears the caller's error, and is false when it cannot be written. */
int ce_error_ready(citadel_error *error);

/* End every public call with this: hands `failure` over unless `status` is CITADEL_OK. */
citadel_status ce_error_report(citadel_error *error, int status, const ce_error *failure);

/* Sizes at the first release. Frozen: a smaller struct never existed. */
#if defined(__LP64__)
enum {
    CE_ERROR_SIZE_1 = 512,
    CE_ENGINE_OPTIONS_SIZE_1 = 104,
    CE_LOAD_OPTIONS_SIZE_1 = 24,
    CE_EMBED_OPTIONS_SIZE_1 = 64,
    CE_TOKENIZE_OPTIONS_SIZE_1 = 48,
    CE_TOKENS_SIZE_1 = 56,
    CE_INFO_SIZE_1 = 200,
    CE_ESTIMATE_SIZE_1 = 64,
    CE_UNLOAD_REPORT_SIZE_1 = 56,
    CE_METRICS_SIZE_1 = 1304,
    CE_TIMINGS_SIZE_1 = 64,
    CE_WARMUP_PLAN_SIZE_1 = 64,
    CE_WARMUP_REPORT_SIZE_1 = 64,
    CE_DIAGNOSTICS_SIZE_1 = 816
};
#else
#error "struct sizes are pinned for LP64 systems only"
#endif

#endif
