#include "metrics.h"

#include "engine.h"
#include "memory.h"
#include "model.h"
#include "options.h"

static uint64_t count_pinned(const ce_cache *cache)
{
    uint64_t pinned = 0;
    for (const citadel_model *m = cache->models; m; m = m->slot.next)
        pinned += m->slot.pinned != 0;
    return pinned;
}

static void take(citadel_engine *engine, citadel_metrics *out)
{
    const ce_metrics *metrics = &engine->metrics;
    ce_cache *cache = &engine->cache;
    pthread_mutex_lock(&cache->lock);
    *out = (citadel_metrics){
        .size = sizeof *out,
        .hits = ce_metrics_get(&metrics->hits),
        .misses = ce_metrics_get(&metrics->misses),
        .joins = ce_metrics_get(&metrics->joins),
        .evictions_count = ce_metrics_get(&metrics->evictions_count),
        .evictions_bytes = ce_metrics_get(&metrics->evictions_bytes),
        .evictions_idle = ce_metrics_get(&metrics->evictions_idle),
        .loads = ce_metrics_get(&metrics->loads),
        .load_failures = ce_metrics_get(&metrics->load_failures),
        .fallbacks = ce_metrics_get(&metrics->fallbacks),
        .nan_recoveries = ce_metrics_get(&metrics->nan_recoveries),
        .models = cache->count,
        .models_limit = cache->capacity,
        .models_pinned = count_pinned(cache),
        .bytes = cache->bytes,
        .bytes_limit = cache->budget,
    };
    pthread_mutex_unlock(&cache->lock);
    out->process_bytes = ce_memory_resident();
}

static int snapshot(citadel_engine *engine, citadel_metrics *metrics, ce_error *error)
{
    if (!engine)
        return ce_fail(error, CE_E_INVALID_ARGUMENT, "engine is NULL");
    int status = ce_result_check(metrics, CE_METRICS_SIZE_1, "citadel_metrics", error);
    if (status == CE_OK)
        status = ce_engine_enter(engine, error);
    if (status != CE_OK)
        return status;
    citadel_metrics known;
    take(engine, &known);
    ce_result_write(metrics, &known, sizeof known);
    ce_engine_leave(engine);
    return CE_OK;
}

citadel_status citadel_metrics_snapshot(const citadel_engine *engine, citadel_metrics *metrics,
                                        citadel_error *error)
{
    if (!ce_error_ready(error))
        return CITADEL_E_ABI;
    ce_error failure;
    int status = snapshot((citadel_engine *)engine, metrics, &failure);
    return ce_error_report(error, status, &failure);
}
