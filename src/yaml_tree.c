#include "yaml_tree.h"

#include "base/mem.h"
#include "unicode/utf8.h"

#include <string.h>
#include <strings.h>
#include <yaml.h>

/* Configurations are small; who sends more means harm. */
enum { DEPTH_MAX = 8, NODES_MAX = 10000 };

typedef struct reader {
    yaml_parser_t parser;
    const char *text;
    size_t size, nodes;
    ce_error *error;
} reader;

static unsigned line_at(const char *text, size_t offset)
{
    unsigned line = 1;
    for (size_t i = 0; i < offset; i++)
        line += text[i] == '\n';
    return line;
}

static unsigned line_of(const yaml_mark_t *mark)
{
    return (unsigned)mark->line + 1;
}

static int no_memory(ce_error *error)
{
    return ce_fail(error, CE_E_NO_MEMORY, "no memory for the configuration");
}

/* ---- Events ------------------------------------------------------------------------------- */

static int check_utf8(const char *text, size_t size, ce_error *error)
{
    uint32_t scalar;
    for (size_t i = 0; i < size;) {
        size_t length = ce_utf8_decode(text + i, size - i, &scalar);
        if (length == 0)
            return ce_fail(error, CE_E_INVALID_UTF8, "line %u: byte %zu of the file is not UTF-8",
                           line_at(text, i), i);
        i += length;
    }
    return CE_OK;
}

static int not_yaml(const reader *r)
{
    const yaml_parser_t *p = &r->parser;
    if (p->error == YAML_MEMORY_ERROR)
        return no_memory(r->error);
    size_t offset = p->problem_offset < r->size ? p->problem_offset : r->size;
    unsigned line =
        p->error == YAML_READER_ERROR ? line_at(r->text, offset) : line_of(&p->problem_mark);
    return ce_fail(r->error, CE_E_INVALID_ARGUMENT, "line %u: not YAML: %s", line,
                   p->problem ? p->problem : "unreadable");
}

static int next(reader *r, yaml_event_t *event)
{
    return yaml_parser_parse(&r->parser, event) ? CE_OK : not_yaml(r);
}

static int refuse(const reader *r, const yaml_event_t *event, const char *reason)
{
    return ce_fail(r->error, CE_E_INVALID_ARGUMENT, "line %u: %s", line_of(&event->start_mark),
                   reason);
}

/* ---- Nodes -------------------------------------------------------------------------------- */

static int add_node(reader *r, const yaml_event_t *event, ce_yaml **out)
{
    if (++r->nodes > NODES_MAX)
        return refuse(r, event, "more than 10000 values");
    *out = ce_calloc(1, sizeof **out);
    if (!*out)
        return no_memory(r->error);
    (*out)->line = line_of(&event->start_mark);
    return CE_OK;
}

static int copy_scalar(reader *r, const yaml_event_t *event, char **out)
{
    const char *value = (const char *)event->data.scalar.value;
    if (memchr(value, '\0', event->data.scalar.length))
        return refuse(r, event, "a text has a NUL character in it");
    *out = ce_strndup(value, event->data.scalar.length);
    return *out ? CE_OK : no_memory(r->error);
}

static void append(ce_yaml *parent, ce_yaml *node)
{
    if (parent->last)
        parent->last->next = node;
    else
        parent->first = node;
    parent->last = node;
}

static int read_node(reader *r, const yaml_event_t *event, int depth, ce_yaml **out);

static int read_list(reader *r, int depth, ce_yaml *list)
{
    for (;;) {
        yaml_event_t event;
        ce_yaml *item = NULL;
        int status = next(r, &event);
        if (status != CE_OK)
            return status;
        int ends = event.type == YAML_SEQUENCE_END_EVENT;
        if (!ends)
            status = read_node(r, &event, depth, &item);
        yaml_event_delete(&event);
        if (ends || status != CE_OK)
            return status;
        append(list, item);
    }
}

static int check_key(reader *r, const yaml_event_t *event, const ce_yaml *map)
{
    if (event->type != YAML_SCALAR_EVENT || event->data.scalar.anchor || event->data.scalar.tag)
        return refuse(r, event, "a key must be a mere text");
    const ce_yaml *before = ce_yaml_member(map, (const char *)event->data.scalar.value);
    if (before)
        return ce_fail(r->error, CE_E_INVALID_ARGUMENT,
                       "line %u: '%s' is there already, in line %u", line_of(&event->start_mark),
                       before->key, before->line);
    return CE_OK;
}

