/* The forms of a pack: which of its artifacts may compute here, and in which order they are tried. */
#ifndef CE_FORM_H
#define CE_FORM_H

#include "config.h"
#include "cpu.h"
#include "pack.h"

/* Sort the artifacts of `pack` for `precision` (CITADEL_PRECISION_AUTO: the model's own, or less where the engine's
 * switches allow it): pack->forms, and pack->chosen, which is the first to be tried. */
int ce_form_choose(ce_pack *pack, const ce_config *config, int32_t precision, ce_error *error);

/* The same for another processor than this one. */
int ce_form_choose_for(ce_pack *pack, const ce_config *config, const ce_cpu *cpu, int32_t precision,
                       ce_error *error);

/* Skip what was made with another libtorch than the backend's. */
int ce_form_check_backend(ce_pack *pack, const ce_backend *backend, ce_error *error);

/* The chosen form failed. Chooses the next one; without one pack->chosen stays and the result is 0. */
int ce_form_fall_back(ce_pack *pack, const ce_error *failure);

size_t ce_form_count(const ce_pack *pack, ce_form_state state);
const ce_form *ce_form_chosen(const ce_pack *pack);

/* The recovery graph of a form that can have one, or NULL: nothing is more exact than fp32. */
const char *ce_form_recovery(const ce_artifact *artifact);
int ce_form_needs_weights(const ce_artifact *artifact);
int ce_form_is_compiled(const ce_artifact *artifact);
int ce_form_is_native(const ce_artifact *artifact);

/* "compiled fp32 (graph.fp32.so)" */
void ce_form_describe(const ce_artifact *artifact, char *text, size_t size);

#endif
