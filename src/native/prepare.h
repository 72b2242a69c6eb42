/* From a checkpoint to the kernels' layout. */
#ifndef CE_NATIVE_PREPARE_H
#define CE_NATIVE_PREPARE_H

#include "native/model.h"
#include "native/ranges.h"

/* Find the tables of embeddings, which are read where they are: model->words, places, types. */
int ce_prepare_tables(ce_native_model *model, const ce_weights *weights, ce_error *error);

/* Whether the checkpoint has every layer that config.json speaks of, before memory is taken for them. */
int ce_prepare_check(const ce_native_model *model, const ce_weights *weights, ce_error *error);

/* Fill the placed weights, whose memory is writable. `ranges` are what the inputs of the layers were seen to be, and
 * needed where the model smooths (ce_layout_smooths). */
int ce_prepare_weights(ce_native_model *model, const ce_weights *weights, const ce_ranges *ranges,
                       ce_error *error);

/* A Dense module, from the weights in its own folder. */
int ce_prepare_dense(const ce_linear *linear, const ce_weights *weights, int bias, ce_error *error);

#endif
