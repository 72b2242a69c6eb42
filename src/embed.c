#include "embed.h"

#include "clock.h"
#include "engine.h"
#include "model.h"
#include "options.h"
#include "output.h"
#include "precision.h"
#include "prompt.h"

#include <stdint.h>
#include <string.h>

/* Texts are taken in windows, so that the memory of a call does not grow with their number: so many batches for
 * each thread, enough to keep all busy and to find texts of one length for a padded layout. */
enum { BATCHES_PER_THREAD = 8 };

typedef struct request {
    citadel_model *model;
    ce_call *call;
    ce_metrics *metrics; /* NULL: nobody is to count this */
    ce_work work;
    const char *const *texts;
    const size_t *lengths;
    size_t count;
    ce_encode_options encode;
    uint32_t limit; /* CITADEL_LIMIT_*: what max_tokens stands for */
    ce_output output;
    size_t stride;
    float *out;
    citadel_text_result *results;
    struct {
        int status; /* CE_OK: none so far */
        size_t index;
        ce_error failure;
    } bad; /* the first text that failed by itself */
} request;

/* A text of the window: its number in the call, and its ids. */
typedef struct window_text {
    size_t index;
    size_t first_id;
    int finite;
} window_text;

typedef struct batch_job {
    ce_job job; /* first: the workers know nothing else */
    const request *request;
    const ce_batch_range *range;
    ce_batch batch;
    float *vectors;
    uint64_t started, output, ended; /* ce_clock_now, and how long the rows took in between */
    int status;
    ce_error failure;
} batch_job;

static float *row_of(const request *r, size_t index)
{
    return r->out + index * r->stride;
}

/* ---- Arguments ---------------------------------------------------------------------------- */

static int check_precision(int32_t asked, const citadel_model *model, ce_error *error)
{
    int status = ce_precision_check(asked, "embed options", error);
    if (status == CE_OK && asked != CITADEL_PRECISION_AUTO &&
        asked != model->pack->chosen->precision)
        status =
            ce_fail(error, CE_E_UNSUPPORTED, "precision %s was asked for, but the model is %s",
                    ce_precision_name(asked), ce_precision_name(model->pack->chosen->precision));
    return status;
}

static int read_options(request *r, const citadel_embed_options *o, ce_error *error)
{
    const ce_pack *pack = r->model->pack;
    if (o->flags)
        return ce_fail(error, CE_E_INVALID_ARGUMENT, "embed options: unknown flags 0x%x", o->flags);
    if (o->reserved0)
        return ce_fail(error, CE_E_INVALID_ARGUMENT, "embed options: reserved0 must be 0");
    int status = check_precision(o->precision, r->model, error);
    if (status != CE_OK)
        return status;
    if (o->normalize < CITADEL_NORMALIZE_MODEL || o->normalize > CITADEL_NORMALIZE_NEVER)
        return ce_fail(error, CE_E_INVALID_ARGUMENT,
                       "embed options: normalize is %d, expected a CITADEL_NORMALIZE_* (0 to %d)",
                       (int)o->normalize, CITADEL_NORMALIZE_NEVER);
    if (o->truncate_dim > pack->dim)
        return ce_fail(error, CE_E_INVALID_ARGUMENT,
                       "embed options: truncate_dim is %u, but the model has %u dimensions",
                       o->truncate_dim, pack->dim);
    r->output = (ce_output){
        .model_dim = pack->dim,
        .dim = o->truncate_dim ? o->truncate_dim : pack->dim,
        .normalize_model = pack->normalize && o->normalize != CITADEL_NORMALIZE_NEVER,
        .normalize_cut = o->normalize == CITADEL_NORMALIZE_ALWAYS,
    };
    if (o->timings) {
        status = ce_result_check(o->timings, CE_TIMINGS_SIZE_1, "citadel_timings", error);
        if (status != CE_OK)
            return status;
    }
    r->stride = o->row_stride ? o->row_stride : r->output.dim;
    if (r->stride < r->output.dim)
        return ce_fail(error, CE_E_INVALID_ARGUMENT,
                       "embed options: row_stride is %zu, but a row has %zu numbers", r->stride,
                       r->output.dim);
    return ce_prompt_prepare(r->model, o->max_tokens, o->prompt_name, o->prompt,
                             pack->default_prompt, &r->encode, &r->limit, error);
}

