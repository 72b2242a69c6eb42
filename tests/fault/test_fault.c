/* Whatever fails on the way, a call says so, leaves nothing behind, and the engine works on: every scenario runs with
 * its first allocation (or system call) failing, with its second, and so on until nothing is left to fail. */
#include "engine.h"
#include "faults.h"
#include "harness.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { TEXTS = 24 };

typedef struct scene {
    citadel_engine *engine;
    citadel_model *model; /* of steps that need one; loaded before anything fails */
} scene;

typedef struct step {
    const char *name;
    int needs_engine, needs_model;
    citadel_status (*run)(scene *s, citadel_error *error);
} step;

/* ---- Steps -------------------------------------------------------------------------------- */

/* Of forms that give way there are hundreds. */
static void say_nothing(void *user, int32_t level, const char *message)
{
    (void)user;
    (void)level;
    assert_non_null(message);
}

static citadel_status create_engine(scene *s, citadel_error *own)
{
    citadel_engine_options options = test_options(2, 2);
    options.log = say_nothing;
    citadel_status status = citadel_engine_create(&options, &s->engine, own);
    assert_int_equal(status == CITADEL_OK, s->engine != NULL);
    return status;
}

/* Every kind of line that a configuration file can have. */
static citadel_status create_engine_with_file(scene *s, citadel_error *own)
{
    static const char text[] = "precision: fp32\ncache_bytes: 1G\n"
                               "models:\n  number-1:\n    aliases: [small, 'x/small']\n"
                               "    prompts: {query: 'q ', other: 'o '}\n"
                               "    default_prompt: other\n  there: {path: packs/there}\n";
    char path[] = "/tmp/citadel-test-XXXXXX";
    int fd = mkstemp(path);
    assert_int_equal(write(fd, text, sizeof text - 1), sizeof text - 1);
    close(fd);
    citadel_engine_options options = test_options(2, 2);
    options.log = say_nothing;
    options.config_file = path;
    citadel_status status = citadel_engine_create(&options, &s->engine, own);
    unlink(path);
    assert_int_equal(status == CITADEL_OK, s->engine != NULL);
    return status;
}

static citadel_status load_configured(scene *s, citadel_error *own)
{
    const char *text = "the fox";
    float out[DIM], expected[DIM];
    citadel_model *model = NULL;
    citadel_status status = create_engine_with_file(s, own);
    if (status == CITADEL_OK)
        status = citadel_model_load(s->engine, FAKE_PACKS "/number-1", NULL, &model, own);
    if (status == CITADEL_OK)
        status = citadel_model_embed(model, &text, NULL, 1, NULL, out, DIM, NULL, own);
    if (status == CITADEL_OK) {
        reference(model, "o the fox", 1, expected);
        assert_vector(out, expected, DIM);
    }
    citadel_model_unload(model);
    return status;
}

static citadel_status tell_everything(scene *s, citadel_error *own)
{
    char text[8192];
    citadel_diagnostics found = CITADEL_DIAGNOSTICS_INIT;
    citadel_status status = create_engine_with_file(s, own);
    if (status == CITADEL_OK)
        status = citadel_config_text(s->engine, text, sizeof text, NULL, own);
    if (status == CITADEL_OK)
        status = citadel_model_names(s->engine, 0, text, sizeof text, NULL, own);
    if (status == CITADEL_OK)
        status = citadel_model_forms(s->engine, "tiny", NULL, text, sizeof text, NULL, own);
    return status == CITADEL_OK ? citadel_diagnose(s->engine, &found, own) : status;
}

static citadel_status load_model(scene *s, citadel_error *own)
{
    citadel_status status = citadel_model_load(s->engine, "tiny", NULL, &s->model, own);
    assert_int_equal(status == CITADEL_OK, s->model != NULL);
    return status;
}

/* Lengths that need more room from text to text. */
static void make_texts(const char *texts[TEXTS])
{
    static const char *const sentences[] = {"", "fox", "a b c", "the quick brown fox jumps",
                                            "the \xD0\x9F\xD0\xA0\xD0\x98\xCC\x81 fox"};
    for (int i = 0; i < TEXTS; i++)
        texts[i] = sentences[i * 5 / TEXTS];
}

