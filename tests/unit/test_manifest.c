#include "cmocka_all.h"

#include "citadel_embed.h"
#include "manifest.h"

#include <stdio.h>
#include <stdlib.h>

static ce_error error;

/* The members of a manifest, each in its place in the text, so that one of them can be another. */
typedef struct member {
    const char *name, *value;
} member;

#define SHA256 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define ARTIFACT                                                                                  \
    "{\"form\":\"torchscript\",\"precision\":\"fp32\",\"device\":\"cpu\",\"graph\":\"graph.pt\"," \
    "\"weights\":\"weights.safetensors\",\"torch\":\"2.11.0\"}"

static const member good[] = {
    {"format", "\"citadel-pack\""},
    {"format_version", "1"},
    {"name", "\"small\""},
    {"architecture", "\"BertModel\""},
    {"dim", "384"},
    {"max_tokens", "256"},
    {"vocab_size", "30522"},
    {"layout", "\"packed\""},
    {"modules", "[\"Transformer\",{\"not\":\"known\"}]"},
    {"pooling", "\"mean\""},
    {"normalize", "true"},
    {"prompts", "{\"query\":\"query: \",\"document\":\"\"}"},
    {"default_prompt", "\"query\""},
    {"tokenizer", "\"tokenizer.json\""},
    {"golden", "{\"texts\":\"golden.json\",\"vectors\":\"golden.safetensors\"}"},
    {"artifacts", "[" ARTIFACT "]"},
    {"files", "{\"tokenizer.json\":{\"bytes\":7,\"crc32c\":\"0a1b2c3d\",\"sha256\":\"" SHA256 "\"},"
              "\"weights.safetensors\":{\"bytes\":90,\"sha256\":\"" SHA256
              "\",\"header_crc32c\":\"00000001\","
              "\"tensors\":{\"a\":\"ffffffff\",\"b\":\"00000000\"}}}"},
};
enum { MEMBERS = sizeof good / sizeof *good, ROOM = 8192 };

/* A manifest whose member `name` has another value, or is absent where `value` is NULL. */
static const char *manifest(const char *name, const char *value)
{
    static char text[ROOM];
    size_t used = 0;
    for (size_t i = 0; i < MEMBERS; i++) {
        const char *v = name && strcmp(good[i].name, name) == 0 ? value : good[i].value;
        if (v)
            used += (size_t)snprintf(text + used, ROOM - used, "%s\"%s\": %s", used ? ",\n" : "{",
                                     good[i].name, v);
    }
    assert_true(used + 2 < ROOM);
    memcpy(text + used, "}", 2);
    return text;
}

static int read_text(const char *text, ce_pack **pack)
{
    *pack = calloc(1, sizeof **pack);
    return ce_manifest_read(text, strlen(text), *pack, &error);
}

static void test_everything_is_read(void **state)
{
    (void)state;
    ce_pack *pack;
    if (read_text(manifest(NULL, NULL), &pack) != CE_OK)
        fail_msg("%s", error.message);
    assert_string_equal(pack->name, "small");
    assert_string_equal(pack->architecture, "BertModel");
    assert_string_equal(pack->pooling, "mean");
    assert_int_equal(pack->dim, 384);
    assert_int_equal(pack->max_tokens, 256);
    assert_int_equal(pack->vocab_size, 30522);
    assert_int_equal(pack->layout, CE_LAYOUT_PACKED);
    assert_int_equal(pack->normalize, 1);
    assert_int_equal(pack->prompt_count, 2);
    assert_string_equal(pack->prompts[0].name, "query");
    assert_string_equal(pack->prompts[0].text, "query: ");
    assert_string_equal(pack->prompts[1].text, "");
    assert_string_equal(pack->default_prompt, "query");
    assert_string_equal(pack->tokenizer, "tokenizer.json");
    assert_string_equal(pack->golden_texts, "golden.json");
    assert_string_equal(pack->golden_vectors, "golden.safetensors");
    assert_int_equal(pack->artifact_count, 1);
    assert_string_equal(pack->artifacts[0].form, "torchscript");
    assert_int_equal(pack->artifacts[0].precision, CITADEL_PRECISION_FP32);
    assert_string_equal(pack->artifacts[0].graph, "graph.pt");
    assert_string_equal(pack->artifacts[0].weights, "weights.safetensors");
    assert_string_equal(pack->artifacts[0].torch, "2.11.0");
    assert_false(pack->artifacts[0].has_isa);
    assert_false(pack->artifacts[0].tensors_inside);
    assert_true(pack->artifacts[0].min_cosine == 0);
    assert_int_equal(pack->precision, CITADEL_PRECISION_FP32);
    assert_int_equal(pack->file_count, 2);
    assert_int_equal(pack->files[0].bytes, 7);
    assert_true(pack->files[0].has_crc32c);
    assert_int_equal(pack->files[0].crc32c, 0x0a1b2c3d);
    assert_string_equal(pack->files[0].sha256, SHA256);
    assert_false(pack->files[1].has_crc32c);
    assert_int_equal(pack->files[1].header_crc32c, 1);
    assert_int_equal(pack->files[1].tensor_count, 2);
    assert_string_equal(pack->files[1].tensors[0].name, "a");
    assert_int_equal(pack->files[1].tensors[0].crc32c, 0xffffffff);
    ce_pack_close(pack);
}

