#include "cmocka_all.h"

#include "citadel_embed.h"
#include "form.h"

#include <stdlib.h>

static ce_error error;

static const ce_cpu with_bf16 = {.known = 1, .flags = "flags\t\t: fpu avx2 avx512f avx512_bf16\n"};
static const ce_cpu with_amx = {.known = 1, .flags = "flags\t\t: fpu amx_bf16 amx_tile\n"};
static const ce_cpu older = {.known = 1, .flags = "flags\t\t: fpu sse2 avx2\n"};
static const ce_cpu unknown = {.known = 0};

static const ce_config defaults = {.optimization = 1, .compile = 1};
static const ce_config mixed = {.optimization = 1, .compile = 1, .mixed_precision = 1};
static const ce_config no_compile = {.optimization = 1, .mixed_precision = 1};
static const ce_config baseline = {0};

enum { ARTIFACTS = 5 };
static char *isa_avx2[] = {"fpu", "avx2"};

/* Graphs: a TorchScript fp32, b compiled bf16, c compiled fp32, d TorchScript bf16, e compiled fp32 for any CPU. */
static ce_artifact artifacts[ARTIFACTS];

static void set(int i, char *form, int32_t precision, char *graph, double min_cosine)
{
    artifacts[i] = (ce_artifact){.form = form,
                                 .precision = precision,
                                 .device = "cpu",
                                 .graph = graph,
                                 .weights = "w",
                                 .isa = isa_avx2,
                                 .isa_count = strcmp(form, "compiled") == 0 ? 2 : 0,
                                 .has_isa = strcmp(form, "compiled") == 0,
                                 .min_cosine = min_cosine};
}

static int set_artifacts(void **state)
{
    (void)state;
    set(0, "torchscript", CITADEL_PRECISION_FP32, "a", 1);
    set(1, "compiled", CITADEL_PRECISION_BF16, "b", .9999);
    set(2, "compiled", CITADEL_PRECISION_FP32, "c", 1);
    set(3, "torchscript", CITADEL_PRECISION_BF16, "d", .99991);
    set(4, "compiled", CITADEL_PRECISION_FP32, "e", 1);
    artifacts[4].isa_count = 0;
    return 0;
}

static ce_pack *pack_of(int32_t precision)
{
    static ce_pack pack;
    pack = (ce_pack){.artifacts = artifacts, .artifact_count = ARTIFACTS, .precision = precision};
    return &pack;
}

/* The graphs in the order in which they would be tried. */
static void expect_order(const ce_config *config, const ce_cpu *cpu, int32_t own, int32_t asked,
                         const char *expected)
{
    char order[ARTIFACTS + 1] = "";
    ce_pack *pack = pack_of(own);
    int status = ce_form_choose_for(pack, config, cpu, asked, &error);
    assert_int_equal(status, *expected ? CE_OK : CE_E_UNSUPPORTED);
    for (size_t i = 0; i < ARTIFACTS; i++) {
        const ce_form *form = &pack->forms[i];
        if (form->state == CE_FORM_CANDIDATE)
            strcat(order, form->artifact->graph);
        else
            assert_true(form->reason[0]);
    }
    assert_string_equal(order, expected);
    if (*expected)
        assert_memory_equal(pack->chosen->graph, expected, 1);
    free(pack->forms);
}

static void test_the_order_in_which_forms_are_tried(void **state)
{
    (void)state;
    enum { AUTO, FP32, BF16, FP16 };
    expect_order(&defaults, &with_bf16, FP32, AUTO, "cea");
    expect_order(&mixed, &with_bf16, FP32, AUTO, "bdcea");
    expect_order(&mixed, &with_amx, FP32, AUTO, "dea");
    expect_order(&mixed, &older, FP32, AUTO, "cea");
    expect_order(&mixed, &unknown, FP32, AUTO, "ea");
    expect_order(&no_compile, &with_bf16, FP32, AUTO, "da");
    expect_order(&baseline, &with_bf16, FP32, AUTO, "a");
    expect_order(&defaults, &older, FP32, BF16, "bd");
    expect_order(&baseline, &older, FP32, BF16, "d");
    expect_order(&mixed, &with_bf16, FP32, FP32, "cea");
    expect_order(&mixed, &with_bf16, FP32, FP16, "");
    expect_order(&defaults, &older, BF16, AUTO, "bd");
    expect_order(&mixed, &with_bf16, BF16, AUTO, "bd");
    expect_order(&baseline, &older, BF16, AUTO, "d");
    expect_order(&defaults, &older, FP16, AUTO, "");
}

static void test_mixed_precision_needs_a_recorded_cosine(void **state)
{
    (void)state;
    artifacts[1].min_cosine = .99989;
    expect_order(&mixed, &with_bf16, CITADEL_PRECISION_FP32, CITADEL_PRECISION_AUTO, "dcea");
    artifacts[3].min_cosine = 0;
    expect_order(&mixed, &with_bf16, CITADEL_PRECISION_FP32, CITADEL_PRECISION_AUTO, "cea");
    expect_order(&mixed, &with_bf16, CITADEL_PRECISION_FP32, CITADEL_PRECISION_BF16, "bd");
}

