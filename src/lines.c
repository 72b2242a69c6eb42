#include "lines.h"

#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void ce_lines_add(ce_lines *lines, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    char *grown = lines->failed ? NULL : ce_realloc(lines->text, lines->used + (size_t)length + 2);
    if (!grown) {
        lines->failed = 1;
        return;
    }
    lines->text = grown;
    char *line = grown + lines->used;
    va_start(arguments, format);
    vsnprintf(line, (size_t)length + 1, format, arguments);
    va_end(arguments);
    ce_error_tidy(line);
    lines->used += strlen(line) + 1;
    grown[lines->used - 1] = '\n';
    grown[lines->used] = '\0';
}

int ce_lines_give(ce_lines *lines, char *buffer, size_t capacity, size_t *length, ce_error *error)
{
    size_t used = lines->used;
    int status = CE_OK;
    if (lines->failed)
        status = ce_fail(error, CE_E_NO_MEMORY, "no memory for a text");
    else if (buffer && used >= capacity)
        status = ce_fail(error, CE_E_CAPACITY,
                         "the text has %zu bytes and a NUL, the buffer has room for %zu", used,
                         capacity);
    if (!lines->failed && length)
        *length = used;
    if (status == CE_OK && buffer) {
        memcpy(buffer, used ? lines->text : "", used);
        buffer[used] = '\0';
    }
    ce_free(lines->text);
    *lines = (ce_lines){0};
    return status;
}
