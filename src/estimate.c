#include "estimate.h"

#include "engine.h"
#include "form.h"
#include "model.h"
#include "native/model.h"
#include "native/native_backend.h"
#include "options.h"

#include <stdio.h>
#include <string.h>

/* Measured with all-MiniLM-L6-v2 and libtorch 2.11, and rounded up. */
enum {
    TOKENIZER_BASE = 72 << 10, /* tables that a tokenizer of any size has */
    TOKENIZER_FACTOR = 3,      /* memory by bytes of tokenizer.json; WordPiece 2.6, others less */
    TORCHSCRIPT_FACTOR = 90,   /* memory by bytes of the graph's file, which is packed code */
    COMPILED_FACTOR = 1,       /* the weights inside the graph's file are copied */
    SCRATCH_FACTOR = 24        /* floats by token and dimension of a vector, on each thread */
};

/* Without a name there is no such file. */
static uint64_t file_bytes(const ce_pack *pack, const char *name)
{
    for (size_t i = 0; name && i < pack->file_count; i++)
        if (strcmp(pack->files[i].name, name) == 0)
            return pack->files[i].bytes;
    return 0;
}

static uint64_t weight_bytes(const ce_pack *pack)
{
    return ce_form_needs_weights(pack->chosen) ? file_bytes(pack, pack->chosen->weights) : 0;
}

/* What a native form makes of a checkpoint, and the tables that it reads where they are. */
static uint64_t native_bytes(const ce_pack *pack)
{
    const ce_architecture *a = pack->native;
    uint64_t rows = a->vocab_size;
    if (ce_native_is_bert(a))
        rows += (uint64_t)a->positions + a->position_offset + a->token_types;
    uint64_t element = a->dtype == CE_DTYPE_F32 ? 4 : 2;
    return ce_native_bytes(a, pack->chosen->precision) + rows * a->hidden * element;
}

static uint64_t preparing_bytes(const ce_pack *pack)
{
    return ce_form_is_native(pack->chosen)
               ? ce_native_preparing_bytes(pack->native, pack->chosen->precision)
               : 0;
}

static uint64_t graph_bytes(const ce_pack *pack)
{
    uint64_t graph = file_bytes(pack, pack->chosen->graph);
    uint64_t recovery = file_bytes(pack, ce_form_recovery(pack->chosen));
    return graph * (ce_form_is_compiled(pack->chosen) ? COMPILED_FACTOR : TORCHSCRIPT_FACTOR) +
           recovery * TORCHSCRIPT_FACTOR;
}

uint64_t ce_estimate_resident(const ce_pack *pack)
{
    int native = ce_form_is_native(pack->chosen);
    return (native ? native_bytes(pack) : weight_bytes(pack) + graph_bytes(pack)) + TOKENIZER_BASE +
           TOKENIZER_FACTOR * file_bytes(pack, pack->tokenizer);
}

/* Files that a load maps and lets go. */
static uint64_t load_bytes(const ce_pack *pack)
{
    return file_bytes(pack, pack->tokenizer) + file_bytes(pack, pack->chosen->graph) +
           file_bytes(pack, pack->golden_texts) + file_bytes(pack, pack->golden_vectors);
}

uint64_t ce_estimate_passing(const ce_pack *pack, unsigned tokens, unsigned threads)
{
    uint64_t scratch = (uint64_t)tokens * threads * pack->dim * sizeof(float) * SCRATCH_FACTOR;
    uint64_t load = load_bytes(pack);
    return scratch > load ? scratch : load;
}

/* ---- Public ------------------------------------------------------------------------------- */

static void fill(const ce_pack *pack, const ce_config *config, citadel_estimate *out)
{
    uint64_t resident = ce_estimate_resident(pack);
    *out = (citadel_estimate){
        .size = sizeof *out,
        .weight_bytes = pack->chosen->tensors_inside ? file_bytes(pack, pack->chosen->graph)
                                                     : weight_bytes(pack),
        .resident_bytes = resident,
        .peak_bytes = resident + preparing_bytes(pack) +
                      ce_estimate_passing(pack, config->batch_tokens, config->threads),
        .precision = pack->chosen->precision,
        .dim = pack->dim,
    };
    snprintf(out->form, sizeof out->form, "%s", pack->chosen->form);
}

static int estimate_model(citadel_engine *engine, const char *name,
                          const citadel_load_options *options, citadel_estimate *estimate,
                          ce_error *error)
{
    if (!engine || !name)
        return ce_fail(error, CE_E_INVALID_ARGUMENT, "%s is NULL", engine ? "name" : "engine");
    citadel_load_options known;
    int status = ce_result_check(estimate, CE_ESTIMATE_SIZE_1, "citadel_estimate", error);
    if (status == CE_OK)
        status = ce_load_options_read(options, &known, error);
    if (status == CE_OK)
        status = ce_engine_enter(engine, error);
    if (status != CE_OK)
        return status;
    ce_pack *pack;
    citadel_estimate result;
    status = ce_cache_open_pack(engine, name, &known, &pack, error);
    if (status == CE_OK) {
        fill(pack, &engine->config, &result);
        ce_result_write(estimate, &result, sizeof result);
        ce_pack_close(pack);
    }
    ce_engine_leave(engine);
    return status;
}

citadel_status citadel_model_estimate(citadel_engine *engine, const char *name,
                                      const citadel_load_options *options,
                                      citadel_estimate *estimate, citadel_error *error)
{
    if (!ce_error_ready(error))
        return CITADEL_E_ABI;
    ce_error failure;
    int status = estimate_model(engine, name, options, estimate, &failure);
    return ce_error_report(error, status, &failure);
}
