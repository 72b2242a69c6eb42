#include "cmocka_all.h"

#include "citadel_embed.h"
#include "config_file.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static ce_error error;
static ce_config_file file;

static int drop_file(void **state)
{
    (void)state;
    ce_config_file_free(&file);
    return 0;
}

static void read_text(const char *text)
{
    ce_config_file_free(&file);
    if (ce_config_file_parse(&file, "/etc/c.yaml", text, strlen(text), &error) != CE_OK)
        fail_msg("%s: %s", text, error.message);
}

static void refuse_with(const char *text, int status, const char *message)
{
    assert_int_equal(ce_config_file_parse(&file, "/etc/c.yaml", text, strlen(text), &error),
                     status);
    if (strncmp(error.message, "/etc/c.yaml: ", 13) != 0 || !strstr(error.message, message))
        fail_msg("\"%s\", expected \"%s\"", error.message, message);
    static const ce_config_file none;
    assert_memory_equal(&file, &none, sizeof none);
}

static void refuse(const char *text, const char *message)
{
    refuse_with(text, CE_E_INVALID_ARGUMENT, message);
}

static void test_every_setting_can_stand_in_a_file(void **state)
{
    (void)state;
    read_text("inference_optimization: true\ntorch_compile_enabled: No\n"
              "mixed_precision_enabled: on\nmodel_warmup_enabled: 1\nwarmup_iterations: 1000\n"
              "precision: bf16\nbackend: torch\nmodel_cache_size: 4\ncache_bytes: 2GiB\n"
              "cache_idle_seconds: 0\nthreads: 8\nbatch_tokens: 16\nmodel_path: /a:/b\n"
              "torch_backend: /x.so\nisa: generic\nprepared_weights: off\nprepared_path: /p\n"
              "models:\n");
    for (int i = 0; i < CE_SETTINGS; i++) {
        assert_non_null(file.settings[i]);
        assert_string_equal(file.settings[i]->key, ce_setting_get((ce_setting)i)->key);
    }
    assert_int_equal(file.settings[CE_SET_TORCH_BACKEND]->line, 14);
    assert_int_equal(file.model_count, 0);
}

static void test_an_empty_file_sets_nothing(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "# nothing\n", "---\n", "{}", "models: {}", "~"};
    for (size_t t = 0; t < sizeof texts / sizeof *texts; t++) {
        read_text(texts[t]);
        for (int i = 0; i < CE_SETTINGS; i++)
            assert_null(file.settings[i]);
        assert_int_equal(file.model_count, 0);
    }
}

static void test_bad_values_are_refused_with_line_value_and_what_is_allowed(void **state)
{
    (void)state;
    refuse("threads: 1\nmodel_cache_size: 0\n",
           "line 2: model_cache_size is '0', expected a whole number from 1 to 1000");
    refuse("model_cache_size: -1", "model_cache_size is '-1', expected a whole number from 1");
    refuse("model_cache_size: 1e9", "model_cache_size is '1e9', expected a whole number from 1");
    refuse("model_cache_size: 1000000000", "model_cache_size is '1000000000'");
    refuse("model_cache_size: 4.0", "model_cache_size is '4.0'");
    refuse("model_cache_size: 0x4", "model_cache_size is '0x4'");
    refuse("model_cache_size: true", "model_cache_size is 'true'");
    refuse("model_cache_size: '4'",
           "line 1: model_cache_size is the text '4', expected a whole number without quotes");
    refuse("model_cache_size: [4]", "model_cache_size is a list, expected a whole number");
    refuse("model_cache_size: {a: 4}", "model_cache_size is a map, expected a whole number");
    refuse("model_cache_size:", "model_cache_size is empty, expected a whole number");
    refuse("warmup_iterations: 1001", "expected a whole number from 1 to 1000");
    refuse("threads: 1025", "expected a whole number from 1 to 1024");
    refuse("batch_tokens: 15", "expected a whole number from 16 to 1048576");
    refuse("cache_bytes: 1.5G", "cache_bytes is '1.5G', expected a whole number of bytes");
    refuse("mixed_precision_enabled: maybe", "expected true, false, 1, 0, on, off, yes or no");
    refuse("mixed_precision_enabled: 'true'", "is the text 'true', expected true or false without");
    refuse("precision: fp8",
           "precision is 'fp8', expected auto, fp32, bf16, fp16, int8 or int8-accurate");
    refuse("precision: [fp32]", "precision is a list, expected a text");
    refuse("backend: onnx", "backend is 'onnx', expected auto, native or torch");
    refuse("isa: sse2", "line 1: isa is 'sse2', expected auto, generic, avx2, avx512, avx512_vnni");
    refuse("prepared_path: cache", "prepared_path is 'cache', expected an absolute path");
    refuse("model_path: models", "model_path is 'models', expected absolute directories");
    refuse("model_path: /a:b", "model_path is '/a:b', expected absolute directories");
    refuse("model_path: ''", "model_path is '', expected absolute directories");
    refuse("torch_backend: lib.so", "torch_backend is 'lib.so', expected an absolute path");
}

