/* The normalizers of a tokenizer.json, one after the other over a piece of text. */
#ifndef CE_TOKENIZER_NORMALIZE_H
#define CE_TOKENIZER_NORMALIZE_H

#include "tokenizer/charsmap.h"
#include "tokenizer/text.h"
#include "unicode/normal_form.h"

enum { CE_NORMALIZERS_MOST = 16, CE_ENTRIES_MOST = 2 };

typedef enum ce_normalizer_kind {
    CE_NORMALIZE_BERT,
    CE_NORMALIZE_FORM,
    CE_NORMALIZE_LOWERCASE,
    CE_NORMALIZE_STRIP_ACCENTS,
    CE_NORMALIZE_STRIP,
    CE_NORMALIZE_REPLACE,
    CE_NORMALIZE_PREPEND,
    CE_NORMALIZE_PREFIX, /* prepend, unless the text begins so */
    CE_NORMALIZE_PRECOMPILED
} ce_normalizer_kind;

typedef struct ce_bert_normalizer {
    int clean_text;
    int handle_chinese_chars;
    int strip_accents;
    int lowercase;
} ce_bert_normalizer;

/* What BertNormalizer makes of characters of two and three bytes, where that does not depend on their neighbours. */
enum { CE_BERT_DEPENDS = 0xFF, CE_BERT_FORM_MOST = 3 };

typedef struct ce_bert_forms {
    struct {
        uint8_t size; /* or CE_BERT_DEPENDS */
        char bytes[CE_BERT_FORM_MOST];
    } two[32 * 64];
    uint8_t three
        [16 *
         64]; /* 64 at a time: how many spaces stand before and behind each, or CE_BERT_DEPENDS */
} ce_bert_forms;

typedef struct ce_normalizer {
    ce_normalizer_kind kind;
    ce_bert_normalizer bert;
    ce_bert_forms *bert_forms;
    ce_normal_form form;
    int left, right; /* strip */
    int first_only;  /* prefix: only where the caller's text begins */
    char *pattern;   /* replace */
    size_t pattern_size;
    int repeated;  /* replace: two or more of the pattern at once */
    char *content; /* replace, prepend, prefix */
    size_t content_size;
    ce_charsmap *charsmap; /* precompiled */
} ce_normalizer;

void ce_normalizer_free(ce_normalizer *normalizer);

/* Memory for normalizing, which grows to what it takes and is then used again. */
typedef struct ce_normalizing {
    ce_text halves[2];          /* what one normalizer hands to the next */
    ce_text bert[2];            /* and one pass of BertNormalizer */
    ce_unicode_changes changes; /* of a normal form or charsmap */
    uint64_t *marks;            /* combining characters of a run that is to be ordered */
    size_t mark_count, mark_capacity;
} ce_normalizing;

void ce_normalizing_free(ce_normalizing *work);
size_t ce_normalizing_bytes(const ce_normalizing *work);

/* A piece of text that comes in parts. */
typedef struct ce_part {
    ce_view text;
    int starts; /* the piece is where the caller's text begins */
    int last;   /* the piece ends with this part */
    uint32_t
        begun; /* in and out, 0 for a new piece: a bit for each normalizer that has seen text of it */
} ce_part;

/* Run the normalizers over the part and append the result to `out`. CE_OK, CE_E_NO_MEMORY, or CE_UNDECIDED: the part
 * ends where its normalization depends on what follows, and must come again with more; nothing is appended then. */
enum { CE_UNDECIDED = -1 };
int ce_normalize(const ce_normalizer *normalizers, size_t count, ce_normalizing *work,
                 ce_part *part, ce_text *out);

/* The last place in text[from .. end) at which the normalizers can be given the text in two parts; `from` if there is
 * none. The text is `size` long. */
size_t ce_normalize_cut(const ce_normalizer *normalizers, size_t count, ce_normalizing *work,
                        const char *text, size_t from, size_t end, size_t size);

#endif
