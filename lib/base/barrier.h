/* Where the threads of a team wait for each other: some microseconds at a time, a hundred times in a batch. */
#ifndef CE_BASE_BARRIER_H
#define CE_BASE_BARRIER_H

#include <stdatomic.h>

typedef struct ce_barrier {
    unsigned threads;
    _Alignas(64) atomic_uint arrived; /* in this round */
    _Alignas(64) atomic_uint round;   /* a line of its own: everyone looks at it while waiting */
    atomic_uint asleep;
} ce_barrier;

/* For a loop that waits: the other thread of the core goes on, and leaving it costs less. */
static inline void ce_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Nothing to destroy: when all threads have left, its memory may be used again. */
void ce_barrier_init(ce_barrier *barrier, int threads);

/* Return when `threads` threads have come here. What each wrote before, all of them see afterwards. */
void ce_barrier_wait(ce_barrier *barrier);

#endif
