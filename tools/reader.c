#include "reader.h"

#include "jsonl.h"
#include "report.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A chunk is enough to keep all threads busy, and small enough for a steady flow of results. Its
 * limits do not depend on time, so that one input is computed in the same batches every time. */
enum { CHUNK_TEXTS = 512, CHUNK_BYTES = 1 << 20, READ_BYTES = 1 << 16 };

/* Whoever writes to us and falls silent for so long is waiting for an answer. */
enum { SILENCE_MILLISECONDS = 50 };

/* What has no line feed for so long is no text: /dev/zero, a disk image. */
#define LINE_MOST ((size_t)256 << 20)

typedef struct line {
    const char *text;
    size_t length;
} line;

typedef enum found { FOUND, NOTHING_NOW, AT_END, FAILED } found;

/* ---- Lines -------------------------------------------------------------------------------- */

/* Read once more. What is left of the last read, a part of a line, moves to the front first. */
static bool read_more(reader *r)
{
    if (r->start > 0) {
        memmove(r->input.data, r->input.data + r->start, r->input.used - r->start);
        r->input.used -= r->start;
        r->scanned -= r->start;
        r->start = 0;
    }
    char *end = buffer_reserve(&r->input, READ_BYTES);
    ssize_t got;
    do
        got = read(r->fd, end, r->input.capacity - r->input.used);
    while (got < 0 && errno == EINTR);
    if (got < 0) {
        report_error("cannot read %s: %s", r->name, strerror(errno));
        return false;
    }
    r->input.used += (size_t)got;
    r->at_end = got == 0;
    return true;
}

static bool is_silent(const reader *r)
{
    struct pollfd p = {.fd = r->fd, .events = POLLIN};
    return poll(&p, 1, SILENCE_MILLISECONDS) == 0;
}

static void take(reader *r, size_t length, size_t terminator, line *out)
{
    *out = (line){r->input.data + r->start, length};
    if (terminator && length > 0 && out->text[length - 1] == '\r')
        out->length--;
    r->start += length + terminator;
    r->scanned = r->start;
    r->consumed += length + terminator;
}

/* `patient`: wait for as long as it takes. */
static found next_line(reader *r, bool patient, line *out)
{
    for (;;) {
        size_t unscanned = r->input.used - r->scanned;
        const char *feed = unscanned ? memchr(r->input.data + r->scanned, '\n', unscanned) : NULL;
        if (feed) {
            take(r, (size_t)(feed - r->input.data) - r->start, 1, out);
            return FOUND;
        }
        r->scanned = r->input.used;
        if (r->at_end && r->start < r->input.used) {
            take(r, r->input.used - r->start, 0, out);
            return FOUND;
        }
        if (r->at_end)
            return AT_END;
        if (!patient && is_silent(r))
            return NOTHING_NOW;
        if (r->input.used - r->start > LINE_MOST) {
            report_error("%s: longer than %zu MiB",
                         reader_place(r, r->texts.first + r->texts.count), LINE_MOST >> 20);
            return FAILED;
        }
        if (!read_more(r))
            return FAILED;
    }
}

/* ---- Texts -------------------------------------------------------------------------------- */

static void make_room(reader *r, size_t count)
{
    if (count <= r->capacity)
        return;
    r->capacity = count;
    r->texts.texts = must_resize(r->texts.texts, count, sizeof *r->texts.texts);
    r->texts.lengths = must_resize(r->texts.lengths, count, sizeof *r->texts.lengths);
    r->texts.pairs = must_resize(r->texts.pairs, count, sizeof *r->texts.pairs);
    r->texts.pair_lengths =
        must_resize(r->texts.pair_lengths, count, sizeof *r->texts.pair_lengths);
}

static void choose_mode(reader *r, const line *first)
{
    buffer text = {0}, reason = {0};
    bool has_pair;
    r->mode = jsonl_text(first->text, first->length, &text, NULL, &has_pair, &reason) ? READ_JSONL
                                                                                      : READ_LINES;
    buffer_free(&text);
    buffer_free(&reason);
}

