#include "cmocka_all.h"

#include "base/barrier.h"

#include <pthread.h>
#include <time.h>

enum { THREADS = 6 };

typedef struct meeting {
    ce_barrier barrier;
    int rounds;
    int late;            /* whoever's turn it is comes so late that the others have gone to sleep */
    int counts[THREADS]; /* rounds that each has begun; read by the others behind the barrier */
    int failures[THREADS];
} meeting;

typedef struct member {
    meeting *meeting;
    int index;
} member;

static void *take_part(void *argument)
{
    member *self = argument;
    meeting *m = self->meeting;
    for (int round = 1; round <= m->rounds; round++) {
        if (m->late && round % THREADS == self->index)
            nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
        m->counts[self->index] = round;
        ce_barrier_wait(&m->barrier);
        for (int i = 0; i < THREADS; i++)
            m->failures[self->index] += m->counts[i] != round;
        ce_barrier_wait(&m->barrier);
    }
    return NULL;
}

static void meet(int rounds, int late)
{
    meeting m = {.rounds = rounds, .late = late};
    member members[THREADS];
    pthread_t threads[THREADS];
    ce_barrier_init(&m.barrier, THREADS);
    for (int i = 0; i < THREADS; i++) {
        members[i] = (member){.meeting = &m, .index = i};
        assert_int_equal(pthread_create(&threads[i], NULL, take_part, &members[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(m.failures[i], 0);
    }
}

static void test_nobody_passes_before_all_have_come(void **state)
{
    (void)state;
    meet(500, 0);
}

static void test_sleepers_are_woken(void **state)
{
    (void)state;
    meet(30, 1);
}

static void test_one_thread_never_waits(void **state)
{
    (void)state;
    ce_barrier barrier;
    ce_barrier_init(&barrier, 1);
    for (int i = 0; i < 10; i++)
        ce_barrier_wait(&barrier);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nobody_passes_before_all_have_come),
        cmocka_unit_test(test_sleepers_are_woken),
        cmocka_unit_test(test_one_thread_never_waits),
    };
    return cmocka_run_group_tests_name("barrier", tests, NULL, NULL);
}
