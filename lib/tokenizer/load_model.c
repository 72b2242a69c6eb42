#include "tokenizer/loader.h"

#include "base/mem.h"
#include "tokenizer/byte_level.h"

#include <stdio.h>

/* ---- Reading ------------------------------------------------------------------------------ */

static ce_entry *add_entry(ce_loader *l, ce_json_text text)
{
    if (text.size > CE_CONTENT_MOST)
        ce_load_unsupported(l, "model.vocab: an entry of more than 4096 bytes,", text);
    ce_entry *e = ce_load_append(l, (void **)&l->entries, &l->entry_count, sizeof *e);
    if (e) {
        e->size = text.size;
        e->offset = ce_load_store(l, text);
    }
    return e;
}

/* {"the": 5, ...} */
static void read_vocab_object(ce_loader *l)
{
    ce_json_text key;
    ce_json_object(&l->json);
    while (ce_json_member(&l->json, &key)) {
        ce_entry *e = add_entry(l, key);
        if (!e)
            return;
        e->id = ce_load_id(l);
    }
}

/* [["the", -3.5], ...] */
static void read_vocab_list(ce_loader *l)
{
    l->is_list = 1;
    ce_json_array(&l->json);
    while (ce_json_element(&l->json)) {
        int members = 0;
        ce_json_array(&l->json);
        for (; ce_json_element(&l->json); members++) {
            if (members == 0) {
                ce_entry *e = add_entry(l, ce_json_string(&l->json));
                if (!e)
                    return;
                e->id = (int32_t)(l->entry_count - 1);
            } else {
                l->entries[l->entry_count - 1].score = ce_json_number(&l->json);
            }
        }
        if (l->json.status == CE_OK && members != 2)
            ce_json_fail(&l->json, "model.vocab: expected pairs of text and score");
        if (l->entry_count > INT32_MAX - 1)
            ce_json_fail(&l->json, "model.vocab has too many entries");
    }
}

/* "a b": one space divides the two. */
static void read_merge_text(ce_loader *l, ce_merge_entry *m)
{
    static const char version[] = "#version";
    ce_json_text text = ce_json_string(&l->json);
    if (l->json.status != CE_OK)
        return;
    if (text.size >= sizeof version - 1 && memcmp(text.data, version, sizeof version - 1) == 0) {
        l->merge_count--;
        return;
    }
    const char *space = text.size ? memchr(text.data, ' ', text.size) : NULL;
    size_t left = space ? (size_t)(space - text.data) : 0;
    if (!space || memchr(space + 1, ' ', text.size - left - 1)) {
        ce_json_fail(&l->json, "model.merges: \"%.*s\" is not two tokens",
                     text.size > 100 ? 100 : (int)text.size, text.data);
        return;
    }
    m->left_size = left;
    m->size = text.size - 1;
    m->offset = ce_load_store(l, (ce_json_text){text.data, left});
    ce_load_store(l, (ce_json_text){space + 1, text.size - left - 1});
}

/* ["a", "b"] */
static void read_merge_pair(ce_loader *l, ce_merge_entry *m)
{
    int members = 0;
    ce_json_array(&l->json);
    for (; ce_json_element(&l->json); members++) {
        ce_json_text text = ce_json_string(&l->json);
        size_t offset = ce_load_store(l, text);
        if (members == 0) {
            m->offset = offset;
            m->left_size = text.size;
        }
        m->size += text.size;
    }
    if (l->json.status == CE_OK && members != 2)
        ce_json_fail(&l->json, "model.merges: expected pairs of tokens");
}

static void read_merges(ce_loader *l)
{
    l->has_merges = 1;
    ce_json_array(&l->json);
    while (ce_json_element(&l->json)) {
        ce_merge_entry *m = ce_load_append(l, (void **)&l->merges, &l->merge_count, sizeof *m);
        if (!m)
            return;
        if (ce_json_peek(&l->json) == CE_JSON_STRING)
            read_merge_text(l, m);
        else
            read_merge_pair(l, m);
    }
}

static void read_type(ce_loader *l)
{
    static const struct {
        const char *name;
        ce_model_kind kind;
    } types[] = {
        {"WordPiece", CE_MODEL_WORDPIECE}, {"BPE", CE_MODEL_BPE}, {"Unigram", CE_MODEL_UNIGRAM}};
    ce_json_text type = ce_json_string(&l->json);
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (ce_json_is(type, types[i].name)) {
            l->tokenizer->model = types[i].kind;
            l->has_type = 1;
            return;
        }
    ce_load_unsupported(l, "model.type", type);
}

/* Must be absent, or of the value that means nothing. */
static void refuse_text(ce_loader *l, const char *path)
{
    if (ce_load_absent(l))
        return;
    ce_json_text text = ce_json_string(&l->json);
    if (text.size > 0)
        ce_load_unsupported(l, path, text);
}

