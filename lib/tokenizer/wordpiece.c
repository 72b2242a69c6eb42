#include "tokenizer/wordpiece.h"

static size_t count_chars(const char *word, size_t size)
{
    size_t count = 0;
    for (size_t i = 0; i < size; i++)
        count += !ce_utf8_continues(word[i]);
    return count;
}

/* The tokens of word[at ..): `at` is behind the ones that have been put already. 0 if there are none. */
static int put_rest(const ce_wordpiece *model, const char *word, size_t at, size_t size,
                    ce_tokens *out)
{
    const ce_trie *trie = at ? &model->continuation : &model->first;
    while (at < size) {
        int32_t id;
        size_t matched = ce_trie_longest(trie, word + at, size - at, &id);
        if (matched == 0)
            return 0;
        ce_tokens_put(out, id, at, at + matched);
        at += matched;
        trie = &model->continuation;
    }
    return 1;
}

/* Where there is room. */
static void put_word(const ce_wordpiece *model, const char *word, size_t size, ce_tokens *out)
{
    size_t before = out->count;
    int too_long = size > model->max_chars && count_chars(word, size) > model->max_chars;
    if (too_long || !put_rest(model, word, 0, size, out)) {
        out->count = before;
        ce_tokens_put(out, model->unk, 0, size);
    }
}

int ce_wordpiece_add(const ce_wordpiece *model, const char *word, size_t size, ce_tokens *out)
{
    if (!ce_tokens_reserve(out, size))
        return CE_E_NO_MEMORY;
    put_word(model, word, size, out);
    return CE_OK;
}

void ce_wordpiece_prepare(ce_wordpiece *model)
{
    ce_bert_table_fill(&model->classes);
    for (int c = 0; c < CE_WORDPIECE_ASCII; c++) {
        const char word = (char)c;
        ce_tokens one = {.ids = &model->ascii[c], .capacity = 1};
        put_word(model, &word, 1, &one);
    }
}

/* The end of the word that text[at ..) is part of. */
static size_t word_end(const ce_wordpiece *model, const char *text, size_t at, size_t size)
{
    size_t bytes;
    while (at < size && ce_bert_table_at(&model->classes, text, at, size, &bytes) == CE_BERT_LETTER)
        at += bytes;
    return at;
}

/* A word's beginning, as far as the trie follows it. */
typedef struct walk {
    size_t end;          /* where it stopped; */
    ce_bert_class class; /* at what: a letter if the trie could not follow */
    size_t matched;      /* the end of the longest token */
    int32_t id;          /* which it is */
} walk;

/* Most words are one token, and are done with in one walk. */
static walk walk_word(const ce_wordpiece *model, const char *text, size_t start, size_t size)
{
    walk w = {start, CE_BERT_WHITE, start, 0};
    uint32_t base = 0;
    while (w.end < size) {
        unsigned char c = (unsigned char)text[w.end];
        ce_bert_class class = (ce_bert_class)ce_bert_classes[c];
        size_t bytes = 1;
        if (class == CE_BERT_BEYOND)
            class = ce_bert_table_at(&model->classes, text, w.end, size, &bytes);
        if (class != CE_BERT_LETTER) {
            w.class = class;
            return w;
        }
        const ce_trie_node *node = ce_trie_step(&model->first, base, c);
        for (size_t i = 1; i < bytes && node; i++)
            node = ce_trie_step(&model->first, node->base, (unsigned char)text[w.end + i]);
        if (!node) {
            w.class = CE_BERT_LETTER;
            return w;
        }
        base = node->base;
        w.end += bytes;
        if (ce_trie_value(node) != CE_TRIE_NONE) {
            w.matched = w.end;
            w.id = (int32_t)ce_trie_value(node);
        }
    }
    return w;
}

int ce_wordpiece_add_bert(const ce_wordpiece *model, const char *text, size_t size, int more,
                          size_t enough, size_t *done, ce_tokens *out)
{
    size_t at = 0;
    if (!ce_tokens_reserve(out, size))
        return CE_E_NO_MEMORY;
    while (at < size && out->count <= enough) {
        unsigned char c = (unsigned char)text[at];
        ce_bert_class class = (ce_bert_class)ce_bert_classes[c];
        size_t bytes = 1, start = at;
        if (class == CE_BERT_BEYOND)
            class = ce_bert_table_at(&model->classes, text, at, size, &bytes);
        if (class != CE_BERT_LETTER) {
            if (class == CE_BERT_PUNCTUATION && bytes == 1)
                ce_tokens_put(out, model->ascii[c], 0, 1);
            else if (class == CE_BERT_PUNCTUATION)
                put_word(model, text + at, bytes, out);
            at += bytes;
            continue;
        }
        walk w = walk_word(model, text, start, size);
        at = w.class == CE_BERT_LETTER ? word_end(model, text, w.end, size) : w.end;
        if (at == size && more) {
            *done = start;
            return CE_OK;
        }
        size_t before = out->count, word = at - start;
        if (w.matched > start && word <= model->max_chars) {
            ce_tokens_put(out, w.id, 0, w.matched - start);
            if (w.matched == at || put_rest(model, text + start, w.matched - start, word, out))
                continue;
            out->count = before;
        }
        put_word(model, text + start, word, out);
    }
    *done = at;
    return CE_OK;
}

void ce_wordpiece_free(ce_wordpiece *model)
{
    ce_trie_free(&model->first);
    ce_trie_free(&model->continuation);
}
