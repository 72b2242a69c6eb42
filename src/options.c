#include "options.h"

#include <string.h>

/* No struct of ours will come near this: a larger size is a caller that forgot to set it. */
#define SIZE_LIMIT 4096

static int check_size(size_t size, size_t first_size, const char *name, ce_error *error)
{
    if (size < first_size || size > SIZE_LIMIT)
        return ce_fail(error, CE_E_ABI,
                       "%s.size is %zu, expected %zu to %d: initialise it with its _INIT macro",
                       name, size, first_size, SIZE_LIMIT);
    return CE_OK;
}

static size_t size_of(const void *given)
{
    size_t size;
    memcpy(&size, given, sizeof size);
    return size;
}

int ce_options_read(void *out, size_t known, const void *given, size_t first_size, const char *name,
                    ce_error *error)
{
    memset(out, 0, known);
    if (!given)
        return CE_OK;
    size_t size = size_of(given);
    int status = check_size(size, first_size, name, error);
    if (status != CE_OK)
        return status;
    const unsigned char *bytes = given;
    for (size_t i = known; i < size; i++)
        if (bytes[i])
            return ce_fail(error, CE_E_ABI,
                           "%s sets a field at byte %zu that this library (%s) does not know", name,
                           i, citadel_version());
    memcpy(out, given, size < known ? size : known);
    return CE_OK;
}

int ce_result_check(const void *given, size_t first_size, const char *name, ce_error *error)
{
    if (!given)
        return ce_fail(error, CE_E_INVALID_ARGUMENT, "%s is NULL", name);
    return check_size(size_of(given), first_size, name, error);
}

void ce_result_write(void *given, const void *result, size_t known)
{
    size_t size = size_of(given);
    memset(given, 0, size);
    memcpy(given, result, size < known ? size : known);
    memcpy(given, &size, sizeof size);
}

int ce_error_ready(citadel_error *error)
{
    if (!error)
        return 1;
    if (error->size < CE_ERROR_SIZE_1 || error->size > SIZE_LIMIT)
        return 0;
    error->code = CITADEL_OK;
    error->native_code = 0;
    error->message[0] = '\0';
    return 1;
}

citadel_status ce_error_report(citadel_error *error, int status, const ce_error *failure)
{
    if (error && status != CITADEL_OK) {
        _Static_assert(sizeof failure->message <= sizeof error->message, "a message always fits");
        error->code = status;
        error->native_code = failure->native_code;
        memcpy(error->message, failure->message, sizeof failure->message);
    }
    return status;
}

static void init(void *options, size_t size)
{
    if (!options || size < sizeof size)
        return;
    memset(options, 0, size);
    memcpy(options, &size, sizeof size);
}

void citadel_engine_options_init(citadel_engine_options *options, size_t size)
{
    init(options, size);
}

void citadel_load_options_init(citadel_load_options *options, size_t size)
{
    init(options, size);
}

void citadel_embed_options_init(citadel_embed_options *options, size_t size)
{
    init(options, size);
}

void citadel_tokenize_options_init(citadel_tokenize_options *options, size_t size)
{
    init(options, size);
}

void citadel_warmup_plan_init(citadel_warmup_plan *plan, size_t size)
{
    init(plan, size);
}

#define ASSERT_FIRST_SIZE(type, size_1) \
    _Static_assert(sizeof(type) >= size_1, #type " shrank: older callers would break")
ASSERT_FIRST_SIZE(citadel_error, CE_ERROR_SIZE_1);
ASSERT_FIRST_SIZE(citadel_engine_options, CE_ENGINE_OPTIONS_SIZE_1);
ASSERT_FIRST_SIZE(citadel_load_options, CE_LOAD_OPTIONS_SIZE_1);
ASSERT_FIRST_SIZE(citadel_embed_options, CE_EMBED_OPTIONS_SIZE_1);
ASSERT_FIRST_SIZE(citadel_tokenize_options, CE_TOKENIZE_OPTIONS_SIZE_1);
ASSERT_FIRST_SIZE(citadel_tokens, CE_TOKENS_SIZE_1);
ASSERT_FIRST_SIZE(citadel_info, CE_INFO_SIZE_1);
ASSERT_FIRST_SIZE(citadel_estimate, CE_ESTIMATE_SIZE_1);
ASSERT_FIRST_SIZE(citadel_unload_report, CE_UNLOAD_REPORT_SIZE_1);
ASSERT_FIRST_SIZE(citadel_metrics, CE_METRICS_SIZE_1);
ASSERT_FIRST_SIZE(citadel_timings, CE_TIMINGS_SIZE_1);
ASSERT_FIRST_SIZE(citadel_warmup_plan, CE_WARMUP_PLAN_SIZE_1);
ASSERT_FIRST_SIZE(citadel_warmup_report, CE_WARMUP_REPORT_SIZE_1);
_Static_assert(sizeof(citadel_histogram) == 176, "citadel_histogram is of fixed size for ever");
ASSERT_FIRST_SIZE(citadel_diagnostics, CE_DIAGNOSTICS_SIZE_1);
_Static_assert(sizeof(citadel_text_result) == 32, "citadel_text_result is of fixed size for ever");
_Static_assert(sizeof(citadel_span) == 16, "citadel_span is of fixed size for ever");
