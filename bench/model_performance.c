/* Speed and memory of a model beside its baseline, which is the same without optimization, in one run:
 * see --help. Each is measured in a process of its own, so that neither has the other's memory. */
#include <citadel_embed.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ITERATIONS_MAX = 1000000, DIM_MAX = 65536, UNTIMED = 5, STAGES = 4 };

static const char *const stage_names[STAGES] = {"tokenise", "wait", "compute", "output"};

/* 26 tokens for most English tokenizers; how many it has is in the JSON. */
static const char *const text = "The license applies to the library and to everything that is "
                                "derived from it, in source or object form, for use.";

typedef struct arguments {
    const char *model, *json, *trace;
    int iterations, profile;
} arguments;

typedef struct sample {
    double begin, seconds, stage[STAGES];
} sample;

/* Without pointers: it comes out of the child through a pipe, then `samples`, then `vector`. */
typedef struct outcome {
    double load_seconds, first_seconds;
    double min_cosine; /* recorded at export */
    unsigned long long memory_bytes;
    unsigned tokens, dim;
    char form[24], precision[8];
} outcome;

typedef struct measurement {
    outcome outcome;
    sample *samples;
    float *vector;
} measurement;

static void help(void)
{
    puts("Usage: model_performance --model NAME [--iterations N] [--json FILE] [--profile]\n"
         "                         [--profile-trace FILE]\n\n"
         "Embeds one text of about 26 tokens N times (100), as the environment says and, for the\n"
         "baseline, with INFERENCE_OPTIMIZATION=false.\n\n"
         "  --json FILE           every measurement\n"
         "  --profile             where the time went: tokenise, wait, compute, output\n"
         "  --profile-trace FILE  the same for every call, for Perfetto or chrome://tracing; the\n"
         "                        parts of a call are laid end to end");
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int complain(const char *message)
{
    fprintf(stderr, "model_performance: %s\n", message);
    return 0;
}

/* ---- Measuring ---------------------------------------------------------------------------- */

static int embed(const citadel_model *model, measurement *m, sample *s, citadel_error *error)
{
    citadel_embed_options options = CITADEL_EMBED_OPTIONS_INIT;
    citadel_timings timings = CITADEL_TIMINGS_INIT;
    options.timings = &timings;
    s->begin = now();
    citadel_status status = citadel_model_embed(model, &text, NULL, 1, &options, m->vector,
                                                m->outcome.dim, NULL, error);
    s->seconds = now() - s->begin;
    s->stage[0] = timings.tokenize;
    s->stage[1] = timings.queue;
    s->stage[2] = timings.compute;
    s->stage[3] = timings.output;
    m->outcome.tokens = (unsigned)timings.tokens;
    return status == CITADEL_OK;
}

static int run(const citadel_model *model, measurement *m, int iterations, citadel_error *error)
{
    sample first, untimed;
    if (!embed(model, m, &first, error))
        return 0;
    m->outcome.first_seconds = first.seconds;
    for (int i = 0; i < UNTIMED; i++)
        if (!embed(model, m, &untimed, error))
            return 0;
    for (int i = 0; i < iterations; i++)
        if (!embed(model, m, &m->samples[i], error))
            return 0;
    return 1;
}

static void describe(outcome *o, const citadel_info *info)
{
    static const char *const precisions[] = {"auto", "fp32", "bf16",
                                             "fp16", "int8", "int8-accurate"};
    int known = info->precision >= 0 && info->precision <= CITADEL_PRECISION_INT8_ACCURATE;
    o->load_seconds = info->load_seconds;
    o->min_cosine = info->min_cosine;
    o->dim = info->dim;
    snprintf(o->form, sizeof o->form, "%s", info->form);
    snprintf(o->precision, sizeof o->precision, "%s", known ? precisions[info->precision] : "?");
}

static int measure_model(citadel_engine *engine, citadel_model *model, measurement *m,
                         int iterations, citadel_error *error)
{
    citadel_info info = CITADEL_INFO_INIT;
    citadel_metrics metrics = CITADEL_METRICS_INIT;
    if (citadel_model_info(model, &info, error) != CITADEL_OK)
        return 0;
    describe(&m->outcome, &info);
    m->samples = calloc((size_t)iterations, sizeof *m->samples);
    m->vector = calloc(m->outcome.dim, sizeof *m->vector);
    if (!m->samples || !m->vector)
        return complain("no memory");
    if (!run(model, m, iterations, error) ||
        citadel_metrics_snapshot(engine, &metrics, error) != CITADEL_OK)
        return 0;
    m->outcome.memory_bytes = metrics.process_bytes;
    return 1;
}

static int measure(measurement *m, const arguments *a, int32_t optimization)
{
    citadel_error error = CITADEL_ERROR_INIT;
    citadel_engine_options options = CITADEL_ENGINE_OPTIONS_INIT;
    citadel_engine *engine = NULL;
    citadel_model *model = NULL;
    options.optimization = optimization;
    int good = citadel_engine_create(&options, &engine, &error) == CITADEL_OK &&
               citadel_model_load(engine, a->model, NULL, &model, &error) == CITADEL_OK &&
               measure_model(engine, model, m, a->iterations, &error);
    if (error.code != CITADEL_OK)
        complain(error.message);
    citadel_model_unload(model);
    citadel_engine_destroy(engine);
    return good;
}

static void release(measurement *m)
{
    free(m->samples);
    free(m->vector);
}

/* ---- The baseline's process --------------------------------------------------------------- */

static int put(int file, const void *data, size_t size)
{
    for (const char *at = data; size > 0;) {
        ssize_t n = write(file, at, size);
        if (n < 0)
            return 0;
        at += n;
        size -= (size_t)n;
    }
    return 1;
}

static int get(int file, void *data, size_t size)
{
    for (char *at = data; size > 0;) {
        ssize_t n = read(file, at, size);
        if (n <= 0)
            return 0;
        at += n;
        size -= (size_t)n;
    }
    return 1;
}

static int measure_into(int file, const arguments *a)
{
    measurement m = {0};
    int good = measure(&m, a, CITADEL_SWITCH_OFF) && put(file, &m.outcome, sizeof m.outcome) &&
               put(file, m.samples, (size_t)a->iterations * sizeof *m.samples) &&
               put(file, m.vector, m.outcome.dim * sizeof *m.vector);
    release(&m);
    return good;
}

static int receive(int file, const arguments *a, measurement *m)
{
    if (!get(file, &m->outcome, sizeof m->outcome) || m->outcome.dim > DIM_MAX)
        return 0;
    m->samples = calloc((size_t)a->iterations, sizeof *m->samples);
    m->vector = calloc(m->outcome.dim, sizeof *m->vector);
    return m->samples && m->vector &&
           get(file, m->samples, (size_t)a->iterations * sizeof *m->samples) &&
           get(file, m->vector, m->outcome.dim * sizeof *m->vector);
}

/* Forked before there is an engine here. */
static int measure_baseline(measurement *m, const arguments *a)
{
    int ends[2], status = 0;
    if (pipe(ends) != 0)
        return complain(strerror(errno));
    pid_t child = fork();
    if (child == 0) {
        close(ends[0]);
        exit(measure_into(ends[1], a) ? 0 : 1);
    }
    close(ends[1]);
    int good = child > 0 && receive(ends[0], a, m);
    close(ends[0]);
    if (child > 0)
        waitpid(child, &status, 0);
    return good && status == 0 ? 1 : complain("the baseline could not be measured");
}

/* ---- Telling ------------------------------------------------------------------------------ */

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double mean(const measurement *m, int iterations)
{
    double sum = 0;
    for (int i = 0; i < iterations; i++)
        sum += m->samples[i].seconds;
    return sum / iterations;
}

/* The smallest of the times that so many per cent of the calls did not exceed. */
static double percentile(const double *sorted, int count, double percent)
{
    int rank = (int)ceil(percent / 100 * count);
    return sorted[rank > 0 ? rank - 1 : 0];
}

static int print_times(const measurement *m, int iterations)
{
    double *sorted = malloc((size_t)iterations * sizeof *sorted);
    if (!sorted)
        return complain("no memory");
    for (int i = 0; i < iterations; i++)
        sorted[i] = m->samples[i].seconds;
    qsort(sorted, (size_t)iterations, sizeof *sorted, ascending);
    printf("Average inference time: %.1fms (p50 %.1fms, p95 %.1fms, p99 %.1fms)\n",
           mean(m, iterations) * 1e3, percentile(sorted, iterations, 50) * 1e3,
           percentile(sorted, iterations, 95) * 1e3, percentile(sorted, iterations, 99) * 1e3);
    free(sorted);
    return 1;
}

static void print_profile(const measurement *m, int iterations)
{
    double total = mean(m, iterations), known = 0;
    for (int s = 0; s < STAGES; s++) {
        double sum = 0;
        for (int i = 0; i < iterations; i++)
            sum += m->samples[i].stage[s];
        known += sum / iterations;
        printf("Profile: %-8s %8.3fms %5.1f%%\n", stage_names[s], sum / iterations * 1e3,
               100 * sum / iterations / total);
    }
    printf("Profile: %-8s %8.3fms %5.1f%%\n", "between", (total - known) * 1e3,
           100 * (total - known) / total);
}

static int print(const measurement *m, const measurement *baseline, const arguments *a)
{
    printf("Model: %s\n", a->model);
    if (!print_times(m, a->iterations))
        return 0;
    printf("Throughput: %.0f embeddings/sec\n", 1 / mean(m, a->iterations));
    printf("Memory usage: %.2fGB (optimized from %.2fGB baseline)\n",
           (double)m->outcome.memory_bytes / 1e9, (double)baseline->outcome.memory_bytes / 1e9);
    printf("Optimization: %s %s\n", m->outcome.form, m->outcome.precision);
    if (a->profile)
        print_profile(m, a->iterations);
    return 1;
}

/* ---- Files -------------------------------------------------------------------------------- */

static void write_string(FILE *out, const char *string)
{
    fputc('"', out);
    for (const unsigned char *c = (const unsigned char *)string; *c; c++)
        if (*c < ' ' || *c == '"' || *c == '\\')
            fprintf(out, "\\u%04x", *c);
        else
            fputc(*c, out);
    fputc('"', out);
}

static void write_outcome(FILE *out, const measurement *m, int iterations)
{
    const outcome *o = &m->outcome;
    fprintf(out, "{\n  \"form\": \"%s\",\n  \"precision\": \"%s\",\n", o->form, o->precision);
    fprintf(out, "  \"load_seconds\": %.6f,\n  \"first_seconds\": %.6f,\n", o->load_seconds,
            o->first_seconds);
    fprintf(out, "  \"recorded_min_cosine\": %.10f,\n  \"memory_bytes\": %llu,\n", o->min_cosine,
            o->memory_bytes);
    fprintf(out, "  \"seconds\": [");
    for (int i = 0; i < iterations; i++)
        fprintf(out, "%s%.9f", i ? ", " : "", m->samples[i].seconds);
    fprintf(out, "]\n }");
}

static void write_agreement(FILE *out, const measurement *a, const measurement *b)
{
    double difference = 0, dot = 0, aa = 0, bb = 0;
    for (unsigned d = 0; d < a->outcome.dim; d++) {
        double x = (double)a->vector[d], y = (double)b->vector[d];
        difference = fmax(difference, fabs(x - y));
        dot += x * y;
        aa += x * x;
        bb += y * y;
    }
    fprintf(out, " \"max_difference\": %.3e,\n \"cosine\": %.10f,\n", difference,
            dot / sqrt(aa * bb));
}

static int close_file(FILE *out, const char *path)
{
    int bad = ferror(out);
    if (fclose(out) == 0 && !bad)
        return 1;
    fprintf(stderr, "model_performance: cannot write '%s': %s\n", path, strerror(errno));
    return 0;
}

static FILE *open_file(const char *path)
{
    FILE *out = fopen(path, "w");
    if (!out)
        fprintf(stderr, "model_performance: cannot write '%s': %s\n", path, strerror(errno));
    return out;
}

static int write_json(const measurement *m, const measurement *baseline, const arguments *a)
{
    FILE *out = open_file(a->json);
    if (!out)
        return 0;
    fprintf(out, "{\n \"model\": ");
    write_string(out, a->model);
    fprintf(out, ",\n \"build\": ");
    write_string(out, citadel_build_info());
    fprintf(out, ",\n \"iterations\": %d,\n \"tokens\": %u,\n", a->iterations, m->outcome.tokens);
    write_agreement(out, m, baseline);
    fprintf(out, " \"optimized\": ");
    write_outcome(out, m, a->iterations);
    fprintf(out, ",\n \"baseline\": ");
    write_outcome(out, baseline, a->iterations);
    fprintf(out, "\n}\n");
    return close_file(out, a->json);
}

static void write_event(FILE *out, const char *name, double begin, double seconds)
{
    fprintf(out, "{\"name\":\"%s\",\"ph\":\"X\",\"pid\":1,\"tid\":1,\"ts\":%.3f,\"dur\":%.3f}",
            name, begin * 1e6, seconds * 1e6);
}

static int write_trace(const measurement *m, const arguments *a)
{
    FILE *out = open_file(a->trace);
    if (!out)
        return 0;
    fprintf(out, "{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n");
    for (int i = 0; i < a->iterations; i++) {
        const sample *s = &m->samples[i];
        double begin = s->begin - m->samples[0].begin;
        write_event(out, "embed", begin, s->seconds);
        for (int k = 0; k < STAGES; k++) {
            fprintf(out, ",\n");
            write_event(out, stage_names[k], begin, s->stage[k]);
            begin += s->stage[k];
        }
        fprintf(out, i + 1 < a->iterations ? ",\n" : "\n");
    }
    fprintf(out, "]}\n");
    return close_file(out, a->trace);
}

/* ---- Arguments ---------------------------------------------------------------------------- */

static int read_iterations(const char *value, int *out)
{
    char *end;
    long number = strtol(value, &end, 10);
    if (*end || end == value || number < 1 || number > ITERATIONS_MAX) {
        fprintf(stderr, "model_performance: --iterations is '%s', expected 1 to %d\n", value,
                ITERATIONS_MAX);
        return 0;
    }
    *out = (int)number;
    return 1;
}

static int read_arguments(arguments *a, char **argv)
{
    const char *iterations = "100";
    const struct {
        const char *name, **value;
    } options[] = {{"--model", &a->model},
                   {"--iterations", &iterations},
                   {"--json", &a->json},
                   {"--profile-trace", &a->trace}};
    for (char **at = argv + 1; *at; at++) {
        size_t i = 0, count = sizeof options / sizeof options[0];
        while (i < count && strcmp(*at, options[i].name) != 0)
            i++;
        if (i < count && at[1]) {
            *options[i].value = *++at;
        } else if (strcmp(*at, "--profile") == 0) {
            a->profile = 1;
        } else {
            fprintf(stderr, "model_performance: %s '%s' (try --help)\n",
                    i < count ? "no value behind" : "unknown argument", *at);
            return 0;
        }
    }
    return a->model ? read_iterations(iterations, &a->iterations)
                    : complain("--model is missing (try --help)");
}

int main(int argc, char **argv)
{
    arguments a = {0};
    measurement baseline = {0}, own = {0};
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        help();
        return 0;
    }
    if (!read_arguments(&a, argv))
        return 2;
    int good = measure_baseline(&baseline, &a) && measure(&own, &a, CITADEL_SWITCH_DEFAULT) &&
               print(&own, &baseline, &a) && (!a.json || write_json(&own, &baseline, &a)) &&
               (!a.trace || write_trace(&own, &a));
    release(&baseline);
    release(&own);
    return good ? 0 : 1;
}
