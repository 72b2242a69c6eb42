#include "config_file.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_MAX = 1 << 20 };

/* ---- Values ------------------------------------------------------------------------------- */

static const char *kind_name(const ce_yaml *node)
{
    return node->kind == CE_YAML_LIST  ? "a list"
           : node->kind == CE_YAML_MAP ? "a map"
           : ce_yaml_is_null(node)     ? "empty"
                                       : "a text";
}

static int wrong_kind(const ce_yaml *node, const char *expected, ce_error *error)
{
    return ce_fail(error, CE_E_INVALID_ARGUMENT, "line %u: %s is %s, expected %s", node->line,
                   node->key ? node->key : "a value", kind_name(node), expected);
}

static int check_text(const ce_yaml *node, ce_error *error)
{
    return node->kind == CE_YAML_TEXT && !ce_yaml_is_null(node) ? CE_OK
                                                                : wrong_kind(node, "a text", error);
}

static int check_map(const ce_yaml *node, const char *expected, ce_error *error)
{
    return node->kind == CE_YAML_MAP ? CE_OK : wrong_kind(node, expected, error);
}

/* "'4'" is a text in YAML, and no number. */
static int check_plain(const ce_yaml *node, const char *expected, ce_error *error)
{
    if (node->kind != CE_YAML_TEXT || ce_yaml_is_null(node))
        return wrong_kind(node, expected, error);
    return node->plain ? CE_OK
                       : ce_fail(error, CE_E_INVALID_ARGUMENT,
                                 "line %u: %s is the text '%s', expected %s without quotes",
                                 node->line, node->key, node->text, expected);
}

static int place(const ce_yaml *node, int status, ce_error *error)
{
    if (status != CE_OK)
        ce_error_prefix(error, "line %u", node->line);
    return status;
}

/* ---- Settings ----------------------------------------------------------------------------- */

/* What is written down is not to depend on where the program happens to be started. */
static int check_path(ce_setting setting, const ce_yaml *node, ce_error *error)
{
    int valid = node->text[0] == '/';
    for (const char *at = node->text; setting == CE_SET_MODEL_PATH && (at = strchr(at, ':'));)
        valid &= *++at == '/';
    return valid ? CE_OK
                 : ce_fail(error, CE_E_INVALID_ARGUMENT, "line %u: %s is '%s', expected %s",
                           node->line, node->key, node->text,
                           setting == CE_SET_MODEL_PATH ? "absolute directories separated by ':'"
                                                        : "an absolute path");
}

static int check_setting(ce_setting setting, const ce_yaml *node, ce_error *error)
{
    static const char *const expected[] = {
        [CE_KIND_SWITCH] = "true or false",
        [CE_KIND_NUMBER] = "a whole number",
        [CE_KIND_BYTES] = "a number of bytes",
    };
    ce_kind kind = ce_setting_get(setting)->kind;
    uint64_t value;
    int status =
        kind <= CE_KIND_BYTES ? check_plain(node, expected[kind], error) : check_text(node, error);
    if (status == CE_OK && kind == CE_KIND_PATH)
        return check_path(setting, node, error);
    return status == CE_OK
               ? place(node, ce_setting_parse(setting, node->key, node->text, &value, error), error)
               : status;
}

static int unknown_setting(const ce_yaml *node, ce_error *error)
{
    char known[400];
    size_t used = 0;
    for (int i = 0; i < CE_SETTINGS && used < sizeof known; i++)
        used += (size_t)snprintf(known + used, sizeof known - used, "%s, ",
                                 ce_setting_get((ce_setting)i)->key);
    return ce_fail(error, CE_E_INVALID_ARGUMENT, "line %u: unknown key '%s', expected %smodels",
                   node->line, node->key, known);
}

static int read_setting(ce_config_file *file, const ce_yaml *node, ce_error *error)
{
    for (int i = 0; i < CE_SETTINGS; i++) {
        if (strcmp(ce_setting_get((ce_setting)i)->key, node->key) == 0) {
            file->settings[i] = node;
            return check_setting((ce_setting)i, node, error);
        }
    }
    return unknown_setting(node, error);
}

