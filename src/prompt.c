#include "prompt.h"

#include <stdio.h>
#include <string.h>

static int set_limit(const citadel_model *model, uint32_t asked, ce_encode_options *encode,
                     uint32_t *limit, ce_error *error)
{
    uint32_t most = model->pack->max_tokens;
    size_t specials = encode->pair ? ce_tokenizer_pair_special_count(model->tokenizer)
                                   : ce_tokenizer_special_count(model->tokenizer);
    if (asked > most || (asked && asked < specials))
        return ce_fail(error, CE_E_INVALID_ARGUMENT,
                       "max_tokens is %u, expected %zu (special tokens) to %u (the model's limit)",
                       asked, specials, most);
    encode->max_tokens = asked ? asked : most;
    *limit = asked && asked < most ? CITADEL_LIMIT_OPTION : CITADEL_LIMIT_MODEL;
    return CE_OK;
}

static const ce_prompt *find(const ce_pack *pack, const char *name)
{
    for (size_t i = 0; i < pack->prompt_count; i++)
        if (strcmp(pack->prompts[i].name, name) == 0)
            return &pack->prompts[i];
    return NULL;
}

static int unknown(const ce_pack *pack, const char *name, ce_error *error)
{
    char known[256] = "";
    size_t used = 0;
    for (size_t i = 0; i < pack->prompt_count && used < sizeof known; i++)
        used += (size_t)snprintf(known + used, sizeof known - used, "%s'%s'", i ? ", " : "",
                                 pack->prompts[i].name);
    return ce_fail(error, CE_E_NOT_FOUND, "no prompt is named '%s'; the model has %s", name,
                   pack->prompt_count ? known : "none");
}

static int choose(const ce_pack *pack, const char *name, const char *text, const char *default_name,
                  ce_encode_options *encode, ce_error *error)
{
    if (name && text)
        return ce_fail(error, CE_E_INVALID_ARGUMENT, "prompt_name and prompt are both set");
    if (!text) {
        if (!name)
            name = default_name;
        if (!name)
            return CE_OK;
        const ce_prompt *prompt = find(pack, name);
        if (!prompt)
            return unknown(pack, name, error);
        text = prompt->text;
    }
    encode->prompt = text;
    encode->prompt_length = strlen(text);
    return CE_OK;
}

int ce_prompt_prepare(const citadel_model *model, uint32_t max_tokens, const char *prompt_name,
                      const char *prompt, const char *default_name, ce_encode_options *encode,
                      uint32_t *limit, ce_error *error)
{
    int status = set_limit(model, max_tokens, encode, limit, error);
    if (status == CE_OK)
        status = choose(model->pack, prompt_name, prompt, default_name, encode, error);
    return status;
}
