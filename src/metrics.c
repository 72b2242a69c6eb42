#include "metrics.h"

#include "engine.h"
#include "memory.h"
#include "model.h"
#include "options.h"

#define SECONDS 1e-9

static ce_outcome outcome_of(int status)
{
    switch (status) {
    case CITADEL_OK:
        return CE_OUTCOME_OK;
    case CITADEL_E_INVALID_ARGUMENT:
    case CITADEL_E_ABI:
    case CITADEL_E_CAPACITY:
    case CITADEL_E_NOT_FOUND:
    case CITADEL_E_UNSUPPORTED:
        return CE_OUTCOME_INVALID;
    case CITADEL_E_INVALID_UTF8:
        return CE_OUTCOME_TEXT;
    case CITADEL_E_NOT_FINITE:
        return CE_OUTCOME_NOT_FINITE;
    case CITADEL_E_IO:
    case CITADEL_E_BAD_MODEL:
        return CE_OUTCOME_MODEL;
    case CITADEL_E_NO_MEMORY:
        return CE_OUTCOME_MEMORY;
    case CITADEL_E_BUSY:
        return CE_OUTCOME_BUSY;
    case CITADEL_E_BACKEND:
        return CE_OUTCOME_BACKEND;
    default:
        return CE_OUTCOME_INTERNAL;
    }
}

void ce_metrics_record_batch(ce_metrics *metrics, size_t texts, size_t tokens)
{
    ce_histogram_add(&metrics->batch_texts, CE_HISTOGRAM_FIRST_NUMBER, texts);
    ce_histogram_add(&metrics->batch_tokens, CE_HISTOGRAM_FIRST_NUMBER, tokens);
}

void ce_metrics_record(ce_metrics *metrics, const ce_work *work)
{
    ce_metrics_add(&metrics->texts, work->texts);
    ce_metrics_add(&metrics->tokens, work->tokens);
    ce_histogram_add(&metrics->tokenize, CE_HISTOGRAM_FIRST_NS, work->tokenize);
    ce_histogram_add(&metrics->queue, CE_HISTOGRAM_FIRST_NS, work->queue);
    ce_histogram_add(&metrics->compute, CE_HISTOGRAM_FIRST_NS, work->compute);
    ce_histogram_add(&metrics->total, CE_HISTOGRAM_FIRST_NS, work->total);
}

void ce_metrics_count_call(ce_metrics *metrics, int status)
{
    ce_metrics_add(&metrics->outcomes[outcome_of(status)], 1);
}

static uint64_t count_pinned(const ce_cache *cache)
{
    uint64_t pinned = 0;
    for (const citadel_model *m = cache->models; m; m = m->slot.next)
        pinned += m->slot.pinned != 0;
    return pinned;
}

static void take_calls(const ce_metrics *metrics, citadel_metrics *out)
{
    out->requests_ok = ce_metrics_get(&metrics->outcomes[CE_OUTCOME_OK]);
    out->failed_invalid = ce_metrics_get(&metrics->outcomes[CE_OUTCOME_INVALID]);
    out->failed_text = ce_metrics_get(&metrics->outcomes[CE_OUTCOME_TEXT]);
    out->failed_not_finite = ce_metrics_get(&metrics->outcomes[CE_OUTCOME_NOT_FINITE]);
    out->failed_model = ce_metrics_get(&metrics->outcomes[CE_OUTCOME_MODEL]);
    out->failed_memory = ce_metrics_get(&metrics->outcomes[CE_OUTCOME_MEMORY]);
    out->failed_busy = ce_metrics_get(&metrics->outcomes[CE_OUTCOME_BUSY]);
    out->failed_backend = ce_metrics_get(&metrics->outcomes[CE_OUTCOME_BACKEND]);
    out->failed_internal = ce_metrics_get(&metrics->outcomes[CE_OUTCOME_INTERNAL]);
    out->texts = ce_metrics_get(&metrics->texts);
    out->tokens = ce_metrics_get(&metrics->tokens);
    out->tokenize = ce_histogram_read(&metrics->tokenize, SECONDS);
    out->queue = ce_histogram_read(&metrics->queue, SECONDS);
    out->compute = ce_histogram_read(&metrics->compute, SECONDS);
    out->total = ce_histogram_read(&metrics->total, SECONDS);
    out->batch_texts = ce_histogram_read(&metrics->batch_texts, 1);
    out->batch_tokens = ce_histogram_read(&metrics->batch_tokens, 1);
}

void ce_metrics_take(citadel_engine *engine, citadel_metrics *out)
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
        .load_seconds = SECONDS * (double)ce_metrics_get(&metrics->load_ns),
        .warmup_seconds = SECONDS * (double)ce_metrics_get(&metrics->warmup_ns),
        .warmups = ce_metrics_get(&metrics->warmups),
    };
    pthread_mutex_unlock(&cache->lock);
    take_calls(metrics, out);
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
    ce_metrics_take(engine, &known);
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