static void refuse_dropout(ce_loader *l)
{
    if (!ce_load_absent(l) && ce_json_number(&l->json) != 0)
        ce_load_unsupported(l, "model.dropout", (ce_json_text){"other than 0", 12});
}

static void read_flag(ce_loader *l, int *flag)
{
    *flag = ce_load_absent(l) ? 0 : ce_json_boolean(&l->json);
}

void ce_load_model(ce_loader *l)
{
    l->has_model = 1;
    l->unk_id = -1;
    l->tokenizer->wordpiece.max_chars = 100;
    ce_json_text key;
    ce_json_object(&l->json);
    while (ce_json_member(&l->json, &key)) {
        if (ce_json_is(key, "type")) {
            read_type(l);
        } else if (ce_json_is(key, "unk_token")) {
            ce_free(l->unk_token);
            l->unk_token = ce_load_absent(l) ? NULL : ce_load_name(l, ce_json_string(&l->json));
        } else if (ce_json_is(key, "unk_id")) {
            l->unk_id = ce_load_absent(l) ? -1 : ce_json_integer(&l->json, 0, INT32_MAX - 1);
        } else if (ce_json_is(key, "continuing_subword_prefix")) {
            ce_free(l->prefix);
            l->prefix = ce_load_absent(l) ? NULL : ce_load_name(l, ce_json_string(&l->json));
        } else if (ce_json_is(key, "max_input_chars_per_word")) {
            l->tokenizer->wordpiece.max_chars = (uint64_t)ce_json_integer(&l->json, 0, INT32_MAX);
        } else if (ce_json_is(key, "vocab")) {
            if (ce_json_peek(&l->json) == CE_JSON_ARRAY)
                read_vocab_list(l);
            else
                read_vocab_object(l);
        } else if (ce_json_is(key, "merges")) {
            read_merges(l);
        } else if (ce_json_is(key, "dropout")) {
            refuse_dropout(l);
        } else if (ce_json_is(key, "end_of_word_suffix")) {
            refuse_text(l, "model.end_of_word_suffix");
        } else if (ce_json_is(key, "byte_fallback")) {
            read_flag(l, &l->byte_fallback);
        } else if (ce_json_is(key, "fuse_unk")) {
            read_flag(l, &l->fuse_unk);
        } else if (ce_json_is(key, "ignore_merges")) {
            read_flag(l, &l->ignore_merges);
        } else {
            ce_json_skip(&l->json);
        }
    }
}

/* ---- Entries by their text ------------------------------------------------------------------ */

/* Begins with an address, lest a file be made in which everything falls into one place. */
static size_t hash(const ce_loader *l, const char *text, size_t size)
{
    uint64_t h = (uintptr_t)l ^ size;
    for (size_t i = 0; i < size; i += 8) {
        uint64_t part = 0;
        memcpy(&part, text + i, size - i < 8 ? size - i : 8);
        h = (h ^ part) * 0x9E3779B97F4A7C15u;
        h ^= h >> 29;
    }
    return (size_t)((h * 0xBF58476D1CE4E5B9u) >> (64 - l->table_bits));
}

static uint32_t *find_slot(const ce_loader *l, const char *text, size_t size)
{
    size_t mask = ((size_t)1 << l->table_bits) - 1, slot = hash(l, text, size);
    for (; l->table[slot]; slot = (slot + 1) & mask) {
        const ce_entry *e = &l->entries[l->table[slot] - 1];
        if (e->size == size && memcmp(ce_load_text(l, e), text, size) == 0)
            break;
    }
    return &l->table[slot];
}

/* Of entries that occur twice the last one counts. Returns how many different ones there are, 0 without memory. */
static int fill_table(ce_loader *l)
{
    l->table_bits = 4;
    while (((size_t)1 << l->table_bits) < 2 * l->entry_count)
        l->table_bits++;
    l->table = ce_calloc((size_t)1 << l->table_bits, sizeof *l->table);
    if (!l->table)
        return 0;
    for (size_t i = 0; i < l->entry_count; i++) {
        uint32_t *slot = find_slot(l, ce_load_text(l, &l->entries[i]), l->entries[i].size);
        l->different_entries += *slot == 0;
        *slot = (uint32_t)i + 1;
    }
    return 1;
}

int32_t ce_load_find(const ce_loader *l, const char *text, size_t size)
{
    uint32_t number = *find_slot(l, text, size);
    return number ? l->entries[number - 1].id : -1;
}

/* ---- Compiling ---------------------------------------------------------------------------- */

static int missing(const char *what, ce_error *error)
{
    return ce_fail(error, CE_E_BAD_MODEL, "%s is missing", what);
}

