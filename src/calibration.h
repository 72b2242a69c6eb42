/* Texts that int8 models are fitted to: what ranges their activations have is seen on these. */
#ifndef CE_CALIBRATION_H
#define CE_CALIBRATION_H

#include "backend.h"

/* Raised with every change of the texts, or of what is made of them. */
#define CE_CALIBRATION_VERSION 2

/* `model` is a citadel_model with a tokenizer. Calls `take` with batches of the texts, until one fails. */
int ce_calibration_run(void *model,
                       int (*take)(void *argument, const ce_batch *batch, ce_error *error),
                       void *argument, ce_error *error);

/* The same with texts that nothing is fitted to. */
int ce_evaluation_run(void *model,
                      int (*take)(void *argument, const ce_batch *batch, ce_error *error),
                      void *argument, ce_error *error);

#endif
