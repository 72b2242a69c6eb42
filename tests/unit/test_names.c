#include "cmocka_all.h"

#include "base/mem.h"
#include "names.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* A directory of our own, in which the tests stand, and in it two directories of the model path. */
static char root[PATH_MAX], paths[2 * PATH_MAX + 16];
static ce_error error;

static void make_directory(const char *name)
{
    if (mkdir(name, 0700) != 0)
        fail_msg("cannot make %s", name);
}

static int set_up(void **state)
{
    (void)state;
    char template[] = "/tmp/citadel_embed-names-XXXXXX";
    if (!mkdtemp(template) || !realpath(template, root) || chdir(root) != 0)
        return -1;
    static const char *const names[] = {"one",   "two",   "one/a",     "two/a",
                                        "two/b", "local", "local/two", "two/c d"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        make_directory(names[i]);
    FILE *file = fopen("one/b", "w"); /* a file is no model */
    if (!file || fclose(file) != 0 || symlink("two/b", "link") != 0)
        return -1;
    snprintf(paths, sizeof paths, "%s/one:%s/two", root, root);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    char command[PATH_MAX + 16];
    snprintf(command, sizeof command, "rm -r '%s'", root);
    return chdir("/") != 0 || system(command) != 0;
}

static void find_in(const char *name, const char *model_path, const char *expected)
{
    char *found, path[PATH_MAX + 32];
    snprintf(path, sizeof path, "%s/%s", root, expected);
    if (ce_names_resolve(name, model_path, &found, &error) != CE_OK)
        fail_msg("%s: %s", name, error.message);
    assert_string_equal(found, path);
    ce_free(found);
}

static void refuse_in(const char *name, const char *model_path, int status, const char *message)
{
    char *found = "";
    int got = ce_names_resolve(name, model_path, &found, &error);
    if (got != status || !strstr(error.message, message))
        fail_msg("%s: %d \"%s\", expected %d \"%s\"", name, got, error.message, status, message);
    assert_null(found);
}

static void test_names_are_looked_for_along_the_model_path(void **state)
{
    (void)state;
    find_in("a", paths, "one/a"); /* the first one counts */
    find_in("b", paths, "two/b"); /* a directory, not the file of that name */
    find_in("c d", paths, "two/c d");
    refuse_in("d", paths, CE_E_NOT_FOUND, "no model 'd' in the model path '/");
}

static void test_model_paths_may_have_odd_parts(void **state)
{
    (void)state;
    find_in("a", "one", "one/a");
    find_in("a", "::one::", "one/a");
    find_in("b", "nowhere:one:two/", "two/b");
    find_in("b", "one/../two", "two/b");
    refuse_in("a", "", CE_E_NOT_FOUND, "no model 'a' in the model path ''");
    refuse_in("a", ":::", CE_E_NOT_FOUND, "no model 'a'");
    char *longest = malloc(2 * PATH_MAX);
    memset(longest, 'x', 2 * PATH_MAX);
    snprintf(longest + PATH_MAX + 100, 100, ":two");
    find_in("b", longest, "two/b");
    free(longest);
}

/* An empty part does not stand for the root or the working directory, as it does in PATH. */
static void test_working_directory_is_not_searched(void **state)
{
    (void)state;
    refuse_in("local", paths, CE_E_NOT_FOUND, "; for the directory here say './local'");
    refuse_in("local", ":", CE_E_NOT_FOUND, "./local");
    refuse_in("tmp", "", CE_E_NOT_FOUND, "no model 'tmp'");
    find_in("./local", paths, "local");
}

static void test_names_with_a_slash_are_paths(void **state)
{
    (void)state;
    char absolute[PATH_MAX + 16];
    snprintf(absolute, sizeof absolute, "%s/two/b", root);
    find_in(absolute, "", "two/b");
    find_in("two/b/", "", "two/b");
    find_in("./two/../one/a", "", "one/a");
    find_in("./link", "", "two/b"); /* one pack under one name, whatever led to it */
    refuse_in("a/", paths, CE_E_NOT_FOUND, "model 'a/': No such file or directory");
    refuse_in("./one/b", paths, CE_E_NOT_FOUND, "model './one/b' is not a directory");
    refuse_in("one/b/c", paths, CE_E_IO, "model 'one/b/c': Not a directory");
}

static void test_dots_and_nothing_are_no_names(void **state)
{
    (void)state;
    static const char *const names[] = {"", ".", ".."};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        refuse_in(names[i], paths, CE_E_INVALID_ARGUMENT,
                  "is not a model name; a path needs a '/'");
    find_in("two/..//one/.", "", "one");
}

static void test_names_longer_than_any_path_are_not_found(void **state)
{
    (void)state;
    enum { SIZE = 2 * PATH_MAX };
    char *name = malloc(SIZE);
    memset(name, 'n', SIZE);
    name[SIZE - 1] = '\0';
    refuse_in(name, paths, CE_E_NOT_FOUND, "no model 'nnn");
    name[0] = '/';
    refuse_in(name, paths, CE_E_IO, "model '/nnn");
    free(name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_are_looked_for_along_the_model_path),
        cmocka_unit_test(test_model_paths_may_have_odd_parts),
        cmocka_unit_test(test_working_directory_is_not_searched),
        cmocka_unit_test(test_names_with_a_slash_are_paths),
        cmocka_unit_test(test_dots_and_nothing_are_no_names),
        cmocka_unit_test(test_names_longer_than_any_path_are_not_found),
    };
    return cmocka_run_group_tests_name("names", tests, set_up, tear_down);
}