static void test_without_any_form_the_error_has_every_reason(void **state)
{
    (void)state;
    ce_pack *pack = pack_of(CITADEL_PRECISION_FP32);
    assert_int_equal(ce_form_choose_for(pack, &defaults, &older, CITADEL_PRECISION_INT8, &error),
                     CE_E_UNSUPPORTED);
    assert_non_null(strstr(error.message,
                           "no form of precision int8 can run here: torchscript fp32 "
                           "(a): precision int8 was asked for; compiled bf16 (b): "));
    free(pack->forms);
    artifacts[0].graph = artifacts[1].graph = "a-name-that-is-long-long-long-long-long-long-long";
    pack = pack_of(CITADEL_PRECISION_INT8);
    assert_int_equal(ce_form_choose_for(pack, &defaults, &older, CITADEL_PRECISION_AUTO, &error),
                     CE_E_UNSUPPORTED);
    assert_in_range(strlen(error.message), 400, sizeof error.message - 1);
    free(pack->forms);
}

static void expect_backend(char *torch, const char *description, const char *chosen)
{
    const ce_backend backend = {.description = description};
    ce_pack *pack = pack_of(CITADEL_PRECISION_FP32);
    artifacts[2].torch = torch;
    artifacts[4].torch = torch;
    assert_int_equal(ce_form_choose_for(pack, &defaults, &older, CITADEL_PRECISION_AUTO, &error),
                     CE_OK);
    assert_int_equal(ce_form_check_backend(pack, &backend, &error), CE_OK);
    assert_string_equal(pack->chosen->graph, chosen);
    free(pack->forms);
}

static void test_compiled_forms_of_another_libtorch_are_skipped(void **state)
{
    (void)state;
    expect_backend("2.11.0", "libtorch 2.11.0", "c");
    expect_backend("2.11.0+cpu", "libtorch 2.11.0", "c");
    expect_backend("2.11.0", "libtorch 2.11.0+cu130", "c");
    expect_backend(NULL, "libtorch 2.11.0", "c");
    expect_backend("2.11.1", "libtorch 2.11.0", "a");
    expect_backend("2.11", "libtorch 2.11.0", "a");
    expect_backend("2.11.00", "libtorch 2.11.0", "a");
    expect_backend("", "libtorch 2.11.0", "a");
    artifacts[0].torch = "1";
    const ce_backend backend = {.description = "libtorch 2.11.0"};
    ce_pack *pack = pack_of(CITADEL_PRECISION_FP32);
    assert_int_equal(ce_form_choose_for(pack, &baseline, &older, CITADEL_PRECISION_AUTO, &error),
                     CE_OK);
    assert_int_equal(ce_form_check_backend(pack, &backend, &error), CE_OK);
    assert_string_equal(pack->chosen->graph, "a"); /* TorchScript: any later libtorch reads it */
    free(pack->forms);
}

static void test_a_fall_back_takes_the_next_and_ends_with_the_last(void **state)
{
    (void)state;
    ce_pack *pack = pack_of(CITADEL_PRECISION_FP32);
    assert_int_equal(ce_form_choose_for(pack, &defaults, &older, CITADEL_PRECISION_AUTO, &error),
                     CE_OK);
    ce_fail(&error, CE_E_IO, "broken");
    assert_true(ce_form_fall_back(pack, &error));
    assert_string_equal(pack->chosen->graph, "e");
    assert_true(ce_form_fall_back(pack, &error));
    assert_string_equal(pack->chosen->graph, "a");
    assert_false(ce_form_fall_back(pack, &error));
    assert_string_equal(pack->chosen->graph, "a");
    assert_int_equal(ce_form_count(pack, CE_FORM_FAILED), 3);
    assert_int_equal(ce_form_count(pack, CE_FORM_CANDIDATE), 0);
    assert_string_equal(ce_form_chosen(pack)->reason, "broken");
    free(pack->forms);
}

/* ---- CPU ---------------------------------------------------------------------------------- */

static void test_features_are_whole_words(void **state)
{
    (void)state;
    assert_true(ce_cpu_has(&with_bf16, "avx2"));
    assert_true(ce_cpu_has(&with_bf16, "fpu"));
    assert_true(ce_cpu_has(&with_bf16, "avx512_bf16"));
    assert_false(ce_cpu_has(&with_bf16, "avx"));
    assert_false(ce_cpu_has(&with_bf16, "avx512"));
    assert_false(ce_cpu_has(&with_bf16, "bf16"));
    assert_false(ce_cpu_has(&with_bf16, "AVX2"));
    assert_false(ce_cpu_has(&with_bf16, ""));
    assert_false(ce_cpu_has(&unknown, "fpu"));
}

static void test_this_processor_is_known(void **state)
{
    (void)state;
#if defined(__x86_64__)
    ce_cpu cpu;
    ce_cpu_read(&cpu);
    assert_true(cpu.known);
    assert_true(ce_cpu_has(&cpu, "sse2"));
    assert_int_equal(ce_cpu_has(&cpu, "avx2"), __builtin_cpu_supports("avx2") != 0);
#else
    skip();
#endif
}

#define WITH_ARTIFACTS(test) cmocka_unit_test_setup(test, set_artifacts)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_ARTIFACTS(test_the_order_in_which_forms_are_tried),
        WITH_ARTIFACTS(test_mixed_precision_needs_a_recorded_cosine),
        WITH_ARTIFACTS(test_without_any_form_the_error_has_every_reason),
        WITH_ARTIFACTS(test_compiled_forms_of_another_libtorch_are_skipped),
        WITH_ARTIFACTS(test_a_fall_back_takes_the_next_and_ends_with_the_last),
        cmocka_unit_test(test_features_are_whole_words),
        cmocka_unit_test(test_this_processor_is_known),
    };
    return cmocka_run_group_tests_name("form", tests, NULL, NULL);
}
