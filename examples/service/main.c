/* An embedding service in a few hundred lines, over the public header alone: see --help. */
#include "server.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* Until all requests are answered, or a second signal. */
static void wait_for_requests(server *s, const sigset_t *stop)
{
    const struct timespec moment = {0, 20000000};
    while (server_running(s) > 0 && sigtimedwait(stop, NULL, &moment) < 0)
        continue;
}

static int serve(const settings *wanted, const models *m, const sigset_t *stop)
{
    int number;
    server *s = server_start(wanted, m);
    if (!s)
        return 1;
    sigwait(stop, &number);
    fprintf(stderr, "stopping: %u requests are running\n", server_running(s));
    server_drain(s);
    wait_for_requests(s, stop);
    server_stop(s);
    fprintf(stderr, "stopped\n");
    return 0;
}

/* Before there are threads, so that all of them have it so. */
static void prepare_signals(sigset_t *stop)
{
    sigemptyset(stop);
    sigaddset(stop, SIGTERM);
    sigaddset(stop, SIGINT);
    sigprocmask(SIG_BLOCK, stop, NULL);
    signal(SIGPIPE, SIG_IGN);
}

int main(int argc, char **argv)
{
    settings wanted;
    models m;
    sigset_t stop;
    if (argc > 1 && strcmp(argv[1], "--help") == 0) {
        settings_help();
        return 0;
    }
    if (argc > 1) {
        fprintf(stderr, "citadel-service: unexpected argument '%s' (try --help)\n", argv[1]);
        return 2;
    }
    if (!settings_read(&wanted))
        return 2;
    prepare_signals(&stop);
    if (!models_open(&m, wanted.models))
        return 2;
    int status = serve(&wanted, &m, &stop);
    models_close(&m);
    return status;
}
