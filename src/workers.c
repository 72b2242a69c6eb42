/* sched_getaffinity, pthread_setaffinity_np */
#define _GNU_SOURCE
#include "workers.h"

#include "base/barrier.h"
#include "base/mem.h"
#include "base/rounding.h"
#include "cgroup.h"
#include "thread.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

typedef struct ce_job_group {
    size_t pending;
    pthread_cond_t done;
} ce_job_group;

typedef struct worker {
    ce_workers *workers;
    pthread_t thread;
    pthread_cond_t wake;
    int idle;
    uint64_t round; /* of the team, as last seen */
} worker;

typedef struct crew {
    ce_team team; /* first: its users know nothing else */
    ce_workers *workers;
} crew;

struct ce_workers {
    pthread_mutex_t lock;
    ce_job *first, **last; /* waiting jobs */
    unsigned count;
    unsigned free; /* threads that no job uses */
    unsigned lent; /* to threads that are not ours */
    uint64_t jobs; /* that have come so far */
    int ending;
    /* What a wide job's team runs, of which there is one at a time: it has all threads. */
    void (*body)(void *argument, int index);
    void *argument;
    uint64_t round;   /* a thread takes part once in each */
    atomic_uint news; /* counts jobs and rounds, for who looks without the lock */
    ce_barrier done;
    cpu_set_t allowed; /* CPUs that the maker of the threads could use */
    int avoided;       /* the one that is left to a caller; -1: none so far */
    worker threads[];
};

enum {
    CPUS_MAX = 1024,
    LINGER_NS = 100000 /* after a team's work: calls that follow each other need nobody woken */
};

unsigned ce_workers_available_cpus(void)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    unsigned cpus = 1;
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0)
        cpus = (unsigned)CPU_COUNT(&set);
    unsigned quota = ce_cgroup_cpus("");
    if (quota && quota < cpus)
        cpus = quota;
    return cpus < CPUS_MAX ? cpus : CPUS_MAX;
}

static ce_job *pop(ce_workers *workers)
{
    ce_job *job = workers->first;
    workers->first = job->next;
    if (!workers->first)
        workers->last = &workers->first;
    return job;
}

static void wake(worker *one)
{
    if (one->idle) {
        one->idle = 0;
        pthread_cond_signal(&one->wake);
    }
}

/* The first one is the last choice: it is the only one that may be on a caller's CPU. */
static void wake_one(ce_workers *workers)
{
    for (unsigned i = workers->count; i > 0; i--) {
        if (workers->threads[i - 1].idle) {
            wake(&workers->threads[i - 1]);
            return;
        }
    }
}

/* Wake threads for the jobs that can start now, the first `taken` of which somebody takes anyway. */
static void wake_for_waiting(ce_workers *workers, unsigned taken)
{
    unsigned i = 0;
    for (const ce_job *job = workers->first; job && i < workers->free; job = job->next, i++)
        if (i >= taken)
            wake_one(workers);
}

/* Threads for the first job, for which one is free: all of them if it is alone. */
static unsigned width(const ce_workers *workers)
{
    int alone = !workers->first->next && workers->free == workers->count && workers->lent == 0;
    return alone ? workers->count : 1;
}

/* Whether `self` is to take the first job, and with how many threads: 0 if not. Wide jobs are worker 0's: a
 * backend may keep a pool of helpers for every thread that ever ran wide, and with one such thread
 * their number stays below the budget. */
static unsigned share(ce_workers *workers, const worker *self)
{
    if (!workers->first || workers->free == 0)
        return 0;
    unsigned threads = width(workers);
    if (threads == 1 || self == &workers->threads[0])
        return threads;
    wake(&workers->threads[0]);
    return 0;
}

/* The same for a caller that may compute: its own jobs only, so that it is back when they are done. */
static unsigned share_of_caller(const ce_workers *workers, const ce_job_group *group)
{
    int mine = workers->first && workers->first->group == group;
    return mine && workers->free > 0 ? width(workers) : 0;
}

/* A kernel may wake a thread on the CPU of whoever wakes it, although another one is idle; the two would then work by turns.
 * So our threads, and no others, stay off the CPU of a caller that computes, or of a team's first thread. */
