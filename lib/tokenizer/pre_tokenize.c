#include "tokenizer/pre_tokenize.h"

#include "tokenizer/bert_class.h"

#include <string.h>

/* ---- Characters --------------------------------------------------------------------------- */

static uint32_t flags_of(uint32_t scalar)
{
    return ce_unicode_find(scalar)->flags;
}

/* The character at `at`, of well-formed text. */
static uint32_t char_at(const char *data, size_t at, size_t size, size_t *bytes)
{
    uint32_t scalar = 0;
    *bytes = ce_utf8_decode(data + at, size - at, &scalar);
    return scalar;
}

/* Behind the characters from `at` on that have one of the flags (or, with `none`, that have not). */
static size_t skip(const char *data, size_t at, size_t size, uint32_t flags, int none)
{
    while (at < size) {
        size_t bytes;
        uint32_t scalar = char_at(data, at, size, &bytes);
        int has = (flags_of(scalar) & flags) != 0;
        if (has == none)
            break;
        at += bytes;
    }
    return at;
}

/* ---- Scanner ------------------------------------------------------------------------------ */

#define CONTRACTIONS "'s|'t|'re|'ve|'m|'ll|'d"
#define ANY_CASE "(?i:" CONTRACTIONS ")"
#define NO_LETTER "[^\\r\\n\\p{L}\\p{N}]?"
#define SPACES "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define SYMBOLS " ?[^\\s\\p{L}\\p{N}]+"
#define UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"

static const struct {
    const char *pattern;
    ce_scanner scanner;
} known[] = {
    {CONTRACTIONS "| ?\\p{L}+| ?\\p{N}+|" SYMBOLS "|\\s+(?!\\S)|\\s+",
     {.contractions = 1, .letters = CE_UNICODE_LETTER}},
    {ANY_CASE "|" NO_LETTER "\\p{L}+|\\p{N}{1,3}|" SYMBOLS "[\\r\\n]*|" SPACES,
     {.contractions = 2,
      .letters = CE_UNICODE_LETTER,
      .any_before = 1,
      .digits = 3,
      .other_end = 1,
      .line_breaks = 1}},
    {ANY_CASE "|" NO_LETTER "\\p{L}+|\\p{N}|" SYMBOLS "[\\r\\n]*|" SPACES,
     {.contractions = 2,
      .letters = CE_UNICODE_LETTER,
      .any_before = 1,
      .digits = 1,
      .other_end = 1,
      .line_breaks = 1}},
    {ANY_CASE "|" NO_LETTER "[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|" SPACES,
     {.contractions = 2,
      .letters = CE_UNICODE_LETTER | CE_UNICODE_COMBINING,
      .any_before = 1,
      .digits = 1,
      .other_end = 1,
      .line_breaks = 1}},
    {NO_LETTER UPPER "*" LOWER "+" ANY_CASE "?|" NO_LETTER UPPER "+" LOWER "*" ANY_CASE
                     "?|\\p{N}{1,3}|" SYMBOLS "[\\r\\n/]*|" SPACES,
     {.contractions = 3,
      .letters = CE_UNICODE_LETTER,
      .cased = 1,
      .any_before = 1,
      .digits = 3,
      .other_end = 2,
      .line_breaks = 1}},
};

int ce_scanner_find(const char *pattern, size_t size, ce_scanner *scanner)
{
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strlen(known[i].pattern) == size && memcmp(known[i].pattern, pattern, size) == 0) {
            *scanner = known[i].scanner;
            return 1;
        }
    return 0;
}

/* Text that a scanner reads. Looking at its end is noted: there may be more. */
typedef struct reader {
    const char *data;
    size_t size;
    int open;
} reader;

enum { END = 0x110000 };

enum {
    BOTH_FLAGS = CE_UNICODE_MODIFIER | CE_UNICODE_OTHER_LETTER | CE_UNICODE_COMBINING,
    UPPER_FLAGS = CE_UNICODE_UPPERCASE | CE_UNICODE_TITLECASE | BOTH_FLAGS,
    LOWER_FLAGS = CE_UNICODE_LOWERCASE | BOTH_FLAGS
};

static uint32_t peek(reader *r, size_t at, size_t *bytes)
{
    if (at >= r->size) {
        r->open = 1;
        *bytes = 0;
        return END;
    }
    return char_at(r->data, at, r->size, bytes);
}

/* Flags of a character; none at the end. */
static uint32_t peek_flags(reader *r, size_t at, size_t *bytes)
{
    uint32_t scalar = peek(r, at, bytes);
    return scalar == END ? 0 : flags_of(scalar);
}

