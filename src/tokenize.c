#include "engine.h"
#include "model.h"
#include "options.h"
#include "prompt.h"

#include <stdint.h>
#include <string.h>

static int prepare(const citadel_model *model, const citadel_tokenize_options *o,
                   ce_encode_options *encode, uint32_t *limit, ce_error *error)
{
    const uint32_t flags = CITADEL_TOKENIZE_NO_SPECIALS | CITADEL_TOKENIZE_NO_TRUNCATION;
    if (o->flags & ~flags)
        return ce_fail(error, CE_E_INVALID_ARGUMENT, "tokenize options: unknown flags 0x%x",
                       o->flags & ~flags);
    if (o->flags & CITADEL_TOKENIZE_NO_TRUNCATION && o->max_tokens)
        return ce_fail(error, CE_E_INVALID_ARGUMENT,
                       "tokenize options: max_tokens is %u together with NO_TRUNCATION",
                       o->max_tokens);
    int status = ce_prompt_prepare(model, o->max_tokens, o->prompt_name, o->prompt, NULL, encode,
                                   limit, error);
    if (o->flags & CITADEL_TOKENIZE_NO_TRUNCATION)
        encode->max_tokens = 0;
    encode->no_specials = (o->flags & CITADEL_TOKENIZE_NO_SPECIALS) != 0;
    return status;
}

static int hand_over(const ce_encoding *encoding, uint32_t limit, citadel_tokens *given,
                     ce_error *error)
{
    citadel_tokens result;
    int status =
        ce_options_read(&result, sizeof result, given, CE_TOKENS_SIZE_1, "citadel_tokens", error);
    if (status != CE_OK)
        return status;
    result.count = encoding->count;
    result.truncated = (uint32_t)encoding->truncated;
    result.limit = encoding->truncated ? limit : CITADEL_LIMIT_NONE;
    ce_result_write(given, &result, sizeof result);
    if (!result.ids)
        return CE_OK;
    if (result.capacity < encoding->count)
        return ce_fail(error, CE_E_CAPACITY, "tokens.ids has room for %zu ids, the text has %zu",
                       result.capacity, encoding->count);
    memcpy(result.ids, encoding->ids, encoding->count * sizeof *result.ids);
    return CE_OK;
}

static int encode_with(const citadel_model *model, ce_call *call, const char *text, size_t length,
                       const citadel_tokenize_options *options, citadel_tokens *tokens,
                       ce_error *error)
{
    ce_encode_options encode;
    ce_encoding encoding;
    uint32_t limit;
    int status = prepare(model, options, &encode, &limit, error);
    if (status == CE_OK)
        status = ce_tokenizer_encode(model->tokenizer, call->tokenizer, text, length, &encode,
                                     &encoding, error);
    return status == CE_OK ? hand_over(&encoding, limit, tokens, error) : status;
}

static int tokenize(const citadel_model *model, const char *text, size_t length,
                    const citadel_tokenize_options *options, citadel_tokens *tokens,
                    ce_error *error)
{
    if (!model || (!text && length != 0))
        return ce_fail(error, CE_E_INVALID_ARGUMENT, "%s is NULL", model ? "text" : "model");
    if (length > PTRDIFF_MAX && length != CITADEL_NUL_TERMINATED)
        return ce_fail(error, CE_E_INVALID_ARGUMENT, "length is %zu, at most %td is possible",
                       length, PTRDIFF_MAX);
    citadel_tokenize_options known;
    int status = ce_options_read(&known, sizeof known, options, CE_TOKENIZE_OPTIONS_SIZE_1,
                                 "citadel_tokenize_options", error);
    if (status == CE_OK)
        status = ce_result_check(tokens, CE_TOKENS_SIZE_1, "citadel_tokens", error);
    if (status == CE_OK)
        status = ce_engine_enter(model->engine, error);
    if (status != CE_OK)
        return status;

    /* As in citadel_model_embed, the call keeps its model: another thread may unload it meanwhile. */
    citadel_engine *engine = model->engine;
    ce_cache_hold((citadel_model *)model);
    ce_call_pool *pool = &engine->calls;
    ce_call *call;
    status = ce_call_take(pool, &call, error);
    if (status == CE_OK) {
        if (length == CITADEL_NUL_TERMINATED)
            length = strlen(text);
        status = encode_with(model, call, text ? text : "", length, &known, tokens, error);
        ce_call_give(pool, call);
    }
    ce_cache_release((citadel_model *)model);
    ce_engine_leave(engine);
    return status;
}

citadel_status citadel_tokenize(const citadel_model *model, const char *text, size_t length,
                                const citadel_tokenize_options *options, citadel_tokens *tokens,
                                citadel_error *error)
{
    if (!ce_error_ready(error))
        return CITADEL_E_ABI;
    ce_error failure;
    int status = tokenize(model, text, length, options, tokens, &failure);
    return ce_error_report(error, status, &failure);
}
