#include "json/json.h"

#include "base/mem.h"
#include "unicode/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void ce_json_open(ce_json *json, const char *data, size_t size, ce_error *error)
{
    *json = (ce_json){.start = data, .at = data, .end = data + size, .error = error};
}

void ce_json_fail(ce_json *json, const char *format, ...)
{
    if (json->status != CE_OK)
        return;
    size_t line = 1, column = 1;
    for (const char *c = json->start; c < json->at; c++) {
        column++;
        if (*c == '\n') {
            line++;
            column = 1;
        }
    }
    char reason[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reason, sizeof reason, format, arguments);
    va_end(arguments);
    json->status =
        ce_fail(json->error, CE_E_BAD_MODEL, "line %zu, column %zu: %s", line, column, reason);
}

void ce_json_stop(ce_json *json, int status, const char *reason)
{
    if (json->status == CE_OK)
        json->status = ce_fail(json->error, status, "%s", reason);
}

static void skip_space(ce_json *json)
{
    while (json->at < json->end &&
           (*json->at == ' ' || *json->at == '\n' || *json->at == '\t' || *json->at == '\r'))
        json->at++;
}

int ce_json_close(ce_json *json)
{
    if (json->status == CE_OK) {
        skip_space(json);
        if (json->at < json->end)
            ce_json_fail(json, "more text after the end of the value");
    }
    ce_free(json->decoded);
    json->decoded = NULL;
    return json->status;
}

ce_json_kind ce_json_peek(ce_json *json)
{
    if (json->status != CE_OK)
        return CE_JSON_NONE;
    skip_space(json);
    if (json->at == json->end)
        return CE_JSON_NONE;
    switch (*json->at) {
    case '{':
        return CE_JSON_OBJECT;
    case '[':
        return CE_JSON_ARRAY;
    case '"':
        return CE_JSON_STRING;
    case 't':
    case 'f':
        return CE_JSON_BOOLEAN;
    case 'n':
        return CE_JSON_NULL;
    default:
        return *json->at == '-' || (*json->at >= '0' && *json->at <= '9') ? CE_JSON_NUMBER
                                                                          : CE_JSON_NONE;
    }
}

static int expect(ce_json *json, ce_json_kind kind)
{
    static const char *const names[] = {"a value",  "an object",     "an array", "a string",
                                        "a number", "true or false", "null"};
    ce_json_kind found = ce_json_peek(json);
    if (json->status != CE_OK)
        return 0;
    if (found == kind)
        return 1;
    if (found != CE_JSON_NONE)
        ce_json_fail(json, "expected %s, found %s", names[kind], names[found]);
    else if (json->at == json->end)
        ce_json_fail(json, "expected %s, but the text ends", names[kind]);
    else
        ce_json_fail(json, "expected %s", names[kind]);
    return 0;
}

/* ---- Objects and arrays ------------------------------------------------------------------- */

static void enter(ce_json *json, ce_json_kind kind)
{
    if (!expect(json, kind))
        return;
    if (json->depth == CE_JSON_DEPTH) {
        ce_json_fail(json, "nested deeper than %d levels", CE_JSON_DEPTH);
        return;
    }
    json->at++;
    json->begun &= ~(UINT64_C(1) << json->depth);
    json->depth++;
}

/* Step to the next element: 0 when the closing bracket was read. */
static int next(ce_json *json, char closing)
{
    if (json->status != CE_OK)
        return 0;
    uint64_t level = UINT64_C(1) << (json->depth - 1);
    skip_space(json);
    if (json->at < json->end && *json->at == closing) {
        json->at++;
        json->depth--;
        return 0;
    }
    if (json->begun & level) {
        if (json->at == json->end || *json->at != ',') {
            ce_json_fail(json, "expected ',' or '%c'", closing);
            return 0;
        }
        json->at++;
    }
    json->begun |= level;
    return 1;
}

void ce_json_object(ce_json *json)
{
    enter(json, CE_JSON_OBJECT);
}

int ce_json_member(ce_json *json, ce_json_text *key)
{
    *key = (ce_json_text){"", 0};
    if (!next(json, '}'))
        return 0;
    *key = ce_json_string(json);
    if (json->status != CE_OK)
        return 0;
    skip_space(json);
    if (json->at == json->end || *json->at != ':') {
        ce_json_fail(json, "expected ':' after a key");
        return 0;
    }
    json->at++;
    return 1;
}

void ce_json_array(ce_json *json)
{
    enter(json, CE_JSON_ARRAY);
}

int ce_json_element(ce_json *json)
{
    return next(json, ']');
}

/* ---- Strings ------------------------------------------------------------------------------ */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* The four digits of a \u escape; -1 if they are not there. */
static long read_unit(ce_json *json)
{
    if (json->end - json->at < 4)
        return -1;
    long unit = 0;
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(json->at[i]);
        if (digit < 0)
            return -1;
        unit = unit * 16 + digit;
    }
    json->at += 4;
    return unit;
}

