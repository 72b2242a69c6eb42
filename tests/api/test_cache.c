#include "harness.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* The packs number-1 to number-6 differ by their bias alone, which tells them apart in a vector. */
static int embeds_number(citadel_engine *engine, int number)
{
    char name[32];
    const char *text = "the quick brown fox";
    float out[DIM], expected[DIM], other[DIM];
    snprintf(name, sizeof name, "number-%d", number);
    citadel_model *model;
    if (citadel_embed(engine, name, &text, NULL, 1, NULL, out, DIM, NULL, NULL) != CITADEL_OK ||
        citadel_model_load(engine, name, NULL, &model, NULL) != CITADEL_OK)
        return 0;
    reference(model, text, number, expected);
    reference(model, text, number % 6 + 1, other);
    citadel_model_unload(model);
    return close_enough(out, expected, DIM) && !close_enough(out, other, DIM);
}

static citadel_status embed_named(citadel_engine *engine, const char *name, const char *text)
{
    float out[DIM];
    return citadel_embed(engine, name, &text, NULL, 1, NULL, out, DIM, NULL, &error);
}

static void expect_loads(citadel_engine *engine, const char *name, int loads)
{
    fake_probe *probe = the_probe();
    int before = read_probe(probe, &probe->loads);
    assert_ok(embed_named(engine, name, "fox"));
    assert_int_equal(read_probe(probe, &probe->loads), before + loads);
}

/* ---- Room --------------------------------------------------------------------------------- */

static void test_the_model_used_least_recently_makes_room(void **state)
{
    (void)state;
    fake_probe *probe = reset_probe();
    citadel_engine *engine = new_engine(1, 3);
    expect_loads(engine, "number-1", 1);
    expect_loads(engine, "number-2", 1);
    expect_loads(engine, "number-3", 1);
    expect_loads(engine, "number-1", 0);
    assert_int_equal(read_probe(probe, &probe->models), 3);
    expect_loads(engine, "number-4", 1); /* instead of 2 */
    assert_int_equal(read_probe(probe, &probe->models), 3);
    expect_loads(engine, "number-3", 0);
    expect_loads(engine, "number-1", 0);
    expect_loads(engine, "number-4", 0);
    expect_loads(engine, "number-2", 1); /* instead of 3 */
    expect_loads(engine, "number-1", 0);
    expect_loads(engine, "number-4", 0);
    expect_loads(engine, "number-3", 1);
    assert_int_equal(read_probe(probe, &probe->models), 3);
    citadel_engine_destroy(engine);
    assert_int_equal(read_probe(probe, &probe->models), 0);
}

static void test_a_model_that_is_held_stays(void **state)
{
    (void)state;
    fake_probe *probe = reset_probe();
    citadel_engine *engine = new_engine(1, 2);
    citadel_model *held = load(engine, "number-1");
    for (int round = 0; round < 2; round++) {
        expect_loads(engine, "number-2", 1);
        expect_loads(engine, "number-3", 1);
        expect_loads(engine, "number-1", 0);
        assert_int_equal(read_probe(probe, &probe->models), 2);
    }
    citadel_model_unload(held); /* the last reference: it leaves the cache */
    assert_int_equal(read_probe(probe, &probe->models), 1);
    expect_loads(engine, "number-3", 0);
    expect_loads(engine, "number-1", 1);
    citadel_engine_destroy(engine);
}

static void test_busy_at_once_when_every_slot_is_held(void **state)
{
    (void)state;
    citadel_engine *engine = new_engine(1, 2);
    citadel_model *first = load(engine, "tiny"), *second = load(engine, "raw"), *third;
    third = first;
    assert_fails(CITADEL_E_BUSY, "all 2 cache slots are held by loaded models",
                 citadel_model_load(engine, "padded", NULL, &third, &error));
    assert_null(third);
    assert_fails(CITADEL_E_BUSY, "MODEL_CACHE_SIZE", embed_named(engine, "padded", "fox"));
    /* What is there already can be had all the same. */
    citadel_model_unload(load(engine, "tiny"));
    assert_ok(embed_named(engine, "raw", "fox"));
    citadel_model_unload(first);
    third = load(engine, "padded");
    assert_true(embeds_right(second, "fox", 0));
    citadel_model_unload(second);
    citadel_model_unload(third);
    citadel_engine_destroy(engine);
}

static void test_a_failed_load_takes_no_slot(void **state)
{
    (void)state;
    fake_probe *probe = reset_probe();
    citadel_engine *engine = new_engine(1, 1);
    for (int i = 0; i < 3; i++) {
        assert_fails(CITADEL_E_BACKEND, "fail-load",
                     embed_named(engine, FAKE_PACKS "/bad/fail-load", "fox"));
        assert_int_equal(read_probe(probe, &probe->models), 0);
        assert_ok(embed_named(engine, "tiny", "fox"));
    }
    citadel_engine_destroy(engine);
}

