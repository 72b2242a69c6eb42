#include "cmocka_all.h"

#include "cgroup.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

static char root[64];

static void write_file(const char *path, const char *text)
{
    char full[PATH_MAX];
    snprintf(full, sizeof full, "%s/%s", root, path);
    for (char *slash = strchr(full + strlen(root) + 1, '/'); slash;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(full, 0700);
        *slash = '/';
    }
    FILE *file = fopen(full, "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static int set_up(void **state)
{
    (void)state;
    strcpy(root, "/tmp/cgroup_XXXXXX");
    return !mkdtemp(root);
}

static int tear_down(void **state)
{
    char command[128];
    (void)state;
    snprintf(command, sizeof command, "rm -r '%s'", root);
    return system(command);
}

static void test_nothing_known(void **state)
{
    (void)state;
    assert_int_equal(ce_cgroup_cpus(root), 0);
    write_file("proc/self/cgroup", "nonsense\n0::/\n4:cpu:/a\n1:name=systemd:/\n");
    assert_int_equal(ce_cgroup_cpus(root), 0);
    write_file("sys/fs/cgroup/cpu.max", "max 100000\n");
    assert_int_equal(ce_cgroup_cpus(root), 0);
    write_file("sys/fs/cgroup/cpu.max", "100000 0\n");
    assert_int_equal(ce_cgroup_cpus(root), 0);
}

static void test_root_of_version_2(void **state)
{
    (void)state;
    write_file("proc/self/cgroup", "0::/\n");
    write_file("sys/fs/cgroup/cpu.max", "250000 100000\n");
    assert_int_equal(ce_cgroup_cpus(root), 3);
    write_file("sys/fs/cgroup/cpu.max", "50000 100000\n");
    assert_int_equal(ce_cgroup_cpus(root), 1);
}

static void test_smallest_of_a_nested_group_of_version_2(void **state)
{
    (void)state;
    write_file("proc/self/cgroup", "0::/a.slice/b.service/c\n");
    write_file("sys/fs/cgroup/a.slice/b.service/c/cpu.max", "800000 100000\n");
    assert_int_equal(ce_cgroup_cpus(root), 8);
    write_file("sys/fs/cgroup/a.slice/cpu.max", "400000 100000\n");
    write_file("sys/fs/cgroup/a.slice/b.service/cpu.max", "max 100000\n");
    write_file("sys/fs/cgroup/other/cpu.max", "100000 100000\n");
    assert_int_equal(ce_cgroup_cpus(root), 4);
}

/* Without a name space of its own a container sees the host's path. */
static void test_path_that_is_not_there(void **state)
{
    (void)state;
    write_file("proc/self/cgroup", "0::/docker/0123\n");
    write_file("sys/fs/cgroup/cpu.max", "200000 100000\n");
    assert_int_equal(ce_cgroup_cpus(root), 2);
    write_file("proc/self/cgroup", "0::/../../outside\n");
    assert_int_equal(ce_cgroup_cpus(root), 2);
}

static void test_version_1(void **state)
{
    (void)state;
    write_file("proc/self/cgroup", "9:cpuset:/\n4:cpu,cpuacct:/user/a\n1:name=systemd:/\n0::/\n");
    write_file("sys/fs/cgroup/cpu,cpuacct/user/a/cpu.cfs_quota_us", "-1\n");
    write_file("sys/fs/cgroup/cpu,cpuacct/user/a/cpu.cfs_period_us", "100000\n");
    write_file("sys/fs/cgroup/cpuset/cpu.cfs_quota_us", "100000\n");
    write_file("sys/fs/cgroup/cpuset/cpu.cfs_period_us", "100000\n");
    assert_int_equal(ce_cgroup_cpus(root), 0);
    write_file("sys/fs/cgroup/cpu,cpuacct/user/cpu.cfs_quota_us", "150000\n");
    write_file("sys/fs/cgroup/cpu,cpuacct/user/cpu.cfs_period_us", "50000\n");
    assert_int_equal(ce_cgroup_cpus(root), 3);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_nothing_known),
        TEST(test_root_of_version_2),
        TEST(test_smallest_of_a_nested_group_of_version_2),
        TEST(test_path_that_is_not_there),
        TEST(test_version_1),
    };
    return cmocka_run_group_tests_name("cgroup", tests, NULL, NULL);
}
