/* Threads of the engine's own, of which its host notices nothing. */
#ifndef CE_THREAD_H
#define CE_THREAD_H

#include <pthread.h>

/* Start a thread that blocks asynchronous signals. 0, or an error number. */
int ce_thread_start(pthread_t *thread, void *(*run)(void *), void *argument);

#endif