static void test_unknown_keys_and_shapes(void **state)
{
    (void)state;
    refuse("threads: 1\nthread: 2\n", "line 2: unknown key 'thread', expected inference_optimiz");
    refuse("engine: {threads: 1}", "unknown key 'engine'");
    refuse("MODEL_CACHE_SIZE: 4", "unknown key 'MODEL_CACHE_SIZE'");
    refuse("threads: 1\nthreads: 2\n", "line 2: 'threads' is there already, in line 1");
    refuse("- threads", "a list, expected a map of settings");
    refuse("threads", "a text, expected a map of settings");
    refuse("models: [a]", "models is a list, expected a map of names");
    refuse("models: {a: b}", "a is a text, expected a map");
    refuse("models: {a: {pth: /x}}", "unknown key 'pth' of model 'a', expected path, aliases, ");
    refuse("models: {a: {path: }}", "path is empty, expected a text");
    refuse("models: {a: {path: ''}}", "expected the path of a directory");
    refuse("models: {a: {aliases: b}}", "aliases is a text, expected a list of names");
    refuse("models: {a: {aliases: [[b]]}}", "a list, expected a text");
    refuse("models: {a: {prompts: b}}", "prompts is a text, expected a map of names and texts");
    refuse("models: {a: {prompts: {q: [b]}}}", "q is a list, expected a text");
    refuse("models: {a: {prompts: {'': b}}}", "the name of a prompt is empty");
    refuse("models: {a: {default_prompt: }}", "default_prompt is empty, expected a text");
    refuse("models: {a: {precision: fp8}}", "precision is 'fp8', expected auto, fp32");
    refuse("models: {a: {warmup: often}}", "warmup is 'often', expected true");
    refuse("models: {a: {warmup: 'true'}}", "warmup is the text 'true'");
}

static void test_a_name_is_that_of_one_model(void **state)
{
    (void)state;
    refuse("models:\n  a:\n  a:\n", "line 3: 'a' is there already, in line 2");
    refuse("models:\n  a: {aliases: [b]}\n  b:\n",
           "line 3: the name 'b' is that of the model in line 2 already");
    refuse("models:\n  a:\n  b: {aliases: [a]}\n", "the name 'a' is that of the model in line 2");
    refuse("models:\n  a: {aliases: [x]}\n  b: {aliases: [y, x]}\n", "the name 'x' is that of");
    refuse("models:\n  a: {aliases: [x, x]}\n", "the name 'x' is that of the model in line 2");
    refuse("models:\n  a: {aliases: [a]}\n", "the name 'a' is that of the model in line 2");
    refuse("models: {'': {}}", "'' is not a model name");
    refuse("models: {./a: {path: /a}}", "'./a' is not a model name");
    refuse("models: {/a: {path: /a}}", "'/a' is not a model name");
    refuse("models: {a: {aliases: ['']}}", "'' is not a model name");
    refuse("models: {b/a: {}}", "model 'b/a' has no path, which a name with a '/' needs");
}

