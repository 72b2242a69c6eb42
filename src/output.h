/* The last step of the road: a pooled vector into the caller's row. */
#ifndef CE_OUTPUT_H
#define CE_OUTPUT_H

#include <stddef.h>

typedef struct ce_output {
    size_t model_dim; /* numbers that the backend gives */
    size_t dim;       /* numbers that are kept */
    int normalize_model;
    int normalize_cut;
} ce_output;

/* Normalise, cut, normalise again as asked. Returns 0, and writes zeros, if any number that was computed or would be
 * written is not finite. */
int ce_output_write(const ce_output *output, const float *vector, float *row);

#endif
