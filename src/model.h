/* A model: its pack, its tokenizer, and the backend that computes it. */
#ifndef CE_MODEL_H
#define CE_MODEL_H

#include "backend.h"
#include "cache.h"
#include "pack.h"
#include "tokenizer/tokenizer.h"

/* Everything below `slot` is written before the model is published and then never changes. */
struct citadel_model {
    citadel_engine *engine;
    ce_cache_slot slot;

    ce_pack *pack;
    ce_tokenizer *tokenizer;
    const ce_backend *backend;
    void *backend_model;
    double load_seconds;
    double golden_error;
    uint32_t golden_texts;
};

/* Load the chosen form of `pack` into `model`, and check it. `pack` belongs to the model from here on, also on failure. */
int ce_model_load(citadel_model *model, ce_pack *pack, ce_error *error);
void ce_model_free(citadel_model *model);

#endif
