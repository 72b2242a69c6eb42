/* The pre-tokenizers of a tokenizer.json: where a text is split into words. */
#ifndef CE_TOKENIZER_PRE_TOKENIZE_H
#define CE_TOKENIZER_PRE_TOKENIZE_H

#include "tokenizer/normalize.h"
#include "tokenizer/text.h"

enum { CE_PRE_TOKENIZERS_MOST = 8 };

typedef enum ce_pattern_kind {
    CE_PATTERN_NOTHING, /* the text is one word */
    CE_PATTERN_CLASS,   /* each character with one of the flags */
    CE_PATTERN_LITERAL, /* a string */
    CE_PATTERN_WORDS,   /* \w+|[^\w\s]+ */
    CE_PATTERN_SCANNER, /* a regular expression of the GPT family */
    CE_PATTERN_BERT,    /* white space is removed, punctuation isolated */
    CE_PATTERN_CUT /* before a literal that follows something else; a model cannot tell the difference */
} ce_pattern_kind;

/* What a delimiter becomes. */
typedef enum ce_behavior {
    CE_BEHAVIOR_REMOVED,
    CE_BEHAVIOR_ISOLATED,
    CE_BEHAVIOR_MERGED_WITH_PREVIOUS,
    CE_BEHAVIOR_MERGED_WITH_NEXT,
    CE_BEHAVIOR_CONTIGUOUS
} ce_behavior;

/* The regular expressions by which byte-level tokenizers split have the same alternatives, in this order, with these
 * differences. */
typedef struct ce_scanner {
    int contractions; /* 's, 't, 're ...: 0 none, 1 in lower case, 2 in any, 3 in any behind a word */
    uint32_t letters; /* flags of what a word is made of */
    int cased;        /* a word is upper-case letters, then lower-case ones */
    int any_before; /* before a word may stand any one character but a line break, letter or number, else a space */
    int digits;    /* of a number: at most so many; 0: any number, and a space before */
    int other_end; /* symbols may end in: 0 nothing more, 1 line breaks, 2 line breaks and slashes */
    int line_breaks; /* white space up to a line break is a split of its own */
} ce_scanner;

enum { CE_LITERAL_MOST = 64 };

typedef struct ce_pre_tokenizer {
    ce_pattern_kind kind;
    ce_behavior behavior;
    int invert; /* what the pattern finds is no delimiter, the rest is */
    uint32_t flags;
    char literal[CE_LITERAL_MOST];
    size_t literal_size;
    ce_scanner scanner;
    /* What is done to a text before it is split: where this is not the first pre-tokenizer. */
    ce_normalizer entries[CE_ENTRIES_MOST];
    size_t entry_count;
} ce_pre_tokenizer;

/* The regular expression `pattern`, if it is one of those that are known. */
int ce_scanner_find(const char *pattern, size_t size, ce_scanner *scanner);

/* Where the scanner's match at `at` ends. Sets `*open` if that could change with more text. */
size_t ce_scanner_match(const ce_scanner *scanner, const char *data, size_t at, size_t size,
                        int *open);

/* Whether the text, with more of it to come and no word found in it, is the beginning of one word however it goes on. */
int ce_pre_tokenize_is_word(const ce_pre_tokenizer *pre, const char *data, size_t size);

/* The next word at or behind `*at`: its start and end; it may be empty. Moves `*at` behind what is done with. 0 if there
 * is none, or, with `more` text to come, if that could change it; then `*at` stays. */
int ce_pre_tokenize(const ce_pre_tokenizer *pre, const char *data, size_t size, int more,
                    size_t *at, size_t *start, size_t *end);

#endif