static void expect_vectors(const citadel_model *model, const char *const *texts, const float *out)
{
    float expected[DIM];
    for (int i = 0; i < TEXTS; i++) {
        reference(model, texts[i], 0, expected);
        assert_vector(out + i * DIM, expected, DIM);
    }
}

static void expect_statuses(const citadel_text_result *results, citadel_status status)
{
    for (int i = 0; i < TEXTS; i++)
        assert_int_equal(results[i].status, status);
}

static citadel_status embed(scene *s, citadel_error *own)
{
    const char *texts[TEXTS];
    float out[TEXTS * DIM];
    citadel_text_result results[TEXTS];
    make_texts(texts);
    citadel_status status =
        citadel_model_embed(s->model, texts, NULL, TEXTS, NULL, out, TEXTS * DIM, results, own);
    expect_statuses(results, status);
    if (status == CITADEL_OK)
        expect_vectors(s->model, texts, out);
    return status;
}

static citadel_status embed_named(scene *s, citadel_error *own)
{
    const char *texts[TEXTS];
    float out[TEXTS * DIM];
    citadel_text_result results[TEXTS];
    make_texts(texts);
    citadel_status status = citadel_embed(s->engine, "padded", texts, NULL, TEXTS, NULL, out,
                                          TEXTS * DIM, results, own);
    expect_statuses(results, status);
    return status;
}

static citadel_status embed_with_prompt(scene *s, citadel_error *own)
{
    const char *text = "the fox";
    float out[DIM], expected[DIM];
    citadel_embed_options options = CITADEL_EMBED_OPTIONS_INIT;
    options.prompt_name = "query";
    citadel_status status =
        citadel_model_embed(s->model, &text, NULL, 1, &options, out, DIM, NULL, own);
    if (status == CITADEL_OK) {
        reference(s->model, "query: the fox", 0, expected);
        assert_vector(out, expected, DIM);
    }
    return status;
}

/* Longer than anything before, as steady work allocates nothing. */
static citadel_status tokenize(scene *s, citadel_error *own)
{
    enum { WORDS = 5000 };
    char *text = malloc(4 * WORDS);
    citadel_tokenize_options options = CITADEL_TOKENIZE_OPTIONS_INIT;
    citadel_tokens tokens = CITADEL_TOKENS_INIT;
    assert_non_null(text);
    for (int i = 0; i < WORDS; i++)
        memcpy(text + 4 * (size_t)i, "fox ", 4);
    options.flags = CITADEL_TOKENIZE_NO_TRUNCATION;
    citadel_status status =
        citadel_tokenize(s->model, text, (size_t)4 * WORDS, &options, &tokens, own);
    free(text);
    if (status == CITADEL_OK)
        assert_int_equal(tokens.count, WORDS + 2);
    return status;
}

static citadel_status load_bad_model(scene *s, citadel_error *own)
{
    citadel_model *model = s->model;
    citadel_status status =
        citadel_model_load(s->engine, FAKE_PACKS "/bad/golden-wrong", NULL, &model, own);
    assert_null(model);
    return status == CITADEL_E_BAD_MODEL &&
                   strstr(own->message, "golden text 0: the vector differs")
               ? CITADEL_OK
               : status;
}

/* Two forms fail anyhow before the third, which may fail too. */
static citadel_status load_falling(scene *s, citadel_error *own)
{
    citadel_status status =
        citadel_model_load(s->engine, FAKE_PACKS "/falls-back/several", NULL, &s->model, own);
    assert_int_equal(status == CITADEL_OK, s->model != NULL);
    return status;
}

static citadel_status load_falling_once(scene *s, citadel_error *own)
{
    citadel_model *model;
    citadel_status status =
        citadel_model_load(s->engine, FAKE_PACKS "/falls-back/fail-load", NULL, &model, own);
    citadel_model_unload(model);
    return status;
}

/* A graph with a recovery graph, from which one can fall. */
static citadel_status load_recovering(scene *s, citadel_error *own)
{
    citadel_model *model;
    citadel_status status =
        citadel_model_load(s->engine, FAKE_PACKS "/falls-back/recovery", NULL, &model, own);
    citadel_model_unload(model);
    return status;
}

