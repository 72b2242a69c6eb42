/* A model: its pack, its tokenizer, and the backend that computes it. */
#ifndef CE_MODEL_H
#define CE_MODEL_H

#include "backend.h"
#include "cache.h"
#include "pack.h"
#include "tokenizer/tokenizer.h"

/* Seconds of a load, all of it and its parts; failed forms included. */
typedef struct ce_load_times {
    double load, tokenizer, weights, backend, check, warmup;
} ce_load_times;

/* Everything below `slot` is written before the model is published and then never changes. */
struct citadel_model {
    citadel_engine *engine;
    ce_cache_slot slot;

    ce_pack *pack;
    ce_tokenizer *tokenizer;
    size_t tokenizer_bytes;
    const ce_backend *backend;
    void *backend_model;
    int recovers; /* texts that are not finite go through the recovery graph */
    char *explanation;
    ce_load_times times;
    double golden_error, golden_cosine;
    uint32_t golden_texts;
};

/* Load the first form of `pack` that passes its check into `model`. `pack` belongs to the model from here on, also on
 * failure. */
int ce_model_load(citadel_model *model, ce_pack *pack, ce_error *error);
void ce_model_free(citadel_model *model);

/* Memory of a loaded model: its mapped weights, its tokenizer, and what its backend has beside them. */
uint64_t ce_model_bytes(const citadel_model *model);

/* A caller's load options, checked. */
int ce_load_options_read(const citadel_load_options *options, citadel_load_options *known,
                         ce_error *error);

#endif
