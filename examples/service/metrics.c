#include "metrics.h"

#include <stdio.h>
#include <stdlib.h>

static void write_all(FILE *out, const citadel_metrics *m)
{
    const struct {
        const char *name, *type, *help;
        uint64_t value;
    } rows[] = {
        {"citadel_cache_hits_total", "counter", "Calls whose model was in memory.", m->hits},
        {"citadel_cache_misses_total", "counter", "Calls whose model was not.", m->misses},
        {"citadel_cache_joins_total", "counter", "Calls that waited for a load.", m->joins},
        {"citadel_loads_total", "counter", "Loads that ended well.", m->loads},
        {"citadel_load_failures_total", "counter", "Loads that did not.", m->load_failures},
        {"citadel_fallbacks_total", "counter", "Forms that failed.", m->fallbacks},
        {"citadel_nan_recoveries_total", "counter", "Texts computed again.", m->nan_recoveries},
        {"citadel_models", "gauge", "Models in memory.", m->models},
        {"citadel_models_limit", "gauge", "Models that memory may hold.", m->models_limit},
        {"citadel_models_bytes", "gauge", "Memory of the models.", m->bytes},
        {"citadel_process_resident_bytes", "gauge", "Memory of the process.", m->process_bytes},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        fprintf(out, "# HELP %s %s\n# TYPE %s %s\n%s %llu\n", rows[i].name, rows[i].help,
                rows[i].name, rows[i].type, rows[i].name, (unsigned long long)rows[i].value);
    fprintf(out, "# HELP citadel_cache_evictions_total Models that made room.\n"
                 "# TYPE citadel_cache_evictions_total counter\n");
    fprintf(out, "citadel_cache_evictions_total{cause=\"models\"} %llu\n",
            (unsigned long long)m->evictions_count);
    fprintf(out, "citadel_cache_evictions_total{cause=\"bytes\"} %llu\n",
            (unsigned long long)m->evictions_bytes);
    fprintf(out, "citadel_cache_evictions_total{cause=\"idle\"} %llu\n",
            (unsigned long long)m->evictions_idle);
}

char *metrics_text(const citadel_engine *engine)
{
    citadel_metrics metrics = CITADEL_METRICS_INIT;
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return NULL;
    citadel_error error = CITADEL_ERROR_INIT;
    if (citadel_metrics_snapshot(engine, &metrics, &error) == CITADEL_OK)
        write_all(out, &metrics);
    if (fclose(out) != 0) {
        free(text);
        return NULL;
    }
    return text;
}
