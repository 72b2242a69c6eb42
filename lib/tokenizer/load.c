#include "tokenizer/pipeline.h"

#include "base/mem.h"
#include "json/json.h"

#include <stdio.h>
#include <string.h>

/* Longer contents would make the search for added tokens slow on purpose. */
enum { CONTENT_MOST = 4096 };

/* A vocabulary entry while the file is read; its text lies in the arena, which may move. */
typedef struct entry {
    size_t offset, size;
    int32_t id;
} entry;

typedef struct special_token {
    char *name;
    int32_t *ids;
    size_t count;
} special_token;

typedef struct loader {
    ce_json json;
    ce_tokenizer *tokenizer;

    char *arena;
    size_t arena_size, arena_capacity;
    entry *entries;
    size_t entry_count;
    char *unk_token, *prefix;
    int has_model, has_pre_tokenizer;

    char **template; /* names of special tokens; NULL stands for the text */
    size_t template_count;
    special_token *specials;
    size_t special_count;
} loader;

/* ---- Helpers ------------------------------------------------------------------------------ */

static void out_of_memory(loader *l)
{
    ce_json_stop(&l->json, CE_E_NO_MEMORY, "no memory for the tokenizer");
}

static void unsupported(loader *l, const char *path, ce_json_text name)
{
    char reason[256];
    snprintf(reason, sizeof reason, "%s \"%.*s\" is not supported", path,
             name.size > 100 ? 100 : (int)name.size, name.data);
    ce_json_stop(&l->json, CE_E_UNSUPPORTED, reason);
}

/* Where a component must be of one type. */
static void read_type(loader *l, const char *path, const char *expected)
{
    ce_json_text type = ce_json_string(&l->json);
    if (l->json.status == CE_OK && !ce_json_is(type, expected))
        unsupported(l, path, type);
}

static void *append(loader *l, void **array, size_t *count, size_t size)
{
    if ((*count & (*count - 1)) == 0) { /* room for the next power of two */
        void *grown = ce_reallocarray(*array, *count ? 2 * *count : 1, size);
        if (!grown) {
            out_of_memory(l);
            return NULL;
        }
        *array = grown;
    }
    void *element = (char *)*array + *count * size;
    memset(element, 0, size);
    ++*count;
    return element;
}

static char *copy(loader *l, ce_json_text text)
{
    if (l->json.status != CE_OK)
        return NULL;
    char *made = ce_strndup(text.data, text.size);
    if (!made)
        out_of_memory(l);
    return made;
}

static int32_t read_id(loader *l)
{
    return (int32_t)ce_json_integer(&l->json, 0, INT32_MAX - 1);
}

static void append_id(loader *l, int32_t **ids, size_t *count, int32_t id)
{
    int32_t *place = append(l, (void **)ids, count, sizeof **ids);
    if (place)
        *place = id;
}

static int absent(loader *l)
{
    if (ce_json_peek(&l->json) != CE_JSON_NULL)
        return 0;
    ce_json_null(&l->json);
    return 1;
}

/* ---- Normalizer and pre-tokenizer --------------------------------------------------------- */

static void read_normalizer(loader *l)
{
    ce_normalizer *n = &l->tokenizer->normalizer;
    if (absent(l))
        return;
    *n = (ce_normalizer){.clean_text = 1, .handle_chinese_chars = 1, .lowercase = 1};
    int strip = -1; /* null: as lowercase */
    ce_json_text key;
    ce_json_object(&l->json);
    while (ce_json_member(&l->json, &key)) {
        if (ce_json_is(key, "type"))
            read_type(l, "normalizer.type", "BertNormalizer");
        else if (ce_json_is(key, "clean_text"))
            n->clean_text = ce_json_boolean(&l->json);
        else if (ce_json_is(key, "handle_chinese_chars"))
            n->handle_chinese_chars = ce_json_boolean(&l->json);
        else if (ce_json_is(key, "strip_accents"))
            strip = absent(l) ? -1 : ce_json_boolean(&l->json);
        else if (ce_json_is(key, "lowercase"))
            n->lowercase = ce_json_boolean(&l->json);
        else
            ce_json_skip(&l->json);
    }
    n->strip_accents = strip < 0 ? n->lowercase : strip;
}

