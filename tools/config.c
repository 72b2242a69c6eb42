/* citadel-embed config */
#include "commands.h"
#include "report.h"
#include "session.h"
#include "sink.h"

int run_config(const settings *s)
{
    session opened = {0};
    buffer text = {0};
    sink out = {0};
    bool done = session_open_engine(&opened.engine, s) && session_config(&opened, &text) &&
                sink_open(&out, NULL) && sink_write(&out, text.data, text.used) &&
                sink_finish(&out);
    sink_close(&out);
    buffer_free(&text);
    session_close(&opened);
    return done ? EXIT_OK : EXIT_FAILED;
}