#define COMPILED                                                                           \
    "{\"form\":\"compiled\",\"precision\":\"bf16\",\"device\":\"cpu\",\"graph\":\"g.so\"," \
    "\"weights\":\"w\",\"isa\":[\"avx2\",\"avx512_bf16\"],\"tensors_inside\":true,"        \
    "\"recovery\":\"r.pt\",\"externs\":\"e.json\",\"min_cosine\":0.5,\"max_abs_error\":2e-3}"

static void test_what_compiled_and_reduced_forms_need_is_read(void **state)
{
    (void)state;
    ce_pack *pack;
    assert_int_equal(read_text(manifest("artifacts", "[" ARTIFACT "," COMPILED "]"), &pack), CE_OK);
    const ce_artifact *artifact = &pack->artifacts[1];
    assert_string_equal(artifact->form, "compiled");
    assert_true(artifact->has_isa);
    assert_int_equal(artifact->isa_count, 2);
    assert_string_equal(artifact->isa[0], "avx2");
    assert_string_equal(artifact->isa[1], "avx512_bf16");
    assert_true(artifact->tensors_inside);
    assert_string_equal(artifact->recovery, "r.pt");
    assert_string_equal(artifact->externs, "e.json");
    assert_null(artifact->torch);
    assert_true(artifact->min_cosine == .5);
    assert_true(artifact->max_abs_error > .00199 && artifact->max_abs_error < .00201);
    ce_pack_close(pack);
}

/* Only a graph that has all its tensors inside, and no other graph over them, needs no weights. */
static void test_weights_may_be_missing_where_none_are_needed(void **state)
{
    (void)state;
#define NO_WEIGHTS(precision, rest)                                               \
    "[{\"form\":\"compiled\",\"precision\":\"" precision "\",\"device\":\"cpu\"," \
    "\"graph\":\"g.so\",\"weights\":null" rest "}]"
    static const struct {
        const char *artifacts;
        int status;
    } cases[] = {
        {NO_WEIGHTS("fp32", ""), CE_E_BAD_MODEL},
        {NO_WEIGHTS("fp32", ",\"tensors_inside\":true"), CE_OK},
        {NO_WEIGHTS("bf16", ",\"tensors_inside\":true,\"recovery\":null"), CE_OK},
        {NO_WEIGHTS("bf16", ",\"tensors_inside\":true,\"recovery\":\"r\""), CE_E_BAD_MODEL},
        {NO_WEIGHTS("fp32", ",\"tensors_inside\":true,\"recovery\":\"r\""), CE_OK},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ce_pack *pack;
        assert_int_equal(read_text(manifest("artifacts", cases[i].artifacts), &pack),
                         cases[i].status);
        ce_pack_close(pack);
    }
}