/* ---- Identity ----------------------------------------------------------------------------- */

static void test_a_model_is_known_by_its_identity_not_its_path(void **state)
{
    (void)state;
    fake_probe *probe = reset_probe();
    char directory[] = "/tmp/citadel-test-XXXXXX", link[64];
    assert_non_null(mkdtemp(directory));
    copy_pack("tiny", directory);
    snprintf(link, sizeof link, "%s-link", directory);
    assert_int_equal(symlink(FAKE_PACKS "/tiny", link), 0);

    citadel_engine *engine = new_engine(1, 2);
    citadel_model *model = load(engine, "tiny");
    citadel_model *by_link = load(engine, link), *by_copy = load(engine, directory);
    assert_ptr_equal(by_link, model);
    assert_ptr_equal(by_copy, model);
    assert_ok(embed_named(engine, link, "fox"));
    assert_int_equal(read_probe(probe, &probe->loads), 1);
    for (int i = 0; i < 3; i++)
        citadel_model_unload(model);
    citadel_engine_destroy(engine);
    unlink(link);
    remove_pack(directory);
}

static void test_two_forms_take_two_slots(void **state)
{
    (void)state;
    fake_probe *probe = reset_probe();
    citadel_engine *engine = new_engine(1, 1);
    citadel_embed_options options = CITADEL_EMBED_OPTIONS_INIT;
    const char *text = "fox";
    float out[DIM];
    for (int i = 0; i < 4; i++) {
        options.precision = i % 2 ? CITADEL_PRECISION_BF16 : CITADEL_PRECISION_FP32;
        assert_ok(
            citadel_embed(engine, "two-forms", &text, NULL, 1, &options, out, DIM, NULL, &error));
        assert_int_equal(read_probe(probe, &probe->loads), i + 1);
        assert_int_equal(read_probe(probe, &probe->models), 1);
    }
    citadel_engine_destroy(engine);
}

/* As the exporter does it: a new pack is renamed into the place of the old one. */
static void test_a_replaced_pack_is_found_after_an_unload(void **state)
{
    (void)state;
    char link[] = "/tmp/citadel-test-XXXXXX";
    assert_non_null(mkdtemp(link));
    rmdir(link);
    citadel_engine *engine = new_engine(1, 2);
    assert_int_equal(symlink(FAKE_PACKS "/number-1", link), 0);
    citadel_model *old = load(engine, link);
    unlink(link);
    assert_int_equal(symlink(FAKE_PACKS "/number-2", link), 0);
    assert_true(embeds_right(old, "fox", 1));
    citadel_model_unload(old);
    citadel_model *new = load(engine, link);
    assert_true(embeds_right(new, "fox", 2));
    citadel_model_unload(new);
    citadel_engine_destroy(engine);
    unlink(link);
}

/* ---- Several threads ---------------------------------------------------------------------- */

typedef struct shared {
    citadel_engine *engine;
    const char *name;
    citadel_model *models[8];
    citadel_status status;
    atomic_int ended;
} shared;

static int load_shared(int number, void *argument)
{
    shared *s = argument;
    return citadel_model_load(s->engine, s->name, NULL, &s->models[number], NULL);
}

static void *open_gate_later(void *argument)
{
    fake_probe *probe = argument;
    await(probe, &probe->waiting, 1);
    /* Time for others to come too; how much they use of it changes nothing. */
    nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    set_gate(probe, 0);
    return NULL;
}

static void test_one_load_serves_all_who_ask(void **state)
{
    (void)state;
    fake_probe *probe = reset_probe();
    shared s = {.engine = new_engine(1, 1), .name = "slow"};
    pthread_t opener;
    set_gate(probe, 1);
    assert_int_equal(pthread_create(&opener, NULL, open_gate_later, probe), 0);
    in_threads(8, load_shared, &s);
    pthread_join(opener, NULL);
    assert_int_equal(read_probe(probe, &probe->loads), 1);
    for (int i = 0; i < 8; i++) {
        assert_ptr_equal(s.models[i], s.models[0]);
        citadel_model_unload(s.models[i]);
    }
    assert_int_equal(read_probe(probe, &probe->models), 0);
    citadel_engine_destroy(s.engine);
}

