#include "names.h"

#include "base/mem.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static int is_directory(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

static int absolute(const char *path, char **out, ce_error *error)
{
    char resolved[PATH_MAX];
    if (!realpath(path, resolved))
        return ce_fail_errno(error, errno == ENOENT ? CE_E_NOT_FOUND : CE_E_IO, errno, "model '%s'",
                             path);
    if (!is_directory(resolved))
        return ce_fail(error, CE_E_NOT_FOUND, "model '%s' is not a directory", path);
    *out = ce_strndup(resolved, strlen(resolved));
    return *out ? CE_OK : ce_fail(error, CE_E_NO_MEMORY, "no memory for a path");
}

static int search(const char *name, const char *model_path, char **out, ce_error *error)
{
    for (const char *part = model_path; *part;) {
        size_t length = strcspn(part, ":");
        char candidate[PATH_MAX];
        int printed = snprintf(candidate, sizeof candidate, "%.*s/%s", (int)length, part, name);
        if (length > 0 && printed < (int)sizeof candidate && is_directory(candidate))
            return absolute(candidate, out, error);
        part += length;
        part += *part == ':';
    }
    return ce_fail(error, CE_E_NOT_FOUND, "no model '%s' in the model path '%s'%s%s%s", name,
                   model_path, is_directory(name) ? "; for the directory here say './" : "",
                   is_directory(name) ? name : "", is_directory(name) ? "'" : "");
}

int ce_names_resolve(const char *name, const char *model_path, char **out, ce_error *error)
{
    *out = NULL;
    if (strchr(name, '/'))
        return absolute(name, out, error);
    if (!*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return ce_fail(error, CE_E_INVALID_ARGUMENT, "'%s' is not a model name; a path needs a '/'",
                       name);
    return search(name, model_path, out, error);
}