/* Of all rows; SIZE_MAX stands for more than can be counted. */
static size_t floats_needed(const request *r)
{
    size_t dim = r->output.dim;
    if (r->count - 1 > (SIZE_MAX - dim) / r->stride)
        return SIZE_MAX;
    return (r->count - 1) * r->stride + dim;
}

static int check_text(const request *r, size_t index, ce_error *error)
{
    size_t length = r->lengths ? r->lengths[index] : 0;
    if (!r->texts[index] && !(r->lengths && length == 0))
        return ce_fail(error, CE_E_INVALID_ARGUMENT, "texts[%zu] is NULL", index);
    if (length > PTRDIFF_MAX)
        return ce_fail(error, CE_E_INVALID_ARGUMENT, "lengths[%zu] is %zu, at most %td is possible",
                       index, length, PTRDIFF_MAX);
    return CE_OK;
}

static int check_buffers(const request *r, size_t capacity, ce_error *error)
{
    if (!r->texts || !r->out)
        return ce_fail(error, CE_E_INVALID_ARGUMENT, "%s is NULL, but count is %zu",
                       r->texts ? "out" : "texts", r->count);
    size_t need = floats_needed(r);
    if (capacity < need || need == SIZE_MAX)
        return ce_fail(error, CE_E_CAPACITY,
                       "out has room for %zu floats, but %zu rows of %zu with stride %zu need %zu",
                       capacity, r->count, r->output.dim, r->stride, need);
    int status = CE_OK;
    for (size_t i = 0; i < r->count && status == CE_OK; i++)
        status = check_text(r, i, error);
    return status;
}

/* ---- Texts to ids ------------------------------------------------------------------------- */

static size_t batch_tokens(const request *r)
{
    return ce_config_batch_tokens(&r->model->engine->config, r->model->backend->batch_tokens);
}

static void set_result(const request *r, size_t index, int status, const ce_encoding *encoding)
{
    if (!r->results)
        return;
    r->results[index] = (citadel_text_result){
        .status = status,
        .tokens = encoding ? (uint32_t)encoding->count : 0,
        .truncated = encoding && encoding->truncated,
        .limit = encoding && encoding->truncated ? r->limit : CITADEL_LIMIT_NONE,
    };
}

static int keep(ce_call *call, size_t texts, size_t tokens, size_t index,
                const ce_encoding *encoding, ce_error *error)
{
    int status = ce_array_reserve(&call->ids, tokens + encoding->count, sizeof(int32_t), error);
    if (status == CE_OK)
        status = ce_array_reserve(&call->texts, texts + 1, sizeof(window_text), error);
    if (status == CE_OK)
        status = ce_array_reserve(&call->lengths, texts + 1, sizeof(uint32_t), error);
    if (status != CE_OK)
        return status;
    memcpy((int32_t *)call->ids.data + tokens, encoding->ids, encoding->count * sizeof(int32_t));
    ((window_text *)call->texts.data)[texts] = (window_text){.index = index, .first_id = tokens};
    ((uint32_t *)call->lengths.data)[texts] = (uint32_t)encoding->count;
    return CE_OK;
}

static int encode_text(const request *r, size_t index, ce_encoding *encoding, ce_error *error)
{
    const char *text = r->texts[index] ? r->texts[index] : "";
    size_t length = r->lengths ? r->lengths[index] : strlen(text);
    int status = ce_tokenizer_encode(r->model->tokenizer, r->call->tokenizer, text, length,
                                     &r->encode, encoding, error);
    if (status == CE_OK && encoding->count == 0)
        status =
            ce_fail(error, CE_E_UNSUPPORTED, "no tokens: the model cannot embed an empty text");
    return status;
}

/* A text that fails by itself, as opposed to a call that cannot go on. With `results` the call goes on without it. */
static int is_text_failure(int status)
{
    return status == CE_E_INVALID_UTF8 || status == CE_E_UNSUPPORTED;
}

