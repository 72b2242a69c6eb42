#include "report.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Set before the engine starts its threads, which log, and not changed while they run. */
static int quiet;
static int progress; /* there may be a progress line on the terminal */

static double started, last_shown;

static double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static const char *line_start(void)
{
    return progress ? "\r\033[K" : "";
}

void report_setup(int be_quiet)
{
    quiet = be_quiet;
}

static void print_line(const char *format, va_list arguments)
{
    char line[2048];
    vsnprintf(line, sizeof line, format, arguments);
    fprintf(stderr, "%scitadel-embed: %s\n", line_start(), line);
}

void report_error(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    print_line(format, arguments);
    va_end(arguments);
}

void report_remark(const char *format, ...)
{
    if (quiet)
        return;
    va_list arguments;
    va_start(arguments, format);
    print_line(format, arguments);
    va_end(arguments);
}

void report_log(void *user, int32_t level, const char *message)
{
    static const char *const names[] = {"", "error: ", "warning: ", "info: ", "debug: "};
    (void)user;
    const char *name =
        level > 0 && level < (int32_t)(sizeof names / sizeof names[0]) ? names[level] : "";
    fprintf(stderr, "%scitadel-embed: %s%s\n", line_start(), name, message);
}

void report_progress_start(int results_on_terminal)
{
    progress = !quiet && !results_on_terminal && isatty(STDERR_FILENO);
    started = last_shown = seconds_now();
}

/* "12 480": digits in groups of three. */
static void print_grouped(char *out, size_t size, size_t number)
{
    char digits[32];
    size_t length = (size_t)snprintf(digits, sizeof digits, "%zu", number), used = 0;
    for (size_t i = 0; i < length && used + 2 < size; i++) {
        if (i > 0 && (length - i) % 3 == 0)
            out[used++] = ' ';
        out[used++] = digits[i];
    }
    out[used] = '\0';
}

void report_progress(size_t texts, double part)
{
    double now = seconds_now();
    if (!progress || now - last_shown < 0.2)
        return;
    last_shown = now;
    char count[48], percent[32] = "";
    print_grouped(count, sizeof count, texts);
    if (part >= 0)
        snprintf(percent, sizeof percent, " · %d %%", (int)(100 * part));
    fprintf(stderr, "%s%s texts · %.0f texts/s%s", line_start(), count,
            (double)texts / (now - started), percent);
    fflush(stderr);
}

void report_progress_end(void)
{
    if (progress)
        fputs(line_start(), stderr);
}
