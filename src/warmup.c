#include "warmup.h"

#include "base/mem.h"
#include "clock.h"
#include "embed.h"
#include "engine.h"
#include "memory.h"
#include "model.h"
#include "options.h"
#include "prompt.h"

#include <stdlib.h>
#include <string.h>

enum {
    LIST_MAX = 64,
    BATCH_SIZE_MAX = 4096,
    ITERATIONS_MAX = 100000,
    OTHER_ITERATIONS = 2 /* of every shape but the first */
};

/* The first is what callers send most. */
static const uint32_t default_lengths[] = {26, 8, 128, 512};
static const uint32_t default_batch_sizes[] = {1, 8};
enum {
    DEFAULT_LENGTHS = sizeof default_lengths / sizeof default_lengths[0],
    DEFAULT_BATCH_SIZES = sizeof default_batch_sizes / sizeof default_batch_sizes[0],
    LOAD_LENGTHS = 2
};

#define SENTENCE "the quick brown fox jumps over the lazy dog "
enum { SENTENCE_BYTES = sizeof SENTENCE - 1, SENTENCE_WORDS = 9 };

typedef struct warmup {
    citadel_model *model;
    citadel_warmup_plan plan; /* its lists are those below */
    uint32_t lengths[LIST_MAX], batch_sizes[LIST_MAX];
    char *text;         /* of more tokens than the greatest length */
    const char **texts; /* the same, as often as the greatest batch has texts */
    float *vectors;
    double *seconds; /* of the first shape's passes, but for the very first */
    size_t timed;
    uint64_t deadline; /* 0: none */
    citadel_warmup_report report;
} warmup;

/* ---- The plan ----------------------------------------------------------------------------- */

static void add(uint32_t *list, size_t *count, uint32_t value)
{
    for (size_t i = 0; i < *count; i++)
        if (list[i] == value)
            return;
    list[(*count)++] = value;
}

static int copy_list(uint32_t *list, const uint32_t *given, size_t count, uint32_t min,
                     uint32_t max, const char *name, ce_error *error)
{
    if (count == 0 || count > LIST_MAX)
        return ce_fail(error, CE_E_INVALID_ARGUMENT,
                       "warm-up plan: %s has %zu elements, expected 1 to %d", name, count,
                       LIST_MAX);
    for (size_t i = 0; i < count; i++) {
        if (given[i] < min || given[i] > max)
            return ce_fail(error, CE_E_INVALID_ARGUMENT,
                           "warm-up plan: %s[%zu] is %u, expected %u to %u", name, i, given[i], min,
                           max);
        list[i] = given[i];
    }
    return CE_OK;
}

static int read_lengths(warmup *w, size_t defaults, ce_error *error)
{
    uint32_t max = w->model->pack->max_tokens;
    size_t specials = ce_tokenizer_special_count(w->model->tokenizer);
    if (w->plan.lengths)
        return copy_list(w->lengths, w->plan.lengths, w->plan.length_count,
                         specials ? (uint32_t)specials : 1, max, "lengths", error);
    if (w->plan.length_count)
        return ce_fail(error, CE_E_INVALID_ARGUMENT,
                       "warm-up plan: lengths is NULL, but length_count is %zu",
                       w->plan.length_count);
    for (size_t i = 0; i < defaults; i++)
        add(w->lengths, &w->plan.length_count, default_lengths[i] < max ? default_lengths[i] : max);
    return CE_OK;
}

static int read_batch_sizes(warmup *w, size_t defaults, ce_error *error)
{
    if (w->plan.batch_sizes)
        return copy_list(w->batch_sizes, w->plan.batch_sizes, w->plan.batch_size_count, 1,
                         BATCH_SIZE_MAX, "batch_sizes", error);
    if (w->plan.batch_size_count)
        return ce_fail(error, CE_E_INVALID_ARGUMENT,
                       "warm-up plan: batch_sizes is NULL, but batch_size_count is %zu",
                       w->plan.batch_size_count);
    for (size_t i = 0; i < defaults; i++)
        add(w->batch_sizes, &w->plan.batch_size_count, default_batch_sizes[i]);
    return CE_OK;
}