static int load_failing(int number, void *argument)
{
    shared *s = argument;
    citadel_error own = CITADEL_ERROR_INIT;
    citadel_status status = citadel_model_load(s->engine, s->name, NULL, &s->models[number], &own);
    return !(status == CITADEL_E_BACKEND && own.code == status && !s->models[number] &&
             strstr(own.message, "golden texts: fake: the batch has id"));
}

static void test_one_failure_serves_all_who_ask(void **state)
{
    (void)state;
    fake_probe *probe = reset_probe();
    shared s = {.engine = new_engine(1, 1), .name = "slow-failing"};
    pthread_t opener;
    set_gate(probe, 1);
    assert_int_equal(pthread_create(&opener, NULL, open_gate_later, probe), 0);
    in_threads(8, load_failing, &s);
    pthread_join(opener, NULL);
    assert_int_equal(read_probe(probe, &probe->models), 0);
    assert_ok(embed_named(s.engine, "tiny", "fox"));
    citadel_engine_destroy(s.engine);
}

static void *embed_waiting(void *argument)
{
    shared *s = argument;
    const char *text = "wait the fox";
    float out[DIM];
    s->status = citadel_embed(s->engine, "moody", &text, NULL, 1, NULL, out, DIM, NULL, NULL);
    return NULL;
}

/* The only slot is in use, not held: one who needs it waits for the call to end. */
static void test_a_load_waits_for_a_slot_in_use(void **state)
{
    (void)state;
    fake_probe *probe = reset_probe();
    shared s = {.engine = new_engine(2, 1), .name = "tiny"};
    pthread_t user, opener;
    set_gate(probe, 1);
    assert_int_equal(pthread_create(&user, NULL, embed_waiting, &s), 0);
    await(probe, &probe->waiting, 1);
    assert_int_equal(pthread_create(&opener, NULL, open_gate_later, probe), 0);
    citadel_model *model = load(s.engine, "tiny");
    assert_int_equal(read_probe(probe, &probe->waiting), 0);
    assert_int_equal(read_probe(probe, &probe->models), 1);
    pthread_join(user, NULL);
    pthread_join(opener, NULL);
    assert_int_equal(s.status, 0);
    citadel_model_unload(model);
    citadel_engine_destroy(s.engine);
}

static void *hold_waiting(void *argument)
{
    shared *s = argument;
    const char *text = "wait the fox";
    float out[DIM];
    s->status = citadel_model_embed(s->models[0], &text, NULL, 1, NULL, out, DIM, NULL, NULL);
    return NULL;
}

/* Unloaded while a call runs on it, the model is there until the call ends, and not twice. */
static void test_a_model_unloaded_during_a_call_can_be_loaded_again(void **state)
{
    (void)state;
    fake_probe *probe = reset_probe();
    shared s = {.engine = new_engine(2, 1)};
    pthread_t user;
    for (int again = 0; again < 2; again++) {
        s.models[0] = load(s.engine, "moody");
        set_gate(probe, 1);
        assert_int_equal(pthread_create(&user, NULL, hold_waiting, &s), 0);
        await(probe, &probe->waiting, 1);
        citadel_model_unload(s.models[0]);
        if (again) {
            citadel_model *model = load(s.engine, "moody");
            assert_ptr_equal(model, s.models[0]);
        }
        assert_int_equal(read_probe(probe, &probe->models), 1);
        set_gate(probe, 0);
        pthread_join(user, NULL);
        assert_int_equal(s.status, 0);
        assert_int_equal(read_probe(probe, &probe->models), again);
        assert_int_equal(read_probe(probe, &probe->loads), again + 1);
    }
    assert_true(embeds_right(s.models[0], "fox", 0));
    citadel_model_unload(s.models[0]);
    assert_int_equal(read_probe(probe, &probe->models), 0);
    citadel_engine_destroy(s.engine);
}

static void test_a_model_unloaded_during_a_call_is_kept_if_embedded_by_name(void **state)
{
    (void)state;
    fake_probe *probe = reset_probe();
    shared s = {.engine = new_engine(2, 1)};
    pthread_t user;
    s.models[0] = load(s.engine, "moody");
    set_gate(probe, 1);
    assert_int_equal(pthread_create(&user, NULL, hold_waiting, &s), 0);
    await(probe, &probe->waiting, 1);
    citadel_model_unload(s.models[0]);
    /* Without texts, as the call that waits has all compute threads. */
    assert_ok(citadel_embed(s.engine, "moody", NULL, NULL, 0, NULL, NULL, 0, NULL, &error));
    set_gate(probe, 0);
    pthread_join(user, NULL);
    assert_int_equal(read_probe(probe, &probe->models), 1);
    expect_loads(s.engine, "moody", 0);
    citadel_engine_destroy(s.engine);
}

