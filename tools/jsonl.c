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
static bool read_members(ce_json *json, buffer *text)
{
    size_t start = text->used;
    bool found = false;
    ce_json_text key;
    ce_json_object(json);
    while (ce_json_member(json, &key)) {
        if (!ce_json_is(key, "text")) {
            ce_json_skip(json);
            continue;
        }
        ce_json_text value = ce_json_string(json);
        text->used = start;
        buffer_append(text, value.data, value.size);
        found = true;
    }
    return found;
}

bool jsonl_text(const char *line, size_t length, buffer *text, buffer *reason)
{
    size_t start = text->used;
    ce_error error;
    ce_json json;
    ce_json_open(&json, line, length, &error);
    bool found = read_members(&json, text);
    bool valid = ce_json_close(&json) == CE_OK;
    if (valid && found)
        return true;
    text->used = start;
    buffer_format(reason, "%s",
                  valid ? "the object has no member \"text\"" : without_line(error.message));
    return false;
}
