/* A small part of YAML as a tree: texts, lists and maps, one document, no anchors, aliases or tags. */
#ifndef CE_YAML_TREE_H
#define CE_YAML_TREE_H

#include "base/error.h"

#include <stddef.h>

typedef enum ce_yaml_kind { CE_YAML_TEXT, CE_YAML_LIST, CE_YAML_MAP } ce_yaml_kind;

typedef struct ce_yaml {
    ce_yaml_kind kind;
    unsigned line; /* from 1; of a member of a map, that of its key */
    char *key;     /* of a member of a map */
    char *text;    /* of a text */
    int plain;     /* a text without quotes, which may stand for something else than a text */
    struct ce_yaml *first, *last, *next;
} ce_yaml;

/* `*out` is NULL for a text without a document. Messages begin with the line. */
int ce_yaml_read(const char *text, size_t size, ce_yaml **out, ce_error *error);
void ce_yaml_free(ce_yaml *node); /* NULL is allowed */

const ce_yaml *ce_yaml_member(const ce_yaml *map, const char *key);

/* What YAML calls null: nothing, ~ or null. */
int ce_yaml_is_null(const ce_yaml *node);

#endif
