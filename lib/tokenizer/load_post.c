#include "tokenizer/loader.h"

#include "base/mem.h"
#include "tokenizer/added.h"
#include "tokenizer/byte_level.h"

#include <stdio.h>

/* The members of all post-processors, as their type may come last. */
typedef struct members {
    char type[CE_TYPE_MOST];
    int32_t *cls, *sep;
    size_t cls_count, sep_count;
    int trim_offsets, add_prefix_space;
    int has_list, has_single, has_pair;
} members;

/* ---- Reading ------------------------------------------------------------------------------ */

static void append_id(ce_loader *l, int32_t **ids, size_t *count, int32_t id)
{
    int32_t *place = ce_load_append(l, (void **)ids, count, sizeof **ids);
    if (place)
        *place = id;
}

/* {"id": "A", "type_id": 0} */
static void read_piece(ce_loader *l, const char *path, int text, ce_piece_entries *pieces)
{
    ce_piece_entry *piece =
        ce_load_append(l, (void **)&pieces->items, &pieces->count, sizeof *piece);
    if (!piece)
        return;
    char *name = NULL;
    ce_json_text key;
    ce_json_object(&l->json);
    while (ce_json_member(&l->json, &key)) {
        if (ce_json_is(key, "id")) {
            ce_free(name);
            name = ce_load_name(l, ce_json_string(&l->json));
        } else if (ce_json_is(key, "type_id")) {
            piece->type_id = (int32_t)ce_json_integer(&l->json, 0, INT32_MAX);
        } else {
            ce_json_skip(&l->json);
        }
    }
    piece->name = name;
    if (l->json.status != CE_OK)
        return;
    if (!name) {
        ce_json_fail(&l->json, "%s: a piece without id", path);
    } else if (!text) {
        piece->kind = CE_PIECE_TOKEN;
    } else if (strcmp(name, "A") == 0 || strcmp(name, "B") == 0) {
        piece->kind = name[0] == 'A' ? CE_PIECE_TEXT : CE_PIECE_PAIR;
    } else {
        ce_json_fail(&l->json, "%s: sequence '%s', expected A or B", path, name);
    }
}

static void read_template(ce_loader *l, const char *path, ce_piece_entries *pieces)
{
    ce_json_text key;
    ce_json_array(&l->json);
    while (ce_json_element(&l->json)) {
        ce_json_object(&l->json);
        while (ce_json_member(&l->json, &key)) {
            int text = ce_json_is(key, "Sequence");
            if (!text && !ce_json_is(key, "SpecialToken")) {
                ce_load_unsupported(l, path, key);
                return;
            }
            read_piece(l, path, text, pieces);
        }
    }
}

static void read_specials(ce_loader *l)
{
    ce_json_text key;
    ce_json_object(&l->json);
    while (ce_json_member(&l->json, &key)) {
        ce_special *s = ce_load_append(l, (void **)&l->specials, &l->special_count, sizeof *s);
        if (!s)
            return;
        s->name = ce_load_name(l, key);
        ce_json_object(&l->json);
        while (ce_json_member(&l->json, &key)) {
            if (!ce_json_is(key, "ids")) {
                ce_json_skip(&l->json);
                continue;
            }
            ce_json_array(&l->json);
            while (ce_json_element(&l->json))
                append_id(l, &s->ids, &s->count, ce_load_id(l));
        }
    }
}

/* ["[SEP]", 102] */
static void read_token(ce_loader *l, int32_t **ids, size_t *count)
{
    ce_json_array(&l->json);
    for (int i = 0; ce_json_element(&l->json); i++) {
        if (i == 1)
            append_id(l, ids, count, ce_load_id(l));
        else
            ce_json_skip(&l->json);
    }
    if (l->json.status == CE_OK && *count != 1)
        ce_json_fail(&l->json, "expected a pair of token and id");
}

static void read_members(ce_loader *l, const char *path, members *m)
{
    char member_path[160];
    ce_json_text key;
    ce_json_object(&l->json);
    while (ce_json_member(&l->json, &key)) {
        snprintf(member_path, sizeof member_path, "%s.%.*s", path,
                 key.size > 20 ? 20 : (int)key.size, key.data);
        if (ce_json_is(key, "type")) {
            ce_load_type(l, path, m->type);
        } else if (ce_json_is(key, "single")) {
            m->has_single = 1;
            read_template(l, member_path, &l->single);
        } else if (ce_json_is(key, "pair")) {
            m->has_pair = 1;
            read_template(l, member_path, &l->pair);
        } else if (ce_json_is(key, "special_tokens")) {
            read_specials(l);
        } else if (ce_json_is(key, "cls")) {
            read_token(l, &m->cls, &m->cls_count);
        } else if (ce_json_is(key, "sep")) {
            read_token(l, &m->sep, &m->sep_count);
        } else if (ce_json_is(key, "trim_offsets")) {
            m->trim_offsets = ce_json_boolean(&l->json);
        } else if (ce_json_is(key, "add_prefix_space")) {
            m->add_prefix_space = ce_json_boolean(&l->json);
        } else if (ce_json_is(key, "processors")) {
            m->has_list = 1;
            ce_load_list(l, path, "processors", ce_load_post_processor);
        } else {
            ce_json_skip(&l->json);
        }
    }
}

