#include "calibration.h"

#include "base/mem.h"
#include "calibration_texts.h"
#include "model.h"

#include <string.h>

enum { TOKENS_MAX = 256 };

static int take_text(const citadel_model *model, ce_tokenizer_scratch *scratch, const char *text,
                     int (*take)(void *argument, const ce_batch *batch, ce_error *error),
                     void *argument, ce_error *error)
{
    uint32_t most = model->pack->max_tokens;
    const ce_encode_options options = {.max_tokens = most < TOKENS_MAX ? most : TOKENS_MAX};
    int32_t positions[TOKENS_MAX], ends[2] = {0};
    ce_encoding encoding;
    int status = ce_tokenizer_encode(model->tokenizer, scratch, text, strlen(text), &options,
                                     &encoding, error);
    if (status != CE_OK || encoding.count == 0)
        return status;
    for (size_t i = 0; i < encoding.count; i++)
        positions[i] = (int32_t)i;
    ends[1] = (int32_t)encoding.count;
    const ce_batch batch = {.ids = encoding.ids,
                            .positions = positions,
                            .cu_seqlens = ends,
                            .tokens = encoding.count,
                            .texts = 1};
    return take(argument, &batch, error);
}

static int run(const citadel_model *model, const char *const *texts, size_t count,
               int (*take)(void *argument, const ce_batch *batch, ce_error *error), void *argument,
               ce_error *error)
{
    ce_tokenizer_scratch *scratch;
    int status = ce_tokenizer_scratch_create(&scratch, error);
    for (size_t i = 0; i < count && status == CE_OK; i++)
        status = take_text(model, scratch, texts[i], take, argument, error);
    ce_tokenizer_scratch_destroy(scratch);
    return status;
}

int ce_calibration_run(void *model,
                       int (*take)(void *argument, const ce_batch *batch, ce_error *error),
                       void *argument, ce_error *error)
{
    return run(model, ce_calibration_texts, CE_CALIBRATION_TEXTS, take, argument, error);
}

int ce_evaluation_run(void *model,
                      int (*take)(void *argument, const ce_batch *batch, ce_error *error),
                      void *argument, ce_error *error)
{
    return run(model, ce_evaluation_texts, CE_EVALUATION_TEXTS, take, argument, error);
}
