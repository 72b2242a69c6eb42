#include "graph.h"

#include "base/mem.h"
#include "form.h"

#include <stdio.h>
#include <string.h>

/* What the backend is given, as far as it must be let go again. */
typedef struct graph_files {
    char *path;
    ce_bytes graph, recovery;
} graph_files;

static void close_files(graph_files *files)
{
    ce_free(files->path);
    ce_pack_unmap(&files->graph);
    ce_pack_unmap(&files->recovery);
}

/* The dynamic loader takes what it has loaded under the same name before: no name may ever stand for two contents. */
static int check_graph_name(const ce_pack *pack, const char *name, ce_error *error)
{
    enum { DIGITS = 16 };
    char digits[DIGITS + 1] = "";
    const ce_pack_file *file = ce_pack_find_file(pack, name, error);
    if (!file)
        return CE_E_BAD_MODEL;
    memcpy(digits, file->sha256, DIGITS);
    if (!digits[0] || !strstr(name, digits))
        return ce_fail(error, CE_E_BAD_MODEL,
                       "%s: the name of a compiled graph must have the first %d digits of its "
                       "SHA-256 in it",
                       name, DIGITS);
    return CE_OK;
}

static int verify(const ce_pack *pack, const char *name, ce_error *error)
{
    ce_bytes bytes;
    int status = ce_pack_map(pack, name, &bytes, error);
    ce_pack_unmap(&bytes);
    return status;
}

static int open_graph(const ce_pack *pack, graph_files *files, ce_error *error)
{
    const ce_artifact *form = pack->chosen;
    if (!ce_form_is_compiled(form))
        return ce_pack_map(pack, form->graph, &files->graph, error);
    int status = check_graph_name(pack, form->graph, error);
    if (status == CE_OK)
        status = verify(pack, form->graph, error);
    if (status == CE_OK && form->externs)
        status = verify(pack, form->externs, error);
    return status;
}

static int open_files(const ce_pack *pack, graph_files *files, ce_error *error)
{
    size_t size = strlen(pack->path) + strlen(pack->chosen->graph) + 2;
    files->path = ce_malloc(size);
    if (!files->path)
        return ce_fail(error, CE_E_NO_MEMORY, "no memory for a path");
    snprintf(files->path, size, "%s/%s", pack->path, pack->chosen->graph);
    const char *recovery = ce_form_recovery(pack->chosen);
    int status = open_graph(pack, files, error);
    if (status == CE_OK && recovery)
        status = ce_pack_map(pack, recovery, &files->recovery, error);
    return status;
}

int ce_graph_load(const ce_pack *pack, const ce_backend *backend, unsigned threads, void **out,
                  ce_error *error)
{
    graph_files files = {0};
    int status = open_files(pack, &files, error);
    const ce_backend_model description = {
        .form = pack->chosen->form,
        .path = files.path,
        .graph = files.graph.data,
        .graph_size = files.graph.size,
        .tensors = pack->weights.tensors,
        .tensor_count = pack->weights.count,
        .tensors_inside = pack->chosen->tensors_inside,
        .recovery = files.recovery.data,
        .recovery_size = files.recovery.size,
        .dim = pack->dim,
        .layout = pack->layout,
        .threads = threads,
    };
    if (status == CE_OK)
        status = backend->model_load(&description, out, error);
    close_files(&files);
    return status;
}