/* Behind the characters that have one of the flags, `most` at most. */
static size_t run(reader *r, size_t at, uint32_t flags, int most)
{
    for (int i = 0; i != most; i++) {
        size_t bytes;
        if (!(peek_flags(r, at, &bytes) & flags))
            break;
        at += bytes;
    }
    return at;
}

enum { ANY = -1 };

static uint32_t fold(uint32_t scalar, int any_case)
{
    if (!any_case)
        return scalar;
    if (scalar == 0x17F) /* long s */
        return 's';
    return scalar >= 'A' && scalar <= 'Z' ? scalar + ('a' - 'A') : scalar;
}

/* Behind one of 's 't 're 've 'm 'll 'd; `at` if there is none. */
static size_t contraction(reader *r, size_t at, int any_case)
{
    size_t bytes, more;
    if (peek(r, at, &bytes) != '\'')
        return at;
    size_t end = at + 1;
    uint32_t first = fold(peek(r, end, &bytes), any_case);
    end += bytes;
    switch (first) {
    case 's':
    case 't':
    case 'm':
    case 'd':
        return end;
    case 'r':
    case 'v':
    case 'l': {
        uint32_t second = fold(peek(r, end, &more), any_case);
        return second == (first == 'l' ? 'l' : 'e') ? end + more : at;
    }
    default:
        return at;
    }
}

/* Upper-case letters, then lower-case ones; of characters that are both, at least one has to be left for the second part
 * if there are no others, and if that cannot be, the first part alone will do. */
static size_t cased_word(reader *r, size_t at)
{
    size_t upper = at, both = at, bytes;
    uint32_t flags;
    while ((flags = peek_flags(r, upper, &bytes)) & UPPER_FLAGS) {
        upper += bytes;
        if (flags & LOWER_FLAGS)
            both = upper;
    }
    size_t lower = run(r, upper, LOWER_FLAGS, ANY);
    return lower > upper ? lower : both;
}

/* With what may stand before a word, or without it: `before` and `at`. */
static size_t cased_letters(reader *r, size_t at, size_t before)
{
    const size_t starts[] = {before, at};
    size_t end = at;
    for (int i = 0; i < 2 && end == at; i++) {
        size_t word = cased_word(r, starts[i]);
        end = word > starts[i] ? word : at;
    }
    for (int i = 0; i < 2 && end == at; i++) {
        size_t word = run(r, starts[i], UPPER_FLAGS, ANY);
        end = word > starts[i] ? word : at;
    }
    return end == at ? at : contraction(r, end, 1);
}

/* Behind a word; `at` if there is none. */
static size_t letters(const ce_scanner *s, reader *r, size_t at)
{
    size_t bytes, before = at;
    uint32_t scalar = peek(r, at, &bytes);
    if (scalar == END)
        return at;
    if (s->any_before) {
        uint32_t flags = flags_of(scalar);
        if (!(flags & (CE_UNICODE_LETTER | CE_UNICODE_NUMBER)) && scalar != '\r' && scalar != '\n')
            before = at + bytes;
    } else if (scalar == ' ') {
        before = at + 1;
    }
    if (s->cased)
        return cased_letters(r, at, before);
    size_t end = run(r, before, s->letters, ANY);
    return end > before ? end : run(r, at, s->letters, ANY);
}

static size_t number(const ce_scanner *s, reader *r, size_t at)
{
    if (s->digits)
        return run(r, at, CE_UNICODE_NUMBER, s->digits);
    size_t bytes, before = peek(r, at, &bytes) == ' ' ? at + 1 : at;
    size_t end = run(r, before, CE_UNICODE_NUMBER, ANY);
    return end > before ? end : at;
}

static size_t symbols(const ce_scanner *s, reader *r, size_t at)
{
    const uint32_t others = s->letters | CE_UNICODE_NUMBER | CE_UNICODE_WHITE;
    size_t bytes, before = peek(r, at, &bytes) == ' ' ? at + 1 : at;
    size_t end = before;
    while (peek(r, end, &bytes) != END && !(peek_flags(r, end, &bytes) & others))
        end += bytes;
    if (end == before)
        return at;
    while (s->other_end) {
        uint32_t scalar = peek(r, end, &bytes);
        if (scalar != '\r' && scalar != '\n' && (scalar != '/' || s->other_end < 2))
            break;
        end += bytes;
    }
    return end;
}

