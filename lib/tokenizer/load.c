#include "tokenizer/loader.h"

#include "base/mem.h"

#include <stdatomic.h>
#include <stdio.h>

/* ---- Helpers ------------------------------------------------------------------------------ */

void ce_load_no_memory(ce_loader *l)
{
    ce_json_stop(&l->json, CE_E_NO_MEMORY, "no memory for the tokenizer");
}

void ce_load_unsupported(ce_loader *l, const char *path, ce_json_text name)
{
    char reason[384];
    snprintf(reason, sizeof reason, "%s \"%.*s\" is not supported", path,
             name.size > 100 ? 100 : (int)name.size, name.data);
    ce_json_stop(&l->json, CE_E_UNSUPPORTED, reason);
}

void ce_load_missing(ce_loader *l, const char *path, const char *member)
{
    ce_json_fail(&l->json, "%s.%s is missing", path, member);
}

void ce_load_type(ce_loader *l, const char *path, char type[CE_TYPE_MOST])
{
    char member[160];
    ce_json_text text = ce_json_string(&l->json);
    snprintf(member, sizeof member, "%s.type", path);
    if (text.size >= CE_TYPE_MOST)
        ce_load_unsupported(l, member, text);
    else
        snprintf(type, CE_TYPE_MOST, "%.*s", (int)text.size, text.data);
}

void ce_load_list(ce_loader *l, const char *path, const char *member,
                  void (*read)(ce_loader *l, const char *path))
{
    char element[128];
    int i = 0;
    ce_json_array(&l->json);
    while (ce_json_element(&l->json)) {
        snprintf(element, sizeof element, "%s.%s[%d]", path, member, i++);
        read(l, element);
    }
}

void *ce_load_append(ce_loader *l, void **array, size_t *count, size_t size)
{
    if ((*count & (*count - 1)) == 0) { /* room for the next power of two */
        void *grown = ce_reallocarray(*array, *count ? 2 * *count : 1, size);
        if (!grown) {
            ce_load_no_memory(l);
            return NULL;
        }
        *array = grown;
    }
    void *element = (char *)*array + *count * size;
    memset(element, 0, size);
    ++*count;
    return element;
}

char *ce_load_copy(ce_loader *l, ce_json_text text)
{
    if (l->json.status != CE_OK)
        return NULL;
    char *made = ce_strndup(text.data, text.size);
    if (!made)
        ce_load_no_memory(l);
    return made;
}

char *ce_load_name(ce_loader *l, ce_json_text text)
{
    if (text.size > 0 && memchr(text.data, 0, text.size))
        ce_json_stop(&l->json, CE_E_UNSUPPORTED, "a NUL in a name is not supported");
    return ce_load_copy(l, text);
}

size_t ce_load_store(ce_loader *l, ce_json_text text)
{
    size_t offset = l->arena_size;
    if (text.size >= l->arena_capacity - l->arena_size) { /* there is one even for an empty text */
        size_t capacity = 2 * (l->arena_capacity + text.size) + 4096;
        char *arena = ce_realloc(l->arena, capacity);
        if (!arena) {
            ce_load_no_memory(l);
            return 0;
        }
        l->arena = arena;
        l->arena_capacity = capacity;
    }
    memcpy(l->arena + offset, text.data, text.size);
    l->arena_size += text.size;
    return offset;
}

int32_t ce_load_id(ce_loader *l)
{
    return (int32_t)ce_json_integer(&l->json, 0, CE_TRIE_MOST);
}

int ce_load_absent(ce_loader *l)
{
    if (ce_json_peek(&l->json) != CE_JSON_NULL)
        return 0;
    ce_json_null(&l->json);
    return 1;
}

/* ---- Added tokens ------------------------------------------------------------------------- */