static citadel_status create_engine_with_idle_time(scene *s, citadel_error *own)
{
    citadel_engine_options options = test_options(2, 2);
    options.cache_idle_seconds = 1000;
    options.cache_bytes = 1 << 20;
    citadel_status status = citadel_engine_create(&options, &s->engine, own);
    assert_int_equal(status == CITADEL_OK, s->engine != NULL);
    return status;
}

static citadel_status estimate(scene *s, citadel_error *own)
{
    citadel_estimate estimate = CITADEL_ESTIMATE_INIT;
    citadel_status status = citadel_model_estimate(s->engine, "tiny", NULL, &estimate, own);
    assert_int_equal(status == CITADEL_OK, estimate.resident_bytes > 0);
    return status;
}

static citadel_status pin(scene *s, citadel_error *own)
{
    citadel_status status = citadel_model_pin(s->engine, "number-1", NULL, 1, own);
    if (status != CITADEL_OK)
        return status;
    status = citadel_model_pin(s->engine, FAKE_PACKS "/number-1", NULL, 0, own);
    if (status != CITADEL_OK) /* or else it would take the room of another */
        assert_ok(citadel_model_pin(s->engine, FAKE_PACKS "/number-1", NULL, 0, &error));
    return status;
}

/* By a path that the engine does not know yet, so that the pack is opened. */
static citadel_status unload(scene *s, citadel_error *own)
{
    citadel_unload_report report = CITADEL_UNLOAD_REPORT_INIT;
    citadel_status status = embed_named(s, own);
    if (status == CITADEL_OK)
        status = citadel_unload(s->engine, FAKE_PACKS "/padded", &report, own);
    assert_int_equal(status == CITADEL_OK, report.models == 1);
    return status;
}

static citadel_status warm_up(scene *s, citadel_error *own)
{
    citadel_warmup_plan plan = CITADEL_WARMUP_PLAN_INIT;
    citadel_warmup_report report = CITADEL_WARMUP_REPORT_INIT;
    plan.iterations = 1;
    citadel_status status = citadel_model_warmup(s->model, &plan, &report, own);
    assert_int_equal(status == CITADEL_OK, report.passes > 0);
    return status;
}

static const step steps[] = {
    {"create an engine", 0, 0, create_engine},
    {"load", 1, 0, load_model},
    {"load a bad model", 1, 0, load_bad_model},
    {"embed by name", 1, 0, embed_named},
    {"load with fall-backs", 1, 0, load_falling},
    {"load with a recovery graph", 1, 0, load_recovering},
    {"load with one fall-back", 1, 0, load_falling_once},
    {"embed", 1, 1, embed},
    {"embed with a prompt", 1, 1, embed_with_prompt},
    {"tokenize", 1, 1, tokenize},
    {"create an engine with an idle time-out", 0, 0, create_engine_with_idle_time},
    {"estimate", 1, 0, estimate},
    {"pin", 1, 0, pin},
    {"unload by name", 1, 0, unload},
    {"warm up", 1, 1, warm_up},
    {"create an engine with a configuration file", 0, 0, create_engine_with_file},
    {"load by path what is configured", 0, 0, load_configured},
    {"tell everything", 0, 0, tell_everything},
};
enum { STEPS = sizeof steps / sizeof steps[0] };

/* ---- Runs --------------------------------------------------------------------------------- */

static void expect_whole(scene *s)
{
    if (!s->engine)
        assert_ok(create_engine(s, &error));
    if (!s->model)
        assert_ok(load_model(s, &error));
    assert_ok(embed(s, &error));
    assert_ok(embed_named(s, &error));
}

static void expect_one_line(const citadel_error *own, citadel_status status)
{
    assert_int_equal(own->code, status);
    assert_true(own->message[0]);
    assert_null(strchr(own->message, '\n'));
}