static void note_bad(request *r, size_t index, int status, const ce_error *failure)
{
    set_result(r, index, status, NULL);
    memset(row_of(r, index), 0, r->output.dim * sizeof(float));
    if (r->bad.status != CE_OK && r->bad.index < index)
        return;
    r->bad.status = status;
    r->bad.index = index;
    r->bad.failure = *failure;
}

static int goes_on(const request *r)
{
    return r->bad.status == CE_OK || r->results;
}

/* Gather texts from `*next` on until the window is full. */
static int fill_window(request *r, size_t *next, size_t *texts, size_t *tokens, ce_error *error)
{
    size_t window = batch_tokens(r) * r->model->engine->config.threads * BATCHES_PER_THREAD;
    uint64_t since = ce_clock_now();
    *texts = *tokens = 0;
    while (*next < r->count && *tokens < window && goes_on(r)) {
        size_t index = (*next)++;
        ce_encoding encoding;
        int status = encode_text(r, index, &encoding, error);
        if (status == CE_OK) {
            set_result(r, index, CE_OK, &encoding);
            status = keep(r->call, *texts, *tokens, index, &encoding, error);
            if (status != CE_OK)
                return status;
            *texts += 1;
            *tokens += encoding.count;
        } else {
            ce_error_prefix(error, "texts[%zu]", index);
            if (!is_text_failure(status))
                return status;
            note_bad(r, index, status, error);
        }
    }
    r->work.tokenize += ce_clock_now() - since;
    return CE_OK;
}

/* ---- Ids to vectors ----------------------------------------------------------------------- */

static void lay_out(batch_job *job)
{
    const ce_call *call = job->request->call;
    const uint64_t *order = call->order.data;
    const window_text *texts = call->texts.data;
    const uint32_t *lengths = call->lengths.data;
    const int32_t *ids = call->ids.data;
    int32_t *batch_ids = (int32_t *)job->batch.ids;
    int32_t *positions = (int32_t *)job->batch.positions;
    int32_t *cu_seqlens = (int32_t *)job->batch.cu_seqlens;

    size_t token = 0;
    for (size_t i = 0; i < job->range->count; i++) {
        size_t text = order[job->range->first + i];
        cu_seqlens[i] = (int32_t)token;
        memcpy(batch_ids + token, ids + texts[text].first_id, lengths[text] * sizeof *ids);
        for (uint32_t position = 0; position < lengths[text]; position++)
            positions[token + position] = (int32_t)position;
        token += lengths[text];
    }
    cu_seqlens[job->range->count] = (int32_t)token;
}

static window_text *text_of(const batch_job *job, size_t i)
{
    const uint64_t *order = job->request->call->order.data;
    window_text *texts = job->request->call->texts.data;
    return &texts[order[job->range->first + i]];
}

/* Write the rows of the batch's texts that have none yet; returns how many still have none. */
static size_t write_rows(batch_job *job)
{
    const request *r = job->request;
    const float *vector = job->vectors;
    uint64_t since = ce_clock_now();
    size_t bad = 0;
    for (size_t i = 0; i < job->range->count; i++) {
        window_text *text = text_of(job, i);
        if (text->finite)
            continue;
        text->finite = ce_output_write(&r->output, vector, row_of(r, text->index));
        bad += !text->finite;
        vector += r->output.model_dim;
    }
    job->output += ce_clock_now() - since;
    return bad;
}

/* Move the texts without a row to the front of the batch's own arrays, and leave out the others. */
static void keep_bad(batch_job *job)
{
    const uint32_t *lengths = job->request->call->lengths.data;
    const window_text *texts = job->request->call->texts.data;
    int32_t *ids = (int32_t *)job->batch.ids;
    int32_t *positions = (int32_t *)job->batch.positions;
    int32_t *cu_seqlens = (int32_t *)job->batch.cu_seqlens;
    size_t from = 0, to = 0, kept = 0;
    for (size_t i = 0; i < job->range->count; i++) {
        const window_text *text = text_of(job, i);
        size_t length = lengths[text - texts];
        if (!text->finite) {
            memmove(ids + to, ids + from, length * sizeof *ids);
            memmove(positions + to, positions + from, length * sizeof *positions);
            to += length;
            cu_seqlens[++kept] = (int32_t)to;
        }
        from += length;
    }
    job->batch.texts = kept;
    job->batch.tokens = to;
}

