/* What the tests may ask of the fake backend, and how they stop it. */
#ifndef CE_TESTS_FAKE_BACKEND_H
#define CE_TESTS_FAKE_BACKEND_H

#include <pthread.h>

/* One for the process, under FAKE_PROBE in the module. Guarded by `lock`; `changed` tells of every change. */
typedef struct fake_probe {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int loads;        /* calls of model_load, also those that fail */
    int models;       /* loaded, not yet unloaded */
    int most_models;  /* the largest number so far */
    int twins;        /* loads of a model that was loaded already */
    int runs, texts;  /* batches and texts computed */
    pthread_t runner; /* the thread that computed the last one */
    int callers;      /* threads that computed them, since `round` changed */
    int round;
    int recovered;    /* texts computed once more */
    int most_tokens;  /* in a batch */
    int threads;      /* threads that are in use */
    int most_threads; /* the largest number so far */
    int closed;       /* 1: who computes the id of wait-id waits here */
    int waiting;      /* threads that do */
} fake_probe;

#define FAKE_PROBE "fake_backend_probe"

#endif