/* White space: up to its last line break, else but for its last character if something else follows. */
static size_t spaces(const ce_scanner *s, reader *r, size_t at)
{
    size_t end = at, last = at, broken = at, bytes;
    for (;;) {
        uint32_t scalar = peek(r, end, &bytes);
        if (scalar == END || !(flags_of(scalar) & CE_UNICODE_WHITE))
            break;
        last = end;
        end += bytes;
        if (scalar == '\r' || scalar == '\n')
            broken = end;
    }
    if (s->line_breaks && broken > at)
        return broken;
    return last > at && end < r->size ? last : end;
}

size_t ce_scanner_match(const ce_scanner *s, const char *data, size_t at, size_t size, int *open)
{
    reader r = {data, size, 0};
    size_t end = at;
    if (s->contractions == 1 || s->contractions == 2)
        end = contraction(&r, at, s->contractions == 2);
    if (end == at)
        end = letters(s, &r, at);
    if (end == at)
        end = number(s, &r, at);
    if (end == at)
        end = symbols(s, &r, at);
    if (end == at)
        end = spaces(s, &r, at);
    *open = r.open;
    return end;
}

/* ---- Patterns ----------------------------------------------------------------------------- */

/* A stretch of text that begins where the last one ended: what the pattern found, or what lies between. */
typedef struct stretch {
    size_t end;
    int match;
} stretch;

static int begins_with(const ce_pre_tokenizer *pre, const char *data, size_t size)
{
    return size >= pre->literal_size && memcmp(data, pre->literal, pre->literal_size) == 0;
}

static int literal_stretch(const ce_pre_tokenizer *pre, const char *data, size_t at, size_t size,
                           int more, stretch *out)
{
    size_t from = at, width = pre->literal_size;
    while (from < size) {
        const char *found = memchr(data + from, pre->literal[0], size - from);
        if (!found)
            break;
        from = (size_t)(found - data);
        if (begins_with(pre, found, size - from)) {
            *out = (stretch){from > at ? from : at + width, from == at};
            return 1;
        }
        from++;
    }
    *out = (stretch){size, 0};
    return !more;
}

static int class_stretch(const ce_pre_tokenizer *pre, const char *data, size_t at, size_t size,
                         int more, stretch *out)
{
    size_t bytes;
    uint32_t scalar = char_at(data, at, size, &bytes);
    if (flags_of(scalar) & pre->flags) {
        *out = (stretch){at + bytes, 1};
        return 1;
    }
    *out = (stretch){skip(data, at, size, pre->flags, 1), 0};
    return !more || out->end < size;
}

static int words_stretch(const char *data, size_t at, size_t size, int more, stretch *out)
{
    size_t bytes;
    uint32_t flags = flags_of(char_at(data, at, size, &bytes));
    if (flags & CE_UNICODE_WORD)
        *out = (stretch){skip(data, at, size, CE_UNICODE_WORD, 0), 1};
    else if (flags & CE_UNICODE_WHITE)
        *out = (stretch){skip(data, at, size, CE_UNICODE_WHITE, 0), 0};
    else
        *out = (stretch){skip(data, at, size, CE_UNICODE_WORD | CE_UNICODE_WHITE, 1), 1};
    return !more || out->end < size;
}

/* The next stretch; 0 if more text could change it. */
static int next_stretch(const ce_pre_tokenizer *pre, const char *data, size_t at, size_t size,
                        int more, stretch *out)
{
    int known_end, open = 0;
    switch (pre->kind) {
    case CE_PATTERN_LITERAL:
        known_end = literal_stretch(pre, data, at, size, more, out);
        break;
    case CE_PATTERN_CLASS:
        known_end = class_stretch(pre, data, at, size, more, out);
        break;
    case CE_PATTERN_WORDS:
        known_end = words_stretch(data, at, size, more, out);
        break;
    case CE_PATTERN_SCANNER:
        *out = (stretch){ce_scanner_match(&pre->scanner, data, at, size, &open), 1};
        known_end = !more || !open;
        break;
    default:
        *out = (stretch){size, 0};
        known_end = !more;
    }
    out->match ^= pre->invert;
    return known_end;
}

/* ---- Behaviours --------------------------------------------------------------------------- */

/* Whether the stretch behind a first one belongs to the same word. */
static int joins(ce_behavior behavior, const stretch *first, const stretch *second)
{
    switch (behavior) {
    case CE_BEHAVIOR_CONTIGUOUS:
        return first->match == second->match;
    case CE_BEHAVIOR_MERGED_WITH_PREVIOUS:
        return !first->match && second->match;
    case CE_BEHAVIOR_MERGED_WITH_NEXT:
        return first->match && !second->match;
    default:
        return 0;
    }
}

