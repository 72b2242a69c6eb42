/* feenableexcept */
#define _GNU_SOURCE
#include "cmocka_all.h"

#include "workers.h"

#include "base/barrier.h"

#include <fenv.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#if defined(__x86_64__)
#include <pmmintrin.h>
#endif

typedef struct counted_job {
    ce_job job;
    int threads;
    int ran;
    int signals_blocked;
    pthread_t thread;
} counted_job;

static atomic_int in_use, most_in_use;

static void count(ce_job *base, ce_team *team)
{
    int threads = team->threads;
    counted_job *job = (counted_job *)base;
    int now = atomic_fetch_add(&in_use, threads) + threads;
    int most = atomic_load(&most_in_use);
    while (now > most && !atomic_compare_exchange_weak(&most_in_use, &most, now))
        ;
    nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL);
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    job->signals_blocked = sigismember(&mask, SIGINT) && !sigismember(&mask, SIGSEGV);
    job->thread = pthread_self();
    job->threads = threads;
    job->ran++;
    atomic_fetch_sub(&in_use, threads);
}

static void run(ce_workers *workers, counted_job *jobs, size_t number)
{
    for (size_t i = 0; i < number; i++)
        jobs[i] = (counted_job){.job = {.run = count}};
    ce_workers_run(workers, &jobs->job, number, sizeof *jobs, 0);
    for (size_t i = 0; i < number; i++) {
        assert_int_equal(jobs[i].ran, 1);
        assert_true(jobs[i].signals_blocked);
    }
}

static void test_every_job_runs_once(void **state)
{
    (void)state;
    counted_job jobs[50];
    for (unsigned threads = 1; threads <= 5; threads++) {
        ce_workers *workers;
        assert_int_equal(ce_workers_create(threads, &workers, NULL), CE_OK);
        assert_int_equal(ce_workers_count(workers), threads);
        for (size_t number = 0; number <= 50; number += 5)
            run(workers, jobs, number);
        ce_workers_destroy(workers);
    }
}

static void test_lone_job_gets_all_threads(void **state)
{
    (void)state;
    ce_workers *workers;
    counted_job job;
    assert_int_equal(ce_workers_create(3, &workers, NULL), CE_OK);
    for (int i = 0; i < 20; i++) {
        run(workers, &job, 1);
        assert_int_equal(job.threads, 3);
    }
    ce_workers_destroy(workers);
}

static void test_no_job_gets_all_threads_while_one_is_lent(void **state)
{
    (void)state;
    ce_workers *workers;
    counted_job job;
    assert_int_equal(ce_workers_create(3, &workers, NULL), CE_OK);
    ce_workers_lend(workers);
    run(workers, &job, 1);
    assert_int_equal(job.threads, 1);
    ce_workers_take_back(workers);
    run(workers, &job, 1);
    assert_int_equal(job.threads, 3);
    ce_workers_destroy(workers);
}

typedef struct team_job {
    ce_job job;
    ce_barrier barrier;
    int written[8];
    int sums[8]; /* of all that was written, as each thread sees it */
    pthread_t threads[8];
} team_job;

static void meet(void *argument, int index)
{
    team_job *job = argument;
    int count = (int)job->barrier.threads;
    job->threads[index] = pthread_self();
    for (int round = 1; round <= 3; round++) {
        job->written[index] = round * (index + 1);
        ce_barrier_wait(&job->barrier);
        job->sums[index] = 0;
        for (int i = 0; i < count; i++)
            job->sums[index] += job->written[i];
        ce_barrier_wait(&job->barrier);
    }
}

static void run_twice(ce_job *base, ce_team *team)
{
    team_job *job = (team_job *)base;
    ce_barrier_init(&job->barrier, team->threads);
    team->run(team, meet, job);
    memset(job->sums, 0, sizeof job->sums);
    team->run(team, meet, job);
}

static void run_team_job(ce_workers *workers, int expected, int caller_computes)
{
    team_job job = {.job = {.run = run_twice}};
    ce_workers_run(workers, &job.job, 1, sizeof job, caller_computes);
    assert_int_equal(pthread_equal(job.threads[0], pthread_self()) != 0, caller_computes);
    assert_int_equal(job.barrier.threads, expected);
    for (int i = 0; i < expected; i++) {
        assert_int_equal(job.sums[i], 3 * expected * (expected + 1) / 2);
        for (int j = 0; j < i; j++)
            assert_false(pthread_equal(job.threads[i], job.threads[j]));
    }
}

static void test_threads_of_a_team_meet(void **state)
{
    (void)state;
    for (unsigned threads = 1; threads <= 8; threads++) {
        ce_workers *workers;
        counted_job jobs[5];
        assert_int_equal(ce_workers_create(threads, &workers, NULL), CE_OK);
        for (int i = 0; i < 20; i++) {
            run_team_job(workers, (int)threads, i % 2);
            run(workers, jobs, (size_t)i % 5 + 1);
        }
        ce_workers_lend(workers);
        run_team_job(workers, 1, 0);
        run_team_job(workers, 1, 1);
        ce_workers_take_back(workers);
        ce_workers_destroy(workers);
    }
}

static void *team_caller(void *workers)
{
    for (int i = 0; i < 100; i++) {
        team_job job = {.job = {.run = run_twice}};
        ce_workers_run(workers, &job.job, 1, sizeof job, i % 2);
        int count = (int)job.barrier.threads;
        assert_true(count == 1 || count == 3);
        assert_int_equal(job.sums[count - 1], 3 * count * (count + 1) / 2);
    }
    return NULL;
}

