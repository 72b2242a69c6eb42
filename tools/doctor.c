/* citadel-embed doctor: what there is to compute with, and what to do about what is missing. */
#include "buffer.h"
#include "commands.h"
#include "report.h"
#include "session.h"
#include "sink.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GOOD "✓"
#define BAD "✗"
#define NOTE "·" /* not there, and not needed */

typedef struct checkup {
    session session;
    buffer out;
    citadel_diagnostics found;
    bool can_embed;
} checkup;

static double mega(uint64_t bytes)
{
    return 1e-6 * (double)bytes;
}

/* ---- What computes ------------------------------------------------------------------------ */

/* The configuration's own line about its file. */
static void check_config(checkup *c)
{
    buffer text = {0};
    if (session_config(&c->session, &text))
        buffer_format(&c->out, GOOD " configuration: %.*s\n", (int)strcspn(text.data, "\n"),
                      text.data);
    buffer_free(&text);
}

static void check_backends(checkup *c)
{
    buffer_format(&c->out, GOOD " native backend: %s\n", c->found.native);
    if (c->found.backend[0])
        buffer_format(&c->out, GOOD " torch backend: %s\n", c->found.backend);
    else
        buffer_format(&c->out,
                      NOTE " torch backend: %s\n    only packs need it: install "
                           "libcitadel_torch.so beside the library, or name it in "
                           "CITADEL_TORCH_BACKEND; see docs/quickstart.md\n",
                      c->found.backend_error);
}

static void check_cpu(checkup *c)
{
    const citadel_diagnostics *f = &c->found;
    buffer_format(&c->out, GOOD " threads: %u, of %u CPUs that the process may use\n", f->threads,
                  f->cpus);
    if (f->cpu[0])
        buffer_format(&c->out, GOOD " CPU: %s\n", f->cpu);
    else
        buffer_format(&c->out, BAD " CPU: no AVX2 to be seen in /proc/cpuinfo\n"
                                   "    do: nothing; models run on any CPU, slowly\n");
    if (f->mixed_precision)
        buffer_format(&c->out, GOOD " mixed precision: the CPU multiplies bf16\n");
    else
        buffer_format(&c->out, BAD " mixed precision: the CPU has no avx512_bf16 or amx_bf16\n"
                                   "    do: nothing; models run in their own precision\n");
}

static bool find_in(const char *path, const char *name)
{
    char file[4096];
    while (*path) {
        size_t length = strcspn(path, ":");
        int printed = snprintf(file, sizeof file, "%.*s/%s", (int)length, path, name);
        if (length > 0 && printed < (int)sizeof file && access(file, X_OK) == 0)
            return true;
        path += length + (path[length] == ':');
    }
    return false;
}

/* Of the exporter, which runs elsewhere perhaps. */
static const char *find_compiler(void)
{
    static const char *const names[] = {"c++", "g++", "clang++"};
    const char *given = getenv("CXX"), *path = getenv("PATH");
    if (given && *given)
        return given;
    for (size_t i = 0; path && i < sizeof names / sizeof names[0]; i++)
        if (find_in(path, names[i]))
            return names[i];
    return NULL;
}

static void check_compile(checkup *c)
{
    const char *compiler = find_compiler();
    if (c->found.compiled)
        buffer_format(&c->out, GOOD " compile: the backend runs compiled forms\n");
    else
        buffer_format(&c->out, NOTE " compile: no backend that runs compiled forms\n"
                                    "    only packs have such forms\n");
    if (compiler)
        buffer_format(&c->out, GOOD " C++ compiler: %s, to export compiled forms\n", compiler);
    else
        buffer_format(&c->out, BAD " C++ compiler: no c++, g++ or clang++, and CXX is not set\n"
                                   "    do: apt-get install g++, if compiled forms are to be "
                                   "exported on this machine\n");
}

/* ---- Device ------------------------------------------------------------------------------- */

