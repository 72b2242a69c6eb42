#include "cpu.h"

#include <stdio.h>
#include <string.h>

/* All processors of a machine are alike, as far as programs are concerned: the first one speaks for them. A line that
 * does not fit is not known, as its last word may be cut to another one. */
static int find_flags(FILE *file, char *line, int size)
{
    int begins = 1;
    while (fgets(line, size, file)) {
        int whole = strchr(line, '\n') != NULL;
        if (begins && strncmp(line, "flags", 5) == 0)
            return whole;
        begins = whole;
    }
    return 0;
}

void ce_cpu_read(ce_cpu *cpu)
{
    cpu->known = 0;
    FILE *file = fopen("/proc/cpuinfo", "re");
    if (!file)
        return;
    cpu->known = find_flags(file, cpu->flags, sizeof cpu->flags);
    fclose(file);
}

int ce_cpu_has(const ce_cpu *cpu, const char *feature)
{
    size_t length = strlen(feature);
    if (!cpu->known || length == 0)
        return 0;
    const char *at = cpu->flags;
    while ((at = strstr(at, feature))) {
        int begins = at == cpu->flags || at[-1] == ' ';
        if (begins && (at[length] == ' ' || at[length] == '\n' || at[length] == '\0'))
            return 1;
        at += length;
    }
    return 0;
}
