/* Which form of a pack computes, what happens when it cannot, and how one sees why. */
#include "harness.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* ---- Log ---------------------------------------------------------------------------------- */

static struct {
    char last[1024];
    int lines;
} warnings;

static void keep_warning(void *user, int32_t level, const char *message)
{
    (void)user;
    if (level > CITADEL_LOG_WARNING)
        return;
    snprintf(warnings.last, sizeof warnings.last, "%s", message);
    warnings.lines++;
}

/* ---- Engines ------------------------------------------------------------------------------ */

static citadel_engine *engine_with(int32_t optimization, int32_t compile, int32_t mixed_precision)
{
    citadel_engine *engine;
    citadel_engine_options options = test_options(2, 2);
    options.optimization = optimization;
    options.compile = compile;
    options.mixed_precision = mixed_precision;
    options.log = keep_warning;
    warnings.lines = 0;
    assert_ok(citadel_engine_create(&options, &engine, &error));
    return engine;
}

static citadel_engine *default_engine(void)
{
    return engine_with(CITADEL_SWITCH_DEFAULT, CITADEL_SWITCH_DEFAULT, CITADEL_SWITCH_DEFAULT);
}

static citadel_model *load_precision(citadel_engine *engine, const char *name, int32_t precision)
{
    citadel_load_options options = CITADEL_LOAD_OPTIONS_INIT;
    citadel_model *model;
    options.precision = precision;
    assert_ok(citadel_model_load(engine, name, &options, &model, &error));
    return model;
}

static citadel_info info_of(const citadel_model *model)
{
    citadel_info info = CITADEL_INFO_INIT;
    assert_ok(citadel_model_info(model, &info, &error));
    return info;
}

static void expect_form(const citadel_model *model, const char *form, int32_t precision)
{
    citadel_info info = info_of(model);
    assert_string_equal(info.form, form);
    assert_int_equal(info.precision, precision);
}

/* A whole line, or its beginning, where it ends with what the tests cannot know. */
static void expect_line(const citadel_model *model, const char *line)
{
    citadel_info info = info_of(model);
    for (const char *at = info.explain; at; at = strchr(at, '\n')) {
        at += *at == '\n';
        if (strncmp(at, line, strlen(line)) == 0)
            return;
    }
    print_error("no line '%s' in:\n%s\n", line, info.explain);
    fail();
}

static int has_bf16(void)
{
    static char text[1 << 16];
    FILE *file = fopen("/proc/cpuinfo", "r");
    if (!file)
        return 0;
    size_t size = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[size] = '\0';
    return strstr(text, " avx512_bf16") || strstr(text, " amx_bf16");
}

/* ---- Choice ------------------------------------------------------------------------------- */

static void test_the_compiled_form_of_the_models_own_precision_comes_first(void **state)
{
    (void)state;
    citadel_engine *engine = default_engine();
    citadel_model *model = load(engine, "many-forms");
    expect_form(model, "compiled", CITADEL_PRECISION_FP32);
    assert_true(embeds_right(model, "the quick brown fox", 0));
    citadel_info info = info_of(model);
    assert_int_equal(info.fallbacks, 0);
    assert_true(fabs(info.min_cosine - 0.9999999) < 1e-12);
    assert_int_equal(warnings.lines, 0);
    expect_line(model, "form: compiled (fp32.2.b5d54c39e66671c9.so): compiled forms come first\n");
    expect_line(model, "precision: fp32: the model's own\n");
    expect_line(model, "pooling: mean: ");
    expect_line(model, "prompt: none where none is named: ");
    expect_line(model, "max length: 16 tokens, ");
    expect_line(model,
                "skipped: compiled bf16 (bf16.1.207c4a8edc44c4d3.so): mixed precision is off");
    expect_line(model, "skipped: torchscript bf16 (bf16.3.pt): mixed precision is off");
    expect_line(model,
                "skipped: torchscript int8 (int8.4.pt): precision int8 is used only when it ");
    expect_line(model,
                "skipped: steam fp32 (fp32.5.pt): this library does not know the form 'steam'");
    expect_line(model, "skipped: torchscript fp32 (fp32.6.pt): it is for the device 'cuda'");
    expect_line(model,
                "skipped: torchscript of unknown precision (fp4.7.pt): this library does not know");
    citadel_model_unload(model);
    citadel_engine_destroy(engine);
}

