/* Every allocation of the C code goes through these, so that tests can make any of them fail
 * (tests/fault links another implementation of this header). */
#ifndef CE_BASE_MEM_H
#define CE_BASE_MEM_H

#include <stddef.h>

void *ce_malloc(size_t size);
void *ce_calloc(size_t count, size_t size);
void *ce_realloc(void *pointer, size_t size);
void ce_free(void *pointer);

/* `size` bytes at an address that is a multiple of `alignment` (a power of two); free with ce_free. */
void *ce_aligned_alloc(size_t alignment, size_t size);

/* Room for `count` elements of `size` bytes, or NULL when the product does not fit. */
void *ce_reallocarray(void *pointer, size_t count, size_t size);

char *ce_strndup(const char *text, size_t length);

/* Bytes that this thread has allocated less those that it has freed, whosever they were: the difference between two
 * calls is what a piece of work on one thread has kept. */
size_t ce_mem_held(void);

#endif
