/* What an engine counts while it works. */
#ifndef CE_METRICS_H
#define CE_METRICS_H

#include "histogram.h"

/* What a call returned, as operators tell failures apart; in the order of citadel_metrics. */
typedef enum ce_outcome {
    CE_OUTCOME_OK,
    CE_OUTCOME_INVALID,
    CE_OUTCOME_TEXT,
    CE_OUTCOME_NOT_FINITE,
    CE_OUTCOME_MODEL,
    CE_OUTCOME_MEMORY,
    CE_OUTCOME_BUSY,
    CE_OUTCOME_BACKEND,
    CE_OUTCOME_INTERNAL,
    CE_OUTCOMES
} ce_outcome;

/* What a call has done, and in how many nanoseconds: as in citadel_timings. */
typedef struct ce_work {
    uint64_t texts, tokens, batches;
    uint64_t tokenize, queue, compute, output, total;
} ce_work;

/* None ever falls. Those of the cache change under its lock, so that a snapshot finds them in step. */
typedef struct ce_metrics {
    ce_counter hits, misses, joins;
    ce_counter evictions_count, evictions_bytes, evictions_idle;
    ce_counter loads, load_failures, load_ns;
    ce_counter fallbacks, nan_recoveries;
    ce_counter warmups, warmup_ns;
    ce_counter outcomes[CE_OUTCOMES];
    ce_counter texts, tokens;
    ce_histogram tokenize, queue, compute, total; /* in nanoseconds */
    ce_histogram batch_texts, batch_tokens;
} ce_metrics;

static inline void ce_metrics_add(ce_counter *counter, uint64_t number)
{
    atomic_fetch_add_explicit(counter, number, memory_order_relaxed);
}

static inline uint64_t ce_metrics_get(const ce_counter *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

/* One pass through a model. */
void ce_metrics_record_batch(ce_metrics *metrics, size_t texts, size_t tokens);

/* A call that computed vectors. */
void ce_metrics_record(ce_metrics *metrics, const ce_work *work);

/* A call that embeds ended with this status. */
void ce_metrics_count_call(ce_metrics *metrics, int status);

/* As citadel_metrics_snapshot, for a caller that is in the engine. */
void ce_metrics_take(citadel_engine *engine, citadel_metrics *out);

#endif