/* As above, but meanwhile the name has come to mean another pack. */
static void test_a_pack_replaced_during_a_call_is_found_after_an_unload(void **state)
{
    (void)state;
    char link[] = "/tmp/citadel-test-XXXXXX";
    assert_non_null(mkdtemp(link));
    rmdir(link);
    fake_probe *probe = reset_probe();
    shared s = {.engine = new_engine(2, 2)};
    pthread_t user;
    assert_int_equal(symlink(FAKE_PACKS "/moody", link), 0);
    s.models[0] = load(s.engine, link);
    set_gate(probe, 1);
    assert_int_equal(pthread_create(&user, NULL, hold_waiting, &s), 0);
    await(probe, &probe->waiting, 1);
    citadel_model_unload(s.models[0]);
    unlink(link);
    /* One that is refused before anything is computed, as the call that waits has all compute threads. */
    assert_int_equal(symlink(FAKE_PACKS "/bad/weights-flip", link), 0);
    citadel_model *model;
    assert_fails(CITADEL_E_BAD_MODEL, "weights-flip",
                 citadel_model_load(s.engine, link, NULL, &model, &error));
    set_gate(probe, 0);
    pthread_join(user, NULL);
    assert_int_equal(s.status, 0);
    citadel_engine_destroy(s.engine);
    unlink(link);
}

/* A model in steady use by three threads, so that it is never idle by itself, and a fourth that wants another. */
static int use_steadily_or_load(int number, void *argument)
{
    shared *s = argument;
    if (number == 0) {
        int right = embeds_number(s->engine, 2);
        atomic_store(&s->ended, 1);
        return !right;
    }
    const char *text = "the quick brown fox";
    float out[DIM];
    while (!atomic_load(&s->ended)) {
        citadel_status status =
            citadel_embed(s->engine, "number-1", &text, NULL, 1, NULL, out, DIM, NULL, NULL);
        if (status != CITADEL_OK && status != CITADEL_E_BUSY)
            return status;
    }
    return 0;
}

static void test_steady_use_of_one_model_starves_no_other(void **state)
{
    (void)state;
    fake_probe *probe = reset_probe();
    shared s = {.engine = new_engine(2, 1)};
    in_threads(4, use_steadily_or_load, &s);
    citadel_engine_destroy(s.engine);
    assert_int_equal(read_probe(probe, &probe->models), 0);
}

/* ---- Bytes -------------------------------------------------------------------------------- */

static citadel_engine *engine_with_budget(uint32_t threads, uint64_t bytes)
{
    citadel_engine_options options = test_options(threads, 6);
    citadel_engine *engine;
    options.cache_bytes = bytes;
    assert_ok(citadel_engine_create(&options, &engine, &error));
    return engine;
}

static uint64_t need_of(const char *name)
{
    citadel_engine *engine = new_engine(1, 1);
    uint64_t need = estimate_of(engine, name).resident_bytes;
    citadel_engine_destroy(engine);
    return need;
}

static void test_the_budget_decides_how_many_stay(void **state)
{
    (void)state;
    fake_probe *probe = reset_probe();
    uint64_t need = need_of("number-1"), bytes = bytes_of("number-1");
    assert_in_range(bytes, 2 * ROUNDED, need);
    for (int models = 1; models < 3; models++) {
        uint64_t budget = bytes + need + (models == 2 ? ROUNDED : -ROUNDED);
        reset_probe();
        citadel_engine *engine = engine_with_budget(1, budget);
        expect_loads(engine, "number-1", 1);
        expect_loads(engine, "number-2", 1);
        assert_int_equal(read_probe(probe, &probe->models), models);
        expect_loads(engine, "number-3", 1); /* instead of what was used least recently */
        expect_loads(engine, "number-2", models == 1);
        citadel_metrics metrics = metrics_of(engine);
        assert_int_equal(metrics.models, models);
        assert_in_range(metrics.bytes, models * (bytes - ROUNDED), models * (bytes + ROUNDED));
        assert_int_equal(metrics.bytes_limit, budget);
        assert_int_equal(metrics.evictions_bytes, models == 1 ? 3 : 1);
        assert_int_equal(metrics.evictions_count, 0);
        assert_int_equal(read_probe(probe, &probe->most_models), models);
        citadel_engine_destroy(engine);
    }
}