static void leave_cpu_to_caller(ce_workers *workers)
{
    int cpu = sched_getcpu();
    cpu_set_t others = workers->allowed;
    if (cpu < 0 || cpu >= CPU_SETSIZE || cpu == workers->avoided)
        return;
    CPU_CLR(cpu, &others);
    if (CPU_COUNT(&others) == 0)
        return;
    for (unsigned i = 1; i < workers->count; i++)
        pthread_setaffinity_np(workers->threads[i].thread, sizeof others, &others);
    workers->avoided = cpu;
}

/* Worker i is index i, so that index 0 can be any thread. */
static void run_team(ce_team *team, void (*body)(void *argument, int index), void *argument)
{
    ce_workers *workers = ((crew *)team)->workers;
    if (team->threads == 1) {
        body(argument, 0);
        return;
    }
    pthread_mutex_lock(&workers->lock);
    workers->body = body;
    workers->argument = argument;
    workers->round++;
    atomic_fetch_add_explicit(&workers->news, 1, memory_order_release);
    leave_cpu_to_caller(workers);
    for (unsigned i = 1; i < workers->count; i++)
        wake(&workers->threads[i]);
    pthread_mutex_unlock(&workers->lock);
    body(argument, 0);
    ce_barrier_wait(&workers->done);
}

/* Called with the lock, as `round` is: the next team waits for this thread. */
static void join_team(ce_workers *workers, worker *self)
{
    self->round = workers->round;
    void (*body)(void *, int) = workers->body;
    void *argument = workers->argument;
    pthread_mutex_unlock(&workers->lock);
    body(argument, (int)(self - workers->threads));
    ce_barrier_wait(&workers->done);
    pthread_mutex_lock(&workers->lock);
}

/* Called with the lock, and without it meanwhile. A thread that sleeps between two calls is late for the second, and worse,
 * may be woken on the CPU of the caller, which then waits for it there. */
static void linger(ce_workers *workers)
{
    unsigned seen = atomic_load_explicit(&workers->news, memory_order_relaxed);
    pthread_mutex_unlock(&workers->lock);
    ce_spin(&workers->news, seen, LINGER_NS);
    pthread_mutex_lock(&workers->lock);
}

/* Called with the lock, and without it while the job runs. */
static void run_first(ce_workers *workers, unsigned threads)
{
    ce_job *job = pop(workers);
    ce_job_group *group = job->group;
    crew crew = {.team = {.threads = (int)threads, .run = run_team}, .workers = workers};
    workers->free -= threads;
    pthread_mutex_unlock(&workers->lock);
    job->run(job, &crew.team);
    pthread_mutex_lock(&workers->lock);
    workers->free += threads;
    if (--group->pending == 0)
        pthread_cond_signal(&group->done);
}

/* Sleep until there is a job for `self`, helping the team of another's meanwhile. Returns with how many threads it is to be
 * run; 0: the threads are to end. */
static unsigned wait_for_job(ce_workers *workers, worker *self)
{
    unsigned threads;
    while ((threads = share(workers, self)) == 0 && !workers->ending) {
        if (self != &workers->threads[0] && self->round != workers->round) {
            join_team(workers, self);
            if (self->round == workers->round && !workers->first && !workers->ending)
                linger(workers);
            continue;
        }
        self->idle = 1;
        pthread_cond_wait(&self->wake, &workers->lock);
    }
    self->idle = 0;
    return threads;
}

static void *work(void *argument)
{
    worker *self = argument;
    ce_workers *workers = self->workers;
    /* A thread inherits rounding and traps from its maker, but vectors do not depend on the host's. */
    fesetenv(FE_DFL_ENV);
    pthread_mutex_lock(&workers->lock);
    for (unsigned threads; (threads = wait_for_job(workers, self)) > 0;) {
        run_first(workers, threads);
        wake_for_waiting(workers, 1);
    }
    pthread_mutex_unlock(&workers->lock);
    return NULL;
}