/* Texts whose numbers overflowed are computed once more where larger ones fit. */
static void recover(batch_job *job, size_t bad, ce_team *team)
{
    citadel_model *model = job->request->model;
    keep_bad(job);
    ce_metrics_add(&model->engine->metrics.nan_recoveries, bad);
    job->status = model->backend->recover(model->backend_model, &job->batch, team, job->vectors,
                                          &job->failure);
    if (job->status == CE_OK)
        write_rows(job);
}

static void compute_batch(batch_job *job, ce_team *team)
{
    const citadel_model *model = job->request->model;
    lay_out(job);
    job->status =
        model->backend->run(model->backend_model, &job->batch, team, job->vectors, &job->failure);
    if (job->status != CE_OK)
        return;
    size_t bad = write_rows(job);
    if (bad > 0 && model->recovers)
        recover(job, bad, team);
}

static void run_batch(ce_job *base, ce_team *team)
{
    batch_job *job = (batch_job *)base;
    job->started = ce_clock_now();
    compute_batch(job, team);
    job->ended = ce_clock_now();
}

static int reserve_batches(ce_call *call, size_t texts, size_t tokens, size_t batches, size_t dim,
                           ce_error *error)
{
    int status = ce_array_reserve(&call->batch_ids, tokens, sizeof(int32_t), error);
    if (status == CE_OK)
        status = ce_array_reserve(&call->positions, tokens, sizeof(int32_t), error);
    if (status == CE_OK)
        status = ce_array_reserve(&call->cu_seqlens, texts + batches, sizeof(int32_t), error);
    if (status == CE_OK)
        status = ce_array_reserve(&call->vectors, texts, dim * sizeof(float), error);
    if (status == CE_OK)
        status = ce_array_reserve(&call->jobs, batches, sizeof(batch_job), error);
    return status;
}

/* Give each batch its part of the call's arrays. */
static void make_jobs(const request *r, const ce_batch_range *ranges, size_t batches)
{
    ce_call *call = r->call;
    batch_job *jobs = call->jobs.data;
    size_t token = 0;
    for (size_t b = 0; b < batches; b++) {
        const ce_batch_range *range = &ranges[b];
        jobs[b] = (batch_job){
            .job = {.run = run_batch},
            .request = r,
            .range = range,
            .batch = {.ids = (int32_t *)call->batch_ids.data + token,
                      .positions = (int32_t *)call->positions.data + token,
                      .cu_seqlens = (int32_t *)call->cu_seqlens.data + range->first + b,
                      .tokens = range->tokens,
                      .texts = range->count},
            .vectors = (float *)call->vectors.data + range->first * r->output.model_dim,
        };
        token += range->tokens;
    }
}

/* Of a window that was handed over at `submitted`. While batches run side by side the clock's time goes to computing and
 * to output as the threads' time does. */
static void account(request *r, const batch_job *jobs, size_t batches, uint64_t submitted)
{
    uint64_t now = ce_clock_now(), first = now;
    double output = 0, busy = 0;
    for (size_t b = 0; b < batches; b++) {
        first = jobs[b].started < first ? jobs[b].started : first;
        output += (double)jobs[b].output;
        busy += (double)(jobs[b].ended - jobs[b].started);
        if (r->metrics)
            ce_metrics_record_batch(r->metrics, jobs[b].range->count, jobs[b].range->tokens);
        r->work.texts += jobs[b].range->count;
        r->work.tokens += jobs[b].range->tokens;
    }
    uint64_t rows = busy > 0 ? (uint64_t)((double)(now - first) * output / busy) : 0;
    r->work.batches += batches;
    r->work.queue += first - submitted;
    r->work.output += rows;
    r->work.compute += now - first - rows;
}