/* ---- Models ------------------------------------------------------------------------------- */

static int named(const ce_config_model *model, const char *name)
{
    if (strcmp(model->name, name) == 0)
        return 1;
    const ce_yaml *alias = model->aliases ? model->aliases->first : NULL;
    while (alias && strcmp(alias->text, name) != 0)
        alias = alias->next;
    return alias != NULL;
}

static const ce_config_model *find(const ce_config_model *models, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (named(&models[i], name))
            return &models[i];
    return NULL;
}

/* What begins like a path always is one. */
static int check_name(const ce_config_file *file, const ce_yaml *node, const char *name,
                      ce_error *error)
{
    if (!*name || *name == '.' || *name == '/')
        return ce_fail(error, CE_E_INVALID_ARGUMENT,
                       "line %u: '%s' is not a model name: it is empty, or begins with '.' or '/'",
                       node->line, name);
    const ce_config_model *before = find(file->models, file->model_count, name);
    return before ? ce_fail(error, CE_E_INVALID_ARGUMENT,
                            "line %u: the name '%s' is that of the model in line %u already",
                            node->line, name, before->line)
                  : CE_OK;
}

static int read_aliases(const ce_config_file *file, ce_config_model *model, const ce_yaml *node,
                        ce_error *error)
{
    if (node->kind != CE_YAML_LIST)
        return wrong_kind(node, "a list of names", error);
    for (const ce_yaml *alias = node->first; alias; alias = alias->next) {
        int status = check_text(alias, error);
        if (status == CE_OK)
            status = check_name(file, alias, alias->text, error);
        if (status != CE_OK)
            return status;
        int twice = strcmp(alias->text, model->name) == 0;
        for (const ce_yaml *other = node->first; other != alias; other = other->next)
            twice |= strcmp(other->text, alias->text) == 0;
        if (twice)
            return ce_fail(error, CE_E_INVALID_ARGUMENT,
                           "line %u: the name '%s' is that of the model in line %u already",
                           alias->line, alias->text, model->line);
    }
    model->aliases = node;
    return CE_OK;
}

static int read_prompts(ce_config_model *model, const ce_yaml *node, ce_error *error)
{
    int status = check_map(node, "a map of names and texts", error);
    for (const ce_yaml *prompt = status == CE_OK ? node->first : NULL; prompt && status == CE_OK;
         prompt = prompt->next)
        status = *prompt->key ? check_text(prompt, error)
                              : ce_fail(error, CE_E_INVALID_ARGUMENT,
                                        "line %u: the name of a prompt is empty", prompt->line);
    model->prompts = node;
    return status;
}

/* A relative path begins at the directory of the file. */
static int set_target(const ce_config_file *file, ce_config_model *model, const ce_yaml *path,
                      ce_error *error)
{
    const char *given = path ? path->text : model->name;
    int relative = path && given[0] != '/';
    int folder = relative ? (int)(strrchr(file->path, '/') + 1 - file->path) : 0;
    size_t size = (size_t)folder + strlen(given) + 1;
    model->target = ce_malloc(size);
    if (!model->target)
        return ce_fail(error, CE_E_NO_MEMORY, "no memory for the configuration");
    snprintf(model->target, size, "%.*s%s", folder, file->path, given);
    return CE_OK;
}

static int read_path(const ce_config_file *file, ce_config_model *model, const ce_yaml *node,
                     ce_error *error)
{
    int status = check_text(node, error);
    if (status == CE_OK && !*node->text)
        status = wrong_kind(node, "the path of a directory", error);
    return status == CE_OK ? set_target(file, model, node, error) : status;
}

static int read_model_precision(ce_config_model *model, const ce_yaml *node, ce_error *error)
{
    uint64_t value = 0;
    int status = check_text(node, error);
    if (status == CE_OK)
        status =
            place(node, ce_setting_parse_precision(node->key, node->text, &value, error), error);
    model->has_precision = 1;
    model->precision = (int32_t)value;
    return status;
}

