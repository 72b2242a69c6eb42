/* Packs that are damaged, hostile, or of the future. */
#include "harness.h"

#include <stdio.h>

static const struct {
    const char *pack;
    citadel_status status;
    const char *piece;
} bad[] = {
    {"format", CITADEL_E_BAD_MODEL, "'format' is not 'citadel-pack'"},
    {"version", CITADEL_E_UNSUPPORTED, "format_version is 2, this library reads version 1"},
    {"version-text", CITADEL_E_BAD_MODEL, "citadel.json: line 1"},
    {"dim-zero", CITADEL_E_BAD_MODEL, "citadel.json: line 1"},
    {"dim-huge", CITADEL_E_BAD_MODEL, "citadel.json: line 1"},
    {"dim-beyond", CITADEL_E_BAD_MODEL, "citadel.json: line 1"},
    {"dim-negative", CITADEL_E_BAD_MODEL, "citadel.json: line 1"},
    {"dim-fraction", CITADEL_E_BAD_MODEL, "citadel.json: line 1"},
    {"dim-other", CITADEL_E_BAD_MODEL, "no tensor 'vectors' of F32 [5, 4]"},
    {"max-tokens-one", CITADEL_E_BAD_MODEL, "max_tokens is 1, below the 2 special tokens"},
    {"vocab-small", CITADEL_E_BAD_MODEL, "ids up to 32, but the model has 10 embeddings"},
    {"layout", CITADEL_E_BAD_MODEL, "layout 'round'"},
    {"normalize", CITADEL_E_BAD_MODEL, "citadel.json: line 1"},
    {"no-dim", CITADEL_E_BAD_MODEL, "no member 'dim'"},
    {"no-artifacts", CITADEL_E_BAD_MODEL, "no member 'artifacts'"},
    {"no-golden", CITADEL_E_BAD_MODEL, "no member 'golden.texts'"},
    {"empty-artifacts", CITADEL_E_BAD_MODEL, "no member 'artifacts'"},
    {"no-default-prompt", CITADEL_E_BAD_MODEL, "absent"},
    {"name-with-nul", CITADEL_E_BAD_MODEL, "NUL"},
    {"outside", CITADEL_E_BAD_MODEL, "'../tiny/tokenizer.json' is not the name of a file"},
    {"hidden", CITADEL_E_BAD_MODEL, "'.tokenizer.json' is not the name of a file"},
    {"form", CITADEL_E_UNSUPPORTED,
     "no form of precision fp32 can run here: steam fp32 (graph.fp32.pt): this library does not know "
     "the form 'steam'"},
    {"device", CITADEL_E_UNSUPPORTED, "it is for the device 'cuda'"},
    {"precision", CITADEL_E_UNSUPPORTED, "this library does not know its precision"},
    {"graph-unlisted", CITADEL_E_BAD_MODEL, "has no 'nothing.pt'"},
    {"files-unlisted", CITADEL_E_BAD_MODEL, "has no 'weights.fp32.safetensors'"},
    {"no-tensor-sum", CITADEL_E_BAD_MODEL, "table"},
    {"bytes-huge", CITADEL_E_BAD_MODEL, "citadel.json: line 1"},
    {"bytes-other", CITADEL_E_BAD_MODEL, "golden.json has"},
    {"crc-text", CITADEL_E_BAD_MODEL, "CRC-32C"},
    {"tokenizer-cut", CITADEL_E_BAD_MODEL, "tokenizer.json has"},
    {"tokenizer-flip", CITADEL_E_BAD_MODEL, "tokenizer.json is damaged"},
    {"tokenizer-half", CITADEL_E_BAD_MODEL, "tokenizer.json: line 1"},
    {"tokenizer-other", CITADEL_E_UNSUPPORTED, "model.type \"WordHeap\" is not supported"},
    {"weights-flip", CITADEL_E_BAD_MODEL, "weights.fp32.safetensors is damaged"},
    {"weights-header", CITADEL_E_BAD_MODEL, "weights.fp32.safetensors is damaged"},
    {"weights-cut", CITADEL_E_BAD_MODEL, "weights.fp32.safetensors has"},
    {"weights-empty", CITADEL_E_BAD_MODEL, "0 bytes are too few"},
    {"golden-flip", CITADEL_E_BAD_MODEL, "golden.safetensors is damaged"},
    {"golden-wrong", CITADEL_E_BAD_MODEL, "golden text 0: the vector differs"},
    {"golden-header", CITADEL_E_BAD_MODEL, "golden.safetensors: a safetensors header of"},
    {"golden-none", CITADEL_E_BAD_MODEL, "no golden texts"},
    {"golden-few", CITADEL_E_BAD_MODEL, "no tensor 'vectors' of F32 [1, 8]"},
    {"graph-other", CITADEL_E_BAD_MODEL, "does not begin with 'fake'"},
    {"fail-load", CITADEL_E_BACKEND, "the graph says fail-load"},
    {"oom-load", CITADEL_E_NO_MEMORY, "the graph says oom-load"},
    {"fail-run", CITADEL_E_BACKEND, "golden texts: fake: the batch has id 2"},
    {"nan", CITADEL_E_BAD_MODEL, "golden texts: texts[0]: the vector has NaN"},
    {"no-tokenizer", CITADEL_E_BAD_MODEL, "tokenizer.json is missing"},
    {"manifest-flip", CITADEL_E_BAD_MODEL, "its SHA-256 is not in citadel.sha256"},
    {"manifest-cut", CITADEL_E_BAD_MODEL, "citadel.json: line 1"},
    {"no-digest", CITADEL_E_BAD_MODEL, "citadel.sha256 is missing"},
    {"directory-file", CITADEL_E_BAD_MODEL, "tokenizer.json is not a regular file"},
    {"pipe-file", CITADEL_E_BAD_MODEL, "tokenizer.json is not a regular file"},
};

static void test_a_bad_pack_is_refused_by_name_and_cause(void **state)
{
    (void)state;
    fake_probe *probe = reset_probe();
    citadel_engine *engine = new_engine(1, 1);
    int files = 0;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char name[256], message[sizeof error.message];
        citadel_model *model = (citadel_model *)&name;
        snprintf(name, sizeof name, FAKE_PACKS "/bad/%s", bad[i].pack);
        assert_fails(bad[i].status, bad[i].piece,
                     citadel_model_load(engine, name, NULL, &model, &error));
        assert_null(model);
        assert_non_null(strstr(error.message, name));
        /* By name, and a second time, it is the same. */
        memcpy(message, error.message, sizeof message);
        assert_int_equal(citadel_embed(engine, name, NULL, NULL, 0, NULL, NULL, 0, NULL, &error),
                         bad[i].status);
        assert_string_equal(error.message, message);
        if (i == 0)
            files = count_files();
        else
            assert_int_equal(count_files(), files);
    }
    assert_int_equal(read_probe(probe, &probe->models), 0);
    citadel_engine_destroy(engine);
}

static void test_members_of_the_future_are_ignored(void **state)
{
    (void)state;
    citadel_engine *engine = new_engine(1, 1);
    citadel_model_unload(load(engine, "future"));
    citadel_engine_destroy(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_bad_pack_is_refused_by_name_and_cause),
        cmocka_unit_test(test_members_of_the_future_are_ignored),
    };
    return cmocka_run_group_tests_name("pack", tests, NULL, NULL);
}
