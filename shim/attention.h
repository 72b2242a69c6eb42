// The operator citadel::varlen_attention over lib/kernels.
#ifndef CE_SHIM_ATTENTION_H
#define CE_SHIM_ATTENTION_H

// Register the operator, unless this process has it already.
void register_attention();

#endif
