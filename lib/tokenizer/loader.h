/* Reading a tokenizer.json: what its parts share. */
#ifndef CE_TOKENIZER_LOADER_H
#define CE_TOKENIZER_LOADER_H

#include "tokenizer/pipeline.h"
#include "json/json.h"

/* Bytes of a token: longer ones would make the search for tokens slow on purpose. */
enum { CE_CONTENT_MOST = 4096 };

/* A vocabulary entry; its text lies in the arena, which may move. */
typedef struct ce_entry {
    size_t offset, size;
    int32_t id;
    double score; /* of Unigram */
} ce_entry;

/* A merge as the file has it: two texts in the arena, side by side. */
typedef struct ce_merge_entry {
    size_t offset, left_size, size;
} ce_merge_entry;

typedef struct ce_special {
    char *name;
    int32_t *ids;
    size_t count;
} ce_special;

/* A piece of a template before its special token's ids are known. */
typedef struct ce_piece_entry {
    char *name; /* NULL: a text */
    ce_piece_kind kind;
    int32_t type_id;
} ce_piece_entry;

typedef struct ce_piece_entries {
    ce_piece_entry *items;
    size_t count;
} ce_piece_entries;

typedef struct ce_loader {
    ce_json json;
    ce_error *error;
    ce_tokenizer *tokenizer;

    char *arena;
    size_t arena_size, arena_capacity;

    /* model */
    int has_model, has_type;
    ce_entry *entries;
    size_t entry_count;
    int is_list; /* the vocabulary has scores */
    ce_merge_entry *merges;
    size_t merge_count;
    int has_merges;
    char *unk_token, *prefix;
    int64_t unk_id; /* -1: none */
    int byte_fallback, fuse_unk, ignore_merges;
    uint32_t *table; /* entries by their text: 1 + number, or 0 */
    int table_bits;
    size_t different_entries;
    char *decoded; /* the arena, of a byte-level model in bytes */

    int byte_level; /* the pre-tokenizers end with ByteLevel */

    /* post_processor */
    ce_piece_entries single, pair;
    ce_special *specials;
    size_t special_count;
    int added_specials; /* processors that add special tokens */
} ce_loader;

/* ---- Helpers ------------------------------------------------------------------------------ */

void ce_load_no_memory(ce_loader *l);

/* `path "name" is not supported` */
void ce_load_unsupported(ce_loader *l, const char *path, ce_json_text name);

/* `path.member is missing` */
void ce_load_missing(ce_loader *l, const char *path, const char *member);

/* The names of components are short; a longer one is not supported. */
enum { CE_TYPE_MOST = 32 };
void ce_load_type(ce_loader *l, const char *path, char type[CE_TYPE_MOST]);

/* A list of components, each read by `read` with its own path. */
void ce_load_list(ce_loader *l, const char *path, const char *member,
                  void (*read)(ce_loader *l, const char *path));

/* One more element of a growing array, zeroed; NULL when out of memory. */
void *ce_load_append(ce_loader *l, void **array, size_t *count, size_t size);

/* NUL-terminated, to be freed by ce_free; NULL when out of memory or after a failure. */
char *ce_load_copy(ce_loader *l, ce_json_text text);

/* The same of a text that is compared with names, or used up to its NUL: one within it is refused. */
char *ce_load_name(ce_loader *l, ce_json_text text);

/* Where the text came to lie in the arena. */
size_t ce_load_store(ce_loader *l, ce_json_text text);

int32_t ce_load_id(ce_loader *l);

/* 1 and past it if a null comes next. */
int ce_load_absent(ce_loader *l);

/* ---- Parts -------------------------------------------------------------------------------- */

/* Each reads the value that comes next; `path` says where in the file it stands. */
void ce_load_normalizer(ce_loader *l, const char *path);
void ce_load_pre_tokenizer(ce_loader *l, const char *path);
void ce_load_model(ce_loader *l);
void ce_load_post_processor(ce_loader *l, const char *path);

/* What can be made only when all of the file is known. */
int ce_load_compile_model(ce_loader *l, ce_error *error);
int ce_load_compile_post(ce_loader *l, ce_error *error);

/* The model's id of a text; -1 if it has none. */
int32_t ce_load_find(const ce_loader *l, const char *text, size_t size);

/* The text of an entry. */
static inline const char *ce_load_text(const ce_loader *l, const ce_entry *entry)
{
    return l->arena + entry->offset;
}

#endif
