#include "sink.h"

#include "buffer.h"
#include "report.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The half-written file, to be removed however the program ends; NULL: none. One at a time. */
static char *volatile temporary;

static void remove_temporary(void)
{
    if (temporary)
        unlink(temporary);
}

static void on_signal(int number)
{
    remove_temporary();
    signal(number, SIG_DFL);
    raise(number);
}

static void clean_up_on_exit(void)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    atexit(remove_temporary);
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        struct sigaction old, action = {.sa_handler = on_signal};
        sigemptyset(&action.sa_mask);
        /* nohup has SIGHUP ignored: so it stays. */
        if (sigaction(signals[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
            sigaction(signals[i], &action, NULL);
    }
}

static void forget_temporary(void)
{
    char *name = temporary;
    temporary = NULL;
    free(name);
}

static bool failed(const sink *s)
{
    if (errno != EPIPE)
        report_error("cannot write %s: %s", s->name, strerror(errno));
    return false;
}

/* Devices and pipes are written in place; a symbolic link stays, what it points to is replaced. */
static bool find_target(sink *s, const char *path)
{
    struct stat info;
    if (stat(path, &info) != 0) {
        s->target = strdup(path);
        return s->target != NULL;
    }
    if (!S_ISREG(info.st_mode))
        return true;
    s->target = realpath(path, NULL);
    return s->target != NULL;
}

static FILE *open_temporary(const char *target)
{
    buffer name = {0};
    buffer_format(&name, "%s.%ld.tmp", target, (long)getpid());
    int fd = open(name.data, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0) {
        int reason = errno;
        buffer_free(&name);
        errno = reason;
        return NULL;
    }
    temporary = name.data;
    clean_up_on_exit();
    return fdopen(fd, "wb");
}

bool sink_open(sink *s, const char *path)
{
    *s = (sink){0};
    if (!path || strcmp(path, "-") == 0) {
        s->file = stdout;
        s->name = "standard output";
        return true;
    }
    s->name = path;
    if (!find_target(s, path))
        return failed(s);
    s->file = s->target ? open_temporary(s->target) : fopen(path, "wb");
    return s->file ? true : failed(s);
}

bool sink_write(sink *s, const void *bytes, size_t length)
{
    return fwrite(bytes, 1, length, s->file) == length ? true : failed(s);
}

bool sink_flush(sink *s)
{
    return fflush(s->file) == 0 ? true : failed(s);
}

/* Whether closing succeeds matters: on some file systems it is what tells that a disk is full. */
static bool close_file(sink *s)
{
    FILE *file = s->file;
    s->file = NULL;
    return fclose(file) == 0;
}

bool sink_finish(sink *s)
{
    if (!close_file(s))
        return failed(s);
    if (s->target) {
        if (rename(temporary, s->target) != 0)
            return failed(s);
        forget_temporary();
    }
    return true;
}

void sink_close(sink *s)
{
    if (s->file)
        close_file(s);
    if (s->target) {
        remove_temporary();
        forget_temporary();
    }
    free(s->target);
    *s = (sink){0};
}

bool sink_is_terminal(const sink *s)
{
    return isatty(fileno(s->file));
}