static void check_device(checkup *c)
{
    const citadel_diagnostics *f = &c->found;
    if (f->cuda_available)
        buffer_format(&c->out, GOOD " CUDA: available to the backend\n");
    else
        buffer_format(&c->out, BAD " CUDA: not available to the backend\n"
                                   "    do: nothing; this version computes on the CPU\n");
    if (f->cuda_devices)
        buffer_format(&c->out, GOOD " compute capability: %u.%u (%s, the first of %u)\n",
                      f->cuda_major, f->cuda_minor, f->device, f->cuda_devices);
    else
        buffer_format(&c->out, BAD " compute capability: no device\n"
                                   "    do: nothing; this version computes on the CPU\n");
}

static void check_memory(checkup *c)
{
    const citadel_diagnostics *f = &c->found;
    buffer_format(&c->out, GOOD " process memory: %.1f MB\n", mega(f->process_bytes));
    if (f->cuda_devices)
        buffer_format(&c->out, GOOD " GPU memory: %.1f MB allocated, %.1f MB reserved\n",
                      mega(f->device_allocated), mega(f->device_reserved));
    else
        buffer_format(&c->out, BAD " GPU memory: no device\n"
                                   "    do: nothing; this version computes on the CPU\n");
}

/* ---- Models ------------------------------------------------------------------------------- */

static void indent(buffer *out, const char *text)
{
    while (*text) {
        size_t length = strcspn(text, "\n");
        buffer_format(out, "    %.*s\n", (int)length, text);
        text += length + (text[length] == '\n');
    }
}

/* The forms of a pack are listed without libtorch too, but only that computes them. */
static bool lacks_backend(const checkup *c, const buffer *forms)
{
    static const char native[] = "taken: native ";
    return !c->found.backend[0] && strncmp(forms->data, native, strlen(native)) != 0;
}

static bool check_model(checkup *c, const char *name)
{
    buffer text = {0};
    citadel_error error = CITADEL_ERROR_INIT;
    bool usable = session_forms(&c->session, name, &text, &error);
    if (!usable) {
        buffer_format(&c->out,
                      BAD " model %s: %s\n    do: see docs/native.md for folders, export packs "
                          "again; or take it out of the configuration or the model path\n",
                      name, error.message);
    } else if (lacks_backend(c, &text)) {
        usable = false;
        buffer_format(&c->out,
                      BAD " model %s: it is a pack, and there is no torch backend\n"
                          "    do: install the torch backend, or use the folder that it was "
                          "exported from\n",
                      name);
    } else {
        buffer_format(&c->out, GOOD " model %s\n", name);
        indent(&c->out, text.data);
    }
    buffer_free(&text);
    return usable;
}

static void check_models(checkup *c)
{
    buffer names = {0};
    size_t usable = 0;
    if (!session_names(&c->session, 0, &names))
        c->can_embed = false;
    for (char *name = names.data; name && *name;) {
        char *end = name + strcspn(name, "\n");
        *end = '\0';
        usable += check_model(c, name);
        name = end + 1;
    }
    if (usable == 0) {
        c->can_embed = false;
        buffer_format(&c->out,
                      BAD " models: none that can be used\n"
                          "    do: put the folder of one into a directory of the model path "
                          "('citadel-embed config')\n");
    }
    buffer_free(&names);
}

/* ------------------------------------------------------------------------------------------- */

static bool examine(checkup *c)
{
    citadel_error error = CITADEL_ERROR_INIT;
    if (citadel_diagnose(c->session.engine, &c->found, &error) != CITADEL_OK) {
        report_error("%s", error.message);
        return false;
    }
    c->can_embed = true;
    check_config(c);
    check_backends(c);
    check_device(c);
    check_compile(c);
    check_cpu(c);
    check_models(c);
    check_memory(c);
    return true;
}

int run_doctor(const settings *s)
{
    checkup c = {.found = CITADEL_DIAGNOSTICS_INIT};
    sink out = {0};
    bool done = session_open_engine(&c.session.engine, s) && examine(&c) && sink_open(&out, NULL) &&
                sink_write(&out, c.out.data, c.out.used) && sink_finish(&out);
    sink_close(&out);
    buffer_free(&c.out);
    session_close(&c.session);
    return done && c.can_embed ? EXIT_OK : EXIT_FAILED;
}
