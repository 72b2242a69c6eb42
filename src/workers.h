/* The engine's compute threads. What a backend computes runs here, so that a host's own threads keep their OpenMP and
 * torch settings, and so that all calls together use no more threads than they were given. A caller that computes
 * itself, as a backend may allow, does so in the place of one of them. */
#ifndef CE_WORKERS_H
#define CE_WORKERS_H

#include "base/error.h"
#include "base/team.h"

#include <stddef.h>
#include <stdint.h>

typedef struct ce_workers ce_workers;

/* One piece of work; lives with the caller until ce_workers_run has returned. */
typedef struct ce_job {
    void (*run)(struct ce_job *job, ce_team *team);
    struct ce_job *next;
    struct ce_job_group *group;
} ce_job;

/* CPUs that this process may use: its affinity mask, and the quota of its control group. */
unsigned ce_workers_available_cpus(void);

int ce_workers_create(unsigned threads, ce_workers **out, ce_error *error);

/* Ends the threads; no job may be waiting. NULL is allowed. */
void ce_workers_destroy(ce_workers *workers);

unsigned ce_workers_count(const ce_workers *workers);

/* Run `count` jobs, which lie `stride` bytes apart, and return when all are done. Jobs of all callers start in
 * the order they came. A job gets one thread; one that is alone gets all of them. With `caller_computes` the calling
 * thread runs jobs of its own as long as it has not to wait, which spares it two changes of threads; its floating-point
 * modes are the default ones meanwhile. */
void ce_workers_run(ce_workers *workers, ce_job *jobs, size_t count, size_t stride,
                    int caller_computes);

/* The calling thread works hard by itself, loading a model, or has ceased to: meanwhile no job gets all threads, which
 * would wait for each other on a CPU too few. */
void ce_workers_lend(ce_workers *workers);
void ce_workers_take_back(ce_workers *workers);

/* Jobs that have come so far. */
uint64_t ce_workers_jobs(ce_workers *workers);

#endif
