/* A child of fork() has none of the engine's threads, and says so. */
#include "harness.h"

#include <sys/wait.h>
#include <unistd.h>

/* Run `work` in a child, where nothing can be asserted; it gives the line that went wrong, or 0. */
static void in_child(int (*work)(citadel_engine *engine, citadel_model *model),
                     citadel_engine *engine, citadel_model *model)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(work(engine, model) % 256);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

#define EXPECT(condition)    \
    do {                     \
        if (!(condition))    \
            return __LINE__; \
    } while (0)

static int is_forked(citadel_status status, const citadel_error *own)
{
    return status == CITADEL_E_FORKED && own->code == status &&
           strstr(own->message, "create an engine after fork()");
}

static int use_parents(citadel_engine *engine, citadel_model *model)
{
    citadel_error own = CITADEL_ERROR_INIT;
    citadel_tokens tokens = CITADEL_TOKENS_INIT;
    citadel_info info = CITADEL_INFO_INIT;
    citadel_text_result result = {0};
    size_t length;
    citadel_model *loaded = model;
    const char *text = "fox", *name, *prompt;
    float out[DIM];

    EXPECT(is_forked(citadel_model_load(engine, "tiny", NULL, &loaded, &own), &own));
    EXPECT(!loaded);
    EXPECT(
        is_forked(citadel_model_embed(model, &text, NULL, 1, NULL, out, DIM, &result, &own), &own));
    EXPECT(result.status == CITADEL_E_FORKED);
    result.status = 0;
    EXPECT(is_forked(citadel_embed(engine, "tiny", &text, NULL, 1, NULL, out, DIM, &result, &own),
                     &own));
    EXPECT(result.status == CITADEL_E_FORKED);
    EXPECT(is_forked(citadel_tokenize(model, text, 3, NULL, &tokens, &own), &own));
    EXPECT(is_forked(citadel_model_warmup(model, NULL, NULL, &own), &own));
    EXPECT(is_forked(citadel_metrics_text(engine, NULL, 0, &length, &own), &own));
    /* What needs no thread works on, and releasing is harmless. */
    EXPECT(citadel_model_dim(model) == DIM);
    EXPECT(citadel_model_info(model, &info, &own) == CITADEL_OK && info.dim == DIM);
    EXPECT(citadel_model_prompt(model, 0, &name, &prompt, &own) == CITADEL_OK);
    EXPECT(citadel_model_ref(model) == model);
    citadel_model_unload(model);
    citadel_model_unload(model);
    citadel_engine_destroy(engine);
    EXPECT(citadel_model_dim(model) == DIM);
    return 0;
}

static void test_a_child_is_told_that_it_has_no_threads(void **state)
{
    (void)state;
    citadel_engine *engine = new_engine(2, 1);
    citadel_model *model = load(engine, "tiny");
    in_child(use_parents, engine, model);
    assert_true(embeds_right(model, "fox", 0));
    citadel_model_unload(model);
    citadel_engine_destroy(engine);
}

/* ThreadSanitizer takes a child's new threads for the parent's, whose ids they get again. */
#ifndef __SANITIZE_THREAD__
static int use_own(citadel_engine *engine, citadel_model *model)
{
    (void)model;
    citadel_engine_destroy(engine);
    citadel_engine_options options = test_options(2, 1);
    citadel_engine *own;
    citadel_model *loaded;
    EXPECT(citadel_engine_create(&options, &own, NULL) == CITADEL_OK);
    EXPECT(citadel_model_load(own, "tiny", NULL, &loaded, NULL) == CITADEL_OK);
    EXPECT(embeds_right(loaded, "the quick brown fox", 0));
    citadel_model_unload(loaded);
    citadel_engine_destroy(own);
    return 0;
}

static int use_both(citadel_engine *engine, citadel_model *model)
{
    int line = use_parents(engine, model);
    return line ? line : use_own(engine, model);
}

static void test_a_child_can_have_an_engine_of_its_own(void **state)
{
    (void)state;
    citadel_engine *engine = new_engine(2, 1);
    in_child(use_own, engine, NULL); /* the backend is opened there */
    citadel_model *model = load(engine, "tiny");
    in_child(use_own, engine, NULL); /* and was opened here */
    assert_true(embeds_right(model, "fox", 0));
    citadel_model_unload(model);
    citadel_engine_destroy(engine);
}

typedef struct shared {
    citadel_model *model;
    citadel_status status;
} shared;

static void *embed_waiting(void *argument)
{
    shared *s = argument;
    const char *text = "wait the fox";
    float out[DIM];
    s->status = citadel_model_embed(s->model, &text, NULL, 1, NULL, out, DIM, NULL, NULL);
    return NULL;
}

static void test_fork_while_a_call_runs(void **state)
{
    (void)state;
    fake_probe *probe = reset_probe();
    citadel_engine *engine = new_engine(2, 2);
    shared s = {.model = load(engine, "moody"), .status = CITADEL_E_INTERNAL};
    pthread_t runner;
    set_gate(probe, 1);
    assert_int_equal(pthread_create(&runner, NULL, embed_waiting, &s), 0);
    await(probe, &probe->waiting, 1);
    in_child(use_both, engine, s.model);
    set_gate(probe, 0);
    pthread_join(runner, NULL);
    assert_int_equal(s.status, CITADEL_OK);
    citadel_model_unload(s.model);
    citadel_engine_destroy(engine);
}

#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_child_is_told_that_it_has_no_threads),
#ifndef __SANITIZE_THREAD__
        cmocka_unit_test(test_a_child_can_have_an_engine_of_its_own),
        cmocka_unit_test(test_fork_while_a_call_runs),
#endif
    };
    return cmocka_run_group_tests_name("fork", tests, NULL, NULL);
}
