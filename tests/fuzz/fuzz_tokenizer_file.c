/* Any bytes as a tokenizer.json: what is accepted encodes a few texts, with ids below the size of the vocabulary. */
#include "fuzz.h"
#include "tokenizer/tokenizer.h"

#include <stdlib.h>
#include <string.h>

static const char *const texts[] = {
    "",
    "the unaffable fox, 123 #!",
    "  <raw>  [MASK] [CLS]",
    "\xC3\x89MILE \xE6\x9D\xB1\xE4\xBA\xAC \xED\x95\x9C e\xCC\x81 \xF0\x9F\x98\x80",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
};

static void encode(const ce_tokenizer *tokenizer, ce_tokenizer_scratch *scratch, const char *text)
{
    ce_error error = {0};
    ce_encode_options options = {0};
    ce_encoding encoding;
    int status =
        ce_tokenizer_encode(tokenizer, scratch, text, strlen(text), &options, &encoding, &error);
    MUST(status == CE_OK);
    MUST(encoding.count >= ce_tokenizer_special_count(tokenizer));
    for (size_t i = 0; i < encoding.count; i++)
        MUST(encoding.ids[i] >= 0 && (size_t)encoding.ids[i] < ce_tokenizer_vocab_size(tokenizer));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ce_error error = {0};
    ce_tokenizer *tokenizer;
    char *json = fuzz_copy(data, size);
    int status = ce_tokenizer_create(json, size, &tokenizer, &error);
    free(json); /* it is not kept */
    fuzz_check_error(status, &error);
    MUST((status == CE_OK) == (tokenizer != NULL));
    if (tokenizer) {
        ce_tokenizer_scratch *scratch;
        MUST(ce_tokenizer_scratch_create(&scratch, &error) == CE_OK);
        for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
            encode(tokenizer, scratch, texts[i]);
        ce_tokenizer_scratch_destroy(scratch);
    }
    ce_tokenizer_destroy(tokenizer);
    return 0;
}
