/* dladdr */
#define _GNU_SOURCE
#include "backend_open.h"

#include "base/mem.h"
#include "citadel_embed.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define TORCH_BACKEND "libcitadel_torch.so"

/* The backend that was built with this library lies beside it. Where that cannot be told the system's loader looks for
 * it, and never the working directory. */
static int beside_library(char *path, size_t size, ce_error *error)
{
    Dl_info info;
    const char *slash = NULL;
    if (dladdr((const void *)(size_t)citadel_version, &info) && info.dli_fname)
        slash = strrchr(info.dli_fname, '/');
    int length = slash ? (int)(slash + 1 - info.dli_fname) : 0;
    int printed =
        snprintf(path, size, "%.*s%s", length, slash ? info.dli_fname : "", TORCH_BACKEND);
    if (printed >= (int)size)
        return ce_fail(error, CE_E_BACKEND, "the path of %s is longer than %zu bytes",
                       TORCH_BACKEND, size - 1);
    return CE_OK;
}

int ce_backend_open(const char *given, const ce_backend **out, ce_error *error)
{
    char path[PATH_MAX];
    *out = NULL;
    if (!given) {
        int status = beside_library(path, sizeof path, error);
        if (status != CE_OK)
            return status;
        given = path;
    }
    /* Never closed: libtorch cannot be unloaded. Local: its symbols are nobody else's business. */
    void *library = dlopen(given, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!library)
        return ce_fail(error, CE_E_BACKEND, "cannot open the torch backend: %s", dlerror());
    void *symbol = dlsym(library, CE_BACKEND_ENTRY);
    if (!symbol)
        return ce_fail(error, CE_E_BACKEND, "'%s' is not a backend: it has no symbol %s", given,
                       CE_BACKEND_ENTRY);
    ce_backend_entry *entry;
    memcpy(&entry, &symbol, sizeof entry);
    const ce_backend *backend = entry(CE_BACKEND_VERSION, error);
    if (!backend)
        return error->code;
    if (backend->version != CE_BACKEND_VERSION)
        return ce_fail(error, CE_E_BACKEND, "'%s' is of backend version %u, this library needs %u",
                       given, backend->version, CE_BACKEND_VERSION);
    *out = backend;
    return CE_OK;
}