static void read_pre_tokenizer(loader *l)
{
    if (absent(l))
        return;
    l->has_pre_tokenizer = 1;
    ce_json_text key;
    ce_json_object(&l->json);
    while (ce_json_member(&l->json, &key)) {
        if (ce_json_is(key, "type"))
            read_type(l, "pre_tokenizer.type", "BertPreTokenizer");
        else
            ce_json_skip(&l->json);
    }
}

/* ---- Model -------------------------------------------------------------------------------- */

static size_t store(loader *l, ce_json_text text)
{
    size_t offset = l->arena_size;
    if (text.size >= l->arena_capacity - l->arena_size) { /* there is one even for an empty entry */
        size_t capacity = 2 * (l->arena_capacity + text.size) + 4096;
        char *arena = ce_realloc(l->arena, capacity);
        if (!arena) {
            out_of_memory(l);
            return 0;
        }
        l->arena = arena;
        l->arena_capacity = capacity;
    }
    memcpy(l->arena + offset, text.data, text.size);
    l->arena_size += text.size;
    return offset;
}

static void read_vocab(loader *l)
{
    ce_json_text key;
    ce_json_object(&l->json);
    while (ce_json_member(&l->json, &key)) {
        entry *e = append(l, (void **)&l->entries, &l->entry_count, sizeof *e);
        if (!e)
            return;
        e->offset = store(l, key);
        e->size = key.size;
        e->id = read_id(l);
    }
}

static void read_model(loader *l)
{
    l->has_model = 1;
    l->tokenizer->model.max_chars = 100;
    ce_json_text key;
    ce_json_object(&l->json);
    while (ce_json_member(&l->json, &key)) {
        if (ce_json_is(key, "type")) {
            read_type(l, "model.type", "WordPiece");
        } else if (ce_json_is(key, "unk_token")) {
            ce_free(l->unk_token);
            l->unk_token = copy(l, ce_json_string(&l->json));
        } else if (ce_json_is(key, "continuing_subword_prefix")) {
            ce_free(l->prefix);
            l->prefix = copy(l, ce_json_string(&l->json));
        } else if (ce_json_is(key, "max_input_chars_per_word")) {
            l->tokenizer->model.max_chars = (uint64_t)ce_json_integer(&l->json, 0, INT32_MAX);
        } else if (ce_json_is(key, "vocab")) {
            read_vocab(l);
        } else {
            ce_json_skip(&l->json);
        }
    }
}

/* ---- Added tokens ------------------------------------------------------------------------- */

static void read_added_token(loader *l)
{
    ce_added *added = &l->tokenizer->added;
    ce_added_token token = {.id = -1, .normalized = 1};
    int special = 0, has_normalized = 0;
    ce_json_text key;
    ce_json_object(&l->json);
    while (ce_json_member(&l->json, &key)) {
        if (ce_json_is(key, "id")) {
            token.id = read_id(l);
        } else if (ce_json_is(key, "content")) {
            ce_json_text content = ce_json_string(&l->json);
            if (content.size > CONTENT_MOST)
                unsupported(l, "an added token of more than 4096 bytes,", content);
            ce_free(token.content);
            token.content = copy(l, content);
            token.size = content.size;
        } else if (ce_json_is(key, "single_word")) {
            token.single_word = ce_json_boolean(&l->json);
        } else if (ce_json_is(key, "lstrip")) {
            token.lstrip = ce_json_boolean(&l->json);
        } else if (ce_json_is(key, "rstrip")) {
            token.rstrip = ce_json_boolean(&l->json);
        } else if (ce_json_is(key, "normalized")) {
            token.normalized = ce_json_boolean(&l->json);
            has_normalized = 1;
        } else if (ce_json_is(key, "special")) {
            special = ce_json_boolean(&l->json);
        } else {
            ce_json_skip(&l->json);
        }
    }
    if (!has_normalized)
        token.normalized = !special;
    if (l->json.status == CE_OK && (token.id < 0 || !token.content))
        ce_json_fail(&l->json, "an added token needs an id and a content");
    ce_added_token *place = token.size > 0 && l->json.status == CE_OK
                                ? append(l, (void **)&added->tokens, &added->count, sizeof *place)
                                : NULL;
    if (place)
        *place = token;
    else
        ce_free(token.content);
}

