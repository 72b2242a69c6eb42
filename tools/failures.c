#include "failures.h"

#include "report.h"

#include <string.h>

bool failures_write(failures *f, sink *out, const char *place, citadel_status status,
                    const char *message)
{
    if (f->count++ == 0)
        buffer_format(&f->first, "%s: %s", place, message);
    buffer line = {0};
    buffer_format(&line, "{\"error\":");
    buffer_json_string(&line, message, strlen(message));
    buffer_format(&line, ",\"status\":\"%s\"}\n", citadel_status_name(status));
    bool written = sink_write(out, line.data, line.used);
    buffer_free(&line);
    return written;
}

bool failures_report(const failures *f, size_t total)
{
    if (f->count == 1)
        report_error("1 text of %zu failed: %s", total, f->first.data);
    else if (f->count > 1)
        report_error("%zu texts of %zu failed, the first one: %s", f->count, total, f->first.data);
    return f->count == 0;
}

void failures_free(failures *f)
{
    buffer_free(&f->first);
}