static void test_a_model_above_the_budget_is_refused_and_drives_nobody_out(void **state)
{
    (void)state;
    fake_probe *probe = reset_probe();
    uint64_t need = need_of("number-1");
    char numbers[128];
    citadel_engine *engine = engine_with_budget(1, need);
    expect_loads(engine, "number-1", 1);
    /* Its tokenizer is the same, but its weights lie in the graph's file too. */
    uint64_t moody = estimate_of(engine, "moody").resident_bytes;
    assert_true(moody > need);
    snprintf(numbers, sizeof numbers,
             "model 'moody' is estimated at %llu bytes, above the cache's budget of %llu",
             (unsigned long long)moody, (unsigned long long)need);
    assert_fails(CITADEL_E_NO_MEMORY, numbers, embed_named(engine, "moody", "fox"));
    assert_fails(CITADEL_E_NO_MEMORY, "CITADEL_CACHE_BYTES", embed_named(engine, "moody", "fox"));
    expect_loads(engine, "number-1", 0);
    assert_int_equal(metrics_of(engine).load_failures, 0);
    assert_int_equal(metrics_of(engine).misses, 3);
    citadel_engine_destroy(engine);
    assert_int_equal(read_probe(probe, &probe->models), 0);
}

static void test_busy_at_once_when_held_models_leave_no_bytes(void **state)
{
    (void)state;
    citadel_engine *engine =
        engine_with_budget(1, bytes_of("number-1") + need_of("number-1") - ROUNDED);
    citadel_model *held = load(engine, "number-1");
    assert_fails(CITADEL_E_BUSY, "are held by loaded models: unload or unpin one",
                 embed_named(engine, "number-2", "fox"));
    assert_true(embeds_right(held, "fox", 1));
    citadel_model_unload(held);
    expect_loads(engine, "number-2", 1);
    assert_ok(citadel_model_pin(engine, "number-2", NULL, 1, &error));
    assert_fails(CITADEL_E_BUSY, "are held by loaded models",
                 embed_named(engine, "number-3", "fox"));
    assert_ok(citadel_model_pin(engine, "number-2", NULL, 0, &error));
    expect_loads(engine, "number-3", 1);
    citadel_engine_destroy(engine);
}

static void test_a_load_waits_for_the_bytes_of_a_model_in_use(void **state)
{
    (void)state;
    fake_probe *probe = reset_probe();
    shared s = {.engine = engine_with_budget(2, need_of("moody"))};
    pthread_t user, opener;
    set_gate(probe, 1);
    assert_int_equal(pthread_create(&user, NULL, embed_waiting, &s), 0);
    await(probe, &probe->waiting, 1);
    assert_int_equal(pthread_create(&opener, NULL, open_gate_later, probe), 0);
    citadel_model *model = load(s.engine, "tiny");
    assert_int_equal(read_probe(probe, &probe->waiting), 0);
    assert_int_equal(read_probe(probe, &probe->models), 1);
    pthread_join(user, NULL);
    pthread_join(opener, NULL);
    assert_int_equal(s.status, 0);
    citadel_model_unload(model);
    citadel_engine_destroy(s.engine);
}

/* The pack heavy takes a million bytes that its manifest does not tell. */
static void test_the_budget_holds_for_what_a_model_really_takes(void **state)
{
    (void)state;
    fake_probe *probe = reset_probe();
    uint64_t heavy = bytes_of("heavy"), number = bytes_of("number-1");
    assert_true(heavy > 1000000);
    reset_probe();

    citadel_engine *engine = engine_with_budget(1, heavy - ROUNDED);
    assert_fails(CITADEL_E_NO_MEMORY, "not the estimated", embed_named(engine, "heavy", "fox"));
    assert_int_equal(read_probe(probe, &probe->models), 0);
    assert_int_equal(metrics_of(engine).bytes, 0);
    assert_int_equal(metrics_of(engine).load_failures, 1);
    citadel_engine_destroy(engine);

    engine = engine_with_budget(1, heavy + number - 2 * ROUNDED);
    expect_loads(engine, "number-1", 1);
    expect_loads(engine, "heavy", 1);
    assert_int_equal(read_probe(probe, &probe->models), 1);
    assert_in_range(metrics_of(engine).bytes, heavy - ROUNDED, heavy + ROUNDED);
    assert_int_equal(metrics_of(engine).evictions_bytes, 1);
    citadel_engine_destroy(engine);

    engine = engine_with_budget(1, heavy + number - 2 * ROUNDED);
    citadel_model *held = load(engine, "number-1");
    uint64_t before = metrics_of(engine).bytes;
    assert_fails(CITADEL_E_BUSY, "and other models", embed_named(engine, "heavy", "fox"));
    assert_int_equal(metrics_of(engine).bytes, before);
    citadel_model_unload(held);
    citadel_engine_destroy(engine);
}