/* Returns whether there was still a call to fail. */
static int run_with_fault(const step *step, fault_kind kind, long number, int errnum,
                          citadel_status expected)
{
    scene s = {0};
    citadel_error own = CITADEL_ERROR_INIT;
    if (step->needs_engine)
        assert_ok(create_engine(&s, &error));
    if (step->needs_model)
        assert_ok(load_model(&s, &error));
    fault_arm(kind, number, errnum);
    citadel_status status = step->run(&s, &own);
    int struck = fault_struck();
    fault_arm(kind, 0, 0);
    if (status != CITADEL_OK && (!struck || status != expected)) {
        print_error("%s, call %ld: %s: %s\n", step->name, number, citadel_status_name(status),
                    own.message);
        fail();
    }
    if (status != CITADEL_OK)
        expect_one_line(&own, status);
    if (status != CITADEL_OK && kind != FAULT_MEMORY)
        assert_int_equal(own.native_code, errnum);
    expect_whole(&s);
    citadel_model_unload(s.model);
    citadel_engine_destroy(s.engine);
    assert_int_equal(fault_blocks(), 0);
    assert_int_equal(fault_mappings(), 0);
    return struck;
}

/* How many calls were made to fail. */
static long run_with_every_fault(const step *step, fault_kind kind, int errnum,
                                 citadel_status expected)
{
    reset_probe();
    long number = 1;
    while (run_with_fault(step, kind, number, errnum, expected))
        number++;
    reset_probe();
    return number - 1;
}

static void test_memory_that_is_missing_anywhere(void **state)
{
    (void)state;
    for (int i = 0; i < STEPS; i++)
        assert_true(run_with_every_fault(&steps[i], FAULT_MEMORY, ENOMEM, CITADEL_E_NO_MEMORY) > 0);
}

static void expect_system_faults(fault_kind kind, int errnum, citadel_status status, long calls)
{
    assert_int_equal(run_with_every_fault(&steps[1], kind, errnum, status), calls);
    assert_int_equal(run_with_every_fault(&steps[3], kind, errnum, status), calls);
}

/* The directory of a pack, and its seven files, of which none is empty. */
static void test_files_that_cannot_be_read(void **state)
{
    (void)state;
    enum { FILES = 7 };
    expect_system_faults(FAULT_OPEN, EACCES, CITADEL_E_IO, 1 + FILES);
    expect_system_faults(FAULT_OPEN, EMFILE, CITADEL_E_IO, 1 + FILES);
    expect_system_faults(FAULT_FSTAT, EIO, CITADEL_E_IO, FILES);
    expect_system_faults(FAULT_MMAP, ENODEV, CITADEL_E_IO, FILES);
    expect_system_faults(FAULT_MMAP, ENOMEM, CITADEL_E_NO_MEMORY, FILES);
}

/* On the way through three forms every file can fail once more: what is not the last form's is made good by the next. */
static void test_files_of_forms_that_cannot_be_read(void **state)
{
    (void)state;
    for (int i = 4; i <= 5; i++) {
        assert_true(run_with_every_fault(&steps[i], FAULT_OPEN, EACCES, CITADEL_E_IO) > 7);
        assert_true(run_with_every_fault(&steps[i], FAULT_FSTAT, EIO, CITADEL_E_IO) > 6);
        assert_true(run_with_every_fault(&steps[i], FAULT_MMAP, ENOMEM, CITADEL_E_NO_MEMORY) > 6);
    }
}

/* The directory, seven files as without a fall-back, and one more graph: the weights are read once. */
static void test_weights_of_a_form_that_failed_serve_the_next(void **state)
{
    (void)state;
    assert_int_equal(run_with_every_fault(&steps[6], FAULT_OPEN, EACCES, CITADEL_E_IO), 9);
}

static void test_fall_backs_and_recoveries_are_counted(void **state)
{
    (void)state;
    const char *texts[] = {"fox", "nan", "nan fox"};
    float out[3 * DIM];
    scene s = {0};
    assert_ok(create_engine(&s, &error));
    assert_ok(load_falling(&s, &error));
    assert_int_equal(ce_metrics_get(&s.engine->metrics.fallbacks), 2);
    citadel_model_unload(s.model);
    s.model = load(s.engine, "recovering");
    assert_int_equal(ce_metrics_get(&s.engine->metrics.fallbacks), 2);
    assert_int_equal(ce_metrics_get(&s.engine->metrics.nan_recoveries), 0);
    assert_ok(citadel_model_embed(s.model, texts, NULL, 3, NULL, out, 3 * DIM, NULL, &error));
    assert_int_equal(ce_metrics_get(&s.engine->metrics.nan_recoveries), 2);
    citadel_model_unload(s.model);
    citadel_engine_destroy(s.engine);
}

