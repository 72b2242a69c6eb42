#ifndef SETTINGS_H
#define SETTINGS_H

#include <stdbool.h>
#include <stddef.h>

/* What the environment says; strings are the environment's own. */
typedef struct settings {
    const char *address;
    unsigned port; /* 0: one that is free */
    const char *models;
    size_t max_body;      /* bytes */
    unsigned max_texts;   /* of one request */
    unsigned max_running; /* requests to /embed at a time */
    unsigned timeout;     /* seconds for a request to come in, and for an idle connection */
} settings;

/* False after a line on standard error that names the variable. */
bool settings_read(settings *s);

void settings_help(void);

#endif