static int compute_window(request *r, size_t texts, size_t tokens, ce_error *error)
{
    ce_call *call = r->call;
    citadel_engine *engine = r->model->engine;
    int status = ce_array_reserve(&call->order, texts, sizeof(uint64_t), error);
    if (status == CE_OK)
        status = ce_array_reserve(&call->ranges, texts, sizeof(ce_batch_range), error);
    if (status != CE_OK)
        return status;
    const ce_batch_aim aim = {.budget = batch_tokens(r),
                              .split = r->model->backend->split_tokens,
                              .threads = engine->config.threads};
    ce_batch_range *ranges = call->ranges.data;
    size_t batches = ce_batcher_plan(call->lengths.data, texts, r->model->pack->layout, &aim,
                                     call->order.data, ranges);
    status = reserve_batches(call, texts, tokens, batches, r->output.model_dim, error);
    if (status != CE_OK)
        return status;
    make_jobs(r, ranges, batches);
    batch_job *jobs = call->jobs.data;
    uint64_t submitted = ce_clock_now();
    ce_workers_run(engine->workers, &jobs->job, batches, sizeof *jobs,
                   r->model->backend->any_thread);
    account(r, jobs, batches, submitted);
    for (size_t b = 0; b < batches; b++) {
        if (jobs[b].status != CE_OK) {
            *error = jobs[b].failure;
            return jobs[b].status;
        }
    }
    return CE_OK;
}

static void check_finite(request *r, size_t texts)
{
    const window_text *window = r->call->texts.data;
    const uint32_t *lengths = r->call->lengths.data;
    for (size_t i = 0; i < texts; i++) {
        if (window[i].finite)
            continue;
        ce_error failure;
        ce_fail(&failure, CE_E_NOT_FINITE, "texts[%zu]: the vector has NaN or infinity (%u tokens)",
                window[i].index, lengths[i]);
        note_bad(r, window[i].index, CE_E_NOT_FINITE, &failure);
    }
}

static int embed_all(request *r, ce_error *error)
{
    for (size_t next = 0; next < r->count && goes_on(r);) {
        size_t texts, tokens;
        int status = fill_window(r, &next, &texts, &tokens, error);
        if (status == CE_OK && texts > 0 && goes_on(r))
            status = compute_window(r, texts, tokens, error);
        else
            texts = 0;
        if (status != CE_OK)
            return status;
        check_finite(r, texts);
    }
    return CE_OK;
}

static void write_timings(const request *r, citadel_timings *out)
{
    const citadel_timings known = {
        .size = sizeof known,
        .tokenize = 1e-9 * (double)r->work.tokenize,
        .queue = 1e-9 * (double)r->work.queue,
        .compute = 1e-9 * (double)r->work.compute,
        .output = 1e-9 * (double)r->work.output,
        .total = 1e-9 * (double)r->work.total,
        .tokens = r->work.tokens,
        .batches = r->work.batches,
    };
    ce_result_write(out, &known, sizeof known);
}

static int run(request *r, ce_error *error)
{
    ce_call_pool *pool = &r->model->engine->calls;
    int status = ce_call_take(pool, &r->call, error);
    if (status != CE_OK)
        return status;
    status = embed_all(r, error);
    ce_call_give(pool, r->call);
    return status;
}

/* A count that wrapped is the size of no array. */
static int fail_all(citadel_text_result *results, size_t count, int status)
{
    int possible = count <= PTRDIFF_MAX / sizeof *results;
    for (size_t i = 0; results && possible && i < count; i++)
        results[i] = (citadel_text_result){.status = status};
    return status;
}

int ce_embed(citadel_model *model, const char *const *texts, const size_t *lengths, size_t count,
             const citadel_embed_options *options, float *out, size_t out_capacity,
             citadel_text_result *results, ce_metrics *metrics, ce_error *error)
{
    citadel_embed_options known;
    uint64_t since = ce_clock_now();
    request r = {.model = model,
                 .metrics = metrics,
                 .texts = texts,
                 .lengths = lengths,
                 .count = count,
                 .out = out,
                 .results = results};
    int status = ce_options_read(&known, sizeof known, options, CE_EMBED_OPTIONS_SIZE_1,
                                 "citadel_embed_options", error);
    if (status == CE_OK)
        status = read_options(&r, &known, error);
    if (status == CE_OK && count > 0)
        status = check_buffers(&r, out_capacity, error);
    if (status == CE_OK && count > 0)
        status = run(&r, error);
    if (status != CE_OK)
        return fail_all(results, count, status);
    r.work.total = ce_clock_now() - since;
    if (metrics && r.work.batches > 0)
        ce_metrics_record(metrics, &r.work);
    if (known.timings)
        write_timings(&r, known.timings);
    if (r.bad.status != CE_OK)
        *error = r.bad.failure;
    return r.bad.status;
}

