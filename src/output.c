#include "output.h"

#include <math.h>
#include <string.h>

/* The divisor of torch.nn.functional.normalize: the length, but never so small that the quotient explodes. */
static double divisor(const float *vector, size_t dim)
{
    double sum = 0;
    for (size_t i = 0; i < dim; i++)
        sum += (double)vector[i] * vector[i];
    double length = sqrt(sum);
    return length > 1e-12 ? length : 1e-12;
}

static int all_finite(const float *vector, size_t dim)
{
    for (size_t i = 0; i < dim; i++)
        if (!isfinite(vector[i]))
            return 0;
    return 1;
}

static void scale(const float *from, float *to, size_t dim, double by)
{
    for (size_t i = 0; i < dim; i++)
        to[i] = (float)(from[i] * by);
}

int ce_output_write(const ce_output *output, const float *vector, float *row)
{
    int finite = all_finite(vector, output->model_dim);
    if (finite) {
        double by = output->normalize_model ? 1 / divisor(vector, output->model_dim) : 1;
        scale(vector, row, output->dim, by);
        if (output->normalize_cut)
            scale(row, row, output->dim, 1 / divisor(row, output->dim));
        finite = all_finite(row, output->dim);
    }
    if (!finite)
        memset(row, 0, output->dim * sizeof *row);
    return finite;
}
