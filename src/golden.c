#include "golden.h"

#include "base/mem.h"
#include "embed.h"

#include <math.h>

/* The first texts of a pack are short: together they are one batch, and the check one pass over the weights. */
enum { GOLDEN_CHECKED = 3 };

#define FP32_TOLERANCE 1e-5
#define REDUCED_COSINE .9999

/* Largest difference from the stored vector; the comparison is written so that NaN is a difference too. */
static double largest_difference(const float *a, const float *b, size_t count)
{
    double largest = 0;
    for (size_t i = 0; i < count; i++) {
        double difference = fabs((double)a[i] - b[i]);
        if (!(difference <= largest))
            largest = difference;
    }
    return largest;
}

static double dot(const float *a, const float *b, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += (double)a[i] * b[i];
    return sum;
}

/* Of two vectors of zeros it is 1. */
static double cosine_of(const float *a, const float *b, size_t count)
{
    double squares_a = dot(a, a, count), squares_b = dot(b, b, count);
    if (squares_a == 0 && squares_b == 0)
        return 1;
    return dot(a, b, count) / sqrt(squares_a) / sqrt(squares_b);
}

/* Vectors that are not normalised are compared relative to their size. */
static double tolerance_of(const float *vector, size_t count)
{
    double scale = 1;
    for (size_t i = 0; i < count; i++)
        if (fabs((double)vector[i]) > scale)
            scale = fabs((double)vector[i]);
    return FP32_TOLERANCE * scale;
}

/* Another machine may round a little differently from the one that recorded. */
static double cosine_needed(const ce_artifact *form)
{
    if (form->min_cosine == 0)
        return REDUCED_COSINE;
    if (form->precision == CITADEL_PRECISION_INT8 ||
        form->precision == CITADEL_PRECISION_INT8_ACCURATE)
        return form->min_cosine - .001;
    return fmin(REDUCED_COSINE, form->min_cosine - .0005);
}

static int compare(const citadel_model *model, size_t index, double difference, double cosine,
                   ce_error *error)
{
    const ce_pack *pack = model->pack;
    const float *expected = pack->golden.vectors + index * pack->dim;
    const char *verdict = "this backend does not compute this model correctly";
    double tolerance = tolerance_of(expected, pack->dim);
    double needed = cosine_needed(pack->chosen);
    if (!isfinite(difference))
        return ce_fail(error, CE_E_BAD_MODEL,
                       "golden text %zu: the vector in the pack is not finite", index);
    if (pack->chosen->precision == CITADEL_PRECISION_FP32 && difference > tolerance)
        return ce_fail(error, CE_E_BAD_MODEL,
                       "golden text %zu: the vector differs by %.3g from the one in the pack, %.3g "
                       "is allowed: %s",
                       index, difference, tolerance, verdict);
    if (pack->chosen->precision != CITADEL_PRECISION_FP32 && !(cosine >= needed))
        return ce_fail(error, CE_E_BAD_MODEL,
                       "golden text %zu: the cosine with the vector in the pack is %.6f, %.6f is "
                       "needed: %s",
                       index, cosine, needed, verdict);
    return CE_OK;
}

static int compare_all(citadel_model *model, size_t count, const float *vectors, ce_error *error)
{
    size_t dim = model->pack->dim;
    int status = CE_OK;
    model->golden_error = 0;
    model->golden_cosine = 1;
    for (size_t i = 0; i < count && status == CE_OK; i++) {
        const float *expected = model->pack->golden.vectors + i * dim;
        double difference = largest_difference(vectors + i * dim, expected, dim);
        double cosine = cosine_of(vectors + i * dim, expected, dim);
        model->golden_error = fmax(model->golden_error, difference);
        model->golden_cosine = fmin(model->golden_cosine, cosine);
        status = compare(model, i, difference, cosine, error);
    }
    model->golden_texts = (uint32_t)count;
    return status;
}

int ce_golden_check(citadel_model *model, ce_error *error)
{
    const ce_golden *golden = &model->pack->golden;
    const citadel_embed_options options = {.size = sizeof options, .prompt = ""};
    size_t count = golden->count < GOLDEN_CHECKED ? golden->count : GOLDEN_CHECKED;
    size_t numbers = count * model->pack->dim;
    float *vectors = ce_reallocarray(NULL, numbers, sizeof *vectors);
    if (!vectors)
        return ce_fail(error, CE_E_NO_MEMORY, "no memory for %zu golden vectors of %u", count,
                       model->pack->dim);
    int status = ce_embed(model, (const char *const *)golden->texts, golden->lengths, count,
                          &options, vectors, numbers, NULL, NULL, error);
    if (status == CE_OK) {
        status = compare_all(model, count, vectors, error);
    } else {
        ce_error_prefix(error, "golden texts");
        status = status == CE_E_NOT_FINITE ? CE_E_BAD_MODEL : status;
    }
    ce_free(vectors);
    return status;
}
