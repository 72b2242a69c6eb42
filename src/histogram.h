/* Observations counted by size, without a lock. */
#ifndef CE_HISTOGRAM_H
#define CE_HISTOGRAM_H

#include "citadel_embed.h"

#include <stdatomic.h>
#include <stdint.h>

typedef _Atomic uint64_t ce_counter;

typedef struct ce_histogram {
    ce_counter sum;
    ce_counter buckets[CITADEL_HISTOGRAM_BUCKETS];
} ce_histogram;

/* The largest value in bucket 0, and of those above it twice as much each: 25 microseconds in nanoseconds, or 1. */
enum { CE_HISTOGRAM_FIRST_NS = 25000, CE_HISTOGRAM_FIRST_NUMBER = 1 };

void ce_histogram_add(ce_histogram *histogram, uint64_t first, uint64_t value);

/* The sum times `unit`. */
citadel_histogram ce_histogram_read(const ce_histogram *histogram, double unit);

#endif
