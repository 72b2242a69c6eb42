/* The engine's log: whole lines, one at a time, to the host's function or standard error. */
#ifndef CE_LOG_H
#define CE_LOG_H

#include "citadel_embed.h"

#include <pthread.h>

typedef struct ce_log {
    citadel_log_fn *write;
    void *user;
    int32_t level;
    pthread_mutex_t lock;
} ce_log;

void ce_log_init(ce_log *log, citadel_log_fn *write, void *user, int32_t level);
void ce_log_destroy(ce_log *log);

void ce_log_write(ce_log *log, int32_t level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
