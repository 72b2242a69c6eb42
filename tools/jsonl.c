#include "jsonl.h"

#include "json/json.h"

#include <string.h>

/* The parser counts lines, but is given one at a time. */
static const char *without_line(const char *message)
{
    static const char prefix[] = "line 1, ";
    size_t length = sizeof prefix - 1;
    return strncmp(message, prefix, length) == 0 ? message + length : message;
}

/* Of a member that occurs twice the last one counts, as in Python. */
static bool read_string(ce_json *json, buffer *out, size_t start)
{
    ce_json_text value = ce_json_string(json);
    out->used = start;
    buffer_append(out, value.data, value.size);
    return true;
}

static bool read_members(ce_json *json, buffer *text, buffer *pair, bool *has_pair)
{
    size_t start = text->used, pair_start = pair ? pair->used : 0;
    bool found = false;
    ce_json_text key;
    *has_pair = false;
    ce_json_object(json);
    while (ce_json_member(json, &key)) {
        if (ce_json_is(key, "text"))
            found = read_string(json, text, start);
        else if (pair && ce_json_is(key, "pair"))
            *has_pair = read_string(json, pair, pair_start);
        else
            ce_json_skip(json);
    }
    return found;
}

bool jsonl_text(const char *line, size_t length, buffer *text, buffer *pair, bool *has_pair,
                buffer *reason)
{
    size_t start = text->used, pair_start = pair ? pair->used : 0;
    ce_error error;
    ce_json json;
    ce_json_open(&json, line, length, &error);
    bool found = read_members(&json, text, pair, has_pair);
    bool valid = ce_json_close(&json) == CE_OK;
    if (valid && found)
        return true;
    text->used = start;
    if (pair)
        pair->used = pair_start;
    buffer_format(reason, "%s",
                  valid ? "the object has no member \"text\"" : without_line(error.message));
    return false;
}
