/* A tokenizer.json compiled: what load.c makes and encode.c runs. */
#ifndef CE_TOKENIZER_PIPELINE_H
#define CE_TOKENIZER_PIPELINE_H

#include "tokenizer/added.h"
#include "tokenizer/bpe.h"
#include "tokenizer/normalize.h"
#include "tokenizer/post.h"
#include "tokenizer/pre_tokenize.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/unigram.h"
#include "tokenizer/wordpiece.h"

typedef enum ce_model_kind { CE_MODEL_WORDPIECE, CE_MODEL_BPE, CE_MODEL_UNIGRAM } ce_model_kind;

struct ce_tokenizer {
    uint64_t serial; /* no other tokenizer of the process has it */
    ce_added added;
    /* The file's normalizers, then what the first pre-tokenizer does to a text before it splits it. */
    ce_normalizer normalizers[CE_NORMALIZERS_MOST + CE_ENTRIES_MOST];
    size_t normalizer_count, entry_count;
    ce_pre_tokenizer pre_tokenizers[CE_PRE_TOKENIZERS_MOST];
    size_t pre_tokenizer_count;
    ce_model_kind model;
    int is_bert; /* WordPiece over BertPreTokenizer, which go in one */
    ce_wordpiece wordpiece;
    ce_bpe bpe;
    ce_unigram unigram;
    ce_post post;
    size_t vocab_size;
    /* Where the text begins decides about its tokens, but normalizers may have removed that beginning. */
    int needs_origins;
};

#endif