static citadel_status load_within(citadel_engine *engine, const char *name, uint32_t timeout_ms)
{
    citadel_load_options options = CITADEL_LOAD_OPTIONS_INIT;
    citadel_model *model;
    options.timeout_ms = timeout_ms;
    citadel_status status = citadel_model_load(engine, name, &options, &model, &error);
    citadel_model_unload(model);
    return status;
}

typedef struct slow_log {
    fake_probe *probe;
    int reached;
} slow_log;

/* Whoever frees the pack heavy waits at the gate before that. */
static void wait_before_heavy_goes(void *user, int32_t level, const char *message)
{
    slow_log *log = user;
    (void)level;
    if (!strstr(message, "'heavy' left the cache"))
        return;
    pthread_mutex_lock(&log->probe->lock);
    log->reached = 1;
    pthread_cond_broadcast(&log->probe->changed);
    while (log->probe->closed)
        pthread_cond_wait(&log->probe->changed, &log->probe->lock);
    pthread_mutex_unlock(&log->probe->lock);
}

static void *embed_number_1(void *argument)
{
    shared *s = argument;
    float out[DIM];
    const char *text = "fox";
    s->status = citadel_embed(s->engine, "number-1", &text, NULL, 1, NULL, out, DIM, NULL, NULL);
    return NULL;
}

/* It makes far more room than the one needs that it makes room for. */
static void test_bytes_of_a_model_that_makes_room_are_nobodys_until_it_is_freed(void **state)
{
    (void)state;
    uint64_t heavy = bytes_of("heavy");
    slow_log log = {.probe = reset_probe()};
    citadel_engine_options options = test_options(1, 6);
    options.cache_bytes = heavy + ROUNDED;
    options.log = wait_before_heavy_goes;
    options.log_user = &log;
    options.log_level = CITADEL_LOG_INFO;
    shared s = {0};
    assert_ok(citadel_engine_create(&options, &s.engine, &error));
    expect_loads(s.engine, "heavy", 1);

    pthread_t user;
    set_gate(log.probe, 1);
    assert_int_equal(pthread_create(&user, NULL, embed_number_1, &s), 0);
    await(log.probe, &log.reached, 1);
    assert_in_range(metrics_of(s.engine).bytes, heavy - ROUNDED, heavy + ROUNDED);
    assert_int_equal(load_within(s.engine, "number-2", 1), CITADEL_E_BUSY);
    set_gate(log.probe, 0);
    pthread_join(user, NULL);
    assert_int_equal(s.status, 0);
    assert_ok(load_within(s.engine, "number-2", 0));
    citadel_engine_destroy(s.engine);
}

/* Neither the one that is too large by itself, nor the one for which held models leave no room. */
static void test_a_model_that_turns_out_too_large_drives_nobody_out(void **state)
{
    (void)state;
    uint64_t heavy = bytes_of("heavy"), number = bytes_of("number-1");
    citadel_engine *engine = engine_with_budget(1, heavy - ROUNDED);
    expect_loads(engine, "number-1", 1);
    assert_fails(CITADEL_E_NO_MEMORY, "not the estimated", embed_named(engine, "heavy", "fox"));
    expect_loads(engine, "number-1", 0);
    assert_int_equal(metrics_of(engine).evictions_bytes, 0);
    citadel_engine_destroy(engine);

    engine = engine_with_budget(1, heavy + number - 2 * ROUNDED);
    citadel_model *held = load(engine, "number-1");
    expect_loads(engine, "number-2", 1);
    assert_fails(CITADEL_E_BUSY, "and other models", embed_named(engine, "heavy", "fox"));
    expect_loads(engine, "number-2", 0);
    assert_int_equal(metrics_of(engine).evictions_bytes, 0);
    citadel_model_unload(held);
    citadel_engine_destroy(engine);
}

/* ---- Deadlines ---------------------------------------------------------------------------- */

static void test_a_wait_for_room_ends_with_its_deadline(void **state)
{
    (void)state;
    fake_probe *probe = reset_probe();
    shared s = {.engine = new_engine(2, 1)};
    pthread_t user;
    set_gate(probe, 1);
    assert_int_equal(pthread_create(&user, NULL, embed_waiting, &s), 0);
    await(probe, &probe->waiting, 1);
    for (int i = 0; i < 3; i++)
        assert_fails(CITADEL_E_BUSY, "waited 20 ms (timeout_ms) for room in the cache",
                     load_within(s.engine, "tiny", 20));
    /* Who gave up is no longer waited for: the model that was to go is found as before. */
    assert_ok(load_within(s.engine, "moody", 20));
    set_gate(probe, 0);
    pthread_join(user, NULL);
    assert_int_equal(s.status, 0);
    assert_ok(load_within(s.engine, "tiny", UINT32_MAX));
    citadel_engine_destroy(s.engine);
}