static void test_compiled_forms_can_be_switched_off(void **state)
{
    (void)state;
    citadel_engine *engine = engine_with(0, CITADEL_SWITCH_OFF, 0);
    citadel_model *model = load(engine, "many-forms");
    expect_form(model, "torchscript", CITADEL_PRECISION_FP32);
    expect_line(model, "form: torchscript (graph.fp32.pt): compiled forms are off\n");
    expect_line(model,
                "skipped: compiled fp32 (fp32.2.b5d54c39e66671c9.so): compiled forms are off");
    citadel_model *bf16 = load_precision(engine, "many-forms", CITADEL_PRECISION_BF16);
    expect_form(bf16, "torchscript", CITADEL_PRECISION_BF16);
    expect_line(bf16, "precision: bf16: it was asked for\n");
    citadel_model_unload(bf16);
    citadel_model_unload(model);
    citadel_engine_destroy(engine);
}

static void test_without_optimization_nothing_else_counts(void **state)
{
    (void)state;
    citadel_engine *engine = engine_with(CITADEL_SWITCH_OFF, CITADEL_SWITCH_ON, CITADEL_SWITCH_ON);
    citadel_model *model = load(engine, "many-forms");
    expect_form(model, "torchscript", CITADEL_PRECISION_FP32);
    expect_line(model, "form: torchscript (graph.fp32.pt): optimization is off\n");
    expect_line(model, "skipped: compiled fp32 (fp32.2.b5d54c39e66671c9.so): optimization is off");
    expect_line(model,
                "skipped: compiled bf16 (bf16.1.207c4a8edc44c4d3.so): mixed precision is off");
    citadel_model_unload(model);
    citadel_engine_destroy(engine);
}

static void test_switches_can_be_set_in_the_environment(void **state)
{
    (void)state;
    citadel_engine *engine;
    citadel_engine_options options = test_options(1, 1);
    options.flags = 0;
    assert_int_equal(setenv("TORCH_COMPILE_ENABLED", "Off", 1), 0);
    assert_ok(citadel_engine_create(&options, &engine, &error));
    assert_int_equal(unsetenv("TORCH_COMPILE_ENABLED"), 0);
    citadel_model *model = load(engine, "many-forms");
    expect_form(model, "torchscript", CITADEL_PRECISION_FP32);
    citadel_model_unload(model);
    citadel_engine_destroy(engine);
}

static void expect_rounded(const citadel_model *model)
{
    const char *text = "the quick brown fox";
    float out[DIM], exact[DIM];
    assert_ok(citadel_model_embed(model, &text, NULL, 1, NULL, out, DIM, NULL, &error));
    reference(model, text, 0, exact);
    assert_false(close_enough(out, exact, DIM));
    for (int d = 0; d < DIM; d++)
        assert_true(fabsf(out[d] - exact[d]) < 0.01F);
}

static void test_mixed_precision_puts_bf16_first_where_the_cpu_has_it(void **state)
{
    (void)state;
    citadel_engine *engine = engine_with(0, 0, CITADEL_SWITCH_ON);
    citadel_model *model = load(engine, "many-forms");
    if (has_bf16()) {
        expect_form(model, "compiled", CITADEL_PRECISION_BF16);
        expect_line(model, "precision: bf16: mixed precision is on\n");
        expect_rounded(model);
        citadel_info info = info_of(model);
        assert_true(info.golden_cosine > 0.9999 && info.golden_cosine < 1);
    } else {
        expect_form(model, "compiled", CITADEL_PRECISION_FP32);
        expect_line(model,
                    "skipped: compiled bf16 (bf16.1.207c4a8edc44c4d3.so): this CPU has neither");
    }
    citadel_model_unload(model);
    /* Nothing is known of how exact these forms are. */
    model = load(engine, "two-forms");
    expect_form(model, "torchscript", CITADEL_PRECISION_FP32);
    expect_line(model, "skipped: torchscript bf16 (graph.bf16.pt): its smallest cosine at export");
    citadel_model_unload(model);
    citadel_engine_destroy(engine);
}

