/* citadel-embed warmup */
#include "buffer.h"
#include "commands.h"
#include "report.h"
#include "session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct model_names {
    char **names;
    size_t count;
} model_names;

static int32_t add_name(void *user, const char *name, const char *path)
{
    model_names *all = user;
    (void)path;
    all->names = must_resize(all->names, all->count + 1, sizeof *all->names);
    size_t size = strlen(name) + 1;
    all->names[all->count++] = memcpy(must_resize(NULL, size, 1), name, size);
    return 0;
}

static void free_names(model_names *all)
{
    for (size_t i = 0; i < all->count; i++)
        free(all->names[i]);
    free(all->names);
}

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

static bool warm_found(citadel_engine *engine, const settings *s)
{
    citadel_error error = CITADEL_ERROR_INIT;
    model_names all = {0};
    bool done = citadel_model_list(engine, add_name, &all, &error) == CITADEL_OK;
    if (!done)
        report_error("%s", error.message);
    else if (all.count == 0)
        report_error("there are no models along the model path");
    done = done && all.count > 0 && warm_all(engine, s, all.names, all.count);
    free_names(&all);
    return done;
}

int run_warmup(const settings *s)
{
    citadel_engine *engine;
    bool done =
        session_open_engine(&engine, s) &&
        (s->all_models ? warm_found(engine, s) : warm_all(engine, s, s->texts, s->text_count));
    citadel_engine_destroy(engine);
    if (done && (fflush(stdout) != 0 || ferror(stdout))) {
        report_error("cannot write to standard output");
        done = false;
    }
    return done ? EXIT_OK : EXIT_FAILED;
}
