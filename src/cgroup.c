#include "cgroup.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

static unsigned smaller(unsigned a, unsigned b)
{
    return !a || (b && b < a) ? b : a;
}

static unsigned rounded_up(long long quota, long long period)
{
    if (quota <= 0 || period <= 0)
        return 0;
    long long cpus = quota / period + (quota % period != 0);
    return cpus < INT_MAX ? (unsigned)cpus : INT_MAX;
}

/* The numbers in a file, at most `count`; returns how many. */
static int read_numbers(const char *folder, const char *name, long long *numbers, int count)
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path)
        return 0;
    FILE *file = fopen(path, "re");
    if (!file)
        return 0;
    int found = 0;
    while (found < count && fscanf(file, "%lld", &numbers[found]) == 1)
        found++;
    fclose(file);
    return found;
}

/* "max 100000", which is no number, is no limit. */
static unsigned quota_of(const char *folder)
{
    long long quota, period, both[2];
    if (read_numbers(folder, "cpu.max", both, 2) == 2)
        return rounded_up(both[0], both[1]);
    if (read_numbers(folder, "cpu.cfs_quota_us", &quota, 1) &&
        read_numbers(folder, "cpu.cfs_period_us", &period, 1))
        return rounded_up(quota, period);
    return 0;
}

/* Of a group and of those above it. In a container the group's path may be the host's, of which only the root is there
 * to be seen: it is the container's. */
static unsigned quota_upwards(const char *mount, char *group)
{
    char folder[PATH_MAX];
    unsigned cpus = 0;
    for (;;) {
        if (!strstr(group, "/..") &&
            snprintf(folder, sizeof folder, "%s%s", mount, group) < (int)sizeof folder)
            cpus = smaller(cpus, quota_of(folder));
        char *slash = strrchr(group, '/');
        if (!slash)
            return cpus;
        *slash = '\0';
    }
}

static int has_cpu(const char *controllers)
{
    for (const char *at = controllers; *at; at += strspn(at, ",")) {
        size_t length = strcspn(at, ",");
        if (length == 3 && memcmp(at, "cpu", 3) == 0)
            return 1;
        at += length;
    }
    return 0;
}

/* "0::/path" of version 2, whose root is the whole folder; "4:cpu,cpuacct:/path" of version 1, mounted under that name. */
static unsigned quota_of_line(const char *root, char *line)
{
    char mount[PATH_MAX];
    line[strcspn(line, "\n")] = '\0';
    char *controllers = strchr(line, ':');
    char *group = controllers ? strchr(controllers + 1, ':') : NULL;
    if (!group)
        return 0;
    *controllers++ = '\0';
    *group++ = '\0';
    if (*controllers && !has_cpu(controllers))
        return 0;
    int printed = snprintf(mount, sizeof mount, "%s/sys/fs/cgroup%s%s", root,
                           *controllers ? "/" : "", controllers);
    return printed < (int)sizeof mount ? quota_upwards(mount, group) : 0;
}

unsigned ce_cgroup_cpus(const char *root)
{
    char text[PATH_MAX + 64];
    unsigned cpus = 0;
    snprintf(text, sizeof text, "%s/proc/self/cgroup", root);
    FILE *file = fopen(text, "re");
    while (file && fgets(text, sizeof text, file))
        cpus = smaller(cpus, quota_of_line(root, text));
    if (file)
        fclose(file);
    return cpus;
}
