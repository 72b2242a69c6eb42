#include "listing.h"

#include "base/mem.h"
#include "engine.h"
#include "options.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct names {
    char **names;
    size_t count;
} names;

static void free_names(names *list)
{
    for (size_t i = 0; i < list->count; i++)
        ce_free(list->names[i]);
    ce_free(list->names);
}

static int no_memory(ce_error *error)
{
    return ce_fail(error, CE_E_NO_MEMORY, "no memory for a list of models");
}

static int add_name(names *list, const char *name, ce_error *error)
{
    char **grown = ce_reallocarray(list->names, list->count + 1, sizeof *grown);
    if (!grown)
        return no_memory(error);
    list->names = grown;
    grown[list->count] = ce_strndup(name, strlen(name));
    if (!grown[list->count])
        return no_memory(error);
    list->count++;
    return CE_OK;
}

/* "DIRECTORY/NAME/LEAF", where a DIRECTORY of the model path ends with ':' or NUL; 0 if that is too long. */
static int join(char path[PATH_MAX], const char *directory, const char *name, const char *leaf)
{
    return snprintf(path, PATH_MAX, "%.*s/%s%s", (int)strcspn(directory, ":"), directory, name,
                    leaf) < PATH_MAX;
}

static int exists(const char *directory, const char *name, const char *leaf)
{
    char path[PATH_MAX];
    return join(path, directory, name, leaf) && access(path, F_OK) == 0;
}

static const char *next_directory(const char *directory)
{
    directory += strcspn(directory, ":");
    return directory + (*directory == ':');
}

/* A name is taken where it is found first, whether or not that is a pack. */
static int hidden(const char *model_path, const char *directory, const char *name)
{
    for (const char *d = model_path; d < directory; d = next_directory(d))
        if (exists(d, name, "/"))
            return 1;
    return 0;
}

static int read_names(const char *path, names *list, ce_error *error)
{
    DIR *directory = opendir(path);
    if (!directory)
        return errno == ENOENT || errno == ENOTDIR
                   ? CE_OK
                   : ce_fail_errno(error, CE_E_IO, errno, "model path '%s'", path);
    int status = CE_OK;
    for (const struct dirent *entry; status == CE_OK && (entry = readdir(directory));)
        if (entry->d_name[0] != '.')
            status = add_name(list, entry->d_name, error);
    closedir(directory);
    return status;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* `*ended` once `each` has had enough. */
static int walk_directory(const char *model_path, const char *directory, citadel_model_fn *each,
                          void *user, int *ended, ce_error *error)
{
    char path[PATH_MAX];
    names list = {0};
    int status = join(path, directory, "", "") ? read_names(path, &list, error) : CE_OK;
    if (list.count > 0)
        qsort(list.names, list.count, sizeof *list.names, by_name);
    for (size_t i = 0; i < list.count && status == CE_OK && !*ended; i++) {
        const char *name = list.names[i];
        if (exists(directory, name, "/citadel.json") && !hidden(model_path, directory, name) &&
            join(path, directory, name, ""))
            *ended = each(user, name, path) != 0;
    }
    free_names(&list);
    return status;
}

int ce_listing_walk(const char *model_path, citadel_model_fn *each, void *user, ce_error *error)
{
    int status = CE_OK, ended = 0;
    for (const char *d = model_path; *d && status == CE_OK && !ended; d = next_directory(d))
        if (*d != ':')
            status = walk_directory(model_path, d, each, user, &ended, error);
    return status;
}

/* ---- Public ------------------------------------------------------------------------------- */

static int list(citadel_engine *engine, citadel_model_fn *each, void *user, ce_error *error)
{
    if (!engine || !each)
        return ce_fail(error, CE_E_INVALID_ARGUMENT, "%s is NULL", engine ? "each" : "engine");
    int status = ce_engine_enter(engine, error);
    if (status != CE_OK)
        return status;
    status = ce_listing_walk(engine->config.model_path, each, user, error);
    ce_engine_leave(engine);
    return status;
}

citadel_status citadel_model_list(citadel_engine *engine, citadel_model_fn *each, void *user,
                                  citadel_error *error)
{
    if (!ce_error_ready(error))
        return CITADEL_E_ABI;
    ce_error failure;
    int status = list(engine, each, user, &failure);
    return ce_error_report(error, status, &failure);
}
