#include "harness.h"

#include <dirent.h>
#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

citadel_error error = CITADEL_ERROR_INIT;

/* ---- Checks ------------------------------------------------------------------------------- */

void check_ok(citadel_status got, const char *file, int line)
{
    if (got != CITADEL_OK || error.code != CITADEL_OK || error.message[0]) {
        print_error("%s: %s\n", citadel_status_name(got), error.message);
        _fail(file, line);
    }
}

void check_failure(citadel_status expected, const char *piece, citadel_status got, const char *file,
                   int line)
{
    if (got == expected && error.code == expected && !strchr(error.message, '\n') &&
        strstr(error.message, piece))
        return;
    print_error("%s: '%s', expected %s with '%s'\n", citadel_status_name(got), error.message,
                citadel_status_name(expected), piece);
    _fail(file, line);
}

static int close_number(float got, float expected)
{
    return fabs((double)got - expected) <= 2e-6 * fmax(1, fabs((double)expected));
}

int close_enough(const float *got, const float *expected, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!close_number(got[i], expected[i]))
            return 0;
    return 1;
}

void check_vector(const float *got, const float *expected, size_t count, const char *file, int line)
{
    for (size_t i = 0; i < count; i++) {
        if (close_number(got[i], expected[i]))
            continue;
        print_error("number %zu is %.9g, expected %.9g\n", i, (double)got[i], (double)expected[i]);
        _fail(file, line);
    }
}

/* ---- Engine ------------------------------------------------------------------------------- */

/* The fake, or another build of it that this run of the program is about. */
static const char *backend_path(void)
{
    const char *other = getenv("TEST_BACKEND");
    return other ? other : FAKE_BACKEND;
}

citadel_engine_options test_options(uint32_t threads, uint32_t cache_models)
{
    citadel_engine_options options = CITADEL_ENGINE_OPTIONS_INIT;
    options.flags = CITADEL_ENGINE_NO_ENVIRONMENT;
    options.threads = threads;
    options.cache_models = cache_models;
    options.model_path = FAKE_PACKS;
    options.torch_backend = backend_path();
    return options;
}

citadel_engine *new_engine(uint32_t threads, uint32_t cache_models)
{
    citadel_engine_options options = test_options(threads, cache_models);
    citadel_engine *engine;
    assert_ok(citadel_engine_create(&options, &engine, &error));
    assert_non_null(engine);
    return engine;
}

citadel_metrics metrics_of(const citadel_engine *engine)
{
    citadel_metrics metrics = CITADEL_METRICS_INIT;
    assert_ok(citadel_metrics_snapshot(engine, &metrics, &error));
    return metrics;
}

citadel_estimate estimate_of(citadel_engine *engine, const char *name)
{
    citadel_estimate estimate = CITADEL_ESTIMATE_INIT;
    assert_ok(citadel_model_estimate(engine, name, NULL, &estimate, &error));
    return estimate;
}

uint64_t bytes_of(const char *name)
{
    citadel_engine *engine = new_engine(1, 1);
    citadel_model *model = load(engine, name);
    uint64_t bytes = metrics_of(engine).bytes;
    citadel_model_unload(model);
    citadel_engine_destroy(engine);
    return bytes;
}

citadel_model *load(citadel_engine *engine, const char *name)
{
    citadel_model *model;
    assert_ok(citadel_model_load(engine, name, NULL, &model, &error));
    assert_non_null(model);
    return model;
}

/* ---- Probe -------------------------------------------------------------------------------- */

fake_probe *the_probe(void)
{
    void *module = dlopen(backend_path(), RTLD_NOW | RTLD_LOCAL);
    assert_non_null(module);
    fake_probe *probe = dlsym(module, FAKE_PROBE);
    assert_non_null(probe);
    return probe;
}

fake_probe *reset_probe(void)
{
    fake_probe *probe = the_probe();
    pthread_mutex_lock(&probe->lock);
    probe->loads = probe->runs = probe->texts = probe->recovered = 0;
    probe->most_tokens = probe->most_threads = 0;
    probe->most_models = probe->twins = 0;
    int models = probe->models;
    pthread_mutex_unlock(&probe->lock);
    assert_int_equal(models, 0);
    return probe;
}

void set_gate(fake_probe *probe, int closed)
{
    pthread_mutex_lock(&probe->lock);
    probe->closed = closed;
    pthread_cond_broadcast(&probe->changed);
    pthread_mutex_unlock(&probe->lock);
}

void await(fake_probe *probe, const int *number, int expected)
{
    pthread_mutex_lock(&probe->lock);
    while (*number != expected)
        pthread_cond_wait(&probe->changed, &probe->lock);
    pthread_mutex_unlock(&probe->lock);
}

int read_probe(fake_probe *probe, const int *number)
{
    pthread_mutex_lock(&probe->lock);
    int value = *number;
    pthread_mutex_unlock(&probe->lock);
    return value;
}