static void test_models_and_where_they_are(void **state)
{
    (void)state;
    read_text("models:\n"
              "  e5-small-v2:\n"
              "    aliases: [e5-small, intfloat/e5-small-v2]\n"
              "    prompts:\n"
              "      query: 'query: '\n"
              "      passage: 'passage: '\n"
              "    default_prompt: query\n"
              "    precision: fp32\n"
              "    warmup: false\n"
              "  here: {path: packs/x}\n"
              "  org/there: {path: /packs/y}\n"
              "  bare:\n");
    assert_int_equal(file.model_count, 4);
    const ce_config_model *e5 = ce_config_file_find(&file, "e5-small-v2");
    assert_ptr_equal(e5, ce_config_file_find(&file, "e5-small"));
    assert_ptr_equal(e5, ce_config_file_find(&file, "intfloat/e5-small-v2"));
    assert_string_equal(e5->target, "e5-small-v2");
    assert_string_equal(e5->default_prompt, "query");
    assert_string_equal(ce_yaml_member(e5->prompts, "passage")->text, "passage: ");
    assert_true(e5->has_precision && e5->has_warmup);
    assert_int_equal(e5->precision, CITADEL_PRECISION_FP32);
    assert_false(e5->warmup);
    assert_int_equal(e5->line, 2);
    assert_string_equal(ce_config_file_find(&file, "here")->target, "/etc/packs/x");
    assert_string_equal(ce_config_file_find(&file, "org/there")->target, "/packs/y");
    const ce_config_model *bare = ce_config_file_find(&file, "bare");
    assert_string_equal(bare->target, "bare");
    assert_false(bare->has_precision || bare->has_warmup);
    assert_null(ce_config_file_find(&file, "E5-small"));
}

static void refuse_path(const char *path, int status, const char *message)
{
    assert_int_equal(ce_config_file_read(&file, path, 1, &error), status);
    if (!strstr(error.message, message))
        fail_msg("\"%s\", expected \"%s\"", error.message, message);
    assert_null(file.path);
}

static void write_file(const char *path, const char *text, size_t size)
{
    FILE *out = fopen(path, "w");
    assert_non_null(out);
    assert_int_equal(fwrite(text, 1, size, out), size);
    assert_int_equal(fclose(out), 0);
}

static void test_files_that_cannot_be_read(void **state)
{
    (void)state;
    char directory[] = "/tmp/citadel_embed-config-XXXXXX", path[PATH_MAX + 16], resolved[PATH_MAX];
    assert_non_null(mkdtemp(directory));
    assert_non_null(realpath(directory, resolved));
    snprintf(path, sizeof path, "%s/c.yaml", resolved);
    refuse_path(path, CE_E_NOT_FOUND, "c.yaml'");
    refuse_path(directory, CE_E_IO, "is not a file");
    assert_int_equal(ce_config_file_read(&file, path, 0, &error), CE_OK);
    assert_null(file.path);

    assert_int_equal(mkfifo(path, 0600), 0); /* nobody will ever write to it */
    refuse_path(path, CE_E_IO, "is not a file");
    assert_int_equal(unlink(path), 0);

    write_file(path, "threads: 0\n", 11);
    refuse_path(path, CE_E_INVALID_ARGUMENT, path);
    refuse_path(path, CE_E_INVALID_ARGUMENT, "/c.yaml: line 1: threads is '0'");
    if (geteuid() != 0 && chmod(path, 0) == 0)
        refuse_path(path, CE_E_IO, "Permission denied");
    unlink(path);

    char *large = calloc(1, (1 << 20) + 1);
    assert_non_null(large);
    memset(large, '\n', (1 << 20) + 1);
    write_file(path, large, (1 << 20) + 1);
    refuse_path(path, CE_E_INVALID_ARGUMENT, "has 1048577 bytes, expected at most 1048576");
    write_file(path, large, 1 << 20);
    assert_int_equal(ce_config_file_read(&file, path, 1, &error), CE_OK);
    assert_string_equal(file.path, path);
    free(large);

    write_file(path, "models: {a: {path: b}}", 22);
    ce_config_file_free(&file);
    assert_int_equal(chdir(directory), 0);
    assert_int_equal(ce_config_file_read(&file, "c.yaml", 1, &error), CE_OK);
    assert_string_equal(file.path, path);
    strcpy(strrchr(path, '/'), "/b");
    assert_string_equal(file.models[0].target, path);
    assert_int_equal(unlink("c.yaml") + chdir("/") + rmdir(directory), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_every_setting_can_stand_in_a_file, drop_file),
        cmocka_unit_test_teardown(test_an_empty_file_sets_nothing, drop_file),
        cmocka_unit_test_teardown(test_bad_values_are_refused_with_line_value_and_what_is_allowed,
                                  drop_file),
        cmocka_unit_test_teardown(test_unknown_keys_and_shapes, drop_file),
        cmocka_unit_test_teardown(test_a_name_is_that_of_one_model, drop_file),
        cmocka_unit_test_teardown(test_models_and_where_they_are, drop_file),
        cmocka_unit_test_teardown(test_files_that_cannot_be_read, drop_file),
    };
    return cmocka_run_group_tests_name("config_file", tests, NULL, NULL);
}
