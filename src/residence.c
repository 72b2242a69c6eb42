/* Which models stay in memory, by the caller's will: pin and unload. */
#include "engine.h"
#include "model.h"
#include "options.h"

static int pin(citadel_engine *engine, const char *name, const citadel_load_options *options,
               uint32_t pinned, ce_error *error)
{
    if (!engine || !name)
        return ce_fail(error, CE_E_INVALID_ARGUMENT, "%s is NULL", engine ? "name" : "engine");
    if (pinned > 1)
        return ce_fail(error, CE_E_INVALID_ARGUMENT, "pinned is %u, expected 0 or 1", pinned);
    citadel_load_options known;
    int status = ce_load_options_read(options, &known, error);
    if (status == CE_OK)
        status = ce_engine_enter(engine, error);
    if (status != CE_OK)
        return status;
    status =
        pinned ? ce_cache_pin(engine, name, &known, error) : ce_cache_unpin(engine, name, error);
    ce_engine_leave(engine);
    return status;
}

citadel_status citadel_model_pin(citadel_engine *engine, const char *name,
                                 const citadel_load_options *options, uint32_t pinned,
                                 citadel_error *error)
{
    if (!ce_error_ready(error))
        return CITADEL_E_ABI;
    ce_error failure;
    int status = pin(engine, name, options, pinned, &failure);
    return ce_error_report(error, status, &failure);
}

static int unload(citadel_engine *engine, const char *name, citadel_unload_report *report,
                  ce_error *error)
{
    if (!engine || !name)
        return ce_fail(error, CE_E_INVALID_ARGUMENT, "%s is NULL", engine ? "name" : "engine");
    int status = CE_OK;
    if (report)
        status = ce_result_check(report, CE_UNLOAD_REPORT_SIZE_1, "citadel_unload_report", error);
    if (status == CE_OK)
        status = ce_engine_enter(engine, error);
    if (status != CE_OK)
        return status;
    citadel_unload_report known = {.size = sizeof known};
    status = ce_cache_unload(engine, name, &known, error);
    if (status == CE_OK && report)
        ce_result_write(report, &known, sizeof known);
    ce_engine_leave(engine);
    return status;
}

citadel_status citadel_unload(citadel_engine *engine, const char *name,
                              citadel_unload_report *report, citadel_error *error)
{
    if (!ce_error_ready(error))
        return CITADEL_E_ABI;
    ce_error failure;
    int status = unload(engine, name, report, &failure);
    return ce_error_report(error, status, &failure);
}