/* Behind "\u": one scalar, from one escape or a pair. -1 when it is none. */
static long read_scalar(ce_json *json)
{
    long high = read_unit(json);
    if (high < 0xD800 || high > 0xDFFF)
        return high;
    if (high > 0xDBFF || json->end - json->at < 6 || json->at[0] != '\\' || json->at[1] != 'u')
        return -1;
    json->at += 2;
    long low = read_unit(json);
    if (low < 0xDC00 || low > 0xDFFF)
        return -1;
    return 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
}

/* One escape, the backslash read already, to `out`; the bytes written, 0 after a failure. */
static size_t read_escape(ce_json *json, char *out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const char *known = json->at < json->end && *json->at ? strchr(from, *json->at) : NULL;
    if (known) {
        json->at++;
        *out = to[known - from];
        return 1;
    }
    if (json->at < json->end && *json->at == 'u') {
        json->at++;
        long scalar = read_scalar(json);
        if (scalar >= 0)
            return ce_utf8_encode((uint32_t)scalar, out);
    }
    ce_json_fail(json, "bad escape in a string");
    return 0;
}

/* Read to the closing quote. Without `out` escapes are only noted; the return value says whether there were any. */
static int scan_string(ce_json *json, char *out, size_t *size)
{
    int escaped = 0;
    size_t written = 0;
    while (json->at < json->end && *json->at != '"') {
        char decoded[4];
        size_t bytes;
        const char *from = json->at;
        if (*from == '\\') {
            escaped = 1;
            json->at++;
            bytes = read_escape(json, decoded);
            from = decoded;
        } else if ((unsigned char)*from < 0x20) {
            ce_json_fail(json, "control character 0x%02x in a string", (unsigned)*from);
            bytes = 0;
        } else {
            uint32_t scalar;
            bytes = ce_utf8_decode(json->at, (size_t)(json->end - json->at), &scalar);
            if (bytes == 0)
                ce_json_fail(json, "invalid UTF-8 in a string");
            json->at += bytes;
        }
        if (bytes == 0)
            return 0;
        if (out)
            memcpy(out + written, from, bytes);
        written += bytes;
    }
    if (json->at == json->end)
        ce_json_fail(json, "string without an end");
    else
        json->at++;
    *size = written;
    return escaped;
}

ce_json_text ce_json_string(ce_json *json)
{
    static const ce_json_text empty = {"", 0};
    if (!expect(json, CE_JSON_STRING))
        return empty;
    const char *start = ++json->at;
    size_t size;
    int escaped = scan_string(json, NULL, &size);
    if (json->status != CE_OK)
        return empty;
    if (!escaped)
        return (ce_json_text){start, size};
    if (size > json->capacity) {
        char *grown = ce_realloc(json->decoded, 2 * size);
        if (!grown) {
            ce_json_stop(json, CE_E_NO_MEMORY, "no memory for a string");
            return empty;
        }
        json->decoded = grown;
        json->capacity = 2 * size;
    }
    json->at = start;
    scan_string(json, json->decoded, &size);
    return (ce_json_text){json->decoded, size};
}

int ce_json_is(ce_json_text text, const char *name)
{
    return text.size == strlen(name) && memcmp(text.data, name, text.size) == 0;
}

/* ---- Numbers and words -------------------------------------------------------------------- */

static size_t digits(ce_json *json)
{
    const char *start = json->at;
    while (json->at < json->end && *json->at >= '0' && *json->at <= '9')
        json->at++;
    return (size_t)(json->at - start);
}

/* Read a number by the grammar; 1 if it is written as an integer. */
static int scan_number(ce_json *json)
{
    int integer = 1;
    json->at += *json->at == '-';
    const char *first = json->at;
    size_t whole = digits(json);
    int good = whole == 1 || (whole > 1 && *first != '0');
    if (good && json->at < json->end && *json->at == '.') {
        json->at++;
        integer = 0;
        good = digits(json) > 0;
    }
    if (good && json->at < json->end && (*json->at == 'e' || *json->at == 'E')) {
        json->at++;
        integer = 0;
        if (json->at < json->end && (*json->at == '+' || *json->at == '-'))
            json->at++;
        good = digits(json) > 0;
    }
    if (!good)
        ce_json_fail(json, "malformed number");
    return integer;
}

int64_t ce_json_integer(ce_json *json, int64_t min, int64_t max)
{
    if (!expect(json, CE_JSON_NUMBER))
        return min;
    const char *start = json->at;
    int integer = scan_number(json);
    if (json->status != CE_OK)
        return min;
    int negative = *start == '-';
    uint64_t value = 0;
    int fits = integer && json->at - start <= 18;
    for (const char *c = start + negative; fits && c < json->at; c++)
        value = value * 10 + (uint64_t)(*c - '0');
    int64_t result = negative ? -(int64_t)value : (int64_t)value;
    if (!fits || result < min || result > max) {
        ce_json_fail(json, "%.*s is not a whole number from %lld to %lld", (int)(json->at - start),
                     start, (long long)min, (long long)max);
        return min;
    }
    return result;
}

