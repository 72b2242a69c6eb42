/* What there is to compute with: processor, backend, devices; models, and their forms. */
#include "backend_open.h"
#include "base/mem.h"
#include "checkpoint.h"
#include "engine.h"
#include "form.h"
#include "lines.h"
#include "memory.h"
#include "model.h"
#include "names.h"
#include "options.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- Processor and backend ---------------------------------------------------------------- */

/* Those that forms ask for, and that the kernels use. */
static void describe_cpu(const ce_cpu *cpu, citadel_diagnostics *out)
{
    static const char *const features[] = {"avx2",        "fma",         "avx512f",
                                           "avx512_vnni", "avx512_bf16", "amx_bf16"};
    size_t used = 0;
    for (size_t i = 0; i < sizeof features / sizeof features[0]; i++)
        if (ce_cpu_has(cpu, features[i]))
            used += (size_t)snprintf(out->cpu + used, sizeof out->cpu - used, "%s%s",
                                     used ? " " : "", features[i]);
    out->mixed_precision = ce_cpu_has(cpu, "avx512_bf16") || ce_cpu_has(cpu, "amx_bf16");
}

static void copy_device(const ce_backend_device *device, citadel_diagnostics *out)
{
    snprintf(out->device, sizeof out->device, "%s", device->name);
    ce_error_tidy(out->device);
    out->compiled = device->compiled != 0;
    out->cuda_available = device->cuda_available != 0;
    out->cuda_devices = device->cuda_devices;
    out->cuda_major = device->cuda_major;
    out->cuda_minor = device->cuda_minor;
    out->device_allocated = device->allocated;
    out->device_reserved = device->reserved;
}

/* A backend that is missing is a finding, and no failure of the search. */
static void describe_backend(const ce_config *config, citadel_diagnostics *out)
{
    const ce_backend *backend;
    ce_backend_device device = {0};
    ce_error failure;
    int status = ce_backend_open(config->torch_backend, &backend, &failure);
    if (status == CE_OK) {
        snprintf(out->backend, sizeof out->backend, "%s", backend->description);
        status = backend->describe(&device, &failure);
    }
    if (status != CE_OK)
        memcpy(out->backend_error, failure.message, sizeof failure.message);
    copy_device(&device, out);
}

static int diagnose(citadel_engine *engine, citadel_diagnostics *given, ce_error *error)
{
    if (!engine)
        return ce_fail(error, CE_E_INVALID_ARGUMENT, "engine is NULL");
    int status = ce_result_check(given, CE_DIAGNOSTICS_SIZE_1, "citadel_diagnostics", error);
    if (status == CE_OK)
        status = ce_engine_enter(engine, error);
    if (status != CE_OK)
        return status;
    ce_cpu cpu;
    citadel_diagnostics known = {.size = sizeof known};
    ce_cpu_read(&cpu);
    describe_cpu(&cpu, &known);
    describe_backend(&engine->config, &known);
    snprintf(known.native, sizeof known.native, "%s",
             ce_isa_name(ce_checkpoint_isa(&engine->config)));
    known.threads = engine->config.threads;
    known.cpus = ce_workers_available_cpus();
    known.process_bytes = ce_memory_resident();
    ce_result_write(given, &known, sizeof known);
    ce_engine_leave(engine);
    return CE_OK;
}

citadel_status citadel_diagnose(citadel_engine *engine, citadel_diagnostics *diagnostics,
                                citadel_error *error)
{
    if (!ce_error_ready(error))
        return CITADEL_E_ABI;
    ce_error failure;
    int status = diagnose(engine, diagnostics, &failure);
    return ce_error_report(error, status, &failure);
}

/* ---- Names -------------------------------------------------------------------------------- */

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

typedef struct names {
    char **all;
    size_t count;
} names;

static int has_file(const char *folder, size_t length, const char *name, const char *file)
{
    char path[4096];
    int printed = snprintf(path, sizeof path, "%.*s/%s/%s", (int)length, folder, name, file);
    return printed < (int)sizeof path && access(path, F_OK) == 0;
}

static int has_one_of(const char *folder, size_t length, const char *name,
                      const char *const files[2])
{
    return has_file(folder, length, name, files[0]) || has_file(folder, length, name, files[1]);
}

/* A pack, or a folder as it was published. What a line cannot show is no name for one. */
static int is_model(const char *folder, size_t length, const char *name)
{
    static const char *const descriptions[] = {"config.json", "modules.json"};
    static const char *const weights[] = {"model.safetensors", "model.safetensors.index.json"};
    if (name[0] == '.' || strchr(name, '\n'))
        return 0;
    return has_file(folder, length, name, "citadel.json") ||
           (has_one_of(folder, length, name, descriptions) &&
            has_one_of(folder, length, name, weights));
}

static int has_name(const names *found, const char *name)
{
    for (size_t i = 0; i < found->count; i++)
        if (strcmp(found->all[i], name) == 0)
            return 1;
    return 0;
}

static int add_name(names *found, const char *name, ce_error *error)
{
    char **grown = ce_reallocarray(found->all, found->count + 1, sizeof *grown);
    if (grown)
        found->all = grown;
    char *copy = grown ? ce_strndup(name, strlen(name)) : NULL;
    if (!copy)
        return ce_fail(error, CE_E_NO_MEMORY, "no memory for the names of models");
    found->all[found->count++] = copy;
    return CE_OK;
}