static int start(ce_workers *workers, worker *self)
{
    self->workers = workers;
    pthread_cond_init(&self->wake, NULL);
    int failed = ce_thread_start(&self->thread, work, self);
    if (failed)
        pthread_cond_destroy(&self->wake);
    return failed;
}

static void stop(ce_workers *workers, unsigned started)
{
    pthread_mutex_lock(&workers->lock);
    workers->ending = 1;
    for (unsigned i = 0; i < started; i++)
        pthread_cond_signal(&workers->threads[i].wake);
    pthread_mutex_unlock(&workers->lock);
    for (unsigned i = 0; i < started; i++) {
        pthread_join(workers->threads[i].thread, NULL);
        pthread_cond_destroy(&workers->threads[i].wake);
    }
    pthread_mutex_destroy(&workers->lock);
    ce_free(workers);
}

int ce_workers_create(unsigned threads, ce_workers **out, ce_error *error)
{
    *out = NULL;
    size_t size = sizeof(ce_workers) + threads * sizeof(worker);
    ce_workers *workers = ce_aligned_alloc(_Alignof(ce_workers), size);
    if (!workers)
        return ce_fail(error, CE_E_NO_MEMORY, "no memory for %u compute threads", threads);
    memset(workers, 0, size);
    pthread_mutex_init(&workers->lock, NULL);
    workers->last = &workers->first;
    workers->count = threads;
    workers->free = threads;
    ce_barrier_init(&workers->done, (int)threads);
    workers->avoided = -1;
    sched_getaffinity(0, sizeof workers->allowed, &workers->allowed); /* else none are known */
    for (unsigned i = 0; i < threads; i++) {
        int failed = start(workers, &workers->threads[i]);
        if (failed) {
            stop(workers, i);
            return ce_fail_errno(error, CE_E_NO_MEMORY, failed,
                                 "cannot start compute thread %u of %u", i + 1, threads);
        }
    }
    *out = workers;
    return CE_OK;
}

void ce_workers_destroy(ce_workers *workers)
{
    if (workers)
        stop(workers, workers->count);
}

unsigned ce_workers_count(const ce_workers *workers)
{
    return workers->count;
}

/* Neither do the vectors depend on the caller's rounding, nor does it find another afterwards. */
static void take_part(ce_workers *workers, const ce_job_group *group)
{
    fenv_t callers;
    ce_rounding_begin(&callers);
    for (unsigned threads; (threads = share_of_caller(workers, group)) > 0;) {
        wake_for_waiting(workers, 1);
        run_first(workers, threads);
    }
    ce_rounding_end(&callers);
}

void ce_workers_run(ce_workers *workers, ce_job *jobs, size_t count, size_t stride,
                    int caller_computes)
{
    if (count == 0)
        return;
    ce_job_group group = {.pending = count};
    pthread_cond_init(&group.done, NULL);

    pthread_mutex_lock(&workers->lock);
    workers->jobs += count;
    for (size_t i = 0; i < count; i++) {
        ce_job *job = (ce_job *)((char *)jobs + i * stride);
        job->group = &group;
        job->next = NULL;
        *workers->last = job;
        atomic_fetch_add_explicit(&workers->news, 1, memory_order_release);
        workers->last = &job->next;
    }
    if (caller_computes) {
        if (count > 1 && workers->free == workers->count)
            leave_cpu_to_caller(workers);
        take_part(workers, &group);
    }
    wake_for_waiting(workers, 0);
    while (group.pending > 0)
        pthread_cond_wait(&group.done, &workers->lock);
    pthread_mutex_unlock(&workers->lock);
    pthread_cond_destroy(&group.done);
}

void ce_workers_lend(ce_workers *workers)
{
    pthread_mutex_lock(&workers->lock);
    workers->lent++;
    pthread_mutex_unlock(&workers->lock);
}

void ce_workers_take_back(ce_workers *workers)
{
    pthread_mutex_lock(&workers->lock);
    workers->lent--;
    pthread_mutex_unlock(&workers->lock);
}

uint64_t ce_workers_jobs(ce_workers *workers)
{
    pthread_mutex_lock(&workers->lock);
    uint64_t jobs = workers->jobs;
    pthread_mutex_unlock(&workers->lock);
    return jobs;
}
