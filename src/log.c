#include "log.h"

#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>

static const char *level_name(int32_t level)
{
    static const char *const names[] = {"", "error", "warning", "info", "debug"};
    return names[level];
}

static void write_stderr(void *user, int32_t level, const char *message)
{
    (void)user;
    fprintf(stderr, "citadel_embed: %s: %s\n", level_name(level), message);
}

void ce_log_init(ce_log *log, citadel_log_fn *write, void *user, int32_t level)
{
    log->write = write ? write : write_stderr;
    log->user = user;
    log->level = level == CITADEL_LOG_DEFAULT ? CITADEL_LOG_WARNING : level;
    pthread_mutex_init(&log->lock, NULL);
}

void ce_log_destroy(ce_log *log)
{
    pthread_mutex_destroy(&log->lock);
}

void ce_log_write(ce_log *log, int32_t level, const char *format, ...)
{
    if (level > log->level)
        return;
    char line[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    ce_error_tidy(line);
    pthread_mutex_lock(&log->lock);
    log->write(log->user, level, line);
    pthread_mutex_unlock(&log->lock);
}
