#include "histogram.h"

static unsigned bucket_of(uint64_t first, uint64_t value)
{
    uint64_t multiple = value / first + (value % first != 0);
    if (multiple <= 1)
        return 0;
    unsigned bucket = 64 - (unsigned)__builtin_clzll(multiple - 1);
    return bucket < CITADEL_HISTOGRAM_BUCKETS ? bucket : CITADEL_HISTOGRAM_BUCKETS - 1;
}

void ce_histogram_add(ce_histogram *histogram, uint64_t first, uint64_t value)
{
    atomic_fetch_add_explicit(&histogram->buckets[bucket_of(first, value)], 1,
                              memory_order_relaxed);
    atomic_fetch_add_explicit(&histogram->sum, value, memory_order_relaxed);
}

citadel_histogram ce_histogram_read(const ce_histogram *histogram, double unit)
{
    citadel_histogram out = {0};
    for (int i = 0; i < CITADEL_HISTOGRAM_BUCKETS; i++) {
        out.buckets[i] = atomic_load_explicit(&histogram->buckets[i], memory_order_relaxed);
        out.count += out.buckets[i];
    }
    out.sum = unit * (double)atomic_load_explicit(&histogram->sum, memory_order_relaxed);
    return out;
}
