#include "tokenizer/added.h"

#include "base/mem.h"
#include "tokenizer/byte_level.h"
#include "unicode/unicode.h"
#include "unicode/utf8.h"

#include <string.h>

static int has(uint32_t scalar, uint32_t flag)
{
    return (ce_unicode_find(scalar)->flags & flag) != 0;
}

int ce_added_word_at_end(const char *text, size_t size)
{
    return size > 0 && has(ce_utf8_last(text, size), CE_UNICODE_WORD);
}

static int stands_alone(const char *text, size_t size, size_t start, size_t end, int word_before)
{
    uint32_t next = 0;
    if (start > 0 ? ce_added_word_at_end(text, start) : word_before)
        return 0;
    return end == size || ce_utf8_decode(text + end, size - end, &next) == 0 ||
           !has(next, CE_UNICODE_WORD);
}

size_t ce_added_white_at_end(const char *text, size_t from, size_t end)
{
    while (end > from) {
        uint32_t scalar = ce_utf8_last(text, end);
        char ignored[4];
        if (!has(scalar, CE_UNICODE_WHITE))
            break;
        end -= ce_utf8_encode(scalar, ignored);
    }
    return end;
}

static size_t white_after(const char *text, size_t size, size_t end)
{
    uint32_t scalar = 0;
    size_t bytes;
    while (end < size && (bytes = ce_utf8_decode(text + end, size - end, &scalar)) > 0 &&
           has(scalar, CE_UNICODE_WHITE))
        end += bytes;
    return end;
}

static int is_blank(uint32_t scalar)
{
    return scalar == CE_BYTE_LEVEL_SPACE || has(scalar, CE_UNICODE_WHITE);
}

void ce_added_blanks(const char *text, size_t size, size_t *leading, size_t *trailing)
{
    uint32_t scalar = 0;
    size_t bytes, at = 0, end = size;
    *leading = *trailing = 0;
    while (at < size && (bytes = ce_utf8_decode(text + at, size - at, &scalar)) > 0 &&
           is_blank(scalar)) {
        at += bytes;
        ++*leading;
    }
    while (end > 0 && is_blank(scalar = ce_utf8_last(text, end))) {
        char ignored[4];
        end -= ce_utf8_encode(scalar, ignored);
        ++*trailing;
    }
}

/* The next place in text[at .. to) where a token may begin; `to` if there is none. One that did not stand alone may have
 * reached beyond. */
static size_t next_start(const ce_added_search *search, const char *text, size_t at, size_t to)
{
    if (at >= to)
        return to;
    if (search->only_start >= 0) {
        const char *found = memchr(text + at, search->only_start, to - at);
        return found ? (size_t)(found - text) : to;
    }
    while (at < to && !search->starts[(unsigned char)text[at]])
        at++;
    return at;
}

int ce_added_find(const ce_added *added, const ce_added_search *search, const char *text,
                  size_t size, size_t from, size_t to, size_t floor, int word_before,
                  ce_found *found)
{
    if (search->count == 0)
        return 0;
    for (size_t at = from; (at = next_start(search, text, at, to)) < to;) {
        int32_t index;
        size_t length = ce_trie_longest(&search->trie, text + at, size - at, &index);
        if (length == 0) {
            at++;
            continue;
        }
        const ce_added_token *token = &added->tokens[index];
        size_t end = at + length;
        if (token->single_word && !stands_alone(text, size, at, end, word_before)) {
            at = end;
            continue;
        }
        found->start = at;
        if (token->lstrip) {
            size_t start = ce_added_white_at_end(text, 0, at);
            found->start = start > floor ? start : floor;
        }
        found->resume = end;
        found->end = token->rstrip ? white_after(text, size, end) : end;
        found->token = token;
        return 1;
    }
    return 0;
}

void ce_added_free(ce_added *added)
{
    for (size_t i = 0; i < added->count; i++)
        ce_free(added->tokens[i].content);
    ce_free(added->tokens);
    ce_trie_free(&added->raw.trie);
    ce_trie_free(&added->normalized.trie);
}