/* ---- Vectors ------------------------------------------------------------------------------ */

/* Also in tests/fake/make_packs.py. */
static double weight(int32_t id, size_t d)
{
    return (((size_t)id * 7 + d * 13) % 23 - 11.0) / 8;
}

void normalize(float *vector, size_t count)
{
    double sum = 0;
    for (size_t d = 0; d < count; d++)
        sum += (double)vector[d] * vector[d];
    for (size_t d = 0; d < count; d++)
        vector[d] = (float)(vector[d] / sqrt(sum));
}

void reference(const citadel_model *model, const char *text, double bias, float vector[DIM])
{
    int32_t ids[MAX_TOKENS];
    citadel_tokens tokens = CITADEL_TOKENS_INIT;
    citadel_info info = CITADEL_INFO_INIT;
    citadel_error own = CITADEL_ERROR_INIT;
    tokens.ids = ids;
    tokens.capacity = MAX_TOKENS;
    citadel_status status =
        citadel_tokenize(model, text, CITADEL_NUL_TERMINATED, NULL, &tokens, &own);
    if (status == CITADEL_OK)
        status = citadel_model_info(model, &info, &own);
    memset(vector, 0, DIM * sizeof *vector);
    for (size_t d = 0; d < DIM && status == CITADEL_OK; d++) {
        double sum = 0;
        for (size_t i = 0; i < tokens.count; i++)
            sum += weight(ids[i], d) * (double)(1 + i % 7);
        vector[d] = (float)(bias + sum / (double)tokens.count);
    }
    if (info.normalize)
        normalize(vector, DIM);
}

int embeds_right(const citadel_model *model, const char *text, double bias)
{
    float out[DIM], expected[DIM];
    reference(model, text, bias, expected);
    return citadel_model_embed(model, &text, NULL, 1, NULL, out, DIM, NULL, NULL) == CITADEL_OK &&
           close_enough(out, expected, DIM);
}

/* ---- Threads ------------------------------------------------------------------------------ */

typedef struct crew_member {
    pthread_t thread;
    pthread_barrier_t *start;
    int (*work)(int number, void *shared);
    void *shared;
    int number, result;
} crew_member;

static void *run_member(void *argument)
{
    crew_member *self = argument;
    pthread_barrier_wait(self->start);
    self->result = self->work(self->number, self->shared);
    return NULL;
}

void in_threads(int count, int (*work)(int number, void *shared), void *shared)
{
    crew_member crew[64];
    pthread_barrier_t start;
    assert_in_range(count, 1, 64);
    assert_int_equal(pthread_barrier_init(&start, NULL, (unsigned)count), 0);
    for (int i = 0; i < count; i++) {
        crew[i] = (crew_member){.start = &start, .work = work, .shared = shared, .number = i};
        assert_int_equal(pthread_create(&crew[i].thread, NULL, run_member, &crew[i]), 0);
    }
    for (int i = 0; i < count; i++)
        pthread_join(crew[i].thread, NULL);
    pthread_barrier_destroy(&start);
    for (int i = 0; i < count; i++)
        assert_int_equal(crew[i].result, 0);
}

/* ---- Packs -------------------------------------------------------------------------------- */

static void copy_file(const char *from, const char *to)
{
    char buffer[4096];
    FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
    assert_non_null(in);
    assert_non_null(out);
    for (size_t size; (size = fread(buffer, 1, sizeof buffer, in)) > 0;)
        assert_int_equal(fwrite(buffer, 1, size, out), size);
    fclose(in);
    assert_int_equal(fclose(out), 0);
}

static const char *const pack_files[] = {
    "citadel.json",       "citadel.sha256", "tokenizer.json",           "golden.json",
    "golden.safetensors", "graph.fp32.pt",  "weights.fp32.safetensors",
};

void copy_pack(const char *name, const char *to)
{
    mkdir(to, 0777);
    for (size_t i = 0; i < sizeof pack_files / sizeof pack_files[0]; i++) {
        char source[4096], target[4096];
        snprintf(source, sizeof source, FAKE_PACKS "/%s/%s", name, pack_files[i]);
        snprintf(target, sizeof target, "%s/%s", to, pack_files[i]);
        copy_file(source, target);
    }
}

void remove_pack(const char *directory)
{
    for (size_t i = 0; i < sizeof pack_files / sizeof pack_files[0]; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", directory, pack_files[i]);
        unlink(path);
    }
    rmdir(directory);
}

/* ---- Process ------------------------------------------------------------------------------ */

static int count_entries(const char *directory)
{
    DIR *opened = opendir(directory);
    assert_non_null(opened);
    int count = 0;
    while (readdir(opened))
        count++;
    closedir(opened);
    return count;
}

int count_threads(void)
{
    return count_entries("/proc/self/task") - 2;
}

int count_files(void)
{
    return count_entries("/proc/self/fd") - 2;
}
