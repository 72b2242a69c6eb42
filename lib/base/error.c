#include "base/error.h"

#include "unicode/utf8.h"

#include <stdio.h>
#include <string.h>

static int is_cut(const char *tail, size_t size)
{
    size_t i = 1;
    while (i < size && ((unsigned char)tail[i] & 0xC0) == 0x80)
        i++;
    return size < 4 && i == size && (unsigned char)tail[0] >= 0xC2;
}

void ce_error_tidy(char *message)
{
    size_t length = strlen(message);
    for (size_t i = 0; i < length;) {
        uint32_t scalar;
        size_t bytes = ce_utf8_decode(message + i, length - i, &scalar);
        if (bytes == 0 && is_cut(message + i, length - i))
            message[length = i] = '\0';
        else if (bytes == 0)
            message[i++] = '?';
        else if (scalar < 0x20 || scalar == 0x7F)
            message[i++] = ' ';
        else
            i += bytes;
    }
}

static void fill(ce_error *error, int code, int native, const char *format, va_list arguments)
{
    error->code = code;
    error->native_code = native;
    int printed = vsnprintf(error->message, sizeof error->message, format, arguments);
    if (printed < 0)
        error->message[0] = '\0';
    ce_error_tidy(error->message);
}

int ce_fail(ce_error *error, int code, const char *format, ...)
{
    if (error) {
        va_list arguments;
        va_start(arguments, format);
        fill(error, code, 0, format, arguments);
        va_end(arguments);
    }
    return code;
}

/* Join two parts with ": ". Of a head that is too long, a path mostly, the end goes first, so that the cause is told. */
static void join(ce_error *error, const char *head, const char *tail)
{
    enum { ROOM = sizeof error->message - sizeof "...: " };
    size_t first = strlen(head), second = strlen(tail);
    const char *dots = "";
    if (first + second > ROOM && first > ROOM / 2) {
        first = second < ROOM / 2 ? ROOM - second : ROOM / 2;
        dots = "...";
    }
    int printed =
        snprintf(error->message, sizeof error->message, "%.*s%s: %s", (int)first, head, dots, tail);
    if (printed < 0)
        error->message[0] = '\0';
    ce_error_tidy(error->message);
}

int ce_fail_errno(ce_error *error, int code, int errnum, const char *format, ...)
{
    if (error) {
        va_list arguments;
        va_start(arguments, format);
        fill(error, code, errnum, format, arguments);
        va_end(arguments);

        char reason[128], head[sizeof error->message];
        if (strerror_r(errnum, reason, sizeof reason) != 0)
            snprintf(reason, sizeof reason, "system error %d", errnum);
        memcpy(head, error->message, sizeof head);
        join(error, head, reason);
    }
    return code;
}

void ce_error_prefix(ce_error *error, const char *format, ...)
{
    if (!error)
        return;
    char tail[sizeof error->message], head[sizeof error->message];
    memcpy(tail, error->message, sizeof tail);
    va_list arguments;
    va_start(arguments, format);
    fill(error, error->code, error->native_code, format, arguments);
    va_end(arguments);
    memcpy(head, error->message, sizeof head);
    join(error, head, tail);
}
