/* Any bytes through the JSON reader, three ways: whatever comes next, skipping everything, and skipping a part. All
 * ways agree on whether the text is well-formed, up to the depth at which the reader stops. */
#include "fuzz.h"
#include "json/json.h"

#include <stdlib.h>
#include <string.h>

/* Read values by their kind; of containers every `skipped`th element is skipped. */
static void read_value(ce_json *json, unsigned skipped)
{
    ce_json_text key;
    unsigned element = 0;
    switch (ce_json_peek(json)) {
    case CE_JSON_OBJECT:
        ce_json_object(json);
        while (ce_json_member(json, &key)) {
            (void)memchr(key.data, 0, key.size);
            if (skipped && ++element % skipped == 0)
                ce_json_skip(json);
            else
                read_value(json, skipped);
        }
        break;
    case CE_JSON_ARRAY:
        ce_json_array(json);
        while (ce_json_element(json)) {
            if (skipped && ++element % skipped == 0)
                ce_json_skip(json);
            else
                read_value(json, skipped);
        }
        break;
    case CE_JSON_STRING: {
        ce_json_text text = ce_json_string(json);
        (void)memchr(text.data, 0, text.size);
        break;
    }
    case CE_JSON_BOOLEAN:
        ce_json_boolean(json);
        break;
    case CE_JSON_NULL:
        ce_json_null(json);
        break;
    case CE_JSON_NUMBER: /* most are no whole numbers of that range */
    case CE_JSON_NONE:
        ce_json_skip(json);
        break;
    }
}

static int run(const char *data, size_t size, void (*read)(ce_json *, unsigned), unsigned skipped)
{
    ce_error error = {0};
    ce_json json;
    ce_json_open(&json, data, size, &error);
    read(&json, skipped);
    int status = ce_json_close(&json);
    fuzz_check_error(status, &error);
    return status;
}

static void skip(ce_json *json, unsigned unused)
{
    (void)unused;
    ce_json_skip(json);
}

static void read_integer(ce_json *json, unsigned unused)
{
    (void)unused;
    int64_t value = ce_json_integer(json, -1000, 1000);
    MUST(value >= -1000 && value <= 1000);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = fuzz_copy(data, size);
    int status = run(text, size, skip, 0);
    MUST(run(text, size, read_value, 0) == status);
    MUST(run(text, size, read_value, 2) == status);
    if (run(text, size, read_integer, 0) == CE_OK)
        MUST(status == CE_OK);
    free(text);
    return 0;
}