/* ---- Public ------------------------------------------------------------------------------- */

/* The model's holder keeps it and its engine alive; a running call does too, so that unloading meanwhile is safe. */
static int embed_held(citadel_model *model, const char *const *texts, const size_t *lengths,
                      size_t count, const citadel_embed_options *options, float *out,
                      size_t out_capacity, citadel_text_result *results, ce_error *error)
{
    int status = model ? ce_engine_enter(model->engine, error)
                       : ce_fail(error, CE_E_INVALID_ARGUMENT, "model is NULL");
    if (status != CE_OK)
        return fail_all(results, count, status);
    citadel_engine *engine = model->engine;
    ce_cache_hold(model);
    status = ce_embed(model, texts, lengths, count, options, out, out_capacity, results,
                      &engine->metrics, error);
    if (count > 0)
        ce_metrics_count_call(&engine->metrics, status);
    if (status != CE_OK)
        ce_error_prefix(error, "model '%s'", model->pack->name);
    ce_cache_release(model);
    ce_engine_leave(engine);
    return status;
}

citadel_status citadel_model_embed(const citadel_model *model, const char *const *texts,
                                   const size_t *lengths, size_t count,
                                   const citadel_embed_options *options, float *out,
                                   size_t out_capacity, citadel_text_result *results,
                                   citadel_error *error)
{
    if (!ce_error_ready(error))
        return fail_all(results, count, CITADEL_E_ABI);
    ce_error failure;
    int status = embed_held((citadel_model *)model, texts, lengths, count, options, out,
                            out_capacity, results, &failure);
    return ce_error_report(error, status, &failure);
}

static int find_named(citadel_engine *engine, const char *name,
                      const citadel_embed_options *options, citadel_model **model, ce_error *error)
{
    citadel_embed_options known;
    int status = ce_options_read(&known, sizeof known, options, CE_EMBED_OPTIONS_SIZE_1,
                                 "citadel_embed_options", error);
    if (status == CE_OK)
        status = ce_precision_check(known.precision, "embed options", error);
    const citadel_load_options load = {.size = sizeof load, .precision = known.precision};
    if (status == CE_OK)
        status = ce_cache_acquire(engine, name, &load, model, error);
    return status;
}

static int embed_named(citadel_engine *engine, const char *name, const char *const *texts,
                       const size_t *lengths, size_t count, const citadel_embed_options *options,
                       float *out, size_t out_capacity, citadel_text_result *results,
                       ce_error *error)
{
    int status = engine && name ? ce_engine_enter(engine, error)
                                : ce_fail(error, CE_E_INVALID_ARGUMENT, "%s is NULL",
                                          engine ? "name" : "engine");
    if (status != CE_OK)
        return fail_all(results, count, status);
    citadel_model *model;
    status = find_named(engine, name, options, &model, error);
    if (status == CE_OK) {
        status =
            embed_held(model, texts, lengths, count, options, out, out_capacity, results, error);
        ce_cache_release(model);
    } else {
        fail_all(results, count, status);
        if (count > 0)
            ce_metrics_count_call(&engine->metrics, status);
    }
    ce_engine_leave(engine);
    return status;
}

citadel_status citadel_embed(citadel_engine *engine, const char *name, const char *const *texts,
                             const size_t *lengths, size_t count,
                             const citadel_embed_options *options, float *out, size_t out_capacity,
                             citadel_text_result *results, citadel_error *error)
{
    if (!ce_error_ready(error))
        return fail_all(results, count, CITADEL_E_ABI);
    ce_error failure;
    int status = embed_named(engine, name, texts, lengths, count, options, out, out_capacity,
                             results, &failure);
    return ce_error_report(error, status, &failure);
}
