/* citadel-embed warmup */
#include "buffer.h"
#include "commands.h"
#include "report.h"
#include "session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool warm_up(citadel_engine *engine, const settings *s, const char *name)
{
    citadel_error error = CITADEL_ERROR_INIT;
    citadel_load_options load = CITADEL_LOAD_OPTIONS_INIT;
    citadel_info info = CITADEL_INFO_INIT;
    citadel_warmup_plan plan = CITADEL_WARMUP_PLAN_INIT;
    citadel_warmup_report report = CITADEL_WARMUP_REPORT_INIT;
    citadel_model *model;
    load.precision = (int32_t)s->precision;
    plan.iterations = s->iterations;
    plan.time_budget_ms = s->time_budget;
    bool warm = citadel_model_load(engine, name, &load, &model, &error) == CITADEL_OK &&
                citadel_model_info(model, &info, &error) == CITADEL_OK &&
                citadel_model_warmup(model, &plan, &report, &error) == CITADEL_OK;
    if (warm)
        printf("✓ %s: Warmed up in %.1fs%s\n", name, info.load_seconds + report.seconds,
               report.timed_out ? ", all of its time budget" : "");
    else
        printf("✗ %s: %s\n", name, error.message);
    fflush(stdout); /* the next one can take long */
    citadel_model_unload(model);
    return warm;
}

static bool warm_all(citadel_engine *engine, const settings *s, char **names, size_t count)
{
    size_t cold = 0;
    for (size_t i = 0; i < count; i++)
        cold += !warm_up(engine, s, names[i]);
    if (cold == 0)
        printf("All models ready for inference\n");
    else
        report_error("%zu of %zu models not ready", cold, count);
    return cold == 0;
}

/* What the configuration file names, or else what is found along the model path. */
static bool find_names(const session *found, buffer *text)
{
    if (!session_names(found, CITADEL_MODELS_CONFIGURED, text))
        return false;
    if (text->used == 0 && !session_names(found, 0, text))
        return false;
    if (text->used == 0)
        report_error("there are no models along the model path, and none are configured");
    return text->used > 0;
}

static bool warm_found(const session *found, const settings *s)
{
    buffer text = {0};
    char **names = NULL;
    size_t count = 0;
    bool done = find_names(found, &text);
    for (char *line = text.data, *end; done && line < text.data + text.used; line = end + 1) {
        end = memchr(line, '\n', (size_t)(text.data + text.used - line));
        *end = '\0';
        names = must_resize(names, count + 1, sizeof *names);
        names[count++] = line;
    }
    done = done && warm_all(found->engine, s, names, count);
    free(names);
    buffer_free(&text);
    return done;
}

int run_warmup(const settings *s)
{
    session opened = {0};
    bool done = session_open_engine(&opened.engine, s) &&
                (s->all_models ? warm_found(&opened, s)
                               : warm_all(opened.engine, s, s->texts, s->text_count));
    session_close(&opened);
    if (done && (fflush(stdout) != 0 || ferror(stdout))) {
        report_error("cannot write to standard output");
        done = false;
    }
    return done ? EXIT_OK : EXIT_FAILED;
}