static void test_a_precision_that_is_asked_for_is_never_another_one(void **state)
{
    (void)state;
    citadel_engine *engine = default_engine();
    citadel_model *model = load_precision(engine, "many-forms", CITADEL_PRECISION_BF16);
    expect_form(model, "compiled", CITADEL_PRECISION_BF16);
    expect_rounded(model);
    expect_line(model,
                "skipped: compiled fp32 (fp32.2.b5d54c39e66671c9.so): precision bf16 was asked");
    citadel_model_unload(model);
    model = load_precision(engine, "many-forms", CITADEL_PRECISION_INT8);
    expect_form(model, "torchscript", CITADEL_PRECISION_INT8);
    citadel_model_unload(model);
    citadel_load_options options = CITADEL_LOAD_OPTIONS_INIT;
    options.precision = CITADEL_PRECISION_FP16;
    assert_fails(CITADEL_E_UNSUPPORTED, "no form of precision fp16 can run here: torchscript fp32",
                 citadel_model_load(engine, "many-forms", &options, &model, &error));
    citadel_engine_destroy(engine);
}

static void test_a_graph_with_its_tensors_inside_needs_no_other_file(void **state)
{
    (void)state;
    citadel_engine *engine = default_engine();
    citadel_model *model = load(engine, "inside");
    expect_form(model, "compiled", CITADEL_PRECISION_FP32);
    assert_int_equal(info_of(model).weight_bytes, strlen("fake"));
    assert_true(embeds_right(model, "the quick brown fox", 0));
    citadel_model_unload(model);
    citadel_engine_destroy(engine);
}

/* ---- Golden texts ------------------------------------------------------------------------- */

static void test_reduced_precisions_may_differ_as_much_as_was_recorded(void **state)
{
    (void)state;
    static const struct {
        const char *pack, *piece; /* NULL: good */
    } cases[] = {
        {"tilt-bf16", NULL},
        {"tilt-bf16-too-far", "the cosine with the vector in the pack is 0.998846, 0.998946 is"},
        {"tilt-bf16-within", NULL},
        {"tilt-bf16-unrecorded", "is 0.998846, 0.999900 is needed"},
        {"tilt-int8", NULL},
        {"tilt-int8-too-far", "is 0.989086, 0.989186 is needed"},
        {"tilt-int8-unrecorded", "is 0.989086, 0.999900 is needed"},
    };
    citadel_engine *engine = default_engine();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        citadel_model *model;
        if (!cases[i].piece)
            citadel_model_unload(load(engine, cases[i].pack));
        else
            assert_fails(CITADEL_E_BAD_MODEL, cases[i].piece,
                         citadel_model_load(engine, cases[i].pack, NULL, &model, &error));
    }
    citadel_engine_destroy(engine);
}

static void test_the_golden_texts_are_one_batch(void **state)
{
    (void)state;
    fake_probe *probe = reset_probe();
    citadel_engine *engine = default_engine();
    citadel_model *model = load(engine, "many-forms");
    assert_int_equal(read_probe(probe, &probe->runs), 1);
    assert_int_equal(read_probe(probe, &probe->texts), 3);
    citadel_model_unload(model);
    citadel_engine_destroy(engine);
}

/* ---- Fall-back ---------------------------------------------------------------------------- */

static const struct {
    const char *pack;
    const char *reason;
    uint32_t fallbacks; /* 0: skipped before anything was tried */
} falls[] = {
    {"isa", "this CPU has no no_such_feature", 0},
    {"no-isa", "the pack does not say which CPU features it needs", 0},
    {"torch", "it was made with torch 2.11.0, the backend is fake 1", 0},
    {"no-digest", "fp32.0123456789abcdef.so: the name of a compiled graph must have the first 16",
     1},
    {"unlisted", "the member 'files' has no 'unlisted.so'", 1},
    {"damaged", "is damaged: wrong CRC-32C of the file", 1},
    {"missing", "so is missing", 1},
    {"directory", "so is not a regular file", 1},
    {"externs-missing", "externs.json is missing", 1},
    {"weights-missing", "weights.other.safetensors is missing", 1},
    {"weights-damaged", "weights.other.safetensors is damaged", 1},
    {"weights-other", "fake: the graph says fail-load", 1},
    {"fail-load", "fake: the graph says fail-load", 1},
    {"oom-load", "fake: the graph says oom-load", 1},
    {"fail-run", "golden texts: fake: the batch has id 2", 1},
    {"nan", "golden texts: texts[0]: the vector has NaN or infinity", 1},
    {"golden", "golden text 0: the vector differs by", 1},
    {"recovery", "golden texts: texts[0]: the vector has NaN or infinity", 1},
    {"several", "golden texts: fake: the batch has id 2", 2},
};

