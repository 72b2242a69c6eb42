#include "fuzz.h"

#include "unicode/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void fuzz_broken(const char *condition, const char *file, int line)
{
    fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, condition);
    abort();
}

void fuzz_check_error(int status, const ce_error *error)
{
    if (status == CE_OK)
        return;
    MUST(status == error->code);
    MUST(status == CE_E_BAD_MODEL || status == CE_E_UNSUPPORTED || status == CE_E_INVALID_UTF8 ||
         status == CE_E_INVALID_ARGUMENT);
    size_t size = strlen(error->message);
    MUST(size > 0);
    for (size_t at = 0; at < size;) {
        uint32_t scalar = 0;
        size_t bytes = ce_utf8_decode(error->message + at, size - at, &scalar);
        MUST(bytes > 0);
        MUST(scalar >= ' ' && scalar != 0x7F);
        at += bytes;
    }
}

void *fuzz_copy(const void *data, size_t size)
{
    void *copy = malloc(size ? size : 1);
    MUST(copy);
    if (size > 0)
        memcpy(copy, data, size);
    return copy;
}
