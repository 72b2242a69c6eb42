/* How near the vectors of a reduced precision are to those in fp32. */
#ifndef CE_NATIVE_ACCURACY_H
#define CE_NATIVE_ACCURACY_H

#include "backend.h"

/* Of `count` vectors with `dim` numbers each: cosines, and how many of the NEIGHBOURS nearest of each among the others
 * stay. Nothing is found of fewer than two vectors, or where a cosine is no number. */
void ce_accuracy_find(const float *vectors, const float *reference, size_t count, size_t dim,
                      ce_accuracy *out);

#endif