static int no_memory(const ce_loader *l, ce_error *error)
{
    return ce_fail(error, CE_E_NO_MEMORY, "no memory for a vocabulary of %zu entries",
                   l->entry_count);
}

static int find_unk(const ce_loader *l, int32_t *unk, ce_error *error)
{
    *unk = ce_load_find(l, l->unk_token, strlen(l->unk_token));
    if (*unk < 0)
        return ce_fail(error, CE_E_BAD_MODEL, "model.unk_token '%s' is not in model.vocab",
                       l->unk_token);
    return CE_OK;
}

static void find_fallback_bytes(const ce_loader *l, int32_t bytes[256])
{
    for (int b = 0; b < 256; b++) {
        char name[8];
        int size = snprintf(name, sizeof name, "<0x%02X>", (unsigned)b);
        bytes[b] = ce_load_find(l, name, (size_t)size);
    }
}

static int compile_wordpiece(ce_loader *l, ce_trie_key *keys, ce_error *error)
{
    ce_wordpiece *model = &l->tokenizer->wordpiece;
    if (!l->prefix)
        return missing("model.continuing_subword_prefix", error);
    if (!l->unk_token)
        return missing("model.unk_token", error);
    size_t count = 0, prefix = strlen(l->prefix);
    for (size_t i = 0; i < l->entry_count; i++) {
        const ce_entry *e = &l->entries[i];
        if (e->size > 0)
            keys[count++] = (ce_trie_key){ce_load_text(l, e), e->size, e->id};
    }
    int status = ce_trie_build(&model->first, keys, count, NULL, error);
    if (status != CE_OK)
        return status;
    count = 0;
    for (size_t i = 0; i < l->entry_count; i++) {
        const ce_entry *e = &l->entries[i];
        const char *text = ce_load_text(l, e);
        if (e->size > prefix && memcmp(text, l->prefix, prefix) == 0)
            keys[count++] = (ce_trie_key){text + prefix, e->size - prefix, e->id};
    }
    status = ce_trie_build(&model->continuation, keys, count, NULL, error);
    if (status == CE_OK)
        status = find_unk(l, &model->unk, error);
    if (status == CE_OK)
        ce_wordpiece_prepare(model);
    return status;
}

static int compile_unigram(ce_loader *l, ce_trie_key *keys, ce_error *error)
{
    ce_unigram *model = &l->tokenizer->unigram;
    if (l->unk_id < 0)
        return ce_fail(error, CE_E_UNSUPPORTED, "model.unk_id null is not supported");
    if ((size_t)l->unk_id >= l->entry_count)
        return ce_fail(error, CE_E_BAD_MODEL,
                       "model.unk_id is %lld, the vocabulary has %zu entries", (long long)l->unk_id,
                       l->entry_count);
    model->unk = (int32_t)l->unk_id;
    model->byte_fallback = l->byte_fallback;
    find_fallback_bytes(l, model->bytes);
    model->scores = ce_reallocarray(NULL, l->entry_count, sizeof *model->scores);
    if (!model->scores)
        return no_memory(l, error);
    size_t count = 0;
    double lowest = l->entries[0].score;
    for (size_t i = 0; i < l->entry_count; i++) {
        const ce_entry *e = &l->entries[i];
        model->scores[i] = e->score;
        lowest = e->score < lowest ? e->score : lowest;
        model->longest = e->size > model->longest ? e->size : model->longest;
        if (e->size > 0)
            keys[count++] = (ce_trie_key){ce_load_text(l, e), e->size, e->id};
    }
    enum { PENALTY = 10 };
    model->unk_score = lowest - PENALTY;
    return ce_trie_build(&model->vocab, keys, count, NULL, error);
}

static int32_t find_required(const ce_loader *l, const char *text, size_t size, ce_error *error)
{
    int32_t id = ce_load_find(l, text, size);
    if (id < 0)
        ce_fail(error, CE_E_BAD_MODEL, "model.merges: '%.*s' is not in model.vocab",
                size > 100 ? 100 : (int)size, text);
    return id;
}

static int compile_merges(ce_loader *l, ce_error *error)
{
    ce_bpe *model = &l->tokenizer->bpe;
    if (!ce_merges_create(&model->merges, l->merge_count))
        return no_memory(l, error);
    for (size_t i = 0; i < l->merge_count; i++) {
        const ce_merge_entry *m = &l->merges[i];
        const char *text = l->arena + m->offset;
        ce_merge merge = {.rank = (uint32_t)i};
        if ((merge.left = find_required(l, text, m->left_size, error)) < 0 ||
            (merge.right = find_required(l, text + m->left_size, m->size - m->left_size, error)) <
                0 ||
            (merge.id = find_required(l, text, m->size, error)) < 0)
            return CE_E_BAD_MODEL;
        ce_merges_set(&model->merges, merge);
    }
    return CE_OK;
}

