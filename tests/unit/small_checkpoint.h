/* Checkpoints of small models with random weights, and batches of texts for them. */
#ifndef CE_TESTS_SMALL_CHECKPOINT_H
#define CE_TESTS_SMALL_CHECKPOINT_H

#include "backend.h"
#include "native/architecture.h"

enum { TEXTS = 7, TOKENS_MAX = 400 };

/* A directory under /tmp, and files in it. */
extern char checkpoint_directory[], checkpoint_weights[128], checkpoint_prepared[128];

/* cmocka's group fixtures. */
int checkpoint_begin(void **state);
int checkpoint_end(void **state);

/* Widths that no panel and no vector divides; and some of several groups of int8. */
ce_architecture bert_of(ce_pooling pooling);
ce_architecture wide_bert_of(ce_pooling pooling);
ce_architecture llama_of(ce_family family, ce_pooling pooling);

void write_bert(const ce_architecture *architecture);
void write_llama(const ce_architecture *architecture);

/* The texts of `order`, of which text i has the same ids wherever it stands; overwritten by the next call. */
ce_batch batch_of(const int *order, int count);

/* What the native backend loads from the checkpoint, of which `folder` and `weights` are open. */
ce_backend_model checkpoint_model(const ce_architecture *architecture, int32_t precision, int isa,
                                  int folder, const struct ce_weights *weights,
                                  const char *prepared);

#endif
