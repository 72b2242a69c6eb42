/* citadel-embed similarity */
#include "buffer.h"
#include "commands.h"
#include "reader.h"
#include "report.h"
#include "session.h"
#include "sink.h"

#include <stdlib.h>
#include <string.h>

typedef struct match {
    double cosine;
    size_t number; /* of the text in the input: equals stay in order */
    char *text;
    size_t length;
} match;

typedef struct job {
    const settings *settings;
    reader reader;
    sink out;
    session session;
    embedder query, texts;
    match *matches;
    size_t count, capacity;
    size_t read;
} job;

/* ---- The best matches --------------------------------------------------------------------- */

static int best_first(const void *a, const void *b)
{
    const match *x = a, *y = b;
    if (x->cosine != y->cosine)
        return x->cosine < y->cosine ? 1 : -1;
    return x->number < y->number ? -1 : 1;
}

static void sort_and_cut(job *j)
{
    if (j->count == 0)
        return;
    qsort(j->matches, j->count, sizeof *j->matches, best_first);
    while (j->settings->top && j->count > j->settings->top)
        free(j->matches[--j->count].text);
}

/* With --top the worst are dropped now and then, so that memory does not grow with the input. */
static void add_match(job *j, double cosine, size_t number, const char *text, size_t length)
{
    if (j->count == j->capacity) {
        sort_and_cut(j);
        if (2 * j->count >= j->capacity) {
            j->capacity = j->capacity ? 2 * j->capacity : 64;
            j->matches = must_resize(j->matches, j->capacity, sizeof *j->matches);
        }
    }
    char *copy = must_resize(NULL, length, 1);
    memcpy(copy, text, length);
    j->matches[j->count++] = (match){cosine, number, copy, length};
}

/* ---- Embedding ---------------------------------------------------------------------------- */

/* Both vectors have length 1. */
static double cosine(const float *a, const float *b, size_t dim)
{
    double sum = 0;
    for (size_t i = 0; i < dim; i++)
        sum += (double)a[i] * b[i];
    return sum;
}

static bool text_failed(const job *j, const embedder *e, const char *place, const char *text,
                        size_t length, size_t i)
{
    citadel_error error = CITADEL_ERROR_INIT;
    report_error("%s: %s", place,
                 explain_failure(&j->session, text, length, e->results[i].status, &error));
    return false;
}

static bool embed_query(job *j)
{
    const char *text = j->settings->texts[0];
    size_t length = strlen(text);
    const chunk query = {.count = 1, .texts = &text, .lengths = &length};
    if (!embedder_run(&j->query, &query))
        return false;
    return j->query.results[0].status == CITADEL_OK
               ? true
               : text_failed(j, &j->query, "QUERY", text, length, 0);
}

static bool compare_chunk(job *j, const chunk *texts)
{
    const embedder *e = &j->texts;
    if (!embedder_run(&j->texts, texts))
        return false;
    for (size_t i = 0; i < texts->count; i++) {
        if (e->results[i].status != CITADEL_OK)
            return text_failed(j, e, reader_place(&j->reader, texts->first + i), texts->texts[i],
                               texts->lengths[i], i);
        add_match(j, cosine(j->query.vectors, e->vectors + i * e->dim, e->dim), texts->first + i,
                  texts->texts[i], texts->lengths[i]);
    }
    j->read += texts->count;
    return true;
}

static bool compare_all(job *j)
{
    report_progress_start(false);
    for (;;) {
        const chunk *texts;
        if (!reader_next(&j->reader, &texts))
            return false;
        if (texts->count == 0)
            return true;
        if (!compare_chunk(j, texts))
            return false;
        report_progress(j->read, reader_part(&j->reader));
    }
}

/* ---- Output ------------------------------------------------------------------------------- */

/* One line a text: what would break the line, or steer a terminal, becomes a space. */
static bool write_match(sink *out, const match *m)
{
    buffer row = {0};
    buffer_format(&row, "%.4f  ", m->cosine);
    size_t start = row.used;
    buffer_append(&row, m->text, m->length);
    for (size_t i = start; i < row.used; i++)
        if ((unsigned char)row.data[i] < 0x20 || row.data[i] == 0x7F)
            row.data[i] = ' ';
    buffer_append(&row, "\n", 1);
    bool written = sink_write(out, row.data, row.used);
    buffer_free(&row);
    return written;
}

static bool write_all(job *j)
{
    report_progress_end();
    sort_and_cut(j);
    for (size_t i = 0; i < j->count; i++)
        if (!write_match(&j->out, &j->matches[i]))
            return false;
    return true;
}

static bool open_all(job *j)
{
    const settings *s = j->settings;
    citadel_embed_options query = CITADEL_EMBED_OPTIONS_INIT;
    query.normalize = CITADEL_NORMALIZE_ALWAYS;
    query.truncate_dim = s->truncate_dim;
    query.max_tokens = s->max_tokens;
    citadel_embed_options texts = query;
    query.prompt_name = s->prompt_name;
    query.prompt = s->prompt;
    texts.prompt_name = s->text_prompt_name;
    texts.prompt = s->text_prompt;
    return reader_open(&j->reader, s, s->texts + 1, s->text_count - 1) &&
           sink_open(&j->out, s->output) && session_open(&j->session, s) &&
           embedder_open(&j->query, &j->session, &query) &&
           embedder_open(&j->texts, &j->session, &texts);
}

static void close_all(job *j)
{
    for (size_t i = 0; i < j->count; i++)
        free(j->matches[i].text);
    free(j->matches);
    embedder_close(&j->query);
    embedder_close(&j->texts);
    session_close(&j->session);
    sink_close(&j->out);
    reader_close(&j->reader);
}

int run_similarity(const settings *s)
{
    job j = {.settings = s};
    bool done =
        open_all(&j) && embed_query(&j) && compare_all(&j) && write_all(&j) && sink_finish(&j.out);
    report_progress_end();
    close_all(&j);
    return done ? EXIT_OK : EXIT_FAILED;
}
