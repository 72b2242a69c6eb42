#include "tokenizer/post.h"

#include "base/mem.h"
#include "unicode/utf8.h"

void ce_post_share(size_t budget, size_t *text, size_t *pair)
{
    if (*text + *pair <= budget)
        return;
    int swapped = *text > *pair;
    size_t less = swapped ? *pair : *text, rest = 0;
    if (less <= budget)
        rest = budget - less > less ? budget - less : less;
    if (less > budget || less + rest > budget) {
        less = budget / 2;
        rest = less + budget % 2;
    }
    size_t first = swapped ? rest : less, second = swapped ? less : rest;
    *text = first < *text ? first : *text;
    *pair = second < *pair ? second : *pair;
}

/* `count` characters on from `at`, but not beyond `end`. */
static size_t forward(const char *text, size_t at, size_t end, size_t count)
{
    for (; count > 0 && at < end; count--)
        do
            at++;
        while (at < end && ce_utf8_continues(text[at]));
    return at;
}

/* `count` characters back from `at`; SIZE_MAX if the text does not have so many. */
static size_t backward(const char *text, size_t at, size_t count)
{
    for (; count > 0; count--) {
        if (at == 0)
            return SIZE_MAX;
        do
            at--;
        while (at > 0 && ce_utf8_continues(text[at]));
    }
    return at;
}

void ce_post_trim(const ce_post *post, const char *text, size_t size, ce_span *spans,
                  const ce_blanks *blanks, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        ce_span *span = &spans[i];
        size_t leading = blanks[i].leading, trailing = blanks[i].trailing;
        /* The space that add_prefix_space has put in front is not in the text. */
        if ((i == 0 || span->start == 0) && post->add_prefix_space && leading == 1)
            leading = 0;
        if (span->end > size)
            continue;
        span->start = forward(text, span->start, span->end, leading);
        size_t end = trailing ? backward(text, span->end, trailing) : span->end;
        if (end != SIZE_MAX)
            span->end = end > span->start ? end : span->start;
    }
}

void ce_post_free(ce_post *post)
{
    ce_free(post->single.pieces);
    ce_free(post->pair.pieces);
    ce_free(post->blanks);
}
