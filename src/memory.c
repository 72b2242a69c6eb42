#include "memory.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#if defined(__GLIBC__)
#include <malloc.h>
#endif

uint64_t ce_memory_resident(void)
{
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    char text[128];
    ssize_t size = read(fd, text, sizeof text - 1);
    close(fd);
    unsigned long long pages;
    text[size > 0 ? size : 0] = '\0';
    if (sscanf(text, "%*u %llu", &pages) != 1)
        return 0;
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

uint64_t ce_memory_peak(void)
{
    FILE *file = fopen("/proc/self/status", "re");
    if (!file)
        return 0;
    char line[256];
    unsigned long long kib = 0;
    while (kib == 0 && fgets(line, sizeof line, file))
        if (sscanf(line, "VmHWM: %llu kB", &kib) != 1)
            kib = 0;
    fclose(file);
    return (uint64_t)kib * 1024;
}

void ce_memory_trim(void)
{
#if defined(__GLIBC__)
    malloc_trim(0);
#endif
}
