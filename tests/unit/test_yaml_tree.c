#include "cmocka_all.h"

#include "yaml_tree.h"

#include <stdlib.h>

static ce_error error;

static ce_yaml *read_text(const char *text)
{
    ce_yaml *tree;
    if (ce_yaml_read(text, strlen(text), &tree, &error) != CE_OK)
        fail_msg("%s: %s", text, error.message);
    return tree;
}

static void refuse_bytes(const char *text, size_t size, int status, const char *message)
{
    ce_yaml *tree = (ce_yaml *)&tree;
    assert_int_equal(ce_yaml_read(text, size, &tree, &error), status);
    assert_null(tree);
    if (!strstr(error.message, message))
        fail_msg("\"%s\", expected \"%s\"", error.message, message);
}

static void refuse_text(const char *text, const char *message)
{
    refuse_bytes(text, strlen(text), CE_E_INVALID_ARGUMENT, message);
}

static void test_maps_lists_and_texts(void **state)
{
    (void)state;
    ce_yaml *tree = read_text("# a comment\n"
                              "plain: yes\n"
                              "quoted: 'yes'\n"
                              "list:\n  - one\n  - \"t\\u00e9 two\"\n"
                              "map: {a: 1, b: [2, 3]}\n"
                              "folded: >-\n  more\n  lines\n");
    assert_int_equal(tree->kind, CE_YAML_MAP);
    const ce_yaml *plain = ce_yaml_member(tree, "plain"), *quoted = ce_yaml_member(tree, "quoted");
    assert_string_equal(plain->text, "yes");
    assert_true(plain->plain);
    assert_int_equal(plain->line, 2);
    assert_string_equal(quoted->text, "yes");
    assert_false(quoted->plain);
    const ce_yaml *list = ce_yaml_member(tree, "list");
    assert_int_equal(list->kind, CE_YAML_LIST);
    assert_string_equal(list->first->text, "one");
    assert_int_equal(list->first->line, 5);
    assert_string_equal(list->last->text, "t\xC3\xA9 two");
    const ce_yaml *map = ce_yaml_member(tree, "map");
    assert_int_equal(ce_yaml_member(map, "b")->kind, CE_YAML_LIST);
    assert_string_equal(ce_yaml_member(map, "b")->last->text, "3");
    assert_string_equal(ce_yaml_member(tree, "folded")->text, "more lines");
    assert_null(ce_yaml_member(tree, "missing"));
    ce_yaml_free(tree);
}

static void test_nothing_is_a_text_without_a_document(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "\n\n", "# only a comment\n", "\xEF\xBB\xBF"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_null(read_text(texts[i]));
}

static void test_null_is_nothing_a_tilde_or_the_word(void **state)
{
    (void)state;
    ce_yaml *tree = read_text("[~, null, Null, '', '~', nil]");
    int expected[] = {1, 1, 1, 0, 0, 0}, i = 0;
    for (const ce_yaml *item = tree->first; item; item = item->next, i++)
        assert_int_equal(ce_yaml_is_null(item), expected[i]);
    ce_yaml_free(tree);
}

static void test_what_is_not_yaml_is_refused_with_its_line(void **state)
{
    (void)state;
    refuse_text("a: 1\nb: [1, 2\nc: 3\n", "line 3: not YAML: ");
    refuse_text("a: 1\n\tb: 2\n", "line 2: not YAML: ");
    refuse_text("a: 1\nb: 'unfinished\n", "not YAML: ");
    refuse_text("a: 1\nb: \"\\q\"\n", "line 2: not YAML: ");
    refuse_text("a: 1\n\n\x01", "line 3: not YAML: ");
    refuse_text("a: b: c\n", "line 1: not YAML: ");
    refuse_text("a: 1\n- b\n", "line 2: not YAML: ");
}

static void test_bytes_that_are_not_utf8(void **state)
{
    (void)state;
    refuse_bytes("a: 1\nb: \xFF\n", 10, CE_E_INVALID_UTF8, "line 2: byte 8 of the file");
    refuse_bytes("\xFF\xFE"
                 "a\0:\0",
                 6, CE_E_INVALID_UTF8, "line 1: byte 0");
    refuse_bytes("a: \0", 4, CE_E_INVALID_ARGUMENT, "line 1: not YAML: ");
    refuse_bytes("a: \xC3", 4, CE_E_INVALID_UTF8, "line 1: byte 3");
}

static void test_what_yaml_has_beyond_a_tree_is_refused(void **state)
{
    (void)state;
    static const char decorated[] = "anchors (&), aliases (*) and tags (!) are not read";
    refuse_text("a: &x 1\n", decorated);
    refuse_text("a: 1\nb: *x\n", "line 2: anchors");
    refuse_text("a: !!str 1\n", decorated);
    refuse_text("a: !own {}\n", decorated);
    refuse_text("a: &x [1]\n", decorated);
    refuse_text("&x a: 1\n", "a key must be a mere text");
    refuse_text("? [a]\n: 1\n", "a key must be a mere text");
    refuse_text("a: 1\n---\nb: 2\n", "a second document begins");
    refuse_text("a: \"x\\0y\"\n", "NUL");
}

static void test_a_key_comes_once(void **state)
{
    (void)state;
    refuse_text("a: 1\nb: 2\na: 3\n", "line 3: 'a' is there already, in line 1");
    refuse_text("m:\n  a: 1\n  'a': 3\n", "line 3: 'a' is there already, in line 2");
    ce_yaml_free(read_text("a: {x: 1}\nb: {x: 1}\n"));
}

static void test_deep_and_large_files(void **state)
{
    (void)state;
    ce_yaml_free(read_text("[[[[[[[[x]]]]]]]]"));
    refuse_text("[[[[[[[[[x]]]]]]]]]", "more than 8 lists and maps inside each other");
    enum { SIZE = 1 << 20 };
    char *text = malloc(SIZE + 1);
    assert_non_null(text);
    memset(text, '[', SIZE);
    refuse_bytes(text, SIZE, CE_E_INVALID_ARGUMENT, "more than 8");
    for (int i = 0; i < SIZE; i += 4)
        memcpy(text + i, "- a\n", 4);
    refuse_bytes(text, SIZE, CE_E_INVALID_ARGUMENT, "more than 10000 values");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_maps_lists_and_texts),
        cmocka_unit_test(test_nothing_is_a_text_without_a_document),
        cmocka_unit_test(test_null_is_nothing_a_tilde_or_the_word),
        cmocka_unit_test(test_what_is_not_yaml_is_refused_with_its_line),
        cmocka_unit_test(test_bytes_that_are_not_utf8),
        cmocka_unit_test(test_what_yaml_has_beyond_a_tree_is_refused),
        cmocka_unit_test(test_a_key_comes_once),
        cmocka_unit_test(test_deep_and_large_files),
    };
    return cmocka_run_group_tests_name("yaml_tree", tests, NULL, NULL);
}
