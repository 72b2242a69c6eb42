/* Any bytes as citadel.json and as golden.json: what is accepted is complete and names files of the pack alone. */
#include "fuzz.h"
#include "manifest.h"

#include <stdlib.h>
#include <string.h>

static void check_file_name(const char *name)
{
    MUST(name && *name && *name != '.' && !strchr(name, '/'));
}

static void check_pack(const ce_pack *pack)
{
    MUST(pack->name && pack->architecture && pack->pooling);
    MUST(pack->dim > 0 && pack->max_tokens > 0 && pack->vocab_size > 0);
    MUST(pack->layout == CE_LAYOUT_PACKED || pack->layout == CE_LAYOUT_PADDED);
    check_file_name(pack->tokenizer);
    check_file_name(pack->golden_texts);
    check_file_name(pack->golden_vectors);
    MUST(pack->artifact_count > 0 && pack->file_count > 0);
    for (size_t i = 0; i < pack->artifact_count; i++) {
        const ce_artifact *a = &pack->artifacts[i];
        const char *optional[] = {a->weights, a->recovery, a->externs};
        check_file_name(a->graph);
        for (size_t n = 0; n < sizeof optional / sizeof optional[0]; n++)
            if (optional[n])
                check_file_name(optional[n]);
        MUST(a->form && a->device && a->precision);
        MUST(a->weights || a->tensors_inside);
        MUST(a->has_isa || a->isa_count == 0);
    }
    for (size_t i = 0; i < pack->file_count; i++)
        check_file_name(pack->files[i].name);
    for (size_t i = 0; i < pack->prompt_count; i++)
        MUST(pack->prompts[i].name && pack->prompts[i].text);
}

static void read_manifest(const char *text, size_t size)
{
    ce_error error = {0};
    int status = ce_manifest_check_version(text, size, &error);
    fuzz_check_error(status, &error);
    ce_pack *pack = calloc(1, sizeof *pack);
    MUST(pack);
    status = ce_manifest_read(text, size, pack, &error);
    fuzz_check_error(status, &error);
    if (status == CE_OK)
        check_pack(pack);
    ce_pack_close(pack);
}

static void read_golden(const char *text, size_t size)
{
    ce_error error = {0};
    ce_pack *pack = calloc(1, sizeof *pack);
    MUST(pack);
    int status = ce_manifest_read_golden(text, size, &pack->golden, &error);
    fuzz_check_error(status, &error);
    MUST(status != CE_OK || pack->golden.count > 0);
    for (size_t i = 0; status == CE_OK && i < pack->golden.count; i++)
        MUST(pack->golden.texts[i][pack->golden.lengths[i]] == '\0');
    ce_pack_close(pack);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = fuzz_copy(data, size);
    read_manifest(text, size);
    read_golden(text, size);
    free(text);
    return 0;
}
