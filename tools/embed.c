/* citadel-embed embed */
#include "buffer.h"
#include "commands.h"
#include "failures.h"
#include "reader.h"
#include "report.h"
#include "session.h"
#include "sink.h"
#include "writer.h"

typedef struct job {
    const settings *settings;
    reader reader;
    sink out;
    session session;
    embedder embedder;
    writer writer;
    failures failures;
    size_t texts;
} job;

/* JSON lines have a place for an error; the other formats would have their rows misnumbered. */
static bool text_failed(job *j, const chunk *texts, size_t i)
{
    citadel_error error = CITADEL_ERROR_INIT;
    citadel_status status = j->embedder.results[i].status;
    const char *place = reader_place(&j->reader, texts->first + i);
    const char *why =
        explain_failure(&j->session, texts->texts[i], texts->lengths[i], status, &error);
    if (j->settings->format == FORMAT_JSON)
        return failures_write(&j->failures, &j->out, place, status, why);
    if (sink_flush(&j->out)) /* lest the line appear in the middle of a row */
        report_error("%s: %s", place, why);
    return false;
}

static bool embed_chunk(job *j, const chunk *texts)
{
    if (!embedder_run(&j->embedder, texts))
        return false;
    for (size_t i = 0; i < texts->count; i++) {
        const citadel_text_result *result = &j->embedder.results[i];
        bool written =
            result->status == CITADEL_OK
                ? writer_vector(&j->writer, j->embedder.vectors + i * j->embedder.dim, result)
                : text_failed(j, texts, i);
        if (!written)
            return false;
    }
    j->texts += texts->count;
    return sink_flush(&j->out);
}

static bool embed_all(job *j)
{
    report_progress_start(sink_is_terminal(&j->out));
    for (;;) {
        const chunk *texts;
        if (!reader_next(&j->reader, &texts))
            return false;
        if (texts->count == 0)
            return true;
        if (!embed_chunk(j, texts))
            return false;
        report_progress(j->texts, reader_part(&j->reader));
    }
}

static bool open_all(job *j)
{
    const settings *s = j->settings;
    citadel_embed_options options = CITADEL_EMBED_OPTIONS_INIT;
    options.normalize = (int32_t)s->normalize;
    options.truncate_dim = s->truncate_dim;
    options.max_tokens = s->max_tokens;
    options.prompt_name = s->prompt_name;
    options.prompt = s->prompt;
    return reader_open(&j->reader, s, s->texts, s->text_count) && sink_open(&j->out, s->output) &&
           session_open(&j->session, s) && embedder_open(&j->embedder, &j->session, &options) &&
           writer_open(&j->writer, &j->out, s->format, j->embedder.dim);
}

static bool read_metrics(job *j, buffer *text)
{
    citadel_error error = CITADEL_ERROR_INIT;
    size_t length = 0;
    citadel_status status = CITADEL_E_CAPACITY;
    for (size_t capacity = 1 << 14; status == CITADEL_E_CAPACITY; capacity = 2 * length) {
        text->used = 0;
        status = citadel_metrics_text(j->session.engine, buffer_reserve(text, capacity), capacity,
                                      &length, &error);
    }
    text->used = length;
    if (status != CITADEL_OK)
        report_error("%s", error.message);
    return status == CITADEL_OK;
}

/* Also of a run that failed: its failures are counted there. */
static bool write_metrics(job *j)
{
    buffer text = {0};
    sink out = {0};
    sink_close(
        &j->out); /* a file of results that is not whole must be gone: there is one at a time */
    bool done = read_metrics(j, &text) && sink_open(&out, j->settings->metrics) &&
                sink_write(&out, text.data, text.used) && sink_finish(&out);
    sink_close(&out);
    buffer_free(&text);
    return done;
}

static void close_all(job *j)
{
    failures_free(&j->failures);
    writer_close(&j->writer);
    embedder_close(&j->embedder);
    session_close(&j->session);
    sink_close(&j->out);
    reader_close(&j->reader);
}

int run_embed(const settings *s)
{
    job j = {.settings = s};
    bool done = open_all(&j) && embed_all(&j) && writer_finish(&j.writer) && sink_finish(&j.out);
    report_progress_end();
    if (done)
        done = failures_report(&j.failures, j.texts);
    if (s->metrics && j.session.engine)
        done &= write_metrics(&j);
    close_all(&j);
    return done ? EXIT_OK : EXIT_FAILED;
}
