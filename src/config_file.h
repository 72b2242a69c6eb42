/* optimization_config.yaml: settings, and names for models. It is right as a whole, or nothing of it counts. */
#ifndef CE_CONFIG_FILE_H
#define CE_CONFIG_FILE_H

#include "base/error.h"
#include "settings.h"
#include "yaml_tree.h"

/* Strings and nodes belong to the tree of the file. */
typedef struct ce_config_model {
    const char *name;
    unsigned line;
    const ce_yaml *node;    /* with all that is said of it */
    char *target;           /* the absolute path that was given; else the name, to be looked for */
    const ce_yaml *aliases; /* list of texts, or NULL */
    const ce_yaml *prompts; /* map of texts, or NULL */
    const char *default_prompt; /* "": none; NULL: as the pack has it */
    int has_precision, has_warmup;
    int32_t precision; /* CITADEL_PRECISION_* */
    int warmup;
} ce_config_model;

typedef struct ce_config_file {
    char *path;                           /* absolute; NULL: there is no file */
    ce_yaml *tree;                        /* NULL: nothing is in it */
    const ce_yaml *settings[CE_SETTINGS]; /* NULL: not set there */
    ce_config_model *models;
    size_t model_count;
} ce_config_file;

/* The file at `path`. Without `must_exist` one that is not there is as good as an empty one. */
int ce_config_file_read(ce_config_file *file, const char *path, int must_exist, ce_error *error);

/* The same for what is in a file; relative paths in it begin at the directory of `path`. */
int ce_config_file_parse(ce_config_file *file, const char *path, const char *text, size_t size,
                         ce_error *error);

void ce_config_file_free(ce_config_file *file);

/* By name or alias; NULL: the file does not have it. */
const ce_config_model *ce_config_file_find(const ce_config_file *file, const char *name);

#endif