static void read_added_tokens(loader *l)
{
    ce_json_array(&l->json);
    while (ce_json_element(&l->json))
        read_added_token(l);
}

/* ---- Post-processor ----------------------------------------------------------------------- */

/* {"id": ..., "type_id": 0}: the name in it. */
static char *read_template_piece(loader *l, const char *path)
{
    char *name = NULL;
    ce_json_text key;
    ce_json_object(&l->json);
    while (ce_json_member(&l->json, &key)) {
        if (ce_json_is(key, "id")) {
            ce_free(name);
            name = copy(l, ce_json_string(&l->json));
        } else if (ce_json_is(key, "type_id")) {
            if (ce_json_integer(&l->json, 0, INT32_MAX) != 0)
                unsupported(l, path, (ce_json_text){"type_id other than 0", 20});
        } else {
            ce_json_skip(&l->json);
        }
    }
    return name;
}

static void read_template(loader *l)
{
    const char *path = "post_processor.single";
    ce_json_text key;
    ce_json_array(&l->json);
    while (ce_json_element(&l->json)) {
        ce_json_object(&l->json);
        while (ce_json_member(&l->json, &key)) {
            int text = ce_json_is(key, "Sequence");
            if (!text && !ce_json_is(key, "SpecialToken")) {
                unsupported(l, path, key);
                return;
            }
            char *name = read_template_piece(l, path);
            if (text) {
                if (name && strcmp(name, "A") != 0)
                    ce_json_fail(&l->json, "%s: sequence '%s', expected A", path, name);
                ce_free(name);
                name = NULL;
            } else if (!name) {
                ce_json_fail(&l->json, "%s: a special token without id", path);
                return;
            }
            char **place = append(l, (void **)&l->template, &l->template_count, sizeof *place);
            if (place)
                *place = name;
            else
                ce_free(name);
        }
    }
}

static void read_specials(loader *l)
{
    ce_json_text key;
    ce_json_object(&l->json);
    while (ce_json_member(&l->json, &key)) {
        special_token *s = append(l, (void **)&l->specials, &l->special_count, sizeof *s);
        if (!s)
            return;
        s->name = copy(l, key);
        ce_json_object(&l->json);
        while (ce_json_member(&l->json, &key)) {
            if (!ce_json_is(key, "ids")) {
                ce_json_skip(&l->json);
                continue;
            }
            ce_json_array(&l->json);
            while (ce_json_element(&l->json))
                append_id(l, &s->ids, &s->count, read_id(l));
        }
    }
}

/* ["[SEP]", 102] */
static void read_pair(loader *l, int32_t **ids, size_t *count)
{
    ce_json_array(&l->json);
    for (int i = 0; ce_json_element(&l->json); i++) {
        if (i == 1)
            append_id(l, ids, count, read_id(l));
        else
            ce_json_skip(&l->json);
    }
    if (l->json.status == CE_OK && *count != 1)
        ce_json_fail(&l->json, "expected a pair of token and id");
}