static void test_the_models_own_precision_may_be_another_one(void **state)
{
    (void)state;
    static char text[ROOM];
    const char *plain = manifest(NULL, NULL);
    ce_pack *pack;
    snprintf(text, sizeof text, "{\"precision\":\"bf16\",%s", plain + 1);
    assert_int_equal(read_text(text, &pack), CE_OK);
    assert_int_equal(pack->precision, CITADEL_PRECISION_BF16);
    ce_pack_close(pack);
    snprintf(text, sizeof text, "{\"precision\":\"fp4\",%s", plain + 1);
    assert_int_equal(read_text(text, &pack), CE_E_BAD_MODEL);
    assert_non_null(
        strstr(error.message, "precision is none of fp32, bf16, fp16, int8, int8-accurate"));
    ce_pack_close(pack);
}

static void test_members_may_come_in_any_order_and_unknown_ones_are_ignored(void **state)
{
    (void)state;
    static char text[ROOM];
    size_t used = 0;
    for (size_t i = MEMBERS; i-- > 0;)
        used += (size_t)snprintf(text + used, ROOM - used, "%s\"%s\": %s,\"later%zu\":[{}]",
                                 used ? "," : "{", good[i].name, good[i].value, i);
    memcpy(text + used, "}", 2);
    ce_pack *pack;
    assert_int_equal(read_text(text, &pack), CE_OK);
    assert_string_equal(pack->name, "small");
    ce_pack_close(pack);
}

static void test_missing_members_are_named(void **state)
{
    (void)state;
    static const char *const required[] = {"name",       "architecture", "pooling", "dim",
                                           "max_tokens", "vocab_size",   "layout",  "tokenizer",
                                           "artifacts",  "files"};
    for (size_t i = 0; i < sizeof required / sizeof *required; i++) {
        ce_pack *pack;
        char message[64];
        snprintf(message, sizeof message, "no member '%s'", required[i]);
        assert_int_equal(read_text(manifest(required[i], NULL), &pack), CE_E_BAD_MODEL);
        assert_string_equal(error.message, message);
        ce_pack_close(pack);
    }
    static const char *const optional[] = {"modules", "normalize", "default_prompt"};
    for (size_t i = 0; i < sizeof optional / sizeof *optional; i++) {
        ce_pack *pack;
        assert_int_equal(read_text(manifest(optional[i], NULL), &pack), CE_OK);
        ce_pack_close(pack);
    }
}

static void test_the_default_prompt_is_one_of_the_prompts(void **state)
{
    (void)state;
    ce_pack *pack;
    assert_int_equal(read_text(manifest("default_prompt", "\"absent\""), &pack), CE_E_BAD_MODEL);
    assert_string_equal(error.message, "default_prompt 'absent' is none of the prompts");
    ce_pack_close(pack);
    assert_int_equal(read_text(manifest("prompts", NULL), &pack), CE_E_BAD_MODEL);
    assert_string_equal(error.message, "default_prompt 'query' is none of the prompts");
    ce_pack_close(pack);
    assert_int_equal(read_text(manifest("default_prompt", "null"), &pack), CE_OK);
    ce_pack_close(pack);
}