/* Append the text of a line to the chunk; false if the line is not what it should be. */
static bool add_line(reader *r, const line *l)
{
    size_t before = r->bytes.used, pair_before = r->pair_bytes.used, i = r->texts.count;
    bool has_pair = false;
    if (r->mode == READ_AUTO)
        choose_mode(r, l);
    if (r->mode == READ_LINES)
        buffer_append(&r->bytes, l->text, l->length);
    else if (!jsonl_text(l->text, l->length, &r->bytes, r->with_pairs ? &r->pair_bytes : NULL,
                         &has_pair, &r->refusal))
        return false;
    r->texts.lengths[i] = r->bytes.used - before;
    r->texts.pair_lengths[i] = r->pair_bytes.used - pair_before;
    r->texts.pairs[i] = has_pair ? "" : NULL;
    r->texts.count++;
    return true;
}

/* The bytes may have moved while they grew, so texts are found at the end. */
static void find_texts(reader *r)
{
    size_t text = 0, pair = 0;
    for (size_t i = 0; i < r->texts.count; i++) {
        r->texts.texts[i] = r->bytes.data ? r->bytes.data + text : "";
        if (r->texts.pair_lengths[i] > 0)
            r->texts.pairs[i] = r->pair_bytes.data + pair;
        text += r->texts.lengths[i];
        pair += r->texts.pair_lengths[i];
    }
}

static bool report_refusal(const reader *r)
{
    report_error("%s: %.*s", reader_place(r, r->texts.first), (int)r->refusal.used,
                 r->refusal.data);
    return false;
}

static bool fill(reader *r)
{
    while (r->texts.count < CHUNK_TEXTS && r->bytes.used < CHUNK_BYTES) {
        line l;
        found what = next_line(r, r->texts.count == 0, &l);
        if (what == FAILED)
            return false;
        if (what != FOUND)
            break;
        if (!add_line(r, &l)) {
            r->refused = true;
            break;
        }
    }
    find_texts(r);
    return r->refused && r->texts.count == 0 ? report_refusal(r) : true;
}

bool reader_next(reader *r, const chunk **texts)
{
    *texts = &r->texts;
    if (!r->name) { /* arguments: one chunk, ready since reader_open */
        if (r->at_end)
            r->texts.count = 0;
        r->at_end = true;
        return true;
    }
    r->texts.first += r->texts.count;
    r->texts.count = 0;
    r->bytes.used = r->pair_bytes.used = 0;
    return r->refused ? report_refusal(r) : fill(r);
}

/* ---- Opening and closing ------------------------------------------------------------------ */

static void take_arguments(reader *r, char **arguments, size_t count)
{
    make_room(r, count);
    for (size_t i = 0; i < count; i++) {
        r->texts.texts[i] = arguments[i];
        r->texts.lengths[i] = strlen(arguments[i]);
        r->texts.pairs[i] = NULL;
        r->texts.pair_lengths[i] = 0;
    }
    r->texts.count = count;
}

static bool open_file(reader *r, const char *path)
{
    bool is_stdin = !path || strcmp(path, "-") == 0;
    r->name = is_stdin ? "standard input" : path;
    r->fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    struct stat info;
    if (r->fd < 0 || fstat(r->fd, &info) != 0) {
        report_error("cannot read %s: %s", r->name, strerror(errno));
        return false;
    }
    if (S_ISREG(info.st_mode))
        r->file_size = (size_t)info.st_size;
    if (isatty(r->fd))
        report_remark("reading texts from the terminal, one a line; Ctrl-D ends");
    return true;
}

bool reader_open(reader *r, const settings *s, char **arguments, size_t count)
{
    *r = (reader){.fd = -1, .mode = s->lines ? READ_LINES : s->jsonl ? READ_JSONL : READ_AUTO};
    if (count > 0) {
        take_arguments(r, arguments, count);
        return true;
    }
    make_room(r, CHUNK_TEXTS);
    return open_file(r, s->input);
}

double reader_part(const reader *r)
{
    return r->file_size ? (double)r->consumed / (double)r->file_size : -1;
}

const char *reader_place(const reader *r, size_t number)
{
    static char place[256];
    if (r->name)
        snprintf(place, sizeof place, "%s, line %zu", r->name, number + 1);
    else
        snprintf(place, sizeof place, "text %zu", number + 1);
    return place;
}

void reader_close(reader *r)
{
    if (r->fd > STDIN_FILENO)
        close(r->fd);
    free(r->texts.texts);
    free(r->texts.lengths);
    free(r->texts.pairs);
    free(r->texts.pair_lengths);
    buffer_free(&r->input);
    buffer_free(&r->bytes);
    buffer_free(&r->pair_bytes);
    buffer_free(&r->refusal);
    *r = (reader){.fd = -1};
}