static int read_model_warmup(ce_config_model *model, const ce_yaml *node, ce_error *error)
{
    uint64_t value = 0;
    int status = check_plain(node, "true or false", error);
    if (status == CE_OK)
        status = place(node, ce_setting_parse_switch(node->key, node->text, &value, error), error);
    model->has_warmup = 1;
    model->warmup = (int)value;
    return status;
}

static int read_model_member(const ce_config_file *file, ce_config_model *model,
                             const ce_yaml *node, ce_error *error)
{
    if (strcmp(node->key, "path") == 0)
        return read_path(file, model, node, error);
    if (strcmp(node->key, "aliases") == 0)
        return read_aliases(file, model, node, error);
    if (strcmp(node->key, "prompts") == 0)
        return read_prompts(model, node, error);
    if (strcmp(node->key, "precision") == 0)
        return read_model_precision(model, node, error);
    if (strcmp(node->key, "warmup") == 0)
        return read_model_warmup(model, node, error);
    if (strcmp(node->key, "default_prompt") == 0) {
        model->default_prompt = node->text;
        return check_text(node, error);
    }
    return ce_fail(error, CE_E_INVALID_ARGUMENT,
                   "line %u: unknown key '%s' of model '%s', expected path, aliases, prompts, "
                   "default_prompt, precision or warmup",
                   node->line, node->key, model->name);
}

/* A name with a '/' cannot be looked for along the model path. */
static int finish_target(const ce_config_file *file, ce_config_model *model, ce_error *error)
{
    if (model->target)
        return CE_OK;
    if (strchr(model->name, '/'))
        return ce_fail(error, CE_E_INVALID_ARGUMENT,
                       "line %u: model '%s' has no path, which a name with a '/' needs",
                       model->line, model->name);
    return set_target(file, model, NULL, error);
}

static int read_model(ce_config_file *file, const ce_yaml *node, ce_error *error)
{
    int status = check_name(file, node, node->key, error);
    if (status == CE_OK && !ce_yaml_is_null(node))
        status = check_map(node, "a map (path, aliases, prompts, ...)", error);
    if (status != CE_OK)
        return status;
    ce_config_model *model = &file->models[file->model_count];
    *model = (ce_config_model){.name = node->key, .line = node->line, .node = node};
    for (const ce_yaml *member = node->first; member && status == CE_OK; member = member->next)
        status = read_model_member(file, model, member, error);
    if (status == CE_OK)
        status = finish_target(file, model, error);
    file->model_count++;
    return status;
}

static int read_models(ce_config_file *file, const ce_yaml *node, ce_error *error)
{
    if (ce_yaml_is_null(node))
        return CE_OK;
    int status = check_map(node, "a map of names", error);
    size_t count = 0;
    for (const ce_yaml *model = node->first; model; model = model->next)
        count++;
    if (status != CE_OK || count == 0)
        return status;
    file->models = ce_calloc(count, sizeof *file->models);
    if (!file->models)
        return ce_fail(error, CE_E_NO_MEMORY, "no memory for the configuration");
    for (const ce_yaml *model = node->first; model && status == CE_OK; model = model->next)
        status = read_model(file, model, error);
    return status;
}

/* ---- File --------------------------------------------------------------------------------- */

static int read_tree(ce_config_file *file, ce_error *error)
{
    if (!file->tree || ce_yaml_is_null(file->tree))
        return CE_OK;
    int status = check_map(file->tree, "a map of settings", error);
    for (const ce_yaml *node = file->tree->first; node && status == CE_OK; node = node->next)
        status = strcmp(node->key, "models") == 0 ? read_models(file, node, error)
                                                  : read_setting(file, node, error);
    return status;
}

