/* syscall */
#define _GNU_SOURCE
#include "barrier.h"

#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Who waits keeps its CPU while the others are likely to come soon, offers it, and in the end gives it up: where threads
 * are more than CPUs, a thread that spins may be keeping off the one it waits for. Spinning lasts longer than it takes to
 * wake a thread, so that one that came late does not make the others sleep, and late in their turn. */
enum { SPIN_NS = 100000, YIELDS = 20 };

static int passed(ce_barrier *barrier, unsigned round)
{
    return atomic_load_explicit(&barrier->round, memory_order_acquire) != round;
}

static void futex(atomic_uint *word, int operation, unsigned value)
{
    syscall(SYS_futex, word, operation | FUTEX_PRIVATE_FLAG, value, NULL, NULL, 0);
}

/* Either the last thread sees that somebody sleeps, or the sleeper's system call sees that the round is over. */
static void sleep_until_passed(ce_barrier *barrier, unsigned round)
{
    atomic_fetch_add(&barrier->asleep, 1);
    while (!passed(barrier, round))
        futex(&barrier->round, FUTEX_WAIT, round);
    atomic_fetch_sub(&barrier->asleep, 1);
}

static void open_barrier(ce_barrier *barrier)
{
    atomic_store_explicit(&barrier->arrived, 0, memory_order_relaxed);
    atomic_fetch_add(&barrier->round, 1);
    if (atomic_load(&barrier->asleep) > 0)
        futex(&barrier->round, FUTEX_WAKE, INT_MAX);
}

void ce_barrier_init(ce_barrier *barrier, int threads)
{
    barrier->threads = (unsigned)threads;
    atomic_init(&barrier->arrived, 0);
    atomic_init(&barrier->round, 0);
    atomic_init(&barrier->asleep, 0);
}

void ce_barrier_wait(ce_barrier *barrier)
{
    unsigned round = atomic_load_explicit(&barrier->round, memory_order_relaxed);
    if (atomic_fetch_add_explicit(&barrier->arrived, 1, memory_order_acq_rel) + 1 ==
        barrier->threads) {
        open_barrier(barrier);
        return;
    }
    if (ce_spin(&barrier->round, round, SPIN_NS))
        return;
    for (int i = 0; i < YIELDS; i++) {
        if (passed(barrier, round))
            return;
        sched_yield();
    }
    sleep_until_passed(barrier, round);
}

/* ---- Spinning ------------------------------------------------------------------------------ */

enum { LOOKS = 64 }; /* between looks at the clock */

static int64_t now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

/* The other thread of the core goes on, and leaving the loop costs less. */
static void rest(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

int ce_spin(const atomic_uint *word, unsigned value, int64_t ns)
{
    int64_t begin = 0;
    do {
        for (int i = 0; i < LOOKS; i++) {
            if (atomic_load_explicit(word, memory_order_acquire) != value)
                return 1;
            rest();
        }
        begin = begin ? begin : now_ns();
    } while (now_ns() - begin < ns);
    return 0;
}