static void test_bad_values_are_refused_with_value_and_place(void **state)
{
    (void)state;
    static const struct {
        const char *member, *value, *message;
    } cases[] = {
        {"name", "7", "line 3, column 9: expected a string, found a number"},
        {"name", "\"a\\u0000b\"", "a NUL character where none is allowed"},
        {"dim", "0", "line 5, column 9: 0 is not a whole number from 1 to 1048576"},
        {"dim", "-384", "-384 is not a whole number"},
        {"dim", "384.0", "384.0 is not a whole number"},
        {"dim", "\"384\"", "expected a number, found a string"},
        {"dim", "1048577", "1048577 is not a whole number from 1 to 1048576"},
        {"max_tokens", "0", "0 is not a whole number from 1 to 16777216"},
        {"max_tokens", "99999999999999999999", "is not a whole number"},
        {"vocab_size", "2147483648", "2147483648 is not a whole number from 1 to 2147483647"},
        {"layout", "\"tidy\"", "line 8, column 17: layout 'tidy' is not supported"},
        {"normalize", "1", "expected true or false, found a number"},
        {"prompts", "[]", "expected an object, found an array"},
        {"prompts", "{\"q\":null}", "expected a string, found null"},
        {"default_prompt", "false", "expected a string, found true or false"},
        {"tokenizer", "\"\"", "'' is not the name of a file in the pack"},
        {"tokenizer", "\"..\"", "'..' is not the name of a file in the pack"},
        {"tokenizer", "\"/etc/passwd\"", "'/etc/passwd' is not the name of a file in the pack"},
        {"golden", "{\"texts\":\"a/b\"}", "'a/b' is not the name of a file in the pack"},
        {"golden", "{\"vectors\":\"v\"}", "no member 'golden.texts'"},
        {"golden", "{\"texts\":\"t\"}", "no member 'golden.vectors'"},
        {"artifacts", "[]", "no member 'artifacts'"},
        {"artifacts", "[{}]", "an artifact needs form, precision, device, graph and weights"},
        {"artifacts", "[{\"graph\":\"../g\"}]", "'../g' is not the name of a file in the pack"},
        {"artifacts", "[{\"recovery\":\"/r\"}]", "'/r' is not the name of a file in the pack"},
        {"artifacts", "[{\"externs\":\"../e\"}]", "'../e' is not the name of a file in the pack"},
        {"artifacts", "[{\"weights\":\"\"}]", "'' is not the name of a file in the pack"},
        {"artifacts", "[{\"isa\":\"avx2\"}]", "expected an array, found a string"},
        {"artifacts", "[{\"isa\":[2]}]", "expected a string, found a number"},
        {"artifacts", "[{\"tensors_inside\":1}]", "expected true or false, found a number"},
        {"artifacts", "[{\"min_cosine\":1.01}]", "min_cosine is a number from -1 to 1"},
        {"artifacts", "[{\"min_cosine\":-1.5}]", "min_cosine is a number from -1 to 1"},
        {"artifacts", "[{\"max_abs_error\":-0.1}]", "max_abs_error is a number from 0 to inf"},
        {"files", "{}", "no member 'files'"},
        {"files", "{\"a/b\":{}}", "'a/b' is not the name of a file in the pack"},
        {"files", "{\"f\":{\"bytes\":-1}}", "-1 is not a whole number"},
        {"files", "{\"f\":{\"crc32c\":\"\"}}", "a CRC-32C is eight lower-case hexadecimal digits"},
        {"files", "{\"f\":{\"crc32c\":\"0a1b2c3\"}}", "a CRC-32C is eight"},
        {"files", "{\"f\":{\"crc32c\":\"0a1b2c3d4\"}}", "a CRC-32C is eight"},
        {"files", "{\"f\":{\"header_crc32c\":\"0A1B2C3D\"}}", "a CRC-32C is eight"},
        {"files", "{\"f\":{\"tensors\":{\"t\":\"0a1b2c3g\"}}}", "a CRC-32C is eight"},
        {"files", "{\"f\":{\"crc32c\":1}}", "expected a string, found a number"},
        {"files", "{\"f\":{\"sha256\":\"0123\"}}", "a SHA-256 is 64 lower-case hexadecimal digits"},
        {"files", "{\"f\":{\"sha256\":\"" SHA256 "0\"}}", "a SHA-256 is 64"},
        {"files",
         "{\"f\":{\"sha256\":\"g123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"}}",
         "a SHA-256 is 64"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ce_pack *pack;
        int status = read_text(manifest(cases[i].member, cases[i].value), &pack);
        if (status != CE_E_BAD_MODEL || !strstr(error.message, cases[i].message))
            fail_msg("%s %s: %d \"%s\", expected \"%s\"", cases[i].member, cases[i].value, status,
                     error.message, cases[i].message);
        ce_pack_close(pack);
    }
}

