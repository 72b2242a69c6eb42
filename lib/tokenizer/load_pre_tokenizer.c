#include "tokenizer/loader.h"

#include "base/mem.h"
#include "unicode/unicode.h"

#include <stdio.h>

/* The members of all pre-tokenizers, as their type may come last. */
typedef struct members {
    char type[CE_TYPE_MOST];
    char *pattern;
    size_t pattern_size;
    int is_regex;
    char *behavior, *replacement, *prepend_scheme;
    int add_prefix_space; /* -1: not given */
    int invert, individual_digits, split, use_regex;
    int has_list;
} members;

static void read_text(ce_loader *l, char **text)
{
    ce_free(*text);
    *text = ce_load_name(l, ce_json_string(&l->json));
}

static void read_pattern(ce_loader *l, const char *path, members *m)
{
    ce_json_text key;
    ce_json_object(&l->json);
    while (ce_json_member(&l->json, &key)) {
        m->is_regex = ce_json_is(key, "Regex");
        if (!m->is_regex && !ce_json_is(key, "String")) {
            ce_load_unsupported(l, path, key);
            return;
        }
        ce_json_text text = ce_json_string(&l->json);
        ce_free(m->pattern);
        m->pattern = ce_load_copy(l, text);
        m->pattern_size = text.size;
    }
}

static void read_members(ce_loader *l, const char *path, members *m)
{
    ce_json_text key;
    ce_json_object(&l->json);
    while (ce_json_member(&l->json, &key)) {
        if (ce_json_is(key, "type")) {
            ce_load_type(l, path, m->type);
        } else if (ce_json_is(key, "pattern")) {
            read_pattern(l, path, m);
        } else if (ce_json_is(key, "behavior")) {
            read_text(l, &m->behavior);
        } else if (ce_json_is(key, "invert")) {
            m->invert = ce_json_boolean(&l->json);
        } else if (ce_json_is(key, "individual_digits")) {
            m->individual_digits = ce_json_boolean(&l->json);
        } else if (ce_json_is(key, "replacement")) {
            read_text(l, &m->replacement);
        } else if (ce_json_is(key, "prepend_scheme")) {
            read_text(l, &m->prepend_scheme);
        } else if (ce_json_is(key, "split")) {
            m->split = ce_load_absent(l) ? 1 : ce_json_boolean(&l->json);
        } else if (ce_json_is(key, "add_prefix_space")) {
            m->add_prefix_space = ce_load_absent(l) ? -1 : ce_json_boolean(&l->json);
        } else if (ce_json_is(key, "use_regex")) {
            m->use_regex = ce_json_boolean(&l->json);
        } else if (ce_json_is(key, "pretokenizers")) {
            m->has_list = 1;
            ce_load_list(l, path, "pretokenizers", ce_load_pre_tokenizer);
        } else {
            ce_json_skip(&l->json);
        }
    }
}

static void unsupported(ce_loader *l, const char *path, const char *member, const char *value)
{
    char member_path[160];
    snprintf(member_path, sizeof member_path, "%s.%s", path, member);
    ce_load_unsupported(l, member_path, (ce_json_text){value, strlen(value)});
}

/* ---- One of each type ----------------------------------------------------------------------- */

static void set_literal(ce_loader *l, const char *path, const char *text, size_t size,
                        ce_pre_tokenizer *pre)
{
    if (size == 0 || size > CE_LITERAL_MOST) {
        unsupported(l, path, "pattern", size ? "more than 64 bytes" : "");
        return;
    }
    pre->kind = CE_PATTERN_LITERAL;
    memcpy(pre->literal, text, size);
    pre->literal_size = size;
}

static void set_behavior(ce_loader *l, const char *path, const members *m, ce_behavior otherwise,
                         ce_pre_tokenizer *pre)
{
    static const char *const names[] = {"Removed", "Isolated", "MergedWithPrevious",
                                        "MergedWithNext", "Contiguous"};
    pre->behavior = otherwise;
    if (!m->behavior)
        return;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(m->behavior, names[i]) == 0) {
            pre->behavior = (ce_behavior)i;
            return;
        }
    unsupported(l, path, "behavior", m->behavior);
}

static void compile_split(ce_loader *l, const char *path, const members *m, ce_pre_tokenizer *pre)
{
    if (!m->pattern) {
        ce_load_missing(l, path, "pattern");
        return;
    }
    set_behavior(l, path, m, CE_BEHAVIOR_REMOVED, pre);
    if (!m->behavior)
        ce_load_missing(l, path, "behavior");
    pre->invert = m->invert;
    if (m->is_regex && ce_scanner_find(m->pattern, m->pattern_size, &pre->scanner))
        pre->kind = CE_PATTERN_SCANNER;
    else if (m->is_regex && strcspn(m->pattern, "\\^$.|?*+()[]{}") < m->pattern_size)
        unsupported(l, path, "pattern.Regex", m->pattern);
    else
        set_literal(l, path, m->pattern, m->pattern_size, pre);
}

/* Something is put in front of a text that does not begin so. */
static void add_prefix(ce_loader *l, const char *text, size_t size, int first_only,
                       ce_pre_tokenizer *pre)
{
    ce_normalizer *n = &pre->entries[pre->entry_count];
    *n = (ce_normalizer){.kind = CE_NORMALIZE_PREFIX, .first_only = first_only};
    n->content = ce_load_copy(l, (ce_json_text){text, size});
    n->content_size = size;
    pre->entry_count++;
}

