#include "native/accuracy.h"

#include <math.h>

enum { NEIGHBOURS = 10 };

static double dot(const float *a, const float *b, size_t dim)
{
    double sum = 0;
    for (size_t i = 0; i < dim; i++)
        sum += (double)a[i] * b[i];
    return sum;
}

static double cosine(const float *a, const float *b, size_t dim)
{
    return dot(a, b, dim) / sqrt(dot(a, a, dim) * dot(b, b, dim));
}

/* The NEIGHBOURS, or as many as there are, that are nearest to vector `of`. */
static size_t nearest(const float *vectors, size_t count, size_t dim, size_t of, size_t *found)
{
    double cosines[NEIGHBOURS];
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        double near = cosine(vectors + i * dim, vectors + of * dim, dim);
        if (i == of || (used == NEIGHBOURS && !(near > cosines[used - 1])))
            continue;
        size_t at = used < NEIGHBOURS ? used++ : used - 1;
        for (; at > 0 && near > cosines[at - 1]; at--) {
            cosines[at] = cosines[at - 1];
            found[at] = found[at - 1];
        }
        cosines[at] = near;
        found[at] = i;
    }
    return used;
}

static double overlap(const float *vectors, const float *reference, size_t count, size_t dim)
{
    size_t shared = 0, all = 0;
    for (size_t of = 0; of < count; of++) {
        size_t a[NEIGHBOURS], b[NEIGHBOURS];
        size_t used = nearest(vectors, count, dim, of, a);
        nearest(reference, count, dim, of, b);
        for (size_t i = 0; i < used * used; i++)
            shared += a[i / used] == b[i % used];
        all += used;
    }
    return (double)shared / (double)all;
}

void ce_accuracy_find(const float *vectors, const float *reference, size_t count, size_t dim,
                      ce_accuracy *out)
{
    double least = 1, sum = 0;
    *out = (ce_accuracy){0};
    if (count < 2)
        return;
    for (size_t i = 0; i < count; i++) {
        double near = cosine(vectors + i * dim, reference + i * dim, dim);
        least = near < least ? near : least;
        sum += near;
    }
    if (isfinite(sum))
        *out = (ce_accuracy){least, sum / (double)count, overlap(vectors, reference, count, dim)};
}