int ce_config_file_parse(ce_config_file *file, const char *path, const char *text, size_t size,
                         ce_error *error)
{
    *file = (ce_config_file){.path = ce_strndup(path, strlen(path))};
    int status = file->path ? ce_yaml_read(text, size, &file->tree, error)
                            : ce_fail(error, CE_E_NO_MEMORY, "no memory for the configuration");
    if (status == CE_OK)
        status = read_tree(file, error);
    if (status != CE_OK) {
        ce_config_file_free(file);
        ce_error_prefix(error, "%s", path);
    }
    return status;
}

/* The directory may be a link, the file too: what stands beside the link is what is meant. */
static int absolute(const char *path, char *out, size_t size, ce_error *error)
{
    char folder[PATH_MAX], resolved[PATH_MAX];
    const char *slash = strrchr(path, '/');
    int length = slash ? (int)(slash + 1 - path) : 0;
    int printed = snprintf(folder, sizeof folder, "%.*s", length, length ? path : "");
    if (printed >= (int)sizeof folder)
        return ce_fail_errno(error, CE_E_IO, ENAMETOOLONG, "configuration '%s'", path);
    if (!realpath(length ? folder : ".", resolved))
        return ce_fail_errno(error, CE_E_IO, errno, "configuration '%s'", path);
    printed = snprintf(out, size, "%s/%s", strcmp(resolved, "/") == 0 ? "" : resolved,
                       slash ? slash + 1 : path);
    return printed < (int)size
               ? CE_OK
               : ce_fail_errno(error, CE_E_IO, ENAMETOOLONG, "configuration '%s'", path);
}

static int read_bytes(int fd, const char *path, char *text, size_t size, size_t *used,
                      ce_error *error)
{
    *used = 0;
    while (*used < size) {
        ssize_t got = read(fd, text + *used, size - *used);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return ce_fail_errno(error, CE_E_IO, errno, "configuration '%s'", path);
        if (got == 0)
            break;
        *used += (size_t)got;
    }
    return CE_OK;
}

static int read_open(ce_config_file *file, int fd, const char *path, ce_error *error)
{
    struct stat info;
    char whole[PATH_MAX];
    if (fstat(fd, &info) != 0)
        return ce_fail_errno(error, CE_E_IO, errno, "configuration '%s'", path);
    if (!S_ISREG(info.st_mode))
        return ce_fail(error, CE_E_IO, "configuration '%s' is not a file", path);
    if (info.st_size > FILE_MAX)
        return ce_fail(error, CE_E_INVALID_ARGUMENT,
                       "configuration '%s' has %lld bytes, expected at most %d", path,
                       (long long)info.st_size, FILE_MAX);
    int status = absolute(path, whole, sizeof whole, error);
    if (status != CE_OK)
        return status;
    size_t used, size = (size_t)info.st_size;
    char *text = ce_malloc(size + 1);
    if (!text)
        return ce_fail(error, CE_E_NO_MEMORY, "no memory for the configuration");
    status = read_bytes(fd, path, text, size, &used, error);
    if (status == CE_OK)
        status = ce_config_file_parse(file, whole, text, used, error);
    ce_free(text);
    return status;
}

int ce_config_file_read(ce_config_file *file, const char *path, int must_exist, ce_error *error)
{
    *file = (ce_config_file){0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 && !must_exist && (errno == ENOENT || errno == ENOTDIR))
        return CE_OK;
    if (fd < 0)
        return ce_fail_errno(error, errno == ENOENT ? CE_E_NOT_FOUND : CE_E_IO, errno,
                             "configuration '%s'", path);
    int status = read_open(file, fd, path, error);
    close(fd);
    return status;
}

void ce_config_file_free(ce_config_file *file)
{
    for (size_t i = 0; i < file->model_count; i++)
        ce_free(file->models[i].target);
    ce_free(file->models);
    ce_yaml_free(file->tree);
    ce_free(file->path);
    *file = (ce_config_file){0};
}

const ce_config_model *ce_config_file_find(const ce_config_file *file, const char *name)
{
    return find(file->models, file->model_count, name);
}
