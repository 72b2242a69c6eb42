/* citadel-embed tokenize */
#include "buffer.h"
#include "commands.h"
#include "failures.h"
#include "reader.h"
#include "report.h"
#include "session.h"
#include "sink.h"

#include <inttypes.h>
#include <stdlib.h>

typedef struct job {
    const settings *settings;
    reader reader;
    sink out;
    session session;
    citadel_tokenize_options options;
    citadel_tokens tokens; /* with room for the longest text so far */
    buffer row;
    failures failures;
    size_t texts;
} job;

static void make_room(job *j, size_t capacity)
{
    citadel_tokens *t = &j->tokens;
    t->ids = must_resize(t->ids, capacity, sizeof *t->ids);
    t->offsets = must_resize(t->offsets, capacity, sizeof *t->offsets);
    t->type_ids = must_resize(t->type_ids, capacity, sizeof *t->type_ids);
    t->capacity = capacity;
}

static citadel_status tokenize(job *j, const char *text, size_t length, citadel_error *error)
{
    citadel_status status =
        citadel_tokenize(j->session.model, text, length, &j->options, &j->tokens, error);
    if (status != CITADEL_E_CAPACITY)
        return status;
    make_room(j, j->tokens.count);
    return citadel_tokenize(j->session.model, text, length, &j->options, &j->tokens, error);
}

static void format_ids(buffer *row, const char *name, const int32_t *ids, size_t count)
{
    buffer_format(row, "\"%s\":[", name);
    for (size_t i = 0; i < count; i++)
        buffer_format(row, "%s%" PRId32, i ? "," : "", ids[i]);
    buffer_format(row, "],");
}

static void format_offsets(buffer *row, const citadel_span *offsets, size_t count)
{
    buffer_format(row, "\"offsets\":[");
    for (size_t i = 0; i < count; i++)
        buffer_format(row, "%s[%zu,%zu]", i ? "," : "", offsets[i].start, offsets[i].end);
    buffer_format(row, "],");
}

static bool write_tokens(job *j)
{
    const citadel_tokens *t = &j->tokens;
    j->row.used = 0;
    buffer_format(&j->row, "{");
    format_ids(&j->row, "ids", t->ids, t->count);
    format_offsets(&j->row, t->offsets, t->count);
    if (j->options.pair)
        format_ids(&j->row, "type_ids", t->type_ids, t->count);
    buffer_format(&j->row, "\"truncated\":%s}\n", t->truncated ? "true" : "false");
    return sink_write(&j->out, j->row.data, j->row.used);
}

static bool tokenize_text(job *j, const chunk *texts, size_t i)
{
    citadel_error error = CITADEL_ERROR_INIT;
    j->options.pair = texts->pairs[i];
    j->options.pair_length = texts->pair_lengths[i];
    citadel_status status = tokenize(j, texts->texts[i], texts->lengths[i], &error);
    if (status == CITADEL_OK)
        return write_tokens(j);
    const char *place = reader_place(&j->reader, texts->first + i);
    if (is_text_failure(status))
        return failures_write(&j->failures, &j->out, place, status, error.message);
    report_error("%s: %s", place, error.message);
    return false;
}

static bool tokenize_all(job *j)
{
    report_progress_start(sink_is_terminal(&j->out));
    for (;;) {
        const chunk *texts;
        if (!reader_next(&j->reader, &texts))
            return false;
        if (texts->count == 0)
            return true;
        for (size_t i = 0; i < texts->count; i++)
            if (!tokenize_text(j, texts, i))
                return false;
        j->texts += texts->count;
        if (!sink_flush(&j->out))
            return false;
        report_progress(j->texts, reader_part(&j->reader));
    }
}

/* Without texts there would be nobody to refuse a wrong option. */
static bool check_options(job *j)
{
    citadel_error error = CITADEL_ERROR_INIT;
    if (tokenize(j, "", 0, &error) == CITADEL_OK)
        return true;
    report_error("%s", error.message);
    return false;
}

static bool open_all(job *j)
{
    const settings *s = j->settings;
    j->options = (citadel_tokenize_options)CITADEL_TOKENIZE_OPTIONS_INIT;
    j->options.flags = (s->no_specials ? CITADEL_TOKENIZE_NO_SPECIALS : 0) |
                       (s->no_truncation ? CITADEL_TOKENIZE_NO_TRUNCATION : 0) |
                       (s->truncate_left ? CITADEL_TOKENIZE_TRUNCATE_LEFT : 0);
    j->options.max_tokens = s->max_tokens;
    j->options.prompt_name = s->prompt_name;
    j->options.prompt = s->prompt;
    j->tokens = (citadel_tokens)CITADEL_TOKENS_INIT;
    make_room(j, 256);
    if (!reader_open(&j->reader, s, s->texts, s->text_count))
        return false;
    j->reader.with_pairs = true;
    return sink_open(&j->out, s->output) && session_open(&j->session, s) && check_options(j);
}

static void close_all(job *j)
{
    failures_free(&j->failures);
    buffer_free(&j->row);
    free(j->tokens.ids);
    free(j->tokens.offsets);
    free(j->tokens.type_ids);
    session_close(&j->session);
    sink_close(&j->out);
    reader_close(&j->reader);
}

int run_tokenize(const settings *s)
{
    job j = {.settings = s};
    bool done = open_all(&j) && tokenize_all(&j) && sink_finish(&j.out);
    report_progress_end();
    if (done)
        done = failures_report(&j.failures, j.texts);
    close_all(&j);
    return done ? EXIT_OK : EXIT_FAILED;
}
