/* The limits that a control group sets. */
#ifndef CE_CGROUP_H
#define CE_CGROUP_H

/* CPUs that this process may use by the quotas of its control group and of those above, of either version, rounded up;
 * 0: no limit is known. Files are looked for below `root`, which is "" but in tests. */
unsigned ce_cgroup_cpus(const char *root);

#endif
