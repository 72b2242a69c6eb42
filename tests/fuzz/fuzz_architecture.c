/* Any bytes as config.json: what is accepted has sizes that fit together, and products that fit into 64 bits. */
#include "fuzz.h"
#include "native/architecture.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void check_rope(const ce_architecture *a)
{
    const ce_rope_scaling *rope = &a->rope;
    MUST(rope->theta > 0 && isfinite(rope->theta));
    MUST(rope->rotary_dim > 0 && rope->rotary_dim % 2 == 0 && rope->rotary_dim <= a->head_dim);
    MUST(isfinite(rope->attention_factor));
    MUST((rope->kind == CE_ROPE_LONGROPE) == (rope->short_factor && rope->long_factor));
    if (rope->kind == CE_ROPE_LINEAR || rope->kind == CE_ROPE_LLAMA3)
        MUST(rope->factor >= 1 && isfinite(rope->factor));
    if (rope->kind == CE_ROPE_LLAMA3 || rope->kind == CE_ROPE_LONGROPE)
        MUST(rope->original_positions > 0);
}

static void check_sizes(const ce_architecture *a)
{
    MUST(a->name && a->model_type);
    MUST(a->vocab_size > 0 && a->hidden > 0 && a->intermediate > 0 && a->layers > 0);
    MUST(a->heads > 0 && a->kv_heads > 0 && a->head_dim > 0 && a->positions > 0);
    MUST(a->heads % a->kv_heads == 0);
    MUST((uint64_t)a->vocab_size * a->hidden < UINT64_C(1) << 41);
    MUST((uint64_t)a->heads * a->head_dim < UINT64_C(1) << 25);
    MUST(a->window >= 0 && (a->window > 0) == (a->windowed_layers > 0));
    MUST((uint64_t)a->first_windowed_layer + a->windowed_layers <= a->layers);
    MUST(a->norm_eps >= 0 && a->norm_eps <= 1);
    if (a->causal)
        check_rope(a);
    else
        MUST((uint64_t)a->heads * a->head_dim == a->hidden);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = fuzz_copy(data, size);
    ce_error error = {0};
    ce_architecture architecture;
    int status = ce_architecture_read(text, size, &architecture, &error);
    fuzz_check_error(status, &error);
    if (status == CE_OK)
        check_sizes(&architecture);
    ce_architecture_free(&architecture);
    free(text);
    return 0;
}