static int read_plan(warmup *w, size_t lengths, size_t batch_sizes, ce_error *error)
{
    if (w->plan.iterations > ITERATIONS_MAX)
        return ce_fail(error, CE_E_INVALID_ARGUMENT,
                       "warm-up plan: iterations is %u, expected 0 to %d", w->plan.iterations,
                       ITERATIONS_MAX);
    if (w->plan.iterations == 0)
        w->plan.iterations = (uint32_t)w->model->engine->config.warmup_iterations;
    int status = read_lengths(w, lengths, error);
    if (status == CE_OK)
        status = read_batch_sizes(w, batch_sizes, error);
    return status;
}

/* Nobody asked for a batch that would not be computed in one piece. */
static int left_out(const warmup *w, uint32_t length, uint32_t texts)
{
    return !w->plan.batch_sizes && texts > 1 &&
           (size_t)length * texts >
               ce_config_batch_tokens(&w->model->engine->config, w->model->backend->batch_tokens);
}

/* ---- Memory ------------------------------------------------------------------------------- */

static uint32_t greatest(const uint32_t *list, size_t count)
{
    uint32_t greatest = 0;
    for (size_t i = 0; i < count; i++)
        greatest = list[i] > greatest ? list[i] : greatest;
    return greatest;
}

static int allocate(warmup *w, ce_error *error)
{
    size_t texts = greatest(w->batch_sizes, w->plan.batch_size_count);
    size_t sentences = greatest(w->lengths, w->plan.length_count) / SENTENCE_WORDS + 1;
    size_t threads = w->model->engine->config.threads;
    size_t rows = texts > threads ? texts : threads;
    w->text = ce_reallocarray(NULL, sentences + 1, SENTENCE_BYTES);
    w->texts = ce_reallocarray(NULL, texts, sizeof *w->texts);
    w->vectors = ce_reallocarray(NULL, rows * w->model->pack->dim, sizeof *w->vectors);
    w->seconds = ce_reallocarray(NULL, w->plan.iterations, sizeof *w->seconds);
    if (!w->text || !w->texts || !w->vectors || !w->seconds)
        return ce_fail(error, CE_E_NO_MEMORY, "no memory for a warm-up of %zu texts", texts);
    for (size_t i = 0; i < sentences; i++)
        memcpy(w->text + i * SENTENCE_BYTES, SENTENCE, SENTENCE_BYTES);
    w->text[sentences * SENTENCE_BYTES] = '\0';
    for (size_t i = 0; i < texts; i++)
        w->texts[i] = w->text;
    return CE_OK;
}

static void release(warmup *w)
{
    ce_free(w->text);
    ce_free(w->texts);
    ce_free(w->vectors);
    ce_free(w->seconds);
}

/* ---- Passes ------------------------------------------------------------------------------- */

/* Once it is over the caller is not asked again: behind the deadline every shape would wait for the answer. */
static int is_over(warmup *w)
{
    if (w->report.cancelled || w->report.timed_out)
        return 1;
    w->report.cancelled = w->plan.cancel && w->plan.cancel(w->plan.cancel_user);
    w->report.timed_out = w->deadline && ce_clock_now() >= w->deadline;
    return w->report.cancelled || w->report.timed_out;
}

static int pass(warmup *w, uint32_t length, uint32_t texts, double *seconds, ce_error *error)
{
    const citadel_embed_options options = {
        .size = sizeof options, .max_tokens = length, .prompt = ""};
    uint64_t since = ce_clock_now();
    int status = ce_embed(w->model, w->texts, NULL, texts, &options, w->vectors,
                          (size_t)texts * w->model->pack->dim, NULL, NULL, error);
    *seconds = 1e-9 * (double)(ce_clock_now() - since);
    w->report.passes += status == CE_OK;
    return status;
}

/* Embedding text by text one thread, using all others, does all the work; together they have to have been there too. */
typedef struct thread_job {
    ce_job job; /* first: the workers know nothing else */
    struct thread_jobs *all;
    float *vector;
    int status;
    ce_error failure;
} thread_job;

typedef struct thread_jobs {
    const citadel_model *model;
    ce_batch batch;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    size_t missing; /* jobs that no thread has begun */
    thread_job *jobs;
} thread_jobs;

/* Nobody goes on before all have come: so no thread takes two. As jobs start in the order they came, warm-ups that run
 * side by side do not wait for each other. */