typedef struct meeting_job {
    ce_job job;
    ce_barrier *barrier;
    pthread_t thread;
} meeting_job;

static void meet_jobs(ce_job *base, ce_team *team)
{
    meeting_job *job = (meeting_job *)base;
    (void)team;
    job->thread = pthread_self();
    ce_barrier_wait(job->barrier);
}

typedef struct modes_job {
    ce_job job;
    int rounding, flushes;
    double quotient;
} modes_job;

/* Rounding downwards, tiny numbers flushed to zero, a trap on division by zero, a flag that is up. */
static void set_odd_modes(void)
{
    fesetround(FE_DOWNWARD);
    feenableexcept(FE_DIVBYZERO);
    feraiseexcept(FE_UNDERFLOW);
#if defined(__x86_64__)
    _mm_setcsr(_mm_getcsr() | _MM_FLUSH_ZERO_ON | _MM_DENORMALS_ZERO_ON);
#endif
}

static unsigned modes(void)
{
#if defined(__x86_64__)
    return _mm_getcsr();
#else
    return (unsigned)fegetround() << 16 | (unsigned)fegetexcept() << 8 |
           (unsigned)fetestexcept(FE_ALL_EXCEPT);
#endif
}

static void *computing_caller(void *workers)
{
    counted_job jobs[7];
    for (size_t i = 0; i < 100; i++) {
        for (size_t j = 0; j < 7; j++)
            jobs[j] = (counted_job){.job = {.run = count}};
        ce_workers_run(workers, &jobs->job, i % 7 + 1, sizeof *jobs, 1);
        for (size_t j = 0; j <= i % 7; j++)
            assert_int_equal(jobs[j].ran, 1);
    }
    return NULL;
}

static void *caller(void *workers)
{
    counted_job jobs[7];
    for (size_t i = 0; i < 100; i++)
        run(workers, jobs, i % 7 + 1);
    return NULL;
}

static void test_budget_holds_with_many_callers(void **state)
{
    (void)state;
    enum { CALLERS = 8, THREADS = 3 };
    ce_workers *workers;
    pthread_t callers[CALLERS];
    assert_int_equal(ce_workers_create(THREADS, &workers, NULL), CE_OK);
    atomic_store(&most_in_use, 0);
    void *(*const kinds[])(void *) = {caller, team_caller, computing_caller};
    for (int i = 0; i < CALLERS; i++)
        assert_int_equal(pthread_create(&callers[i], NULL, kinds[i % 3], workers), 0);
    for (int i = 0; i < CALLERS; i++)
        pthread_join(callers[i], NULL);
    ce_workers_destroy(workers);
    assert_int_equal(atomic_load(&most_in_use), THREADS);
}

/* It takes a job, and the others get theirs: all must meet. */
static void test_caller_computes_beside_the_workers(void **state)
{
    (void)state;
    enum { THREADS = 3 };
    ce_workers *workers;
    meeting_job jobs[THREADS];
    ce_barrier barrier;
    int callers = 0;
    assert_int_equal(ce_workers_create(THREADS, &workers, NULL), CE_OK);
    ce_barrier_init(&barrier, THREADS);
    for (int i = 0; i < THREADS; i++)
        jobs[i] = (meeting_job){.job = {.run = meet_jobs}, .barrier = &barrier};
    ce_workers_run(workers, &jobs->job, THREADS, sizeof *jobs, 1);
    for (int i = 0; i < THREADS; i++)
        callers += pthread_equal(jobs[i].thread, pthread_self()) != 0;
    assert_int_equal(callers, 1);
    ce_workers_destroy(workers);
}

static void note_modes(ce_job *base, ce_team *team)
{
    modes_job *job = (modes_job *)base;
    (void)team;
    job->rounding = fegetround();
    volatile double tiny = 1e-308;
    job->flushes = tiny / 1024 == 0;
    volatile double zero = 0;
    job->quotient = 1 / zero; /* a host that traps would not get past this */
}

static void test_callers_floating_point_modes_do_not_matter(void **state)
{
    (void)state;
    ce_workers *workers;
    modes_job job = {.job = {.run = note_modes}};
    assert_int_equal(ce_workers_create(2, &workers, NULL), CE_OK);
    set_odd_modes();
    unsigned before = modes();
    ce_workers_run(workers, &job.job, 1, sizeof job, 1);
    unsigned after = modes();
    fesetenv(FE_DFL_ENV);
    assert_int_equal(before, after);
    assert_int_equal(job.rounding, FE_TONEAREST);
    assert_false(job.flushes);
    assert_true(isinf(job.quotient));
    ce_workers_destroy(workers);
}

static void test_available_cpus(void **state)
{
    (void)state;
    assert_in_range(ce_workers_available_cpus(), 1, 1024);
    ce_workers_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_job_runs_once),
        cmocka_unit_test(test_lone_job_gets_all_threads),
        cmocka_unit_test(test_no_job_gets_all_threads_while_one_is_lent),
        cmocka_unit_test(test_threads_of_a_team_meet),
        cmocka_unit_test(test_budget_holds_with_many_callers),
        cmocka_unit_test(test_caller_computes_beside_the_workers),
        cmocka_unit_test(test_callers_floating_point_modes_do_not_matter),
        cmocka_unit_test(test_available_cpus),
    };
    return cmocka_run_group_tests_name("workers", tests, NULL, NULL);
}
