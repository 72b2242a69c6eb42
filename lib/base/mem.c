#include "base/mem.h"

#include <malloc.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static _Thread_local ptrdiff_t held;

size_t ce_mem_held(void)
{
    return (size_t)held;
}

static void *counted(void *pointer)
{
    held += (ptrdiff_t)malloc_usable_size(pointer);
    return pointer;
}

void *ce_malloc(size_t size)
{
    return counted(malloc(size ? size : 1));
}

void *ce_calloc(size_t count, size_t size)
{
    return counted(calloc(count ? count : 1, size ? size : 1));
}

void *ce_realloc(void *pointer, size_t size)
{
    size_t before = malloc_usable_size(pointer);
    void *grown = realloc(pointer, size ? size : 1);
    if (grown)
        held -= (ptrdiff_t)before;
    return grown ? counted(grown) : NULL;
}

void ce_free(void *pointer)
{
    held -= (ptrdiff_t)malloc_usable_size(pointer);
    free(pointer);
}

void *ce_aligned_alloc(size_t alignment, size_t size)
{
    void *pointer = NULL;
    if (posix_memalign(&pointer, alignment, size ? size : 1) != 0)
        return NULL;
    return counted(pointer);
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
