#include "settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct variable {
    const char *name;
    unsigned value, min, max;
    const char *help;
} variable;

static const variable port = {"CITADEL_SERVICE_PORT", 8080, 0, 65535, "port; 0: one that is free"};
static const variable max_body = {"CITADEL_SERVICE_MAX_BODY", 2097152, 16, 1073741824,
                                  "bytes of a request's body"};
static const variable max_texts = {"CITADEL_SERVICE_MAX_TEXTS", 256, 1, 65536,
                                   "texts in a request"};
static const variable max_running = {"CITADEL_SERVICE_MAX_RUNNING", 64, 1, 1024,
                                     "requests to /embed at a time"};
static const variable timeout = {"CITADEL_SERVICE_TIMEOUT", 30, 1, 3600,
                                 "seconds that a client has to send a request"};

static const char *get(const char *name, const char *otherwise)
{
    const char *value = getenv(name);
    return value && *value ? value : otherwise;
}

static bool read_number(const variable *v, unsigned *out)
{
    const char *text = get(v->name, NULL);
    unsigned long number = v->value;
    if (text) {
        size_t digits = strspn(text, "0123456789");
        number = strtoul(text, NULL, 10);
        if (text[digits] || digits == 0 || digits > 10 || number < v->min || number > v->max) {
            fprintf(stderr, "%s is '%s', expected a whole number from %u to %u\n", v->name, text,
                    v->min, v->max);
            return false;
        }
    }
    *out = (unsigned)number;
    return true;
}

bool settings_read(settings *s)
{
    unsigned body = 0;
    *s = (settings){.address = get("CITADEL_SERVICE_ADDRESS", "127.0.0.1"),
                    .models = get("CITADEL_SERVICE_MODELS", "all-MiniLM-L6-v2")};
    bool good = read_number(&port, &s->port) && read_number(&max_body, &body) &&
                read_number(&max_texts, &s->max_texts) &&
                read_number(&max_running, &s->max_running) && read_number(&timeout, &s->timeout);
    s->max_body = body;
    return good;
}

static void help_number(const variable *v)
{
    printf("  %-28s%s (%u)\n", v->name, v->help, v->value);
}

void settings_help(void)
{
    printf(
        "Usage: citadel-service\n\n"
        "Serves POST /embed, GET /health and GET /metrics over HTTP until SIGTERM or SIGINT; the\n"
        "requests that run by then are finished. Reads the environment:\n\n");
    printf("  %-28s%s\n", "CITADEL_SERVICE_ADDRESS", "IPv4 or IPv6 address (127.0.0.1)");
    help_number(&port);
    printf("  %-28s%s\n", "CITADEL_SERVICE_MODELS",
           "names or paths of models, commas between; the\n"
           "                              first is the default one (all-MiniLM-L6-v2)");
    help_number(&max_body);
    help_number(&max_texts);
    help_number(&max_running);
    help_number(&timeout);
    printf("\nand what the library reads: CITADEL_MODEL_PATH, INFERENCE_OPTIMIZATION and so on.\n");
}