static void read_post_processor(loader *l)
{
    ce_template *post = &l->tokenizer->post;
    if (absent(l))
        return;
    int is_template = 0;
    ce_json_text key;
    ce_json_object(&l->json);
    while (ce_json_member(&l->json, &key)) {
        if (ce_json_is(key, "type")) {
            ce_json_text type = ce_json_string(&l->json);
            is_template = ce_json_is(type, "TemplateProcessing");
            if (!is_template && !ce_json_is(type, "BertProcessing") &&
                !ce_json_is(type, "RobertaProcessing"))
                unsupported(l, "post_processor.type", type);
        } else if (ce_json_is(key, "single")) {
            read_template(l);
        } else if (ce_json_is(key, "special_tokens")) {
            read_specials(l);
        } else if (ce_json_is(key, "cls")) {
            read_pair(l, &post->before, &post->before_count);
        } else if (ce_json_is(key, "sep")) {
            read_pair(l, &post->after, &post->after_count);
        } else {
            ce_json_skip(&l->json);
        }
    }
    if (is_template && l->template_count == 0)
        ce_json_fail(&l->json, "post_processor.single is missing");
}

/* ---- Compiling ---------------------------------------------------------------------------- */

static int missing(const char *what, ce_error *error)
{
    return ce_fail(error, CE_E_BAD_MODEL, "%s is missing", what);
}

static const special_token *find_special(const loader *l, const char *name)
{
    for (size_t i = 0; i < l->special_count; i++)
        if (strcmp(l->specials[i].name, name) == 0)
            return &l->specials[i];
    return NULL;
}

static int compile_template(loader *l, ce_error *error)
{
    ce_template *post = &l->tokenizer->post;
    int texts = 0;
    for (size_t i = 0; i < l->template_count; i++) {
        if (!l->template[i]) {
            texts++;
            continue;
        }
        const special_token *s = find_special(l, l->template[i]);
        if (!s)
            return ce_fail(error, CE_E_BAD_MODEL, "post_processor.special_tokens has no '%s'",
                           l->template[i]);
        for (size_t k = 0; k < s->count; k++)
            append_id(l, texts ? &post->after : &post->before,
                      texts ? &post->after_count : &post->before_count, s->ids[k]);
    }
    if (l->template_count > 0 && texts != 1)
        return ce_fail(error, CE_E_UNSUPPORTED,
                       "post_processor.single has the text %d times, only once is supported",
                       texts);
    return l->json.status;
}

static int build_vocab(const loader *l, ce_trie_key *keys, ce_error *error)
{
    ce_wordpiece *model = &l->tokenizer->model;
    size_t prefix = l->prefix ? strlen(l->prefix) : 0;
    size_t count = 0;
    for (size_t i = 0; i < l->entry_count; i++) {
        const entry *e = &l->entries[i];
        if (e->size > 0)
            keys[count++] = (ce_trie_key){l->arena + e->offset, e->size, e->id, (uint32_t)i};
    }
    int status = ce_trie_build(&model->first, keys, count, error);
    if (status != CE_OK)
        return status;
    count = 0;
    for (size_t i = 0; i < l->entry_count; i++) {
        const entry *e = &l->entries[i];
        const char *text = l->arena + e->offset;
        if (e->size > prefix && memcmp(text, l->prefix, prefix) == 0)
            keys[count++] = (ce_trie_key){text + prefix, e->size - prefix, e->id, (uint32_t)i};
    }
    return ce_trie_build(&model->continuation, keys, count, error);
}

/* Whether exactly this text is an entry of the model. */
static int find_id(const ce_tokenizer *tokenizer, const char *text, size_t size, int32_t *id)
{
    return size > 0 && ce_trie_longest(&tokenizer->model.first, text, size, id) == size;
}