static int read_member(reader *r, const yaml_event_t *key, int depth, ce_yaml *map)
{
    yaml_event_t event;
    ce_yaml *value = NULL;
    int status = check_key(r, key, map);
    if (status == CE_OK)
        status = next(r, &event);
    if (status != CE_OK)
        return status;
    status = read_node(r, &event, depth, &value);
    yaml_event_delete(&event);
    if (status == CE_OK)
        status = copy_scalar(r, key, &value->key);
    if (status != CE_OK) {
        ce_yaml_free(value);
        return status;
    }
    value->line = line_of(&key->start_mark);
    append(map, value);
    return CE_OK;
}

static int read_map(reader *r, int depth, ce_yaml *map)
{
    for (;;) {
        yaml_event_t event;
        int status = next(r, &event);
        if (status != CE_OK)
            return status;
        int ends = event.type == YAML_MAPPING_END_EVENT;
        if (!ends)
            status = read_member(r, &event, depth, map);
        yaml_event_delete(&event);
        if (ends || status != CE_OK)
            return status;
    }
}

static int is_decorated(const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        return event->data.scalar.anchor || event->data.scalar.tag;
    case YAML_SEQUENCE_START_EVENT:
        return event->data.sequence_start.anchor || event->data.sequence_start.tag;
    case YAML_MAPPING_START_EVENT:
        return event->data.mapping_start.anchor || event->data.mapping_start.tag;
    default:
        return 1;
    }
}

static int fill_node(reader *r, const yaml_event_t *event, int depth, ce_yaml *node)
{
    if (event->type == YAML_SCALAR_EVENT) {
        node->kind = CE_YAML_TEXT;
        node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
        return copy_scalar(r, event, &node->text);
    }
    if (depth == DEPTH_MAX)
        return refuse(r, event, "more than 8 lists and maps inside each other");
    node->kind = event->type == YAML_SEQUENCE_START_EVENT ? CE_YAML_LIST : CE_YAML_MAP;
    return node->kind == CE_YAML_LIST ? read_list(r, depth + 1, node)
                                      : read_map(r, depth + 1, node);
}

static int read_node(reader *r, const yaml_event_t *event, int depth, ce_yaml **out)
{
    ce_yaml *node = NULL;
    if (is_decorated(event))
        return refuse(r, event, "anchors (&), aliases (*) and tags (!) are not read");
    int status = add_node(r, event, &node);
    if (status == CE_OK)
        status = fill_node(r, event, depth, node);
    if (status != CE_OK) {
        ce_yaml_free(node);
        return status;
    }
    *out = node;
    return CE_OK;
}

/* ---- Document ----------------------------------------------------------------------------- */

static int read_document(reader *r, ce_yaml **out)
{
    for (;;) {
        yaml_event_t event;
        int status = next(r, &event);
        if (status != CE_OK)
            return status;
        int ends = event.type == YAML_STREAM_END_EVENT;
        if (event.type == YAML_DOCUMENT_START_EVENT && *out)
            status = refuse(r, &event, "a second document begins");
        else if (event.type != YAML_STREAM_START_EVENT && event.type != YAML_DOCUMENT_START_EVENT &&
                 event.type != YAML_DOCUMENT_END_EVENT && !ends)
            status = read_node(r, &event, 0, out);
        yaml_event_delete(&event);
        if (ends || status != CE_OK)
            return status;
    }
}

int ce_yaml_read(const char *text, size_t size, ce_yaml **out, ce_error *error)
{
    reader r = {.text = text, .size = size, .error = error};
    *out = NULL;
    int status = check_utf8(text, size, error);
    if (status != CE_OK)
        return status;
    if (!yaml_parser_initialize(&r.parser))
        return no_memory(error);
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, size);
    status = read_document(&r, out);
    yaml_parser_delete(&r.parser);
    if (status != CE_OK) {
        ce_yaml_free(*out);
        *out = NULL;
    }
    return status;
}

void ce_yaml_free(ce_yaml *node)
{
    if (!node)
        return;
    for (ce_yaml *child = node->first, *after; child; child = after) {
        after = child->next;
        ce_yaml_free(child);
    }
    ce_free(node->key);
    ce_free(node->text);
    ce_free(node);
}

const ce_yaml *ce_yaml_member(const ce_yaml *map, const char *key)
{
    for (const ce_yaml *member = map->first; member; member = member->next)
        if (strcmp(member->key, key) == 0)
            return member;
    return NULL;
}

int ce_yaml_is_null(const ce_yaml *node)
{
    return node->kind == CE_YAML_TEXT && node->plain &&
           (node->text[0] == '\0' || strcmp(node->text, "~") == 0 ||
            strcasecmp(node->text, "null") == 0);
}
