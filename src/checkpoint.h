/* From a checkpoint, a folder as Hugging Face and sentence-transformers publish it, to a model of the native backend. */
#ifndef CE_CHECKPOINT_H
#define CE_CHECKPOINT_H

#include "kernels/isa.h"
#include "model.h"

/* Load the chosen form of model->pack; its tokenizer is there, and its directory open. */
int ce_checkpoint_load(citadel_model *model, ce_error *error);

/* The instruction set that native kernels use: without optimization they are the plain ones. */
ce_isa ce_checkpoint_isa(const ce_config *config);

#endif
