#include "base/error.h"

#include <stdio.h>
#include <string.h>

/* One line, whatever a file name or a foreign exception text brought in, and never half a
 * character at the end: `cut` says that the text filled its buffer and lost a tail. */
static void tidy(char *message, int cut)
{
    size_t length = strlen(message);
    if (cut) {
        size_t start = length;
        while (start > 0 && ((unsigned char)message[start - 1] & 0xC0) == 0x80)
            start--;
        unsigned char lead = start > 0 ? (unsigned char)message[start - 1] : 0;
        size_t need = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC0 ? 2 : 1;
        if (start > 0 && start - 1 + need > length)
            length = start - 1;
        message[length] = '\0';
    }
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)message[i];
        if (c < 0x20 || c == 0x7F)
            message[i] = ' ';
    }
}

static void fill(ce_error *error, int code, int native, const char *format, va_list arguments)
{
    error->code = code;
    error->native_code = native;
    int printed = vsnprintf(error->message, sizeof error->message, format, arguments);
    if (printed < 0)
        error->message[0] = '\0';
    tidy(error->message, printed >= (int)sizeof error->message);
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

/* Join two parts with ": ", the second one being cut if both do not fit. */
static void join(ce_error *error, const char *head, const char *tail)
{
    int printed = snprintf(error->message, sizeof error->message, "%s: %s", head, tail);
    tidy(error->message, printed >= (int)sizeof error->message);
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
