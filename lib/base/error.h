/* Error values shared by every leaf library.
 *
 * The numbers are those of the public citadel_status (checked in src/status.c); the leaf libraries
 * do not include the public header, so that each of them can be read, tested and fuzzed alone. */
#ifndef CE_BASE_ERROR_H
#define CE_BASE_ERROR_H

#include <stdarg.h>
#include <stdint.h>

enum {
    CE_OK = 0,
    CE_E_INVALID_ARGUMENT = 10,
    CE_E_ABI = 11,
    CE_E_CAPACITY = 12,
    CE_E_INVALID_UTF8 = 13,
    CE_E_NOT_FOUND = 20,
    CE_E_IO = 21,
    CE_E_BAD_MODEL = 22,
    CE_E_UNSUPPORTED = 23,
    CE_E_NO_MEMORY = 30,
    CE_E_FORKED = 31,
    CE_E_BUSY = 32,
    CE_E_BACKEND = 40,
    CE_E_NOT_FINITE = 41,
    CE_E_INTERNAL = 90
};

typedef struct ce_error {
    int32_t code;
    int32_t native_code;
    char message[480];
} ce_error;

/* Fill `error` (which may be NULL) and return `code`, so that a failure is one statement:
 * `return ce_fail(error, CE_E_IO, "...")`. The message is one line; control characters that came in
 * with a file name or a text are replaced, and it is cut at a UTF-8 boundary. */
int ce_fail(ce_error *error, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The same with a system error number, whose text is appended. */
int ce_fail_errno(ce_error *error, int code, int errnum, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Make a message one line of UTF-8, whatever a file name or a foreign exception text brought in. A
 * character that was cut at the end is dropped; any other malformed byte becomes a question mark. */
void ce_error_tidy(char *message);

/* Put "prefix: " in front of a message that is already there. */
void ce_error_prefix(ce_error *error, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
