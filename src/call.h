/* The memory of one running call, kept for the next one so that steady work allocates nothing. */
#ifndef CE_CALL_H
#define CE_CALL_H

#include "base/error.h"
#include "batcher.h"
#include "tokenizer/tokenizer.h"
#include "workers.h"

#include <pthread.h>

/* An array that only grows. */
typedef struct ce_array {
    void *data;
    size_t bytes;
} ce_array;

int ce_array_reserve(ce_array *array, size_t count, size_t size, ce_error *error);

typedef struct ce_call {
    struct ce_call *next;
    ce_tokenizer_scratch *tokenizer;
    ce_array ids, texts;                       /* of the texts gathered so far */
    ce_array lengths, order, ranges;           /* for the batcher */
    ce_array batch_ids, positions, cu_seqlens; /* for the backend */
    ce_array vectors, jobs;
} ce_call;

typedef struct ce_call_pool {
    pthread_mutex_t lock;
    ce_call *free;
    size_t count, capacity;
} ce_call_pool;

void ce_call_pool_init(ce_call_pool *pool, size_t capacity);
void ce_call_pool_destroy(ce_call_pool *pool);

int ce_call_take(ce_call_pool *pool, ce_call **out, ce_error *error);
void ce_call_give(ce_call_pool *pool, ce_call *call);

#endif
