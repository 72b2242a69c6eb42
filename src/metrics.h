/* What an engine counts while it works. */
#ifndef CE_METRICS_H
#define CE_METRICS_H

#include <stdatomic.h>
#include <stdint.h>

typedef _Atomic uint64_t ce_counter;

/* None ever falls. Those of the cache change under its lock, so that a snapshot finds them in step. */
typedef struct ce_metrics {
    ce_counter hits, misses, joins;
    ce_counter evictions_count, evictions_bytes, evictions_idle;
    ce_counter loads, load_failures;
    ce_counter fallbacks, nan_recoveries;
} ce_metrics;

static inline void ce_metrics_add(ce_counter *counter, uint64_t number)
{
    atomic_fetch_add_explicit(counter, number, memory_order_relaxed);
}

static inline uint64_t ce_metrics_get(const ce_counter *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

#endif
