/* A pull parser for JSON (RFC 8259) in memory.
 *
 * Reading follows the structure of the file, with no tree in between:
 *
 *     ce_json_open(&json, data, size, &error);
 *     ce_json_object(&json);
 *     while (ce_json_member(&json, &key)) {
 *         if (ce_json_is(key, "dim"))
 *             dim = ce_json_integer(&json, 1, 65536);
 *         else
 *             ce_json_skip(&json);
 *     }
 *     status = ce_json_close(&json);
 *
 * The first failure sticks: loops end, values read after it are empty, and ce_json_close returns it with the
 * line and column of its place. A key that occurs twice is seen twice. Strings may hold NUL (\u0000). */
#ifndef CE_JSON_JSON_H
#define CE_JSON_JSON_H

#include "base/error.h"

#include <stddef.h>
#include <stdint.h>

enum { CE_JSON_DEPTH = 64 };

typedef enum ce_json_kind {
    CE_JSON_NONE, /* end of the text, or something that is no value */
    CE_JSON_OBJECT,
    CE_JSON_ARRAY,
    CE_JSON_STRING,
    CE_JSON_NUMBER,
    CE_JSON_BOOLEAN,
    CE_JSON_NULL
} ce_json_kind;

/* Decoded text, not NUL-terminated; valid until the next call with the same parser. */
typedef struct ce_json_text {
    const char *data;
    size_t size;
} ce_json_text;

typedef struct ce_json {
    const char *start, *at, *end;
    uint64_t begun; /* bit per level: its first element has been read */
    int depth;
    int status;
    ce_error *error;
    char *decoded; /* of the last string that had escapes */
    size_t capacity;
} ce_json;

void ce_json_open(ce_json *json, const char *data, size_t size, ce_error *error);

/* CE_OK if the whole text was read and well-formed. Frees what the parser holds. */
int ce_json_close(ce_json *json);

/* What comes next, without reading it. */
ce_json_kind ce_json_peek(ce_json *json);

void ce_json_object(ce_json *json);
int ce_json_member(ce_json *json, ce_json_text *key); /* 0: the object has ended */

void ce_json_array(ce_json *json);
int ce_json_element(ce_json *json); /* 0: the array has ended */

ce_json_text ce_json_string(ce_json *json);
int64_t ce_json_integer(ce_json *json, int64_t min, int64_t max);

/* As the reference for tokenizer.json reads it, which is not always the nearest double: all digits as one integer, then
 * one multiplication or division. */
double ce_json_number(ce_json *json);
int ce_json_boolean(ce_json *json);
void ce_json_null(ce_json *json);
void ce_json_skip(ce_json *json);

int ce_json_is(ce_json_text text, const char *name);

/* Put a copy of the text in the place of `*out`, which ce_free frees. A NUL inside is a failure; `no_memory` is the
 * reason to stop for where there is none for it. Does nothing after a failure. */
void ce_json_copy(ce_json *json, ce_json_text text, const char *no_memory, char **out);

/* Stop for a reason that is not in the text. */
void ce_json_stop(ce_json *json, int status, const char *reason);

/* Fail at the place just read, with a reason of the caller's. */
void ce_json_fail(ce_json *json, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
