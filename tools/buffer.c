#include "buffer.h"

#include "report.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *no_memory(void)
{
    report_error("out of memory");
    exit(EXIT_FAILURE);
}

void *must_resize(void *pointer, size_t count, size_t size)
{
    if (count == 0)
        count = 1;
    void *resized = count > SIZE_MAX / size ? NULL : realloc(pointer, count * size);
    return resized ? resized : no_memory();
}

char *buffer_reserve(buffer *b, size_t more)
{
    if (more > SIZE_MAX / 2 - b->used)
        return no_memory();
    if (b->used + more > b->capacity) {
        size_t capacity = b->capacity ? b->capacity : 256;
        while (capacity < b->used + more)
            capacity *= 2;
        b->data = must_resize(b->data, capacity, 1);
        b->capacity = capacity;
    }
    return b->data + b->used;
}

void buffer_append(buffer *b, const char *bytes, size_t length)
{
    char *end = buffer_reserve(b, length + 1);
    if (length > 0)
        memcpy(end, bytes, length);
    b->used += length;
}

void buffer_format(buffer *b, const char *format, ...)
{
    size_t room = 128;
    for (;;) {
        char *end = buffer_reserve(b, room);
        va_list arguments;
        va_start(arguments, format);
        size_t length = (size_t)vsnprintf(end, room, format, arguments);
        va_end(arguments);
        if (length < room) {
            b->used += length;
            return;
        }
        room = length + 1;
    }
}

/* Bytes of the UTF-8 character that `text` begins with, or 0 if it begins with none. */
static size_t character_length(const unsigned char *text, size_t length)
{
    unsigned char lead = text[0];
    size_t need = lead < 0x80   ? 1
                  : lead < 0xC2 ? 0
                  : lead < 0xE0 ? 2
                  : lead < 0xF0 ? 3
                  : lead < 0xF5 ? 4
                                : 0;
    if (need == 0 || need > length)
        return 0;
    for (size_t i = 1; i < need; i++)
        if ((text[i] & 0xC0) != 0x80)
            return 0;
    int bad = (lead == 0xE0 && text[1] < 0xA0) || /* longer than it need be */
              (lead == 0xED && text[1] > 0x9F) || /* half of a UTF-16 pair */
              (lead == 0xF0 && text[1] < 0x90) || (lead == 0xF4 && text[1] > 0x8F);
    return bad ? 0 : need;
}

void buffer_json_string(buffer *b, const char *text, size_t length)
{
    buffer_append(b, "\"", 1);
    for (size_t i = 0; i < length;) {
        size_t bytes = character_length((const unsigned char *)text + i, length - i);
        unsigned char c = (unsigned char)text[i];
        if (bytes == 0)
            buffer_append(b, "\xEF\xBF\xBD", 3);
        else if (c == '"' || c == '\\')
            buffer_format(b, "\\%c", c);
        else if (c == '\n')
            buffer_append(b, "\\n", 2);
        else if (c == '\t')
            buffer_append(b, "\\t", 2);
        else if (c < 0x20 || c == 0x7F)
            buffer_format(b, "\\u%04x", c);
        else
            buffer_append(b, text + i, bytes);
        i += bytes ? bytes : 1;
    }
    buffer_append(b, "\"", 1);
}

void buffer_free(buffer *b)
{
    free(b->data);
    *b = (buffer){0};
}
