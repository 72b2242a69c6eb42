#include "metrics.h"

#include <stdlib.h>

/* Numbers grow from one call to the next: there is room for that. */
char *metrics_text(const citadel_engine *engine)
{
    citadel_error error = CITADEL_ERROR_INIT;
    size_t length = 0;
    if (citadel_metrics_text(engine, NULL, 0, &length, &error) != CITADEL_OK)
        return NULL;
    size_t capacity = 2 * length + 4096;
    char *text = malloc(capacity);
    if (text && citadel_metrics_text(engine, text, capacity, &length, &error) != CITADEL_OK) {
        free(text);
        return NULL;
    }
    return text;
}