/* 10 to the power of `exponent`, which is not negative and at most 308. */
static double power_of_ten(int exponent)
{
    static const double exact[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                   1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                   1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    if ((size_t)exponent < sizeof exact / sizeof exact[0])
        return exact[exponent];
    char text[8];
    snprintf(text, sizeof text, "1e%d", exponent);
    return strtod(text, NULL);
}

static double scale(double value, long exponent)
{
    enum { MOST = 308 };
    for (; exponent < -MOST && value != 0; exponent += MOST)
        value /= power_of_ten(MOST);
    if (value == 0)
        return 0;
    return exponent < 0 ? value / power_of_ten((int)-exponent)
                        : value * power_of_ten((int)exponent);
}

double ce_json_number(ce_json *json)
{
    if (!expect(json, CE_JSON_NUMBER))
        return 0;
    const char *start = json->at;
    scan_number(json);
    if (json->status != CE_OK)
        return 0;
    uint64_t digits = 0;
    long exponent = 0;
    int full = 0, fraction = 0;
    const char *c = start + (*start == '-');
    for (; c < json->at && *c != 'e' && *c != 'E'; c++) {
        if (*c == '.') {
            fraction = 1;
            continue;
        }
        uint64_t digit = (uint64_t)(*c - '0');
        full |= digits > (UINT64_MAX - digit) / 10;
        if (!full)
            digits = digits * 10 + digit;
        exponent += full && !fraction; /* more digits are left out */
        exponent -= !full && fraction;
    }
    if (c < json->at) {
        int negative = c[1] == '-';
        long given = 0;
        for (c += 1 + (c[1] == '-' || c[1] == '+'); c < json->at; c++)
            given = given < 100000 ? given * 10 + (*c - '0') : given;
        exponent += negative ? -given : given;
    }
    if (exponent > 308 && digits != 0) {
        ce_json_fail(json, "%.*s is too large", (int)(json->at - start), start);
        return 0;
    }
    double value = scale((double)digits, digits ? exponent : 0);
    return *start == '-' ? -value : value;
}

static int word(ce_json *json, const char *text)
{
    size_t size = strlen(text);
    if ((size_t)(json->end - json->at) < size || memcmp(json->at, text, size) != 0)
        return 0;
    json->at += size;
    return 1;
}

int ce_json_boolean(ce_json *json)
{
    if (!expect(json, CE_JSON_BOOLEAN))
        return 0;
    int value = word(json, "true");
    if (!value && !word(json, "false"))
        ce_json_fail(json, "expected true or false");
    return value;
}

void ce_json_null(ce_json *json)
{
    if (expect(json, CE_JSON_NULL) && !word(json, "null"))
        ce_json_fail(json, "expected null");
}

/* Without recursion: containers are stepped through level by level. */
void ce_json_skip(ce_json *json)
{
    char closing[CE_JSON_DEPTH];
    int levels = 0;
    size_t size;
    ce_json_text key;
    do {
        switch (ce_json_peek(json)) {
        case CE_JSON_OBJECT:
        case CE_JSON_ARRAY: {
            int object = *json->at == '{';
            enter(json, object ? CE_JSON_OBJECT : CE_JSON_ARRAY);
            if (json->status == CE_OK)
                closing[levels++] = object ? '}' : ']';
            break;
        }
        case CE_JSON_STRING:
            json->at++;
            scan_string(json, NULL, &size);
            break;
        case CE_JSON_NUMBER:
            scan_number(json);
            break;
        case CE_JSON_BOOLEAN:
            ce_json_boolean(json);
            break;
        case CE_JSON_NULL:
            ce_json_null(json);
            break;
        case CE_JSON_NONE:
            ce_json_fail(json, "expected a value");
            break;
        }
        while (levels > 0 &&
               !(closing[levels - 1] == '}' ? ce_json_member(json, &key) : ce_json_element(json))) {
            if (json->status != CE_OK)
                return;
            levels--;
        }
    } while (levels > 0 && json->status == CE_OK);
}

void ce_json_copy(ce_json *json, ce_json_text text, const char *no_memory, char **out)
{
    if (json->status != CE_OK)
        return;
    if (memchr(text.data, '\0', text.size)) {
        ce_json_fail(json, "a NUL character where none is allowed");
        return;
    }
    ce_free(*out);
    *out = ce_strndup(text.data, text.size);
    if (!*out)
        ce_json_stop(json, CE_E_NO_MEMORY, no_memory);
}
