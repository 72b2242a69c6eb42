/* A text of lines that grows. */
#ifndef CE_LINES_H
#define CE_LINES_H

#include "base/error.h"

#include <stddef.h>

typedef struct ce_lines {
    char *text; /* every line with its line feed */
    size_t used;
    int failed; /* for want of memory */
} ce_lines;

/* One line, whatever a file name or a value brought in. */
void ce_lines_add(ce_lines *lines, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Hand the text to a caller's buffer, and free it. With `buffer` NULL only `*length` is set: bytes without the final NUL. */
int ce_lines_give(ce_lines *lines, char *buffer, size_t capacity, size_t *length, ce_error *error);

#endif