static int split(const ce_pre_tokenizer *pre, const char *data, size_t size, int more, size_t *at,
                 size_t *start, size_t *end)
{
    stretch first, second;
    size_t from = *at;
    if (!next_stretch(pre, data, from, size, more, &first))
        return 0;
    *start = from;
    *end = *at = first.end;
    if (pre->behavior == CE_BEHAVIOR_REMOVED && first.match)
        *start = *end;
    if (pre->behavior == CE_BEHAVIOR_REMOVED || pre->behavior == CE_BEHAVIOR_ISOLATED)
        return 1;
    do {
        if (*end == size && more) {
            *at = from;
            return 0;
        }
        if (*end == size)
            break;
        if (!next_stretch(pre, data, *end, size, more, &second)) {
            *at = from;
            return 0;
        }
        if (!joins(pre->behavior, &first, &second))
            break;
        *end = *at = second.end;
    } while (pre->behavior == CE_BEHAVIOR_CONTIGUOUS);
    return 1;
}

/* ---- The two that are made for speed ---------------------------------------------------------- */

static int bert_word(const char *data, size_t size, int more, size_t *at, size_t *start,
                     size_t *end)
{
    size_t bytes, from = *at;
    ce_bert_class class = CE_BERT_WHITE;
    while (from < size && (class = ce_bert_class_at(data, from, size, &bytes)) == CE_BERT_WHITE)
        from += bytes;
    *at = *start = from; /* white space is done with in any case */
    if (from >= size)
        return 0;
    if (class == CE_BERT_PUNCTUATION) {
        *at = *end = from + bytes;
        return 1;
    }
    do
        from += bytes;
    while (from < size && ce_bert_class_at(data, from, size, &bytes) == CE_BERT_LETTER);
    if (from >= size && more)
        return 0;
    *at = *end = from;
    return 1;
}

/* A word begins with any number of the literal, and ends before the next one. */
static int cut_word(const ce_pre_tokenizer *pre, const char *data, size_t size, int more,
                    size_t *at, size_t *start, size_t *end)
{
    size_t from = *at;
    while (begins_with(pre, data + from, size - from))
        from += pre->literal_size;
    for (;;) {
        const char *found = memchr(data + from, pre->literal[0], size - from);
        from = found ? (size_t)(found - data) : size;
        if (from == size || begins_with(pre, data + from, size - from))
            break;
        from++;
    }
    if (from == size && more)
        return 0;
    *start = *at;
    *at = *end = from;
    return 1;
}

int ce_pre_tokenize(const ce_pre_tokenizer *pre, const char *data, size_t size, int more,
                    size_t *at, size_t *start, size_t *end)
{
    if (*at >= size)
        return 0;
    if (pre->kind == CE_PATTERN_BERT)
        return bert_word(data, size, more, at, start, end);
    if (pre->kind == CE_PATTERN_CUT)
        return cut_word(pre, data, size, more, at, start, end);
    return split(pre, data, size, more, at, start, end);
}

/* White space is a word up to its last line break, else but for its last character. */
static int is_white_word(const ce_scanner *scanner, const char *data, size_t size)
{
    char last = data[size - 1];
    return !scanner->line_breaks || last == '\n' || last == '\r' ||
           !(memchr(data, '\n', size) || memchr(data, '\r', size));
}

static int is_scanner_word(const ce_scanner *scanner, const char *data, size_t size)
{
    size_t at = data[0] == ' ', bytes;
    if (scanner->cased || size < 2) /* upper-case letters may be given back */
        return 0;
    return !(flags_of(char_at(data, at, size, &bytes)) & CE_UNICODE_WHITE) ||
           is_white_word(scanner, data, size);
}

int ce_pre_tokenize_is_word(const ce_pre_tokenizer *pre, const char *data, size_t size)
{
    switch (pre->kind) {
    case CE_PATTERN_NOTHING:
    case CE_PATTERN_CUT:
        return 1;
    case CE_PATTERN_LITERAL:
        return pre->behavior != CE_BEHAVIOR_CONTIGUOUS && pre->literal_size < 4;
    case CE_PATTERN_CLASS:
        return pre->behavior == CE_BEHAVIOR_REMOVED || pre->behavior == CE_BEHAVIOR_ISOLATED;
    case CE_PATTERN_SCANNER:
        return is_scanner_word(&pre->scanner, data, size);
    default:
        return 0;
    }
}
