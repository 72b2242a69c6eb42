/* From a checkpoint, a folder as Hugging Face and sentence-transformers publish it, to a model of the native backend. */
#ifndef CE_CHECKPOINT_H
#define CE_CHECKPOINT_H

#include "model.h"

/* Load the chosen form of model->pack; its tokenizer is there, and its directory open. */
int ce_checkpoint_load(citadel_model *model, ce_error *error);

#endif