static int compile_model(const loader *l, ce_error *error)
{
    if (!l->has_model)
        return missing("model", error);
    if (!l->has_pre_tokenizer)
        return ce_fail(error, CE_E_UNSUPPORTED,
                       "pre_tokenizer null is not supported, expected BertPreTokenizer");
    if (!l->prefix)
        return missing("model.continuing_subword_prefix", error);
    if (!l->unk_token)
        return missing("model.unk_token", error);
    ce_trie_key *keys = ce_reallocarray(NULL, l->entry_count, sizeof *keys);
    if (!keys)
        return ce_fail(error, CE_E_NO_MEMORY, "no memory for a vocabulary of %zu entries",
                       l->entry_count);
    int status = build_vocab(l, keys, error);
    ce_free(keys);
    if (status == CE_OK &&
        !find_id(l->tokenizer, l->unk_token, strlen(l->unk_token), &l->tokenizer->model.unk))
        return ce_fail(error, CE_E_BAD_MODEL, "model.unk_token '%s' is not in model.vocab",
                       l->unk_token);
    return status;
}

/* An added token that the model knows has the model's id; another one would contradict the file. */
static int check_added(const loader *l, ce_error *error)
{
    const ce_added *added = &l->tokenizer->added;
    for (size_t i = 0; i < added->count; i++) {
        const ce_added_token *token = &added->tokens[i];
        int32_t known;
        if (find_id(l->tokenizer, token->content, token->size, &known) && known != token->id)
            return ce_fail(error, CE_E_BAD_MODEL,
                           "added token '%s' has id %d, but model.vocab says %d", token->content,
                           (int)token->id, (int)known);
    }
    return CE_OK;
}

/* Normalized contents, one behind the other, with `ends` saying where each ends. */
static int normalize_contents(const loader *l, ce_buffer *contents, size_t *ends, ce_error *error)
{
    const ce_added *added = &l->tokenizer->added;
    ce_normalizing state = {0};
    int status = CE_OK;
    size_t bad;
    for (size_t i = 0; i < added->count && status == CE_OK; i++) {
        const ce_added_token *token = &added->tokens[i];
        if (token->normalized) {
            status = ce_normalize(&l->tokenizer->normalizer, &state, token->content, token->size,
                                  contents, &bad);
            if (status == CE_OK)
                status = ce_normalize_end(&state, contents);
        }
        ends[i] = contents->size;
    }
    ce_free(state.marks.data);
    return status == CE_OK ? CE_OK : ce_fail(error, status, "no memory for the added tokens");
}

static int build_added(ce_added *added, const ce_buffer *contents, const size_t *ends,
                       ce_trie_key *keys, ce_error *error)
{
    size_t raw = 0;
    for (size_t i = 0; i < added->count; i++) {
        const ce_added_token *token = &added->tokens[i];
        if (token->normalized)
            continue;
        keys[raw++] = (ce_trie_key){token->content, token->size, (int32_t)i, (uint32_t)i};
        added->starts_raw[(unsigned char)token->content[0]] = 1;
    }
    int status = ce_trie_build(&added->raw, keys, raw, error);
    if (status != CE_OK)
        return status;
    size_t normalized = 0;
    for (size_t i = 0; i < added->count; i++) {
        size_t start = i ? ends[i - 1] : 0;
        if (ends[i] == start)
            continue;
        const char *content = contents->data + start;
        keys[normalized++] = (ce_trie_key){content, ends[i] - start, (int32_t)i, (uint32_t)i};
        added->starts_normalized[(unsigned char)content[0]] = 1;
    }
    added->any_normalized = normalized > 0;
    return ce_trie_build(&added->normalized, keys, normalized, error);
}

static int compile_added(const loader *l, ce_error *error)
{
    ce_added *added = &l->tokenizer->added;
    int status = check_added(l, error);
    if (status != CE_OK)
        return status;
    ce_buffer contents = {0};
    size_t *ends = ce_reallocarray(NULL, added->count, sizeof *ends);
    ce_trie_key *keys = ce_reallocarray(NULL, added->count, sizeof *keys);
    if (!ends || !keys)
        status = ce_fail(error, CE_E_NO_MEMORY, "no memory for %zu added tokens", added->count);
    if (status == CE_OK)
        status = normalize_contents(l, &contents, ends, error);
    if (status == CE_OK)
        status = build_added(added, &contents, ends, keys, error);
    ce_free(contents.data);
    ce_free(ends);
    ce_free(keys);
    return status;
}