static void expect_fall(const citadel_model *model, const char *reason, uint32_t fallbacks)
{
    citadel_info info = info_of(model);
    assert_string_equal(info.form, "torchscript");
    assert_int_equal(info.fallbacks, fallbacks);
    assert_non_null(
        strstr(info.explain, fallbacks ? "\nfailed: compiled " : "\nskipped: compiled "));
    if (!strstr(info.explain, reason))
        fail_msg("no '%s' in:\n%s", reason, info.explain);
    if (fallbacks)
        expect_line(model, "form: torchscript (");
    assert_int_equal(warnings.lines, fallbacks);
    if (fallbacks == 1 && !strstr(warnings.last, reason))
        fail_msg("no '%s' in: %s", reason, warnings.last);
    if (fallbacks)
        assert_non_null(strstr(warnings.last, "failed, the next form is tried: "));
}

static void test_a_form_that_fails_gives_way_to_the_next_and_says_why(void **state)
{
    (void)state;
    fake_probe *probe = reset_probe();
    int files = count_files();
    for (size_t i = 0; i < sizeof falls / sizeof falls[0]; i++) {
        char name[256];
        snprintf(name, sizeof name, FAKE_PACKS "/falls-back/%s", falls[i].pack);
        citadel_engine *engine = default_engine();
        citadel_model *model = load(engine, name);
        expect_fall(model, falls[i].reason, falls[i].fallbacks);
        assert_int_equal(read_probe(probe, &probe->models), 1);
        assert_int_equal(read_probe(probe, &probe->recovered), 0);
        if (info_of(model).precision == CITADEL_PRECISION_FP32)
            assert_true(embeds_right(model, "the quick brown fox", 0));
        citadel_model_unload(model);
        assert_int_equal(read_probe(probe, &probe->models), 0);
        citadel_engine_destroy(engine);
    }
    assert_int_equal(count_files(), files);
}

static void test_when_all_forms_fail_the_last_ones_error_is_the_loads(void **state)
{
    (void)state;
    fake_probe *probe = reset_probe();
    citadel_engine *engine = default_engine();
    citadel_model *model;
    assert_fails(
        CITADEL_E_NO_MEMORY,
        "all 2 forms failed, the last was torchscript fp32 (graph.fp32.pt): fake: the graph "
        "says oom-load",
        citadel_model_load(engine, FAKE_PACKS "/falls-back/all", NULL, &model, &error));
    assert_null(model);
    assert_int_equal(warnings.lines, 1);
    assert_non_null(strstr(warnings.last, "fail-load"));
    assert_int_equal(read_probe(probe, &probe->models), 0);
    citadel_engine_destroy(engine);
}

typedef struct shared {
    citadel_engine *engine;
    fake_probe *probe;
    citadel_model *models[8];
} shared;

static int load_falling(int number, void *argument)
{
    shared *s = argument;
    return citadel_model_load(s->engine, FAKE_PACKS "/falls-back/golden", NULL, &s->models[number],
                              NULL);
}

static void test_one_fall_serves_all_who_ask(void **state)
{
    (void)state;
    shared s = {.engine = default_engine(), .probe = reset_probe()};
    in_threads(8, load_falling, &s);
    assert_int_equal(read_probe(s.probe, &s.probe->loads), 2);
    for (int i = 0; i < 8; i++) {
        assert_ptr_equal(s.models[i], s.models[0]);
        citadel_model_unload(s.models[i]);
    }
    citadel_engine_destroy(s.engine);
}

/* ---- Cache -------------------------------------------------------------------------------- */