/* A form that this library does not know yet must not stop it from using another one. */
static void test_unknown_precisions_are_read_over(void **state)
{
    (void)state;
    ce_pack *pack;
    assert_int_equal(read_text(manifest("artifacts", "[{\"form\":\"new\",\"precision\":\"fp4\","
                                                     "\"device\":\"npu\",\"graph\":\"g\","
                                                     "\"weights\":\"w\"}," ARTIFACT "]"),
                               &pack),
                     CE_OK);
    assert_int_equal(pack->artifacts[0].precision, -1);
    assert_int_equal(pack->artifacts[1].precision, CITADEL_PRECISION_FP32);
    ce_pack_close(pack);
}

static int version(const char *text)
{
    return ce_manifest_check_version(text, strlen(text), &error);
}

static void test_format_version_is_known_or_refused(void **state)
{
    (void)state;
    assert_int_equal(version(manifest(NULL, NULL)), CE_OK);
    assert_int_equal(version("{\"format_version\":1,\"format\":\"citadel-pack\"}"), CE_OK);
    assert_int_equal(version(manifest("format_version", "2")), CE_E_UNSUPPORTED);
    assert_string_equal(
        error.message, "format_version is 2, this library reads version 1: export the model again");
    assert_int_equal(version(manifest("format_version", NULL)), CE_E_UNSUPPORTED);
    assert_int_equal(version(manifest("format_version", "\"1\"")), CE_E_BAD_MODEL);
    assert_int_equal(version(manifest("format", "\"other\"")), CE_E_BAD_MODEL);
    assert_string_equal(error.message, "'format' is not 'citadel-pack'");
    assert_int_equal(version("{}"), CE_E_BAD_MODEL);
    assert_int_equal(version(""), CE_E_BAD_MODEL);
}

static int golden(const char *text, ce_pack **pack)
{
    *pack = calloc(1, sizeof **pack);
    return ce_manifest_read_golden(text, strlen(text), &(*pack)->golden, &error);
}

static void test_golden_texts_may_hold_nul(void **state)
{
    (void)state;
    ce_pack *pack;
    assert_int_equal(
        golden("{\"x\":1,\"texts\":[{\"ids\":[1],\"text\":\"a\\u0000b\"},{\"text\":\"\"}]}", &pack),
        CE_OK);
    assert_int_equal(pack->golden.count, 2);
    assert_int_equal(pack->golden.lengths[0], 3);
    assert_memory_equal(pack->golden.texts[0], "a\0b", 4);
    assert_int_equal(pack->golden.lengths[1], 0);
    ce_pack_close(pack);
}

static void test_bad_golden_files_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"{}", "no golden texts"},
        {"{\"texts\":[]}", "no golden texts"},
        {"{\"texts\":{}}", "expected an array, found an object"},
        {"{\"texts\":[{}]}", "a golden text needs a member 'text'"},
        {"{\"texts\":[{\"text\":7}]}", "line 1, column 19: expected a string, found a number"},
        {"{\"texts\":[\"a\"]}", "expected an object, found a string"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ce_pack *pack;
        assert_int_equal(golden(cases[i].text, &pack), CE_E_BAD_MODEL);
        if (!strstr(error.message, cases[i].message))
            fail_msg("%s: \"%s\", expected \"%s\"", cases[i].text, error.message, cases[i].message);
        ce_pack_close(pack);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything_is_read),
        cmocka_unit_test(test_what_compiled_and_reduced_forms_need_is_read),
        cmocka_unit_test(test_weights_may_be_missing_where_none_are_needed),
        cmocka_unit_test(test_the_models_own_precision_may_be_another_one),
        cmocka_unit_test(test_members_may_come_in_any_order_and_unknown_ones_are_ignored),
        cmocka_unit_test(test_missing_members_are_named),
        cmocka_unit_test(test_the_default_prompt_is_one_of_the_prompts),
        cmocka_unit_test(test_bad_values_are_refused_with_value_and_place),
        cmocka_unit_test(test_unknown_precisions_are_read_over),
        cmocka_unit_test(test_format_version_is_known_or_refused),
        cmocka_unit_test(test_golden_texts_may_hold_nul),
        cmocka_unit_test(test_bad_golden_files_are_refused),
    };
    return cmocka_run_group_tests_name("manifest", tests, NULL, NULL);
}
