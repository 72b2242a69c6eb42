/* What this processor can do, in the words of /proc/cpuinfo. */
#ifndef CE_CPU_H
#define CE_CPU_H

typedef struct ce_cpu {
    int known;        /* 0: the features could not be read */
    char flags[8192]; /* between spaces */
} ce_cpu;

void ce_cpu_read(ce_cpu *cpu);

/* 0 also for a processor that is not known. */
int ce_cpu_has(const ce_cpu *cpu, const char *feature);

#endif