static void test_a_model_is_found_by_what_it_was_to_be_and_what_it_became(void **state)
{
    (void)state;
    if (!has_bf16())
        skip();
    citadel_engine *engine = engine_with(0, 0, CITADEL_SWITCH_ON);
    citadel_model *model = load(engine, "slow-then-fp32"), *other;
    expect_form(model, "torchscript", CITADEL_PRECISION_FP32);
    assert_ptr_equal(load(engine, FAKE_PACKS "/slow-then-fp32"), model);
    assert_ptr_equal(load_precision(engine, "slow-then-fp32", CITADEL_PRECISION_FP32), model);
    assert_int_equal(warnings.lines, 1);
    citadel_load_options options = CITADEL_LOAD_OPTIONS_INIT;
    options.precision = CITADEL_PRECISION_BF16;
    assert_fails(CITADEL_E_BAD_MODEL, "golden texts: texts[0]: the vector has NaN",
                 citadel_model_load(engine, "slow-then-fp32", &options, &other, &error));
    for (int i = 0; i < 3; i++)
        citadel_model_unload(model);
    citadel_engine_destroy(engine);
}

/* Thread 0 loads what is to be bf16 and becomes fp32; thread 1 waits for it, but wants bf16 and nothing else. */
static int load_or_join(int number, void *argument)
{
    shared *s = argument;
    citadel_load_options options = CITADEL_LOAD_OPTIONS_INIT;
    if (number > 0)
        await(s->probe, &s->probe->waiting, 1);
    if (number == 2) {
        /* Time for the other to join; how much it uses of it changes nothing. */
        nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
        set_gate(s->probe, 0);
        return 0;
    }
    options.precision = number == 1 ? CITADEL_PRECISION_BF16 : CITADEL_PRECISION_AUTO;
    citadel_status status =
        citadel_model_load(s->engine, "slow-then-fp32", &options, &s->models[number], NULL);
    return status != (number == 1 ? CITADEL_E_BAD_MODEL : CITADEL_OK);
}

static void test_who_joins_a_load_gets_the_precision_that_was_asked_for(void **state)
{
    (void)state;
    if (!has_bf16())
        skip();
    shared s = {.engine = engine_with(0, 0, CITADEL_SWITCH_ON), .probe = reset_probe()};
    set_gate(s.probe, 1);
    in_threads(3, load_or_join, &s);
    assert_null(s.models[1]);
    expect_form(s.models[0], "torchscript", CITADEL_PRECISION_FP32);
    citadel_model_unload(s.models[0]);
    citadel_engine_destroy(s.engine);
    assert_int_equal(read_probe(s.probe, &s.probe->models), 0);
}

/* ---- Recovery ----------------------------------------------------------------------------- */

/* Of one length, so that a padded layout has good and bad ones in one batch, and of five tokens, so that the vectors are
 * none that bf16 holds exactly. */
enum { RECOVERED = 6 };
static const char *const recovered_texts[RECOVERED] = {
    "the quick fox", "nan fox over", "a inf b", "fox over dog", "fox nan dog", "quick dog jumps"};

static void expect_recovered(const citadel_model *model, int text, const float *row,
                             const citadel_text_result *result)
{
    float exact[DIM];
    int hopeless = text == 2, overflows = text == 1 || text == 4;
    reference(model, recovered_texts[text], 0, exact);
    if (hopeless)
        memset(exact, 0, sizeof exact);
    assert_int_equal(result->status, hopeless ? CITADEL_E_NOT_FINITE : CITADEL_OK);
    /* Those that were computed once more have not been rounded to bf16. */
    assert_int_equal(close_enough(row, exact, DIM), overflows || hopeless);
    for (int d = 0; d < DIM; d++)
        assert_true(fabsf(row[d] - exact[d]) < 0.01F);
}

static void expect_recovery(const char *pack)
{
    fake_probe *probe = reset_probe();
    citadel_engine *engine = default_engine();
    citadel_model *model = load(engine, pack);
    expect_form(model, "compiled", CITADEL_PRECISION_BF16);
    float out[RECOVERED * DIM];
    citadel_text_result results[RECOVERED];
    assert_fails(CITADEL_E_NOT_FINITE, "texts[2]: the vector has NaN or infinity",
                 citadel_model_embed(model, recovered_texts, NULL, RECOVERED, NULL, out,
                                     RECOVERED * DIM, results, &error));
    for (int i = 0; i < RECOVERED; i++)
        expect_recovered(model, i, out + i * DIM, &results[i]);
    assert_int_equal(read_probe(probe, &probe->recovered), 3);
    citadel_model_unload(model);
    citadel_engine_destroy(engine);
}