static void run_on_thread(ce_job *base, ce_team *team)
{
    thread_job *job = (thread_job *)base;
    thread_jobs *all = job->all;
    pthread_mutex_lock(&all->lock);
    if (--all->missing == 0)
        pthread_cond_broadcast(&all->changed);
    while (all->missing > 0)
        pthread_cond_wait(&all->changed, &all->lock);
    pthread_mutex_unlock(&all->lock);
    job->status = all->model->backend->run(all->model->backend_model, &all->batch, team,
                                           job->vector, &job->failure);
}

static int run_jobs(warmup *w, thread_jobs *all, ce_error *error)
{
    size_t threads = w->model->engine->config.threads;
    for (size_t i = 0; i < threads; i++)
        all->jobs[i] = (thread_job){.job = {.run = run_on_thread},
                                    .all = all,
                                    .vector = w->vectors + i * w->model->pack->dim};
    all->missing = threads;
    pthread_mutex_init(&all->lock, NULL);
    pthread_cond_init(&all->changed, NULL);
    ce_workers_run(w->model->engine->workers, &all->jobs->job, threads, sizeof *all->jobs, 0);
    pthread_cond_destroy(&all->changed);
    pthread_mutex_destroy(&all->lock);
    for (size_t i = 0; i < threads; i++) {
        if (all->jobs[i].status != CE_OK) {
            *error = all->jobs[i].failure;
            return all->jobs[i].status;
        }
    }
    return CE_OK;
}

static int run_with_ids(warmup *w, const ce_encoding *encoding, ce_error *error)
{
    size_t tokens = encoding->count, threads = w->model->engine->config.threads;
    const int32_t cu_seqlens[] = {0, (int32_t)tokens};
    int32_t *positions = ce_reallocarray(NULL, tokens, sizeof *positions);
    thread_jobs all = {.model = w->model,
                       .batch = {.ids = encoding->ids,
                                 .positions = positions,
                                 .cu_seqlens = cu_seqlens,
                                 .tokens = tokens,
                                 .texts = 1},
                       .jobs = ce_reallocarray(NULL, threads, sizeof *all.jobs)};
    int status = positions && all.jobs ? CE_OK
                                       : ce_fail(error, CE_E_NO_MEMORY,
                                                 "no memory for a warm-up of %zu threads", threads);
    if (status == CE_OK) {
        for (size_t i = 0; i < tokens; i++)
            positions[i] = (int32_t)i;
        status = run_jobs(w, &all, error);
    }
    ce_free(positions);
    ce_free(all.jobs);
    return status;
}

static int run_on_every_thread(warmup *w, ce_error *error)
{
    ce_call_pool *pool = &w->model->engine->calls;
    ce_encode_options encode = {0};
    ce_encoding encoding;
    uint32_t limit;
    ce_call *call;
    int status = ce_prompt_prepare(w->model, w->lengths[0], NULL, "", NULL, &encode, &limit, error);
    if (status == CE_OK)
        status = ce_call_take(pool, &call, error);
    if (status != CE_OK)
        return status;
    status = ce_tokenizer_encode(w->model->tokenizer, call->tokenizer, w->text, strlen(w->text),
                                 &encode, &encoding, error);
    if (status == CE_OK)
        status = run_with_ids(w, &encoding, error);
    ce_call_give(pool, call);
    return status;
}

static int warm_first(warmup *w, ce_error *error)
{
    int status = CE_OK;
    for (uint32_t i = 0; i < w->plan.iterations && status == CE_OK && !is_over(w); i++) {
        double seconds;
        status = pass(w, w->lengths[0], w->batch_sizes[0], &seconds, error);
        if (i == 0)
            w->report.first_seconds = seconds;
        else
            w->seconds[w->timed++] = seconds;
    }
    if (status == CE_OK && !is_over(w))
        status = run_on_every_thread(w, error);
    return status;
}

static int warm_other(warmup *w, uint32_t length, uint32_t texts, ce_error *error)
{
    uint32_t count = w->plan.iterations < OTHER_ITERATIONS ? w->plan.iterations : OTHER_ITERATIONS;
    int status = CE_OK;
    double seconds;
    for (uint32_t i = 0; i < count && status == CE_OK && !is_over(w); i++)
        status = pass(w, length, texts, &seconds, error);
    return status;
}