static void *load_slow(void *argument)
{
    shared *s = argument;
    s->status = citadel_model_load(s->engine, "slow", NULL, &s->models[0], NULL);
    return NULL;
}

static void test_a_wait_for_another_threads_load_ends_with_its_deadline(void **state)
{
    (void)state;
    fake_probe *probe = reset_probe();
    shared s = {.engine = new_engine(2, 2)};
    pthread_t loader;
    set_gate(probe, 1);
    assert_int_equal(pthread_create(&loader, NULL, load_slow, &s), 0);
    await(probe, &probe->waiting, 1);
    assert_fails(CITADEL_E_BUSY, "waited 20 ms (timeout_ms) for another thread's load",
                 load_within(s.engine, "slow", 20));
    set_gate(probe, 0);
    pthread_join(loader, NULL);
    assert_int_equal(s.status, 0);
    assert_true(embeds_right(s.models[0], "fox", 0));
    assert_int_equal(metrics_of(s.engine).joins, 1);
    assert_int_equal(metrics_of(s.engine).loads, 1);
    citadel_model_unload(s.models[0]);
    citadel_engine_destroy(s.engine);
}

/* ---- Idleness ----------------------------------------------------------------------------- */

static citadel_engine *engine_with_idle_seconds(uint32_t seconds)
{
    citadel_engine_options options = test_options(2, 6);
    citadel_engine *engine;
    options.cache_idle_seconds = seconds;
    assert_ok(citadel_engine_create(&options, &engine, &error));
    return engine;
}

/* The model that expires is the clock: the others were there before it. */
static void test_what_nobody_uses_is_freed_though_no_call_comes(void **state)
{
    (void)state;
    fake_probe *probe = reset_probe();
    shared s = {.engine = engine_with_idle_seconds(1)};
    pthread_t user;
    citadel_model *held = load(s.engine, "number-2");
    assert_ok(citadel_model_pin(s.engine, "number-3", NULL, 1, &error));
    assert_ok(citadel_model_pin(s.engine, "number-1", NULL, 1, &error));
    set_gate(probe, 1);
    assert_int_equal(pthread_create(&user, NULL, embed_waiting, &s), 0);
    await(probe, &probe->waiting, 1);
    assert_int_equal(read_probe(probe, &probe->models), 4);
    assert_ok(citadel_model_pin(s.engine, "number-1", NULL, 0, &error));
    await(probe, &probe->models, 3);
    assert_int_equal(read_probe(probe, &probe->waiting), 1); /* moody */
    assert_int_equal(metrics_of(s.engine).evictions_idle, 1);
    assert_int_equal(metrics_of(s.engine).models_pinned, 1);
    set_gate(probe, 0);
    pthread_join(user, NULL);
    assert_int_equal(s.status, 0);
    assert_ok(citadel_model_pin(s.engine, "number-3", NULL, 0, &error));
    await(probe, &probe->models, 1);
    assert_true(embeds_right(held, "fox", 2));
    citadel_model_unload(held);
    assert_int_equal(read_probe(probe, &probe->models), 0);
    expect_loads(s.engine, "number-1", 1);
    citadel_engine_destroy(s.engine);
    assert_int_equal(read_probe(probe, &probe->models), 0);
}

static void test_the_thread_for_idle_models_is_there_only_if_asked_for(void **state)
{
    (void)state;
    int before = count_threads();
    citadel_engine *engine = new_engine(2, 1);
    assert_int_equal(count_threads(), before + 2);
    citadel_engine_destroy(engine);
    engine = engine_with_idle_seconds(31536000);
    assert_int_equal(count_threads(), before + 3);
    citadel_engine_destroy(engine);
    assert_int_equal(count_threads(), before);
}

/* ---- Soak --------------------------------------------------------------------------------- */

enum { SOAKING_THREADS = 4, SOAK_ROUNDS = 1000, SOAKED_MODELS = 3 };

typedef struct soak {
    citadel_engine *engine;
    float expected[SOAKED_MODELS][DIM];
} soak;

static int ask_in_turn(int number, void *argument)
{
    soak *s = argument;
    const char *text = "the quick brown fox";
    for (int round = 0; round < SOAK_ROUNDS; round++) {
        int which = (number + round) % SOAKED_MODELS;
        char name[32];
        float out[DIM];
        citadel_metrics metrics = CITADEL_METRICS_INIT;
        snprintf(name, sizeof name, "number-%d", which + 1);
        if (citadel_embed(s->engine, name, &text, NULL, 1, NULL, out, DIM, NULL, NULL) != 0 ||
            !close_enough(out, s->expected[which], DIM))
            return 1;
        if (citadel_metrics_snapshot(s->engine, &metrics, NULL) != CITADEL_OK ||
            metrics.models > metrics.models_limit ||
            (metrics.bytes_limit && metrics.bytes > metrics.bytes_limit))
            return 2;
    }
    return 0;
}

