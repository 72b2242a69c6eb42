#include "tokenizer/loader.h"

#include "base/mem.h"
#include "tokenizer/base64.h"
#include "tokenizer/bert_normalize.h"

#include <stdio.h>

/* The members of all normalizers, as their type may come last. */
typedef struct members {
    char type[CE_TYPE_MOST];
    ce_normalizer made;
    int strip_accents; /* -1: as lowercase */
    char *regex;
    int has_list;
} members;

static void read_flag(ce_loader *l, int *flag)
{
    *flag = ce_json_boolean(&l->json);
}

static void read_text(ce_loader *l, char **text, size_t *size)
{
    ce_json_text read = ce_json_string(&l->json);
    ce_free(*text);
    *text = ce_load_copy(l, read);
    *size = *text ? read.size : 0;
}

static void read_regex(ce_loader *l, members *m)
{
    ce_free(m->regex);
    m->regex = ce_load_name(l, ce_json_string(&l->json));
}

/* {"String": " "} or {"Regex": " {2,}"} */
static void read_pattern(ce_loader *l, const char *path, members *m)
{
    ce_json_text key;
    ce_json_object(&l->json);
    while (ce_json_member(&l->json, &key)) {
        if (ce_json_is(key, "String"))
            read_text(l, &m->made.pattern, &m->made.pattern_size);
        else if (ce_json_is(key, "Regex"))
            read_regex(l, m);
        else
            ce_load_unsupported(l, path, key);
    }
}

static void read_charsmap(ce_loader *l, const char *path, members *m)
{
    ce_json_text text = ce_json_string(&l->json);
    unsigned char *blob = ce_malloc(ce_base64_room(text.size));
    size_t size;
    if (l->json.status == CE_OK && !blob)
        ce_load_no_memory(l);
    if (l->json.status == CE_OK && !ce_base64_decode(text.data, text.size, blob, &size))
        ce_json_fail(&l->json, "%s.precompiled_charsmap is not Base64", path);
    if (l->json.status == CE_OK) {
        ce_error error;
        ce_charsmap_destroy(m->made.charsmap);
        int status = ce_charsmap_create(blob, size, &m->made.charsmap, &error);
        if (status != CE_OK)
            ce_json_stop(&l->json, status, error.message);
    }
    ce_free(blob);
}

static void read_members(ce_loader *l, const char *path, members *m)
{
    ce_normalizer *n = &m->made;
    ce_json_text key;
    ce_json_object(&l->json);
    while (ce_json_member(&l->json, &key)) {
        if (ce_json_is(key, "type")) {
            ce_load_type(l, path, m->type);
        } else if (ce_json_is(key, "clean_text")) {
            read_flag(l, &n->bert.clean_text);
        } else if (ce_json_is(key, "handle_chinese_chars")) {
            read_flag(l, &n->bert.handle_chinese_chars);
        } else if (ce_json_is(key, "strip_accents")) {
            m->strip_accents = ce_load_absent(l) ? -1 : ce_json_boolean(&l->json);
        } else if (ce_json_is(key, "lowercase")) {
            read_flag(l, &n->bert.lowercase);
        } else if (ce_json_is(key, "strip_left")) {
            read_flag(l, &n->left);
        } else if (ce_json_is(key, "strip_right")) {
            read_flag(l, &n->right);
        } else if (ce_json_is(key, "pattern")) {
            read_pattern(l, path, m);
        } else if (ce_json_is(key, "content") || ce_json_is(key, "prepend")) {
            read_text(l, &n->content, &n->content_size);
        } else if (ce_json_is(key, "precompiled_charsmap")) {
            read_charsmap(l, path, m);
        } else if (ce_json_is(key, "normalizers")) {
            m->has_list = 1;
            ce_load_list(l, path, "normalizers", ce_load_normalizer);
        } else {
            ce_json_skip(&l->json);
        }
    }
}