static int warm_all(warmup *w, ce_error *error)
{
    int status = warm_first(w, error);
    for (size_t b = 0; b < w->plan.batch_size_count; b++)
        for (size_t l = 0; l < w->plan.length_count && status == CE_OK; l++)
            if (b + l > 0 && !left_out(w, w->lengths[l], w->batch_sizes[b]))
                status = warm_other(w, w->lengths[l], w->batch_sizes[b], error);
    /* Memory and caches are left as the first shape wants them, not as the largest one did. */
    if (status == CE_OK && w->plan.batch_size_count * w->plan.length_count > 1)
        status = warm_other(w, w->lengths[0], w->batch_sizes[0], error);
    return status;
}

/* ---- Report ------------------------------------------------------------------------------- */

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Nearest rank. */
static double percentile(const double *sorted, size_t count, size_t percent)
{
    return count ? sorted[(count * percent + 99) / 100 - 1] : 0;
}

static void finish_report(warmup *w, uint64_t since)
{
    if (w->timed > 0)
        qsort(w->seconds, w->timed, sizeof *w->seconds, ascending);
    w->report.p50_seconds = percentile(w->seconds, w->timed, 50);
    w->report.p95_seconds = percentile(w->seconds, w->timed, 95);
    w->report.peak_bytes = ce_memory_peak();
    uint64_t elapsed = ce_clock_now() - since;
    w->report.seconds = 1e-9 * (double)elapsed;
    ce_metrics *metrics = &w->model->engine->metrics;
    ce_metrics_add(&metrics->warmups, 1);
    ce_metrics_add(&metrics->warmup_ns, elapsed);
}

static int warm_up(warmup *w, size_t lengths, size_t batch_sizes, ce_error *error)
{
    uint64_t since = ce_clock_now();
    w->deadline = ce_deadline_in(w->plan.time_budget_ms).at;
    int status = read_plan(w, lengths, batch_sizes, error);
    if (status == CE_OK)
        status = allocate(w, error);
    if (status == CE_OK)
        status = warm_all(w, error);
    if (status == CE_OK)
        finish_report(w, since);
    release(w);
    return status;
}

int ce_warmup_load(citadel_model *model, ce_error *error)
{
    warmup w = {.model = model};
    int status = warm_up(&w, LOAD_LENGTHS, 1, error);
    if (status != CE_OK)
        ce_error_prefix(error, "warm-up");
    return status == CE_E_NOT_FINITE ? CE_E_BAD_MODEL : status;
}

/* ---- Public ------------------------------------------------------------------------------- */

static int warm_held(warmup *w, ce_error *error)
{
    citadel_engine *engine = w->model->engine;
    int status = ce_engine_enter(engine, error);
    if (status != CE_OK)
        return status;
    ce_cache_hold(w->model);
    status = warm_up(w, DEFAULT_LENGTHS, DEFAULT_BATCH_SIZES, error);
    if (status != CE_OK)
        ce_error_prefix(error, "model '%s'", w->model->pack->name);
    ce_cache_release(w->model);
    ce_engine_leave(engine);
    return status;
}

static int warm_model(citadel_model *model, const citadel_warmup_plan *plan,
                      citadel_warmup_report *report, ce_error *error)
{
    warmup w = {.model = model, .report = {.size = sizeof w.report}};
    if (!model)
        return ce_fail(error, CE_E_INVALID_ARGUMENT, "model is NULL");
    int status = ce_options_read(&w.plan, sizeof w.plan, plan, CE_WARMUP_PLAN_SIZE_1,
                                 "citadel_warmup_plan", error);
    if (status == CE_OK && report)
        status = ce_result_check(report, CE_WARMUP_REPORT_SIZE_1, "citadel_warmup_report", error);
    if (status == CE_OK)
        status = warm_held(&w, error);
    if (status == CE_OK && report)
        ce_result_write(report, &w.report, sizeof w.report);
    return status;
}

citadel_status citadel_model_warmup(const citadel_model *model, const citadel_warmup_plan *plan,
                                    citadel_warmup_report *report, citadel_error *error)
{
    if (!ce_error_ready(error))
        return CITADEL_E_ABI;
    ce_error failure;
    int status = warm_model((citadel_model *)model, plan, report, &failure);
    return ce_error_report(error, status, &failure);
}