static void expect_soaked(soak *s, uint64_t evictions)
{
    fake_probe *probe = the_probe();
    citadel_metrics metrics = metrics_of(s->engine);
    uint64_t calls = metrics.hits + metrics.joins + metrics.misses;
    assert_int_equal(calls, SOAKING_THREADS * SOAK_ROUNDS);
    assert_int_equal(metrics.loads, metrics.misses);
    assert_int_equal(metrics.loads, read_probe(probe, &probe->loads));
    assert_int_equal(metrics.load_failures, 0);
    assert_int_equal(metrics.models, 2);
    assert_int_equal(evictions, metrics.loads - 2);
    assert_true(evictions > 0);
    assert_int_equal(read_probe(probe, &probe->twins), 0);
    assert_int_equal(read_probe(probe, &probe->most_models), 2);
    citadel_engine_destroy(s->engine);
    assert_int_equal(read_probe(probe, &probe->models), 0);
}

static void test_three_models_in_turn_in_room_for_two(void **state)
{
    (void)state;
    soak s;
    citadel_engine *engine = new_engine(1, 1);
    for (int i = 0; i < SOAKED_MODELS; i++) {
        char name[32];
        snprintf(name, sizeof name, "number-%d", i + 1);
        citadel_model *model = load(engine, name);
        reference(model, "the quick brown fox", i + 1, s.expected[i]);
        citadel_model_unload(model);
    }
    citadel_engine_destroy(engine);

    reset_probe();
    s.engine = new_engine(2, 2);
    in_threads(SOAKING_THREADS, ask_in_turn, &s);
    expect_soaked(&s, metrics_of(s.engine).evictions_count);

    reset_probe();
    s.engine = engine_with_budget(2, 2 * need_of("number-1"));
    in_threads(SOAKING_THREADS, ask_in_turn, &s);
    expect_soaked(&s, metrics_of(s.engine).evictions_bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_model_used_least_recently_makes_room),
        cmocka_unit_test(test_a_model_that_is_held_stays),
        cmocka_unit_test(test_busy_at_once_when_every_slot_is_held),
        cmocka_unit_test(test_a_failed_load_takes_no_slot),
        cmocka_unit_test(test_a_model_is_known_by_its_identity_not_its_path),
        cmocka_unit_test(test_two_forms_take_two_slots),
        cmocka_unit_test(test_a_replaced_pack_is_found_after_an_unload),
        cmocka_unit_test(test_one_load_serves_all_who_ask),
        cmocka_unit_test(test_one_failure_serves_all_who_ask),
        cmocka_unit_test(test_a_load_waits_for_a_slot_in_use),
        cmocka_unit_test(test_a_model_unloaded_during_a_call_can_be_loaded_again),
        cmocka_unit_test(test_a_model_unloaded_during_a_call_is_kept_if_embedded_by_name),
        cmocka_unit_test(test_a_pack_replaced_during_a_call_is_found_after_an_unload),
        cmocka_unit_test(test_steady_use_of_one_model_starves_no_other),
        cmocka_unit_test(test_the_budget_decides_how_many_stay),
        cmocka_unit_test(test_a_model_above_the_budget_is_refused_and_drives_nobody_out),
        cmocka_unit_test(test_busy_at_once_when_held_models_leave_no_bytes),
        cmocka_unit_test(test_a_load_waits_for_the_bytes_of_a_model_in_use),
        cmocka_unit_test(test_the_budget_holds_for_what_a_model_really_takes),
        cmocka_unit_test(test_bytes_of_a_model_that_makes_room_are_nobodys_until_it_is_freed),
        cmocka_unit_test(test_a_model_that_turns_out_too_large_drives_nobody_out),
        cmocka_unit_test(test_a_wait_for_room_ends_with_its_deadline),
        cmocka_unit_test(test_a_wait_for_another_threads_load_ends_with_its_deadline),
        cmocka_unit_test(test_what_nobody_uses_is_freed_though_no_call_comes),
        cmocka_unit_test(test_the_thread_for_idle_models_is_there_only_if_asked_for),
        cmocka_unit_test(test_three_models_in_turn_in_room_for_two),
    };
    return cmocka_run_group_tests_name("cache", tests, NULL, NULL);
}
