#include "writer.h"

#include "options.h"
#include "report.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* "-1.17549435e-38": a float32 with the nine digits that bring it back exactly. */
enum { NUMBER_LENGTH = 24 };

static void append_numbers(buffer *row, const float *vector, size_t dim, char separator)
{
    for (size_t i = 0; i < dim; i++) {
        char *end = buffer_reserve(row, NUMBER_LENGTH + 1);
        if (i > 0) {
            *end++ = separator;
            row->used++;
        }
        row->used += (size_t)snprintf(end, NUMBER_LENGTH, "%.9g", (double)vector[i]);
    }
}

static bool write_row(buffer *row, sink *out)
{
    bool written = sink_write(out, row->data, row->used);
    row->used = 0;
    return written;
}

static bool write_json(writer *w, const float *vector, const citadel_text_result *result)
{
    buffer_format(&w->row, "{\"embedding\":[");
    append_numbers(&w->row, vector, w->dim, ',');
    buffer_format(&w->row, "],\"tokens\":%" PRIu32 ",\"truncated\":%s}\n", result->tokens,
                  result->truncated ? "true" : "false");
    return write_row(&w->row, w->out);
}

static bool write_text(writer *w, const float *vector)
{
    append_numbers(&w->row, vector, w->dim, ' ');
    buffer_append(&w->row, "\n", 1);
    return write_row(&w->row, w->out);
}

static bool spool_failed(void)
{
    report_error("temporary file for npy: %s", strerror(errno));
    return false;
}

static bool write_spool(writer *w, const float *vector)
{
    if (fwrite(vector, sizeof *vector, w->dim, w->spool) != w->dim)
        return spool_failed();
    w->rows++;
    return true;
}

/* The header of version 1.0: magic, version, its own length in two bytes, a Python dictionary,
 * spaces so that the data begin at a multiple of 64, a line feed. */
static bool write_npy_header(writer *w)
{
    const uint16_t one = 1;
    char order = *(const char *)&one ? '<' : '>';
    char dictionary[112];
    int length =
        snprintf(dictionary, sizeof dictionary,
                 "{'descr': '%cf4', 'fortran_order': False, 'shape': (%" PRIu64 ", %zu), }", order,
                 w->rows, w->dim);
    char header[128];
    memset(header, ' ', sizeof header);
    memcpy(header, "\x93NUMPY\x01\x00\x76\x00", 10); /* 0x76: 118 bytes follow */
    memcpy(header + 10, dictionary, (size_t)length);
    header[127] = '\n';
    return sink_write(w->out, header, sizeof header);
}

static bool copy_spool(writer *w)
{
    static char bytes[1 << 16];
    rewind(w->spool);
    for (size_t got; (got = fread(bytes, 1, sizeof bytes, w->spool)) > 0;)
        if (!sink_write(w->out, bytes, got))
            return false;
    return ferror(w->spool) ? spool_failed() : true;
}

bool writer_open(writer *w, sink *out, uint32_t format, size_t dim)
{
    *w = (writer){.out = out, .format = format, .dim = dim};
    if (format == FORMAT_NPY && !(w->spool = tmpfile()))
        return spool_failed();
    return true;
}

bool writer_vector(writer *w, const float *vector, const citadel_text_result *result)
{
    if (w->format == FORMAT_NPY)
        return write_spool(w, vector);
    return w->format == FORMAT_TEXT ? write_text(w, vector) : write_json(w, vector, result);
}

bool writer_finish(writer *w)
{
    if (!w->spool)
        return true;
    if (fflush(w->spool) != 0)
        return spool_failed();
    return write_npy_header(w) && copy_spool(w);
}

void writer_close(writer *w)
{
    if (w->spool)
        fclose(w->spool);
    buffer_free(&w->row);
    *w = (writer){0};
}
