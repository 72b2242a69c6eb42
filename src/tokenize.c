#include "engine.h"
#include "model.h"
#include "options.h"
#include "prompt.h"

#include <stdint.h>
#include <string.h>

/* One text that stands alone, not in an array. */
static int check_text(const char *name, const char *text, size_t length, ce_error *error)
{
    if (!text && length != 0)
        return ce_fail(error, CE_E_INVALID_ARGUMENT, "%s is NULL", name);
    if (length > PTRDIFF_MAX && length != CITADEL_NUL_TERMINATED)
        return ce_fail(error, CE_E_INVALID_ARGUMENT, "%s: length is %zu, at most %td is possible",
                       name, length, PTRDIFF_MAX);
    return CE_OK;
}

static size_t length_of(const char *text, size_t length)
{
    return length == CITADEL_NUL_TERMINATED ? strlen(text) : length;
}

static int check_flags(const citadel_tokenize_options *o, ce_error *error)
{
    const uint32_t known = CITADEL_TOKENIZE_NO_SPECIALS | CITADEL_TOKENIZE_NO_TRUNCATION |
                           CITADEL_TOKENIZE_TRUNCATE_LEFT;
    if (o->flags & ~known)
        return ce_fail(error, CE_E_INVALID_ARGUMENT, "tokenize options: unknown flags 0x%x",
                       o->flags & ~known);
    if (!(o->flags & CITADEL_TOKENIZE_NO_TRUNCATION))
        return CE_OK;
    if (o->max_tokens)
        return ce_fail(error, CE_E_INVALID_ARGUMENT,
                       "tokenize options: max_tokens is %u together with NO_TRUNCATION",
                       o->max_tokens);
    if (o->flags & CITADEL_TOKENIZE_TRUNCATE_LEFT)
        return ce_fail(error, CE_E_INVALID_ARGUMENT,
                       "tokenize options: TRUNCATE_LEFT together with NO_TRUNCATION");
    return CE_OK;
}

static int prepare(const citadel_model *model, const citadel_tokenize_options *o,
                   ce_encode_options *encode, uint32_t *limit, ce_error *error)
{
    int status = check_flags(o, error);
    if (status == CE_OK)
        status = check_text("tokenize options: pair", o->pair, o->pair_length, error);
    if (status != CE_OK)
        return status;
    *encode = (ce_encode_options){
        .no_specials = (o->flags & CITADEL_TOKENIZE_NO_SPECIALS) != 0,
        .truncate_left = (o->flags & CITADEL_TOKENIZE_TRUNCATE_LEFT) != 0,
        .pair = o->pair,
        .pair_length = length_of(o->pair, o->pair_length),
    };
    status = ce_prompt_prepare(model, o->max_tokens, o->prompt_name, o->prompt, NULL, encode, limit,
                               error);
    if (o->flags & CITADEL_TOKENIZE_NO_TRUNCATION)
        encode->max_tokens = 0;
    return status;
}

static void copy_spans(citadel_span *to, const ce_span *from, size_t count)
{
    for (size_t i = 0; i < count; i++)
        to[i] = (citadel_span){from[i].start, from[i].end};
}

static void copy_ids(int32_t *to, const int32_t *from, size_t count)
{
    if (from)
        memcpy(to, from, count * sizeof *to);
    else
        memset(to, 0, count * sizeof *to);
}

/* `result` is what the caller has given, as this library knows it. */
static int hand_over(const ce_encoding *encoding, uint32_t limit, citadel_tokens *result,
                     citadel_tokens *given, ce_error *error)
{
    size_t count = encoding->count;
    result->count = count;
    result->truncated = (uint32_t)encoding->truncated;
    result->limit = encoding->truncated ? limit : CITADEL_LIMIT_NONE;
    ce_result_write(given, result, sizeof *result);
    if ((result->ids || result->offsets || result->type_ids) && result->capacity < count)
        return ce_fail(error, CE_E_CAPACITY, "tokens has room for %zu tokens, the text has %zu",
                       result->capacity, count);
    if (result->ids)
        copy_ids(result->ids, encoding->ids, count);
    if (result->offsets)
        copy_spans(result->offsets, encoding->offsets, count);
    if (result->type_ids)
        copy_ids(result->type_ids, encoding->type_ids, count);
    return CE_OK;
}

static int encode_with(const citadel_model *model, ce_call *call, const char *text, size_t length,
                       const citadel_tokenize_options *options, citadel_tokens *tokens,
                       ce_error *error)
{
    ce_encode_options encode;
    ce_encoding encoding;
    citadel_tokens result;
    uint32_t limit;
    int status =
        ce_options_read(&result, sizeof result, tokens, CE_TOKENS_SIZE_1, "citadel_tokens", error);
    if (status == CE_OK)
        status = prepare(model, options, &encode, &limit, error);
    if (status != CE_OK)
        return status;
    encode.offsets = result.offsets != NULL;
    status = ce_tokenizer_encode(model->tokenizer, call->tokenizer, text, length, &encode,
                                 &encoding, error);
    return status == CE_OK ? hand_over(&encoding, limit, &result, tokens, error) : status;
}

static int tokenize(const citadel_model *model, const char *text, size_t length,
                    const citadel_tokenize_options *options, citadel_tokens *tokens,
                    ce_error *error)
{
    if (!model)
        return ce_fail(error, CE_E_INVALID_ARGUMENT, "model is NULL");
    citadel_tokenize_options known;
    int status = check_text("text", text, length, error);
    if (status == CE_OK)
        status = ce_options_read(&known, sizeof known, options, CE_TOKENIZE_OPTIONS_SIZE_1,
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
        status = encode_with(model, call, text ? text : "", length_of(text, length), &known, tokens,
                             error);
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