/* A directory of the model path need not be there. */
static int search_folder(names *found, const char *folder, size_t length, ce_error *error)
{
    char path[4096];
    int printed = snprintf(path, sizeof path, "%.*s", (int)length, folder);
    DIR *opened = length > 0 && printed < (int)sizeof path ? opendir(path) : NULL;
    int status = CE_OK;
    for (struct dirent *entry; opened && status == CE_OK && (entry = readdir(opened));)
        if (is_model(folder, length, entry->d_name) && !has_name(found, entry->d_name))
            status = add_name(found, entry->d_name, error);
    if (opened)
        closedir(opened);
    return status;
}

static int search_path(names *found, const char *model_path, ce_error *error)
{
    int status = CE_OK;
    for (const char *part = model_path; *part && status == CE_OK;) {
        size_t length = strcspn(part, ":");
        status = search_folder(found, part, length, error);
        part += length + (part[length] == ':');
    }
    if (found->count)
        qsort(found->all, found->count, sizeof *found->all, by_text);
    return status;
}

static int list_names(const ce_config *config, uint32_t flags, ce_lines *lines, ce_error *error)
{
    names found = {0};
    int status = CE_OK;
    for (size_t i = 0; i < config->file.model_count; i++)
        ce_lines_add(lines, "%s", config->file.models[i].name);
    if (!(flags & CITADEL_MODELS_CONFIGURED))
        status = search_path(&found, config->model_path, error);
    for (size_t i = 0; i < found.count; i++) {
        if (!ce_config_file_find(&config->file, found.all[i]))
            ce_lines_add(lines, "%s", found.all[i]);
        ce_free(found.all[i]);
    }
    ce_free(found.all);
    if (status != CE_OK)
        ce_free(lines->text);
    return status;
}

static int model_names(citadel_engine *engine, uint32_t flags, char *buffer, size_t capacity,
                       size_t *length, ce_error *error)
{
    if (!engine)
        return ce_fail(error, CE_E_INVALID_ARGUMENT, "engine is NULL");
    if (flags & ~CITADEL_MODELS_CONFIGURED)
        return ce_fail(error, CE_E_INVALID_ARGUMENT, "unknown flags 0x%x",
                       flags & ~CITADEL_MODELS_CONFIGURED);
    int status = ce_engine_enter(engine, error);
    if (status != CE_OK)
        return status;
    ce_lines lines = {0};
    status = list_names(&engine->config, flags, &lines, error);
    if (status == CE_OK)
        status = ce_lines_give(&lines, buffer, capacity, length, error);
    ce_engine_leave(engine);
    return status;
}

citadel_status citadel_model_names(citadel_engine *engine, uint32_t flags, char *buffer,
                                   size_t capacity, size_t *length, citadel_error *error)
{
    if (!ce_error_ready(error))
        return CITADEL_E_ABI;
    ce_error failure;
    int status = model_names(engine, flags, buffer, capacity, length, &failure);
    return ce_error_report(error, status, &failure);
}

/* ---- Forms -------------------------------------------------------------------------------- */

static void list_forms(const ce_pack *pack, ce_lines *lines)
{
    for (size_t i = 0; i < pack->artifact_count; i++) {
        const ce_form *form = &pack->forms[i];
        char name[256];
        ce_form_describe(form->artifact, name, sizeof name);
        if (form->state == CE_FORM_SKIPPED)
            ce_lines_add(lines, "skipped: %s: %s", name, form->reason);
        else if (form->artifact == pack->chosen)
            ce_lines_add(lines, "taken: %s: %s", name, form->form_reason);
        else
            ce_lines_add(lines, "next: %s", name);
    }
}

/* Without a backend the forms stand as the pack and the processor have them. */
static int check_forms(const ce_config *config, ce_pack *pack, ce_error *error)
{
    const ce_backend *backend;
    ce_error missing;
    if (ce_backend_open(config->torch_backend, &backend, &missing) != CE_OK)
        return CE_OK;
    int status = ce_form_check_backend(pack, backend, error);
    if (status != CE_OK)
        ce_error_prefix(error, "model '%s'", pack->path);
    return status;
}

static int model_forms(citadel_engine *engine, const char *name,
                       const citadel_load_options *options, char *buffer, size_t capacity,
                       size_t *length, ce_error *error)
{
    if (!engine || !name)
        return ce_fail(error, CE_E_INVALID_ARGUMENT, "%s is NULL", engine ? "name" : "engine");
    citadel_load_options known;
    int status = ce_load_options_read(options, &known, error);
    if (status == CE_OK)
        status = ce_engine_enter(engine, error);
    if (status != CE_OK)
        return status;
    ce_pack *pack;
    status = ce_cache_open_pack(engine, name, &known, &pack, error);
    if (status == CE_OK) {
        ce_lines lines = {0};
        status = check_forms(&engine->config, pack, error);
        if (status == CE_OK) {
            list_forms(pack, &lines);
            status = ce_lines_give(&lines, buffer, capacity, length, error);
        }
        ce_pack_close(pack);
    }
    ce_engine_leave(engine);
    return status;
}

citadel_status citadel_model_forms(citadel_engine *engine, const char *name,
                                   const citadel_load_options *options, char *buffer,
                                   size_t capacity, size_t *length, citadel_error *error)
{
    if (!ce_error_ready(error))
        return CITADEL_E_ABI;
    ce_error failure;
    int status = model_forms(engine, name, options, buffer, capacity, length, &failure);
    return ce_error_report(error, status, &failure);
}
