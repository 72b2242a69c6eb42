#include "call.h"

#include "base/mem.h"

#include <stdint.h>

/* Work space of the tokenizer that the next call is given; what a huge text needed is not worth keeping. */
enum { SCRATCH_KEPT = 1 << 20 };

int ce_array_reserve(ce_array *array, size_t count, size_t size, ce_error *error)
{
    if (size && count > SIZE_MAX / 2 / size)
        return ce_fail(error, CE_E_NO_MEMORY, "no memory for %zu elements of %zu bytes", count,
                       size);
    size_t need = count * size;
    if (need <= array->bytes)
        return CE_OK;
    size_t bytes = need > 2 * array->bytes ? need : 2 * array->bytes;
    void *data = ce_realloc(array->data, bytes);
    if (!data)
        return ce_fail(error, CE_E_NO_MEMORY, "no memory for %zu bytes of work space", bytes);
    array->data = data;
    array->bytes = bytes;
    return CE_OK;
}

void ce_call_pool_init(ce_call_pool *pool, size_t capacity)
{
    pthread_mutex_init(&pool->lock, NULL);
    pool->free = NULL;
    pool->count = 0;
    pool->capacity = capacity;
}

static void call_free(ce_call *call)
{
    ce_array *arrays[] = {&call->ids,     &call->texts,     &call->lengths,   &call->order,
                          &call->ranges,  &call->batch_ids, &call->positions, &call->cu_seqlens,
                          &call->vectors, &call->jobs};
    for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++)
        ce_free(arrays[i]->data);
    ce_tokenizer_scratch_destroy(call->tokenizer);
    ce_free(call);
}

void ce_call_pool_destroy(ce_call_pool *pool)
{
    while (pool->free) {
        ce_call *call = pool->free;
        pool->free = call->next;
        call_free(call);
    }
    pthread_mutex_destroy(&pool->lock);
}

static int create(ce_call **out, ce_error *error)
{
    ce_call *call = ce_calloc(1, sizeof *call);
    if (!call)
        return ce_fail(error, CE_E_NO_MEMORY, "no memory for a call");
    int status = ce_tokenizer_scratch_create(&call->tokenizer, error);
    if (status != CE_OK) {
        ce_free(call);
        return status;
    }
    *out = call;
    return CE_OK;
}

int ce_call_take(ce_call_pool *pool, ce_call **out, ce_error *error)
{
    pthread_mutex_lock(&pool->lock);
    ce_call *call = pool->free;
    if (call) {
        pool->free = call->next;
        pool->count--;
    }
    pthread_mutex_unlock(&pool->lock);
    *out = call;
    return call ? CE_OK : create(out, error);
}

void ce_call_give(ce_call_pool *pool, ce_call *call)
{
    int small = ce_tokenizer_scratch_bytes(call->tokenizer) <= SCRATCH_KEPT;
    pthread_mutex_lock(&pool->lock);
    int keep = small && pool->count < pool->capacity;
    if (keep) {
        call->next = pool->free;
        pool->free = call;
        pool->count++;
    }
    pthread_mutex_unlock(&pool->lock);
    if (!keep)
        call_free(call);
}