/* ---- One of each type ----------------------------------------------------------------------- */

static void put(ce_loader *l, ce_template *template, ce_piece piece)
{
    ce_piece *place =
        ce_load_append(l, (void **)&template->pieces, &template->count, sizeof *place);
    if (!place)
        return;
    *place = piece;
    template->specials += piece.kind == CE_PIECE_TOKEN;
}

static void put_text(ce_loader *l, ce_template *template, ce_piece_kind kind, int32_t type_id)
{
    put(l, template, (ce_piece){.kind = kind, .type_id = type_id});
}

static void put_token(ce_loader *l, ce_template *template, int32_t id, int32_t type_id)
{
    put(l, template, (ce_piece){CE_PIECE_TOKEN, id, type_id});
}

static void trim(ce_loader *l, const char *path, const members *m)
{
    ce_post *post = &l->tokenizer->post;
    if (!m->trim_offsets)
        return;
    if (post->trim_offsets)
        ce_load_unsupported(l, path, (ce_json_text){"a second trim_offsets", 21});
    post->trim_offsets = 1;
    post->add_prefix_space = m->add_prefix_space;
}

/* BertProcessing and RobertaProcessing. */
static void put_bert(ce_loader *l, const char *path, const members *m, int roberta)
{
    if (m->cls_count != 1 || m->sep_count != 1) {
        ce_json_fail(&l->json, "%s.%s is missing", path, m->cls_count != 1 ? "cls" : "sep");
        return;
    }
    ce_post *post = &l->tokenizer->post;
    put_token(l, &post->single, *m->cls, 0);
    put_text(l, &post->single, CE_PIECE_TEXT, 0);
    put_token(l, &post->single, *m->sep, 0);
    put_token(l, &post->pair, *m->cls, 0);
    put_text(l, &post->pair, CE_PIECE_TEXT, 0);
    put_token(l, &post->pair, *m->sep, 0);
    if (roberta)
        put_token(l, &post->pair, *m->sep, 0);
    put_text(l, &post->pair, CE_PIECE_PAIR, !roberta);
    put_token(l, &post->pair, *m->sep, !roberta);
}

static void compile(ce_loader *l, const char *path, const members *m)
{
    int template = strcmp(m->type, "TemplateProcessing") == 0;
    int bert = strcmp(m->type, "BertProcessing") == 0;
    int roberta = strcmp(m->type, "RobertaProcessing") == 0;
    char type_path[160];
    snprintf(type_path, sizeof type_path, "%s.type", path);
    if (template || bert || roberta) {
        if (++l->added_specials > 1)
            ce_load_unsupported(l, type_path, (ce_json_text){"a second template", 17});
        if (template && !m->has_single)
            ce_json_fail(&l->json, "%s.single is missing", path);
    } else if (strcmp(m->type, "ByteLevel") != 0) {
        if (m->type[0])
            ce_load_unsupported(l, type_path, (ce_json_text){m->type, strlen(m->type)});
        else
            ce_json_fail(&l->json, "%s is missing", type_path);
    }
    if (l->json.status != CE_OK)
        return;
    if (bert || roberta)
        put_bert(l, path, m, roberta);
    if (!template && !bert)
        trim(l, path, m);
}

void ce_load_post_processor(ce_loader *l, const char *path)
{
    if (ce_load_absent(l))
        return;
    members m = {.trim_offsets = 1, .add_prefix_space = 1};
    read_members(l, path, &m);
    int sequence = strcmp(m.type, "Sequence") == 0;
    if (l->json.status == CE_OK && sequence != m.has_list)
        ce_load_missing(l, path, sequence ? "processors" : "type");
    if (l->json.status == CE_OK && !sequence)
        compile(l, path, &m);
    ce_free(m.cls);
    ce_free(m.sep);
}

/* ---- Compiling ---------------------------------------------------------------------------- */

static const ce_special *find_special(const ce_loader *l, const char *name)
{
    for (size_t i = 0; i < l->special_count; i++)
        if (strcmp(l->specials[i].name, name) == 0)
            return &l->specials[i];
    return NULL;
}

