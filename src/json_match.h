/* Parts of a JSON text, compared with what is expected of them. */
#ifndef CE_JSON_MATCH_H
#define CE_JSON_MATCH_H

#include "json/json.h"

/* The value that comes next, as it is written; it lies in the text that is read. Empty after a failure. */
ce_json_text ce_json_span(ce_json *json);

/* CE_JSON_NULL of an empty one: it stands for what is not there. */
ce_json_kind ce_json_span_kind(ce_json_text value);

/* Whether a value has all that `expected` has; an object may have other members. "*" stands for anything, null also for
 * what is not there. `*status` becomes CE_E_NO_MEMORY when that could not be found out. */
int ce_json_contains(ce_json_text actual, const char *expected, int *status);

#endif
