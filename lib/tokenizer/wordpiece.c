#include "tokenizer/wordpiece.h"

static size_t count_chars(const char *word, size_t size)
{
    size_t count = 0;
    for (size_t i = 0; i < size; i++)
        count += ((unsigned char)word[i] & 0xC0) != 0x80;
    return count;
}

int ce_wordpiece_add(const ce_wordpiece *model, const char *word, size_t size, ce_tokens *out)
{
    if (size > model->max_chars && count_chars(word, size) > model->max_chars)
        return ce_tokens_add(out, model->unk, 0, size);
    if (!ce_tokens_reserve(out, size))
        return CE_E_NO_MEMORY;
    size_t before = out->count;
    const ce_trie *trie = &model->first;
    for (size_t at = 0; at < size;) {
        int32_t id;
        size_t matched = ce_trie_longest(trie, word + at, size - at, &id);
        if (matched == 0) {
            out->count = before;
            return ce_tokens_add(out, model->unk, 0, size);
        }
        ce_tokens_put(out, id, at, at + matched);
        at += matched;
        trie = &model->continuation;
    }
    return CE_OK;
}

void ce_wordpiece_free(ce_wordpiece *model)
{
    ce_trie_free(&model->first);
    ce_trie_free(&model->continuation);
}