static void test_a_text_that_is_not_finite_is_computed_once_more(void **state)
{
    (void)state;
    expect_recovery("recovering");
    expect_recovery("recovering-padded");
}

static void test_a_recovery_that_fails_is_an_error_of_the_call(void **state)
{
    (void)state;
    citadel_engine *engine = default_engine();
    citadel_model *model = load(engine, "recovering");
    const char *texts[] = {"fox", "nan fail"};
    float out[2 * DIM];
    assert_fails(CITADEL_E_BACKEND, "fake: the batch has id 7",
                 citadel_model_embed(model, texts, NULL, 2, NULL, out, 2 * DIM, NULL, &error));
    citadel_model_unload(model);
    citadel_engine_destroy(engine);
}

static void test_fp32_has_nothing_to_recover_with(void **state)
{
    (void)state;
    fake_probe *probe = reset_probe();
    citadel_engine *engine = default_engine();
    citadel_model *model = load(engine, "not-recovering");
    const char *text = "nan";
    float out[DIM];
    assert_fails(CITADEL_E_NOT_FINITE, "texts[0]",
                 citadel_model_embed(model, &text, NULL, 1, NULL, out, DIM, NULL, &error));
    assert_int_equal(read_probe(probe, &probe->recovered), 0);
    citadel_model_unload(model);
    citadel_engine_destroy(engine);
}

static int recover_often(int number, void *argument)
{
    shared *s = argument;
    (void)number;
    for (int i = 0; i < 50; i++) {
        float out[RECOVERED * DIM];
        citadel_text_result results[RECOVERED];
        if (citadel_model_embed(s->models[0], recovered_texts, NULL, RECOVERED, NULL, out,
                                RECOVERED * DIM, results, NULL) != CITADEL_E_NOT_FINITE ||
            results[1].status != CITADEL_OK || results[2].status != CITADEL_E_NOT_FINITE)
            return 1;
    }
    return 0;
}

static void test_threads_recover_side_by_side(void **state)
{
    (void)state;
    shared s = {.engine = default_engine(), .probe = reset_probe()};
    s.models[0] = load(s.engine, "recovering");
    in_threads(4, recover_often, &s);
    assert_int_equal(read_probe(s.probe, &s.probe->recovered), 4 * 50 * 3);
    citadel_model_unload(s.models[0]);
    citadel_engine_destroy(s.engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_compiled_form_of_the_models_own_precision_comes_first),
        cmocka_unit_test(test_compiled_forms_can_be_switched_off),
        cmocka_unit_test(test_without_optimization_nothing_else_counts),
        cmocka_unit_test(test_switches_can_be_set_in_the_environment),
        cmocka_unit_test(test_mixed_precision_puts_bf16_first_where_the_cpu_has_it),
        cmocka_unit_test(test_a_precision_that_is_asked_for_is_never_another_one),
        cmocka_unit_test(test_a_graph_with_its_tensors_inside_needs_no_other_file),
        cmocka_unit_test(test_reduced_precisions_may_differ_as_much_as_was_recorded),
        cmocka_unit_test(test_the_golden_texts_are_one_batch),
        cmocka_unit_test(test_a_form_that_fails_gives_way_to_the_next_and_says_why),
        cmocka_unit_test(test_when_all_forms_fail_the_last_ones_error_is_the_loads),
        cmocka_unit_test(test_one_fall_serves_all_who_ask),
        cmocka_unit_test(test_a_model_is_found_by_what_it_was_to_be_and_what_it_became),
        cmocka_unit_test(test_who_joins_a_load_gets_the_precision_that_was_asked_for),
        cmocka_unit_test(test_a_text_that_is_not_finite_is_computed_once_more),
        cmocka_unit_test(test_a_recovery_that_fails_is_an_error_of_the_call),
        cmocka_unit_test(test_fp32_has_nothing_to_recover_with),
        cmocka_unit_test(test_threads_recover_side_by_side),
    };
    return cmocka_run_group_tests_name("forms", tests, NULL, NULL);
}