static void compile_metaspace(ce_loader *l, const char *path, const members *m,
                              ce_pre_tokenizer *pre)
{
    if (!m->replacement) {
        ce_load_missing(l, path, "replacement");
        return;
    }
    const char *scheme = m->prepend_scheme ? m->prepend_scheme : "always";
    if (m->add_prefix_space == 0 && strcmp(scheme, "never") != 0) {
        if (m->prepend_scheme) {
            ce_json_fail(&l->json, "%s: add_prefix_space is false, but prepend_scheme \"%s\"", path,
                         scheme);
            return;
        }
        ce_json_fail(&l->json, "%s: add_prefix_space is false without prepend_scheme", path);
        return;
    }
    size_t size = strlen(m->replacement);
    ce_normalizer *n = &pre->entries[pre->entry_count++];
    *n = (ce_normalizer){.kind = CE_NORMALIZE_REPLACE, .pattern_size = 1, .content_size = size};
    n->pattern = ce_load_copy(l, (ce_json_text){" ", 1});
    n->content = ce_load_copy(l, (ce_json_text){m->replacement, size});
    if (strcmp(scheme, "always") == 0 || strcmp(scheme, "first") == 0)
        add_prefix(l, m->replacement, size, scheme[0] == 'f', pre);
    else if (strcmp(scheme, "never") != 0)
        unsupported(l, path, "prepend_scheme", scheme);
    if (m->split) {
        set_literal(l, path, m->replacement, size, pre);
        pre->behavior = CE_BEHAVIOR_MERGED_WITH_NEXT;
    }
}

static void compile_byte_level(ce_loader *l, const members *m, ce_pre_tokenizer *pre)
{
    static const char pattern[] =
        "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
    if (m->add_prefix_space != 0)
        add_prefix(l, " ", 1, 0, pre);
    if (m->use_regex) {
        pre->kind = CE_PATTERN_SCANNER;
        ce_scanner_find(pattern, sizeof pattern - 1, &pre->scanner);
        pre->behavior = CE_BEHAVIOR_ISOLATED;
    }
    l->byte_level = 1;
}

static void compile(ce_loader *l, const char *path, const members *m, ce_pre_tokenizer *pre)
{
    if (strcmp(m->type, "BertPreTokenizer") == 0) {
        pre->kind = CE_PATTERN_BERT;
    } else if (strcmp(m->type, "Whitespace") == 0) {
        pre->kind = CE_PATTERN_WORDS;
        pre->invert = 1;
    } else if (strcmp(m->type, "WhitespaceSplit") == 0) {
        pre->kind = CE_PATTERN_CLASS;
        pre->flags = CE_UNICODE_WHITE;
    } else if (strcmp(m->type, "Punctuation") == 0) {
        pre->kind = CE_PATTERN_CLASS;
        pre->flags = CE_UNICODE_PUNCTUATION;
        set_behavior(l, path, m, CE_BEHAVIOR_ISOLATED, pre);
    } else if (strcmp(m->type, "Digits") == 0) {
        pre->kind = CE_PATTERN_CLASS;
        pre->flags = CE_UNICODE_NUMERIC;
        pre->behavior = m->individual_digits ? CE_BEHAVIOR_ISOLATED : CE_BEHAVIOR_CONTIGUOUS;
    } else if (strcmp(m->type, "Split") == 0) {
        compile_split(l, path, m, pre);
    } else if (strcmp(m->type, "Metaspace") == 0) {
        compile_metaspace(l, path, m, pre);
    } else if (strcmp(m->type, "ByteLevel") == 0) {
        compile_byte_level(l, m, pre);
    } else if (m->type[0] == '\0') {
        ce_load_missing(l, path, "type");
    } else {
        unsupported(l, path, "type", m->type);
    }
}

static void add(ce_loader *l, const char *path, const members *m)
{
    ce_tokenizer *t = l->tokenizer;
    if (l->byte_level) {
        unsupported(l, path, "type", "anything after ByteLevel");
        return;
    }
    if (t->pre_tokenizer_count == CE_PRE_TOKENIZERS_MOST - 1) {
        ce_load_unsupported(l, path, (ce_json_text){"more than 7 pre-tokenizers", 26});
        return;
    }
    ce_pre_tokenizer *pre = &t->pre_tokenizers[t->pre_tokenizer_count++];
    *pre = (ce_pre_tokenizer){.kind = CE_PATTERN_NOTHING};
    compile(l, path, m, pre);
}

void ce_load_pre_tokenizer(ce_loader *l, const char *path)
{
    if (ce_load_absent(l))
        return;
    members m = {.add_prefix_space = -1, .split = 1, .use_regex = 1};
    read_members(l, path, &m);
    int sequence = strcmp(m.type, "Sequence") == 0;
    if (l->json.status == CE_OK && sequence != m.has_list)
        ce_load_missing(l, path, sequence ? "pretokenizers" : "type");
    if (l->json.status == CE_OK && !sequence)
        add(l, path, &m);
    ce_free(m.pattern);
    ce_free(m.behavior);
    ce_free(m.replacement);
    ce_free(m.prepend_scheme);
}