static void test_threads_that_cannot_be_started(void **state)
{
    (void)state;
    assert_int_equal(run_with_every_fault(&steps[0], FAULT_THREAD, EAGAIN, CITADEL_E_NO_MEMORY), 2);
    assert_int_equal(run_with_every_fault(&steps[10], FAULT_THREAD, EAGAIN, CITADEL_E_NO_MEMORY),
                     3);
}

static void test_a_configuration_file_that_cannot_be_read(void **state)
{
    (void)state;
    assert_int_equal(run_with_every_fault(&steps[15], FAULT_OPEN, EACCES, CITADEL_E_IO), 1);
    assert_int_equal(run_with_every_fault(&steps[15], FAULT_FSTAT, EIO, CITADEL_E_IO), 1);
}

/* A new pack is renamed into the place of the one that is being loaded. */
static struct {
    char here[64], next[64], gone[64];
} places;

static void replace_pack(void)
{
    rename(places.here, places.gone);
    rename(places.next, places.here);
}

static void test_a_pack_replaced_during_its_load_is_not_mixed(void **state)
{
    (void)state;
    char directory[] = "/tmp/citadel-test-XXXXXX";
    assert_non_null(mkdtemp(directory));
    snprintf(places.here, sizeof places.here, "%s/here", directory);
    snprintf(places.next, sizeof places.next, "%s/next", directory);
    snprintf(places.gone, sizeof places.gone, "%s/gone", directory);
    scene s = {0};
    assert_ok(create_engine(&s, &error));
    for (long number = 1, struck = 1; struck; number++) {
        copy_pack("number-1", places.here);
        copy_pack("number-2", places.next);
        fault_interrupt(FAULT_OPEN, number, replace_pack);
        assert_ok(citadel_model_load(s.engine, places.here, NULL, &s.model, &error));
        struck = fault_struck();
        fault_arm(FAULT_OPEN, 0, 0);
        /* The first to be opened is the directory itself. */
        assert_true(embeds_right(s.model, "fox", struck && number == 1 ? 2 : 1));
        citadel_model_unload(s.model);
        remove_pack(places.here);
        remove_pack(places.next);
        remove_pack(places.gone);
    }
    rmdir(directory);
    citadel_engine_destroy(s.engine);
}

/* Returns how many packs there are in a folder. */
static int load_each(citadel_engine *engine, const char *folder)
{
    int packs = 0;
    DIR *opened = opendir(folder);
    assert_non_null(opened);
    for (struct dirent *entry; (entry = readdir(opened));) {
        char name[512];
        citadel_model *model;
        long mappings = fault_mappings();
        snprintf(name, sizeof name, "%s/%s", folder, entry->d_name);
        if (citadel_model_load(engine, name, NULL, &model, &error) == CITADEL_OK)
            citadel_model_unload(model);
        assert_int_equal(fault_mappings(), mappings);
        packs++;
    }
    closedir(opened);
    return packs;
}

static void test_bad_packs_leave_nothing_behind(void **state)
{
    (void)state;
    scene s = {0};
    assert_ok(create_engine(&s, &error));
    assert_true(load_each(s.engine, FAKE_PACKS "/bad") > 50);
    assert_true(load_each(s.engine, FAKE_PACKS "/falls-back") > 15);
    citadel_engine_destroy(s.engine);
    assert_int_equal(fault_blocks(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory_that_is_missing_anywhere),
        cmocka_unit_test(test_files_that_cannot_be_read),
        cmocka_unit_test(test_files_of_forms_that_cannot_be_read),
        cmocka_unit_test(test_weights_of_a_form_that_failed_serve_the_next),
        cmocka_unit_test(test_fall_backs_and_recoveries_are_counted),
        cmocka_unit_test(test_threads_that_cannot_be_started),
        cmocka_unit_test(test_a_configuration_file_that_cannot_be_read),
        cmocka_unit_test(test_a_pack_replaced_during_its_load_is_not_mixed),
        cmocka_unit_test(test_bad_packs_leave_nothing_behind),
    };
    return cmocka_run_group_tests_name("fault", tests, NULL, NULL);
}
