#include "base/mem.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

void *ce_malloc(size_t size)
{
    return malloc(size ? size : 1);
}

void *ce_calloc(size_t count, size_t size)
{
    return calloc(count ? count : 1, size ? size : 1);
}

void *ce_realloc(void *pointer, size_t size)
{
    return realloc(pointer, size ? size : 1);
}

void ce_free(void *pointer)
{
    free(pointer);
}

void *ce_aligned_alloc(size_t alignment, size_t size)
{
    void *pointer = NULL;
    return posix_memalign(&pointer, alignment, size ? size : 1) == 0 ? pointer : NULL;
}

void *ce_reallocarray(void *pointer, size_t count, size_t size)
{
    if (size && count > SIZE_MAX / size)
        return NULL;
    return ce_realloc(pointer, count * size);
}

char *ce_strndup(const char *text, size_t length)
{
    char *copy = ce_malloc(length + 1);
    if (!copy)
        return NULL;
    memcpy(copy, text, length);
    copy[length] = '\0';
    return copy;
}