/* A regular expression is implemented if it is one character two times or more, or has nothing special in it. */
static void compile_regex(ce_loader *l, const char *path, members *m)
{
    ce_normalizer *n = &m->made;
    size_t size = strlen(m->regex);
    n->repeated = size > 4 && strcmp(m->regex + size - 4, "{2,}") == 0;
    if (n->repeated)
        size -= 4;
    char pattern_path[160];
    snprintf(pattern_path, sizeof pattern_path, "%s.pattern.Regex", path);
    int plain = strcspn(m->regex, "\\^$.|?*+()[]{}") >= size;
    if (!plain || (n->repeated && size != 1)) {
        ce_load_unsupported(l, pattern_path, (ce_json_text){m->regex, strlen(m->regex)});
        return;
    }
    ce_free(n->pattern);
    n->pattern = ce_load_copy(l, (ce_json_text){m->regex, size});
    n->pattern_size = size;
}

static void compile_replace(ce_loader *l, const char *path, members *m)
{
    m->made.kind = CE_NORMALIZE_REPLACE;
    if (m->regex)
        compile_regex(l, path, m);
    if (l->json.status == CE_OK && m->made.pattern_size == 0)
        ce_load_missing(l, path, "pattern");
    else if (l->json.status == CE_OK && !m->made.content)
        ce_load_missing(l, path, "content");
}

static int is_type(const members *m, const char *type)
{
    return strcmp(m->type, type) == 0;
}

static void compile(ce_loader *l, const char *path, members *m)
{
    static const struct {
        const char *type;
        ce_normalizer_kind kind;
        ce_normal_form form;
    } simple[] = {
        {"NFD", CE_NORMALIZE_FORM, CE_NFD},
        {"NFC", CE_NORMALIZE_FORM, CE_NFC},
        {"NFKD", CE_NORMALIZE_FORM, CE_NFKD},
        {"NFKC", CE_NORMALIZE_FORM, CE_NFKC},
        {"Lowercase", CE_NORMALIZE_LOWERCASE, CE_NFD},
        {"StripAccents", CE_NORMALIZE_STRIP_ACCENTS, CE_NFD},
        {"Strip", CE_NORMALIZE_STRIP, CE_NFD},
    };
    ce_normalizer *n = &m->made;
    for (size_t i = 0; i < sizeof simple / sizeof simple[0]; i++)
        if (is_type(m, simple[i].type)) {
            n->kind = simple[i].kind;
            n->form = simple[i].form;
            return;
        }
    if (is_type(m, "BertNormalizer")) {
        n->kind = CE_NORMALIZE_BERT;
        n->bert.strip_accents = m->strip_accents < 0 ? n->bert.lowercase : m->strip_accents;
        if (ce_bert_prepare(n) != CE_OK)
            ce_load_no_memory(l);
    } else if (is_type(m, "Prepend")) {
        n->kind = CE_NORMALIZE_PREPEND;
        if (!n->content)
            ce_load_missing(l, path, "prepend");
    } else if (is_type(m, "Replace")) {
        compile_replace(l, path, m);
    } else if (is_type(m, "Precompiled")) {
        n->kind = CE_NORMALIZE_PRECOMPILED;
        if (!n->charsmap)
            ce_load_missing(l, path, "precompiled_charsmap");
    } else if (m->type[0] == '\0') {
        ce_load_missing(l, path, "type");
    } else {
        char type_path[160];
        snprintf(type_path, sizeof type_path, "%s.type", path);
        ce_load_unsupported(l, type_path, (ce_json_text){m->type, strlen(m->type)});
    }
}

void ce_load_normalizer(ce_loader *l, const char *path)
{
    ce_tokenizer *t = l->tokenizer;
    if (ce_load_absent(l))
        return;
    members m = {.strip_accents = -1,
                 .made.bert = {.clean_text = 1, .handle_chinese_chars = 1, .lowercase = 1}};
    read_members(l, path, &m);
    int sequence = is_type(&m, "Sequence");
    if (l->json.status == CE_OK && sequence != m.has_list)
        ce_load_missing(l, path, sequence ? "normalizers" : "type");
    if (l->json.status == CE_OK && !sequence)
        compile(l, path, &m);
    if (l->json.status == CE_OK && !sequence && t->normalizer_count == CE_NORMALIZERS_MOST)
        ce_load_unsupported(l, path, (ce_json_text){"more than 16 normalizers", 24});
    if (l->json.status == CE_OK && !sequence)
        t->normalizers[t->normalizer_count++] = m.made;
    else
        ce_normalizer_free(&m.made);
    ce_free(m.regex);
}