static void count_vocab(loader *l)
{
    ce_tokenizer *t = l->tokenizer;
    int32_t highest = -1;
    for (size_t i = 0; i < l->entry_count; i++)
        highest = l->entries[i].id > highest ? l->entries[i].id : highest;
    for (size_t i = 0; i < t->added.count; i++)
        highest = t->added.tokens[i].id > highest ? t->added.tokens[i].id : highest;
    for (size_t i = 0; i < t->post.before_count; i++)
        highest = t->post.before[i] > highest ? t->post.before[i] : highest;
    for (size_t i = 0; i < t->post.after_count; i++)
        highest = t->post.after[i] > highest ? t->post.after[i] : highest;
    t->vocab_size = (size_t)(highest + 1);
}

/* ---- Whole -------------------------------------------------------------------------------- */

static int read_file(loader *l, const char *data, size_t size, ce_error *error)
{
    ce_json_text key;
    ce_json_open(&l->json, data, size, error);
    ce_json_object(&l->json);
    while (ce_json_member(&l->json, &key)) {
        if (ce_json_is(key, "normalizer"))
            read_normalizer(l);
        else if (ce_json_is(key, "pre_tokenizer"))
            read_pre_tokenizer(l);
        else if (ce_json_is(key, "model"))
            read_model(l);
        else if (ce_json_is(key, "added_tokens"))
            read_added_tokens(l);
        else if (ce_json_is(key, "post_processor"))
            read_post_processor(l);
        else
            ce_json_skip(&l->json);
    }
    return ce_json_close(&l->json);
}

static void free_loader(loader *l)
{
    ce_free(l->arena);
    ce_free(l->entries);
    ce_free(l->unk_token);
    ce_free(l->prefix);
    for (size_t i = 0; i < l->template_count; i++)
        ce_free(l->template[i]);
    ce_free(l->template);
    for (size_t i = 0; i < l->special_count; i++) {
        ce_free(l->specials[i].name);
        ce_free(l->specials[i].ids);
    }
    ce_free(l->specials);
}

int ce_tokenizer_create(const char *json, size_t size, ce_tokenizer **out, ce_error *error)
{
    *out = NULL;
    loader l = {.tokenizer = ce_calloc(1, sizeof *l.tokenizer)};
    if (!l.tokenizer)
        return ce_fail(error, CE_E_NO_MEMORY, "no memory for the tokenizer");
    int status = read_file(&l, json, size, error);
    if (status == CE_OK)
        status = compile_model(&l, error);
    if (status == CE_OK)
        status = compile_added(&l, error);
    if (status == CE_OK)
        status = compile_template(&l, error);
    if (status == CE_OK)
        count_vocab(&l);
    free_loader(&l);
    if (status != CE_OK) {
        ce_tokenizer_destroy(l.tokenizer);
        return status;
    }
    *out = l.tokenizer;
    return CE_OK;
}

void ce_tokenizer_destroy(ce_tokenizer *tokenizer)
{
    if (!tokenizer)
        return;
    ce_trie_free(&tokenizer->model.first);
    ce_trie_free(&tokenizer->model.continuation);
    for (size_t i = 0; i < tokenizer->added.count; i++)
        ce_free(tokenizer->added.tokens[i].content);
    ce_free(tokenizer->added.tokens);
    ce_trie_free(&tokenizer->added.raw);
    ce_trie_free(&tokenizer->added.normalized);
    ce_free(tokenizer->post.before);
    ce_free(tokenizer->post.after);
    ce_free(tokenizer);
}

size_t ce_tokenizer_vocab_size(const ce_tokenizer *tokenizer)
{
    return tokenizer->vocab_size;
}

size_t ce_tokenizer_special_count(const ce_tokenizer *tokenizer)
{
    return tokenizer->post.before_count + tokenizer->post.after_count;
}