/* The entries of a byte-level model in bytes; one that holds anything else can never match. */
static size_t collect_bytes(ce_loader *l, ce_trie_key *keys)
{
    ce_bpe *model = &l->tokenizer->bpe;
    size_t count = 0;
    memset(model->bytes, 0xFF, sizeof model->bytes);
    for (size_t i = 0; i < l->entry_count; i++) {
        const ce_entry *e = &l->entries[i];
        if (ce_load_find(l, ce_load_text(l, e), e->size) != e->id)
            continue; /* a later entry has the same text */
        char *text = l->arena + e->offset;
        size_t size = ce_byte_level_decode(text, e->size, l->decoded + e->offset);
        if (size == 1)
            model->bytes[(unsigned char)l->decoded[e->offset]] = e->id;
        if (size > 0)
            keys[count++] = (ce_trie_key){l->decoded + e->offset, size, e->id};
    }
    return count;
}

static size_t collect_texts(ce_loader *l, ce_trie_key *keys)
{
    size_t count = 0;
    for (size_t i = 0; i < l->entry_count; i++) {
        const ce_entry *e = &l->entries[i];
        if (e->size > 0 && ce_load_find(l, ce_load_text(l, e), e->size) == e->id)
            keys[count++] = (ce_trie_key){ce_load_text(l, e), e->size, e->id};
    }
    return count;
}

static int check_bytes(const ce_loader *l, ce_error *error)
{
    const ce_bpe *model = &l->tokenizer->bpe;
    for (int b = 0; b < 256 && l->byte_level && l->byte_fallback; b++)
        if (model->bytes[b] < 0)
            return ce_fail(error, CE_E_UNSUPPORTED,
                           "model.byte_fallback with a ByteLevel pre_tokenizer is not supported");
    return CE_OK;
}

static int compile_bpe(ce_loader *l, ce_trie_key *keys, ce_error *error)
{
    ce_bpe *model = &l->tokenizer->bpe;
    if (!l->has_merges)
        return missing("model.merges", error);
    if (l->prefix && l->prefix[0])
        return ce_fail(error, CE_E_UNSUPPORTED,
                       "model.continuing_subword_prefix \"%s\" is not supported", l->prefix);
    model->unk = -1;
    model->byte_level = l->byte_level;
    model->byte_fallback = l->byte_fallback;
    model->fuse_unk = l->fuse_unk;
    model->ignore_merges = l->ignore_merges;
    int status = compile_merges(l, error);
    if (status == CE_OK && l->unk_token)
        status = find_unk(l, &model->unk, error);
    if (status != CE_OK)
        return status;
    if (!l->byte_level)
        find_fallback_bytes(l, model->bytes);
    else if (!(l->decoded = ce_malloc(l->arena_size)))
        return no_memory(l, error);
    size_t count = l->byte_level ? collect_bytes(l, keys) : collect_texts(l, keys);
    status = check_bytes(l, error);
    return status == CE_OK ? ce_bpe_prepare(model, keys, count, error) : status;
}

/* Old files do not name the type. */
static void infer_type(ce_loader *l)
{
    if (!l->has_type)
        l->tokenizer->model = l->is_list      ? CE_MODEL_UNIGRAM
                              : l->has_merges ? CE_MODEL_BPE
                                              : CE_MODEL_WORDPIECE;
}

int ce_load_compile_model(ce_loader *l, ce_error *error)
{
    if (!l->has_model)
        return missing("model", error);
    infer_type(l);
    ce_model_kind kind = l->tokenizer->model;
    if (l->entry_count == 0)
        return missing("model.vocab", error);
    if (l->is_list != (kind == CE_MODEL_UNIGRAM))
        return ce_fail(error, CE_E_BAD_MODEL, "model.vocab is %s, which does not go with its type",
                       l->is_list ? "a list" : "an object");
    if (l->byte_level && kind != CE_MODEL_BPE)
        return ce_fail(error, CE_E_UNSUPPORTED,
                       "a ByteLevel pre_tokenizer is not supported with this model.type");
    ce_trie_key *keys = ce_reallocarray(NULL, l->entry_count, sizeof *keys);
    if (!keys || !fill_table(l)) {
        ce_free(keys);
        return no_memory(l, error);
    }
    int status = kind == CE_MODEL_WORDPIECE ? compile_wordpiece(l, keys, error)
                 : kind == CE_MODEL_BPE     ? compile_bpe(l, keys, error)
                                            : compile_unigram(l, keys, error);
    ce_free(keys);
    return status;
}