static void read_added_token(ce_loader *l)
{
    ce_added *added = &l->tokenizer->added;
    ce_added_token token = {.id = -1, .normalized = 1};
    int special = 0, has_normalized = 0;
    ce_json_text key;
    ce_json_object(&l->json);
    while (ce_json_member(&l->json, &key)) {
        if (ce_json_is(key, "id")) {
            token.id = ce_load_id(l);
        } else if (ce_json_is(key, "content")) {
            ce_json_text content = ce_json_string(&l->json);
            if (content.size > CE_CONTENT_MOST)
                ce_load_unsupported(l, "an added token of more than 4096 bytes,", content);
            ce_free(token.content);
            token.content = ce_load_copy(l, content);
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
    ce_added_token *place =
        token.size > 0 && l->json.status == CE_OK
            ? ce_load_append(l, (void **)&added->tokens, &added->count, sizeof *place)
            : NULL;
    if (place)
        *place = token;
    else
        ce_free(token.content);
}

static void read_added_tokens(ce_loader *l)
{
    ce_json_array(&l->json);
    while (ce_json_element(&l->json))
        read_added_token(l);
}

/* The number of the first token of each content. `keys` is room for them. */
static int find_first(const ce_added *added, ce_trie_key *keys, ce_trie *first, ce_error *error)
{
    for (size_t i = 0; i < added->count; i++) { /* of equal ones the last key counts */
        const ce_added_token *token = &added->tokens[added->count - 1 - i];
        keys[i] = (ce_trie_key){token->content, token->size, (int32_t)(added->count - 1 - i)};
    }
    return ce_trie_build(first, keys, added->count, NULL, error);
}

/* The reference ignores the ids of the file: a token that the model knows has the model's id, the others are counted on from
 * there. Where the file says otherwise it contradicts itself. */
static int check_ids(const ce_loader *l, const ce_trie *first, ce_error *error)
{
    const ce_added *added = &l->tokenizer->added;
    size_t next = l->different_entries;
    for (size_t i = 0; i < added->count; i++) {
        const ce_added_token *token = &added->tokens[i];
        int32_t known = ce_load_find(l, token->content, token->size);
        size_t before = (size_t)ce_trie_exact(first, token->content, token->size);
        if (known < 0 && before < i)
            known = added->tokens[before].id;
        int in_model = known >= 0;
        if (!in_model)
            known = (int32_t)next++;
        if (known != token->id)
            return ce_fail(error, CE_E_BAD_MODEL, "added token '%s' has id %d, but %s %d",
                           token->content, (int)token->id,
                           in_model ? "model.vocab says" : "the next free one is", (int)known);
    }
    return CE_OK;
}

static int check_added(const ce_loader *l, ce_trie_key *keys, ce_error *error)
{
    ce_trie first;
    int status = find_first(&l->tokenizer->added, keys, &first, error);
    if (status == CE_OK)
        status = check_ids(l, &first, error);
    ce_trie_free(&first);
    return status;
}

/* Normalized contents, one behind the other, with `ends` saying where each ends. */
static int normalize_contents(const ce_loader *l, ce_text *contents, size_t *ends, ce_error *error)
{
    const ce_tokenizer *t = l->tokenizer;
    ce_normalizing work = {0};
    int status = CE_OK;
    for (size_t i = 0; i < t->added.count && status == CE_OK; i++) {
        const ce_added_token *token = &t->added.tokens[i];
        ce_part part = {.text = {token->content, token->size, NULL}, .starts = 1, .last = 1};
        if (token->normalized)
            status = ce_normalize(t->normalizers, t->normalizer_count, &work, &part, contents);
        ends[i] = contents->size;
    }
    ce_normalizing_free(&work);
    return status == CE_OK ? CE_OK : ce_fail(error, status, "no memory for the added tokens");
}

static void expect_token(ce_added_search *search, const ce_added_token *token, const char *content,
                         size_t size)
{
    unsigned char start = (unsigned char)content[0];
    search->only_start = search->count == 0 || search->only_start == start ? start : -1;
    search->count++;
    search->longest = size > search->longest ? size : search->longest;
    search->any_lstrip |= token->lstrip;
    search->starts[start] = 1;
}

static int build_added(ce_added *added, const ce_text *contents, const size_t *ends,
                       ce_trie_key *keys, ce_error *error)
{
    for (size_t i = 0; i < added->count; i++) {
        const ce_added_token *token = &added->tokens[i];
        if (token->normalized)
            continue;
        keys[added->raw.count] = (ce_trie_key){token->content, token->size, (int32_t)i};
        expect_token(&added->raw, token, token->content, token->size);
    }
    int status = ce_trie_build(&added->raw.trie, keys, added->raw.count, NULL, error);
    if (status != CE_OK)
        return status;
    for (size_t i = 0; i < added->count; i++) {
        size_t start = i ? ends[i - 1] : 0;
        if (ends[i] == start)
            continue;
        const char *content = contents->data + start;
        keys[added->normalized.count] = (ce_trie_key){content, ends[i] - start, (int32_t)i};
        expect_token(&added->normalized, &added->tokens[i], content, ends[i] - start);
    }
    return ce_trie_build(&added->normalized.trie, keys, added->normalized.count, NULL, error);
}

static int compile_added(const ce_loader *l, ce_error *error)
{
    ce_added *added = &l->tokenizer->added;
    int status = CE_OK;
    ce_text contents = {0};
    size_t *ends = ce_reallocarray(NULL, added->count, sizeof *ends);
    ce_trie_key *keys = ce_reallocarray(NULL, added->count, sizeof *keys);
    if (!ends || !keys)
        status = ce_fail(error, CE_E_NO_MEMORY, "no memory for %zu added tokens", added->count);
    if (status == CE_OK)
        status = check_added(l, keys, error);
    if (status == CE_OK)
        status = normalize_contents(l, &contents, ends, error);
    if (status == CE_OK)
        status = build_added(added, &contents, ends, keys, error);
    ce_text_free(&contents);
    ce_free(ends);
    ce_free(keys);
    return status;
}

/* ---- Pipeline ----------------------------------------------------------------------------- */

#define BLOCK "\xE2\x96\x81" /* U+2581, which stands for a space */

/* Where no merge makes a token in which a block follows something else, no merge reaches over such a place, and what lies
 * before and behind can be merged apart. But an unknown character must not become a block itself, and characters that are
 * left out move the offsets of the whole word. */
static int can_cut(const ce_loader *l)
{
    if (l->tokenizer->model != CE_MODEL_BPE || l->tokenizer->bpe.unk < 0 || l->byte_level ||
        l->ignore_merges || strncmp(l->unk_token, BLOCK, sizeof BLOCK - 1) == 0 ||
        ce_load_find(l, BLOCK, sizeof BLOCK - 1) < 0)
        return 0;
    for (size_t i = 0; i < l->merge_count; i++) {
        const char *text = l->arena + l->merges[i].offset;
        size_t size = l->merges[i].size, at = 0, block = sizeof BLOCK - 1;
        while (size - at >= block && memcmp(text + at, BLOCK, block) == 0)
            at += block;
        for (; size - at >= block; at++)
            if (memcmp(text + at, BLOCK, block) == 0)
                return 0;
    }
    return 1;
}

/* A literal that the last normalizer has replaced everywhere is not found any more. */
static int never_splits(const ce_tokenizer *t, const ce_pre_tokenizer *pre)
{
    const ce_normalizer *last =
        t->normalizer_count ? &t->normalizers[t->normalizer_count - 1] : NULL;
    return pre->kind == CE_PATTERN_LITERAL && !pre->invert && pre->entry_count == 0 &&
           pre->literal_size == 1 && last && last->kind == CE_NORMALIZE_REPLACE &&
           !last->repeated && last->pattern_size == 1 && last->pattern[0] == pre->literal[0] &&
           !memchr(last->content, pre->literal[0], last->content_size);
}

static void compile_pre_tokenizers(ce_loader *l)
{
    ce_tokenizer *t = l->tokenizer;
    size_t kept = 0;
    for (size_t i = 0; i < t->pre_tokenizer_count; i++)
        if (kept > 0 || !never_splits(t, &t->pre_tokenizers[i]))
            t->pre_tokenizers[kept++] = t->pre_tokenizers[i];
    t->pre_tokenizer_count = kept;
    if (can_cut(l)) {
        ce_pre_tokenizer *cut = &t->pre_tokenizers[t->pre_tokenizer_count];
        /* One that does not split at all but changes the text keeps its place. */
        if (kept > 0 && cut[-1].kind == CE_PATTERN_NOTHING)
            cut--;
        else
            *cut = (ce_pre_tokenizer){0};
        cut->kind = CE_PATTERN_CUT;
        memcpy(cut->literal, BLOCK, sizeof BLOCK - 1);
        cut->literal_size = sizeof BLOCK - 1;
        t->pre_tokenizer_count = (size_t)(cut - t->pre_tokenizers) + 1;
    }
    ce_pre_tokenizer *first = &t->pre_tokenizers[0];
    t->is_bert = t->model == CE_MODEL_WORDPIECE && t->pre_tokenizer_count == 1 &&
                 first->kind == CE_PATTERN_BERT;
    for (size_t i = 0; t->pre_tokenizer_count > 0 && i < first->entry_count; i++)
        t->normalizers[t->normalizer_count + t->entry_count++] = first->entries[i];
    first->entry_count = 0;
}

static int looks_at_start(const ce_normalizer *entries, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (entries[i].kind == CE_NORMALIZE_PREFIX && entries[i].first_only)
            return 1;
    return 0;
}

static void decide_origins(ce_tokenizer *t)
{
    int changed = t->normalizer_count + t->added.normalized.count > 0;
    t->needs_origins =
        changed && looks_at_start(t->normalizers + t->normalizer_count, t->entry_count);
    for (size_t i = 1; i < t->pre_tokenizer_count; i++)
        t->needs_origins |=
            looks_at_start(t->pre_tokenizers[i].entries, t->pre_tokenizers[i].entry_count);
}

static int32_t highest_of(const ce_template *template, int32_t highest)
{
    for (size_t i = 0; i < template->count; i++)
        if (template->pieces[i].kind == CE_PIECE_TOKEN && template->pieces[i].id > highest)
            highest = template->pieces[i].id;
    return highest;
}

static void count_vocab(ce_loader *l)
{
    ce_tokenizer *t = l->tokenizer;
    int32_t highest = highest_of(&t->post.pair, highest_of(&t->post.single, -1));
    for (size_t i = 0; i < l->entry_count; i++)
        highest = l->entries[i].id > highest ? l->entries[i].id : highest;
    for (size_t i = 0; i < t->added.count; i++)
        highest = t->added.tokens[i].id > highest ? t->added.tokens[i].id : highest;
    t->vocab_size = (size_t)(highest + 1);
}

/* How many times as long a text may become. Normalizers multiply what those before them made of it, so a few of them could
 * be made to fill the memory. */
enum { GROWTH_MOST = 4096 };

static size_t growth_of(const ce_normalizer *n)
{
    if (n->kind == CE_NORMALIZE_PRECOMPILED)
        return ce_charsmap_growth(n->charsmap);
    if (n->kind == CE_NORMALIZE_REPLACE)
        return n->content_size <= n->pattern_size ? 1 : (n->content_size - 1) / n->pattern_size + 1;
    return n->content_size + 1;
}

static int check_growth(const ce_normalizer *normalizers, size_t count, size_t *growth,
                        ce_error *error)
{
    for (size_t i = 0; i < count; i++) {
        size_t more = growth_of(&normalizers[i]);
        if (more > GROWTH_MOST / *growth)
            return ce_fail(error, CE_E_UNSUPPORTED,
                           "normalizer: a text %zu times as long is not supported, at most %d",
                           *growth * more, GROWTH_MOST);
        *growth *= more;
    }
    return CE_OK;
}

static int check_all_growth(const ce_tokenizer *t, ce_error *error)
{
    size_t growth = 1;
    int status = check_growth(t->normalizers, t->normalizer_count, &growth, error);
    for (size_t i = 0; i < t->pre_tokenizer_count && status == CE_OK; i++)
        status = check_growth(t->pre_tokenizers[i].entries, t->pre_tokenizers[i].entry_count,
                              &growth, error);
    return status;
}

/* ---- Whole -------------------------------------------------------------------------------- */

static void read_version(ce_loader *l)
{
    ce_json_text version = ce_json_string(&l->json);
    if (l->json.status == CE_OK && !ce_json_is(version, "1.0"))
        ce_load_unsupported(l, "version", version);
}

static int read_file(ce_loader *l, const char *data, size_t size, ce_error *error)
{
    ce_json_text key;
    ce_json_open(&l->json, data, size, error);
    ce_json_object(&l->json);
    while (ce_json_member(&l->json, &key)) {
        if (ce_json_is(key, "version"))
            read_version(l);
        else if (ce_json_is(key, "normalizer"))
            ce_load_normalizer(l, "normalizer");
        else if (ce_json_is(key, "pre_tokenizer"))
            ce_load_pre_tokenizer(l, "pre_tokenizer");
        else if (ce_json_is(key, "model"))
            ce_load_model(l);
        else if (ce_json_is(key, "added_tokens"))
            read_added_tokens(l);
        else if (ce_json_is(key, "post_processor"))
            ce_load_post_processor(l, "post_processor");
        else
            ce_json_skip(&l->json);
    }
    return ce_json_close(&l->json);
}

static void free_entries(ce_piece_entries *entries)
{
    for (size_t i = 0; i < entries->count; i++)
        ce_free(entries->items[i].name);
    ce_free(entries->items);
}

static void free_loader(ce_loader *l)
{
    ce_free(l->arena);
    ce_free(l->entries);
    ce_free(l->merges);
    ce_free(l->table);
    ce_free(l->decoded);
    ce_free(l->unk_token);
    ce_free(l->prefix);
    free_entries(&l->single);
    free_entries(&l->pair);
    for (size_t i = 0; i < l->special_count; i++) {
        ce_free(l->specials[i].name);
        ce_free(l->specials[i].ids);
    }
    ce_free(l->specials);
}

static int compile(ce_loader *l, ce_error *error)
{
    int status = check_all_growth(l->tokenizer, error);
    if (status == CE_OK)
        status = ce_load_compile_model(l, error);
    if (status == CE_OK)
        status = compile_added(l, error);
    if (status == CE_OK)
        status = ce_load_compile_post(l, error);
    if (status == CE_OK && l->json.status != CE_OK)
        status = ce_fail(error, CE_E_NO_MEMORY, "no memory for the tokenizer");
    if (status != CE_OK)
        return status;
    compile_pre_tokenizers(l);
    decide_origins(l->tokenizer);
    count_vocab(l);
    return CE_OK;
}

int ce_tokenizer_create(const char *json, size_t size, ce_tokenizer **out, ce_error *error)
{
    static atomic_uint_least64_t serials;
    *out = NULL;
    ce_loader l = {.tokenizer = ce_calloc(1, sizeof *l.tokenizer)};
    if (!l.tokenizer)
        return ce_fail(error, CE_E_NO_MEMORY, "no memory for the tokenizer");
    l.tokenizer->serial = atomic_fetch_add(&serials, 1) + 1;
    int status = read_file(&l, json, size, error);
    if (status == CE_OK)
        status = compile(&l, error);
    free_loader(&l);
    if (status != CE_OK) {
        ce_tokenizer_destroy(l.tokenizer);
        return status;
    }
    *out = l.tokenizer;
    return CE_OK;
}

void ce_tokenizer_destroy(ce_tokenizer *t)
{
    if (!t)
        return;
    ce_added_free(&t->added);
    for (size_t i = 0; i < t->normalizer_count + t->entry_count; i++)
        ce_normalizer_free(&t->normalizers[i]);
    for (size_t i = 0; i < t->pre_tokenizer_count; i++)
        for (size_t k = 0; k < t->pre_tokenizers[i].entry_count; k++)
            ce_normalizer_free(&t->pre_tokenizers[i].entries[k]);
    ce_wordpiece_free(&t->wordpiece);
    ce_bpe_free(&t->bpe);
    ce_unigram_free(&t->unigram);
    ce_post_free(&t->post);
    ce_free(t);
}

size_t ce_tokenizer_vocab_size(const ce_tokenizer *tokenizer)
{
    return tokenizer->vocab_size;
}

size_t ce_tokenizer_special_count(const ce_tokenizer *tokenizer)
{
    return tokenizer->post.single.specials;
}

size_t ce_tokenizer_pair_special_count(const ce_tokenizer *tokenizer)
{
    return tokenizer->post.pair.specials;
}
