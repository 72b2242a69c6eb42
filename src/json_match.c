#include "json_match.h"

#include <string.h>

static int contains(ce_json_text actual, ce_json_text expected, int *status);

ce_json_text ce_json_span(ce_json *json)
{
    ce_json_peek(json);
    const char *start = json->at;
    ce_json_skip(json);
    return (ce_json_text){start, json->status == CE_OK ? (size_t)(json->at - start) : 0};
}

static void close_json(ce_json *json, int *status)
{
    if (ce_json_close(json) == CE_E_NO_MEMORY)
        *status = CE_E_NO_MEMORY;
}

static ce_json_text find_member(ce_json_text object, ce_json_text wanted, int *status)
{
    ce_json json;
    ce_json_text key;
    ce_json_text found = {NULL, 0};
    ce_json_open(&json, object.data, object.size, NULL);
    ce_json_object(&json);
    while (ce_json_member(&json, &key)) {
        int is_it = key.size == wanted.size && memcmp(key.data, wanted.data, key.size) == 0;
        ce_json_text value = ce_json_span(&json);
        if (is_it)
            found = value;
    }
    close_json(&json, status);
    return found;
}

static int contains_members(ce_json_text actual, ce_json_text expected, int *status)
{
    ce_json json;
    ce_json_text key;
    int all = 1;
    ce_json_open(&json, expected.data, expected.size, NULL);
    ce_json_object(&json);
    while (ce_json_member(&json, &key)) {
        ce_json_text value = ce_json_span(&json);
        all = all && contains(find_member(actual, key, status), value, status);
    }
    close_json(&json, status);
    return all;
}

static int same_elements(ce_json_text actual, ce_json_text expected, int *status)
{
    ce_json a, b;
    int all = 1, more;
    ce_json_open(&a, actual.data, actual.size, NULL);
    ce_json_open(&b, expected.data, expected.size, NULL);
    ce_json_array(&a);
    ce_json_array(&b);
    do {
        more = ce_json_element(&a);
        all = all && more == ce_json_element(&b);
        if (all && more) {
            ce_json_text x = ce_json_span(&a), y = ce_json_span(&b);
            all = contains(x, y, status);
        }
    } while (all && more);
    ce_json_close(&a);
    ce_json_close(&b);
    return all;
}

static int same_string(ce_json_text actual, ce_json_text expected, int *status)
{
    ce_json a, b;
    ce_json_open(&a, actual.data, actual.size, NULL);
    ce_json_open(&b, expected.data, expected.size, NULL);
    ce_json_text x = ce_json_string(&a), y = ce_json_string(&b);
    int same = a.status == CE_OK && x.size == y.size && memcmp(x.data, y.data, x.size) == 0;
    close_json(&a, status);
    close_json(&b, status);
    return same;
}

ce_json_kind ce_json_span_kind(ce_json_text value)
{
    ce_json json;
    if (value.size == 0)
        return CE_JSON_NULL; /* not there */
    ce_json_open(&json, value.data, value.size, NULL);
    return ce_json_peek(&json);
}

static int contains(ce_json_text actual, ce_json_text expected, int *status)
{
    ce_json_kind kind = ce_json_span_kind(expected);
    if (kind == CE_JSON_STRING && expected.size == 3 && memcmp(expected.data, "\"*\"", 3) == 0)
        return 1;
    if (kind != ce_json_span_kind(actual))
        return 0;
    switch (kind) {
    case CE_JSON_NULL:
        return 1;
    case CE_JSON_OBJECT:
        return contains_members(actual, expected, status);
    case CE_JSON_ARRAY:
        return same_elements(actual, expected, status);
    case CE_JSON_STRING:
        return same_string(actual, expected, status);
    default:
        return actual.size == expected.size && memcmp(actual.data, expected.data, actual.size) == 0;
    }
}

int ce_json_contains(ce_json_text actual, const char *expected, int *status)
{
    return contains(actual, (ce_json_text){expected, strlen(expected)}, status);
}
