/* Threads that work on one thing together. */
#ifndef CE_BASE_TEAM_H
#define CE_BASE_TEAM_H

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ce_team ce_team;

struct ce_team {
    int threads; /* the calling one included */
    /* Run body(argument, index) for index 0 .. threads - 1 at the same time, index 0 on the calling
     * thread, and return when all have. They may wait for each other (base/barrier.h). */
    void (*run)(ce_team *team, void (*body)(void *argument, int index), void *argument);
};

#ifdef __cplusplus
}
#endif

#endif