/* Pieces and the ids of each multiply, and are looked up one by one. */
enum { PIECES_MOST = 1024 };

static int too_many(size_t count, const char *what, ce_error *error)
{
    return ce_fail(error, CE_E_UNSUPPORTED, "post_processor has %zu %s, at most %d are supported",
                   count, what, PIECES_MOST);
}

static int put_entries(ce_loader *l, const ce_piece_entries *entries, ce_template *template,
                       ce_error *error)
{
    if (entries->count > PIECES_MOST)
        return too_many(entries->count, "pieces in a template", error);
    if (l->special_count > PIECES_MOST)
        return too_many(l->special_count, "special_tokens", error);
    for (size_t i = 0; i < entries->count; i++) {
        const ce_piece_entry *entry = &entries->items[i];
        if (entry->kind != CE_PIECE_TOKEN) {
            put_text(l, template, entry->kind, entry->type_id);
            continue;
        }
        const ce_special *s = find_special(l, entry->name);
        if (!s)
            return ce_fail(error, CE_E_BAD_MODEL, "post_processor.special_tokens has no '%s'",
                           entry->name);
        if (s->count > PIECES_MOST - template->count)
            return too_many(template->count + s->count, "tokens in a template", error);
        for (size_t k = 0; k < s->count; k++)
            put_token(l, template, s->ids[k], entry->type_id);
    }
    return l->json.status;
}

static size_t count_texts(const ce_template *template, ce_piece_kind kind)
{
    size_t count = 0;
    for (size_t i = 0; i < template->count; i++)
        count += template->pieces[i].kind == kind;
    return count;
}

/* A text's tokens of another type than 0 would be embedded as another model does. */
static int check_single(const ce_template *single, ce_error *error)
{
    size_t texts = count_texts(single, CE_PIECE_TEXT);
    if (texts != 1 || count_texts(single, CE_PIECE_PAIR) > 0)
        return ce_fail(error, CE_E_UNSUPPORTED,
                       "post_processor.single has the text %zu times, only once is supported",
                       texts);
    for (size_t i = 0; i < single->count; i++)
        if (single->pieces[i].type_id != 0)
            return ce_fail(error, CE_E_UNSUPPORTED,
                           "post_processor.single has type_id %d, only 0 is supported",
                           (int)single->pieces[i].type_id);
    return CE_OK;
}

/* White space at either end of a token as the file writes it, in characters. */
static void measure_blanks(const ce_loader *l, const ce_entry *entry, uint8_t blanks[2])
{
    size_t leading, trailing;
    ce_added_blanks(ce_load_text(l, entry), entry->size, &leading, &trailing);
    blanks[0] = leading < UINT8_MAX ? (uint8_t)leading : UINT8_MAX;
    blanks[1] = trailing < UINT8_MAX ? (uint8_t)trailing : UINT8_MAX;
}

static int collect_blanks(ce_loader *l, ce_error *error)
{
    ce_post *post = &l->tokenizer->post;
    for (size_t i = 0; i < l->entry_count; i++)
        if ((size_t)l->entries[i].id >= post->blank_count)
            post->blank_count = (size_t)l->entries[i].id + 1;
    /* A file of few entries may have high ids. */
    if (post->blank_count > 16 * l->entry_count + 65536)
        return ce_fail(error, CE_E_UNSUPPORTED, "model.vocab: %zu entries with ids up to %zu",
                       l->entry_count, post->blank_count - 1);
    post->blanks = ce_calloc(post->blank_count, sizeof *post->blanks);
    if (!post->blanks)
        return ce_fail(error, CE_E_NO_MEMORY, "no memory for the post_processor");
    for (size_t i = 0; i < l->entry_count; i++)
        measure_blanks(l, &l->entries[i], post->blanks[l->entries[i].id]);
    return CE_OK;
}

int ce_load_compile_post(ce_loader *l, ce_error *error)
{
    ce_post *post = &l->tokenizer->post;
    if (l->added_specials == 0) {
        put_text(l, &post->single, CE_PIECE_TEXT, 0);
        put_text(l, &post->pair, CE_PIECE_TEXT, 0);
        put_text(l, &post->pair, CE_PIECE_PAIR, 1);
    }
    int status = put_entries(l, &l->single, &post->single, error);
    if (status == CE_OK)
        status = put_entries(l, &l->pair, &post->pair, error);
    if (status == CE_OK)
        status = check_single(&post->single, error);
    if (count_texts(&post->pair, CE_PIECE_TEXT) != 1 ||
        count_texts(&post->pair, CE_PIECE_PAIR) != 1)
        post->pair.count = 0;
    if (status == CE_OK && post->trim_offsets)
        status = collect_blanks(l, error);
    return status;
}
