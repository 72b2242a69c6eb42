#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "kernels/attention.h"

#include <math.h>

static uint32_t seed = 1;

static float uniform(void) /* -1 .. 1 */
{
    seed = seed * 1664525 + 1013904223;
    return (float)(seed >> 8) * 0x1p-23f - 1.0f;
}

/* One set of tensors and what comes out; every buffer ends where it should, for the sanitizers. */
typedef struct problem {
    ce_attention call;
    size_t tokens, elements[3]; /* of q, k, v */
    float *data[3];
    float *out; /* [tokens, heads, dim] */
    void *scratch;
} problem;

/* `gap` elements lie between heads, and between tokens once more. */
static problem problem_new(size_t tokens, size_t heads, size_t kv_heads, size_t dim, ptrdiff_t gap)
{
    problem p = {.tokens = tokens};
    ce_heads view[3];
    for (int t = 0; t < 3; t++) {
        size_t n = t == 0 ? heads : kv_heads;
        ptrdiff_t by_head = (ptrdiff_t)dim + gap, by_token = (ptrdiff_t)n * by_head + gap;
        p.elements[t] = (tokens - 1) * (size_t)by_token + (n - 1) * (size_t)by_head + dim;
        p.data[t] = ce_malloc(p.elements[t] * sizeof(float));
        assert_non_null(p.data[t]);
        for (size_t i = 0; i < p.elements[t]; i++)
            p.data[t][i] = uniform();
        view[t] = (ce_heads){p.data[t], by_token, by_head};
    }
    p.scratch = ce_aligned_alloc(64, ce_attention_scratch(CE_NUMBER_FP32, dim, tokens));
    p.out = ce_malloc(tokens * heads * dim * sizeof(float));
    ce_rows out = {.data = p.out, .stride = heads * dim * sizeof(float)};
    p.call = (ce_attention){CE_NUMBER_FP32, view[0], view[1], view[2], heads, kv_heads, dim,
                            1.0f,           -1,      -1,      out,     0};
    p.call.scale = 1.0f / sqrtf((float)dim);
    assert_non_null(p.out);
    assert_non_null(p.scratch);
    return p;
}

static void problem_free(problem *p)
{
    for (int t = 0; t < 3; t++)
        ce_free(p->data[t]);
    ce_free(p->out);
    ce_free(p->scratch);
}

static void problem_fill(problem *p, int tensor, float scale)
{
    for (size_t i = 0; i < p->elements[tensor]; i++)
        p->data[tensor][i] = uniform() * scale;
}

static void run_text(const problem *p, size_t begin, size_t end, size_t head, size_t head_end)
{
    ce_attention_text text = {begin, end - begin, begin, end - begin, 0};
    ce_attention_run(&p->call, &text, head, head_end, p->scratch);
}

static const float *element(const ce_heads *view, size_t token, size_t head)
{
    return (const float *)view->data + (ptrdiff_t)token * view->by_token +
           (ptrdiff_t)head * view->by_head;
}

/* What must come out, with sums in double, and how far off it may be: a score is known to one part in 2^24 or so, and
 * what a weight loses by that grows with the score. */
typedef struct expectation {
    double *value, *tolerance;
    double *largest; /* of v, for each row and head */
} expectation;

static void expectation_free(expectation *e)
{
    ce_free(e->value);
    ce_free(e->tolerance);
    ce_free(e->largest);
}

/* The weights of one query before they are brought to the sum 1; returns that sum. */
static double weigh(const problem *p, size_t head, size_t i, double *weight, double *size)
{
    const ce_attention *a = &p->call;
    const float *q = element(&a->q, i, head);
    double top = -INFINITY, sum = 0;
    *size = 0;
    for (size_t j = 0; j < p->tokens; j++) {
        int64_t distance = (int64_t)j - (int64_t)i;
        int visible = (a->window_left < 0 || -distance <= a->window_left) &&
                      (a->window_right < 0 || distance <= a->window_right);
        const float *k = element(&a->k, j, head / (a->heads / a->kv_heads));
        double score = 0, terms = 0;
        for (size_t d = 0; visible && d < a->head_dim; d++) {
            score += (double)q[d] * k[d];
            terms += fabs((double)q[d] * k[d]);
        }
        weight[j] = visible ? score * a->scale : -INFINITY;
        top = fmax(top, weight[j]);
        *size = fmax(*size, terms * a->scale);
    }
    for (size_t j = 0; j < p->tokens; j++) {
        weight[j] = exp(weight[j] - top);
        sum += weight[j];
    }
    return sum;
}

static expectation expect(const problem *p)
{
    const ce_attention *a = &p->call;
    size_t count = p->tokens * a->heads * a->head_dim;
    double *weight = ce_malloc(p->tokens * sizeof *weight);
    expectation e = {ce_malloc(count * sizeof(double)), ce_malloc(count * sizeof(double)),
                     ce_malloc(p->tokens * a->heads * sizeof(double))};
    assert_true(weight && e.value && e.tolerance && e.largest);
    for (size_t head = 0; head < a->heads; head++) {
        for (size_t i = 0; i < p->tokens; i++) {
            double size, sum = weigh(p, head, i, weight, &size),
                         *top = &e.largest[i * a->heads + head];
            *top = 0;
            for (size_t d = 0; d < a->head_dim; d++) {
                double value = 0, largest = 0;
                for (size_t j = 0; j < p->tokens; j++) {
                    double v = element(&a->v, j, head / (a->heads / a->kv_heads))[d];
                    value += weight[j] / sum * v;
                    largest = fmax(largest, fabs(v));
                }
                size_t at = (i * a->heads + head) * a->head_dim + d;
                e.value[at] = value;
                *top = fmax(*top, largest);
                e.tolerance[at] = (1 + size) * 4e-7 * largest + 1e-44;
            }
        }
    }
    ce_free(weight);
    return e;
}

static void check(const problem *p, const expectation *e)
{
    const ce_attention *a = &p->call;
    for (size_t i = 0; i < p->tokens * a->heads * a->head_dim; i++)
        if (!(fabs(p->out[i] - e->value[i]) <= e->tolerance[i]))
            fail_msg("isa %d length %zu dim %zu heads %zu number %zu: %.9g is not %.9g +- %.3g",
                     (int)a->isa, p->tokens, a->head_dim, a->heads, i, (double)p->out[i],
                     e->value[i], e->tolerance[i]);
}

static void run_and_check(problem *p)
{
    expectation e = expect(p);
    for (int isa = CE_ISA_GENERIC; isa <= (int)ce_isa_best(); isa++) {
        p->call.isa = (ce_isa)isa;
        for (size_t i = 0; i < p->tokens * p->call.heads * p->call.head_dim; i++)
            p->out[i] = NAN;
        run_text(p, 0, p->tokens, 0, p->call.heads);
        check(p, &e);
    }
    expectation_free(&e);
}

static uint16_t halved(float value) /* to nearest even */
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static float widened(uint16_t half)
{
    uint32_t bits = (uint32_t)half << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* The same problem in bf16: `of` is rounded to what its tensors hold then. */
typedef struct half_problem {
    problem of;
    uint16_t *data[3], *out;
    size_t stride; /* of out, in elements */
    void *scratch;
} half_problem;

static half_problem half_new(problem of)
{
    half_problem p = {.of = of};
    size_t width = of.call.heads * of.call.head_dim;
    for (int t = 0; t < 3; t++) {
        p.data[t] = ce_malloc(of.elements[t] * sizeof(uint16_t));
        assert_non_null(p.data[t]);
        for (size_t i = 0; i < of.elements[t]; i++) {
            p.data[t][i] = halved(of.data[t][i]);
            of.data[t][i] = widened(p.data[t][i]);
        }
    }
    p.stride = ce_rows_stride(CE_NUMBER_BF16, width) / 2;
    p.out = ce_malloc(of.tokens * p.stride * sizeof(uint16_t));
    p.scratch =
        ce_aligned_alloc(64, ce_attention_scratch(CE_NUMBER_BF16, of.call.head_dim, of.tokens));
    assert_true(p.out && p.scratch);
    return p;
}

static void half_free(half_problem *p)
{
    for (int t = 0; t < 3; t++)
        ce_free(p->data[t]);
    ce_free(p->out);
    ce_free(p->scratch);
    problem_free(&p->of);
}

/* As `call`, from bf16 to bf16. */
static ce_attention half_call(const half_problem *p)
{
    ce_attention call = p->of.call;
    call.number = CE_NUMBER_BF16;
    call.q.data = p->data[0];
    call.k.data = p->data[1];
    call.v.data = p->data[2];
    call.out =
        (ce_rows){.number = CE_NUMBER_BF16, .data = p->out, .stride = p->stride * sizeof(uint16_t)};
    return call;
}

enum { FULL = 0xa5a5 };

static void half_run_and_check(half_problem *p)
{
    const ce_attention *a = &p->of.call;
    size_t tokens = p->of.tokens, width = a->heads * a->head_dim;
    expectation e = expect(&p->of);
    ce_attention_text text = {0, tokens, 0, tokens, 0};
    for (int isa = CE_ISA_GENERIC; isa <= (int)ce_isa_best(); isa++) {
        p->of.call.isa = (ce_isa)isa;
        ce_attention call = half_call(p);
        for (size_t i = 0; i < tokens * p->stride; i++)
            p->out[i] = FULL;
        ce_attention_run(&call, &text, 0, a->heads, p->scratch);
        for (size_t i = 0; i < tokens * p->stride; i++) {
            size_t row = i / p->stride, at = row * width + i % p->stride;
            if (i % p->stride >= width) {
                assert_int_equal(p->out[i], FULL);
                continue;
            }
            /* One rounding of the result; on processors that multiply bf16, one of each weight. */
            double value = widened(p->out[i]),
                   largest = e.largest[row * a->heads + (i % p->stride) / a->head_dim];
            double slack =
                fabs(e.value[at]) / 256 + (isa == CE_ISA_AVX512_BF16 ? largest / 256 : 0);
            if (!(fabs(value - e.value[at]) <= slack + e.tolerance[at] * 4))
                fail_msg("isa %d length %zu dim %zu number %zu: %.9g is not %.9g", isa, tokens,
                         a->head_dim, i, value, e.value[at]);
        }
    }
    expectation_free(&e);
}

static const size_t dims[] = {1, 3, 8, 15, 16, 17, 32, 33, 64, 80, 128, 256};
#define DIMS (sizeof dims / sizeof *dims)

static void test_every_length_and_dim(void **state)
{
    (void)state;
    for (size_t length = 1; length <= 70; length++) {
        for (size_t d = 0; d < DIMS; d++) {
            if (dims[d] > 80 && length % 9 > 1) /* costly: two lengths of nine */
                continue;
            problem p = problem_new(length, 1, 1, dims[d], 0);
            problem_fill(&p, 0, 4.0f); /* so that weights differ */
            run_and_check(&p);
            half_problem half = half_new(p);
            half_run_and_check(&half);
            half_free(&half);
        }
    }
}

static void test_grouped_heads_and_strides(void **state)
{
    (void)state;
    static const size_t heads[][2] = {{2, 2}, {4, 2}, {6, 1}};
    for (size_t h = 0; h < sizeof heads / sizeof *heads; h++) {
        for (ptrdiff_t gap = 0; gap <= 5; gap += 5) {
            for (size_t length = 1; length <= 70; length += 23) {
                problem p = problem_new(length, heads[h][0], heads[h][1], 24, gap);
                run_and_check(&p);
                half_problem half = half_new(p);
                half_run_and_check(&half);
                half_free(&half);
            }
        }
    }
}

static void test_windows(void **state)
{
    (void)state;
    static const int64_t bounds[] = {-1, 0, 1, 7, 16, 31, 69, 1000, INT64_MAX};
    enum { BOUNDS = sizeof bounds / sizeof *bounds };
    for (size_t length = 1; length <= 70; length += 7) {
        half_problem half = half_new(problem_new(length, 1, 1, 16, 0));
        for (size_t w = 0; w < BOUNDS * BOUNDS; w++) {
            half.of.call.window_left = bounds[w % BOUNDS];
            half.of.call.window_right = bounds[w / BOUNDS];
            run_and_check(&half.of);
            half_run_and_check(&half);
        }
        half_free(&half);
    }
}

static void test_extreme_scores(void **state)
{
    (void)state;
    static const float scales[][2] = {{1e4f, 1},        {1e18f, 1e18f}, {100, 100},
                                      {1e-20f, 1e-20f}, {1e-40f, 1},    {0, 0}};
    for (size_t s = 0; s < sizeof scales / sizeof *scales; s++) {
        for (int causal = 0; causal < 2; causal++) {
            problem p = problem_new(45, 1, 1, 32, 0);
            problem_fill(&p, 0, scales[s][0]);
            problem_fill(&p, 1, scales[s][1]);
            p.call.window_right = causal ? 0 : -1;
            run_and_check(&p);
            problem_fill(&p, 2, 1e-40f);
            run_and_check(&p);
            problem_free(&p);
        }
    }

    /* Whole numbers, so that the scores are exact: of two equal ones far above the rest each gets
     * half, and all of them lie far below zero. */
    problem p = problem_new(40, 1, 1, 8, 0);
    for (size_t i = 0; i < p.elements[0]; i++) {
        p.data[0][i] = i % 8 == 0 ? 100.0f : 0.0f;
        p.data[1][i] = i % 8 == 0 ? (i / 8 == 3 || i / 8 == 21 ? -110.0f : -120.0f) : uniform();
    }
    p.call.scale = 1.0f;
    for (int isa = CE_ISA_GENERIC; isa <= (int)ce_isa_best(); isa++) {
        p.call.isa = (ce_isa)isa;
        run_text(&p, 0, p.tokens, 0, 1);
        for (size_t i = 0; i < p.elements[0]; i++) {
            float half = (p.data[2][3 * 8 + i % 8] + p.data[2][21 * 8 + i % 8]) / 2;
            assert_true(fabsf(p.out[i] - half) <= 1e-7f);
        }
    }
    problem_free(&p);
}

/* Three texts in one call each, heads split, against the same texts alone: the same bits. */
static void test_text_does_not_depend_on_its_batch(void **state)
{
    (void)state;
    static const size_t ends[] = {0, 5, 48, 100};
    enum { HEADS = 4, DIM = 40 };
    for (int isa = CE_ISA_GENERIC; isa <= (int)ce_isa_best(); isa++) {
        problem all = problem_new(100, HEADS, 2, DIM, 3);
        all.call.isa = (ce_isa)isa;
        all.call.window_left = 20;
        for (int t = 2; t >= 0; t--) {
            for (size_t head = 0; head < HEADS; head++)
                run_text(&all, ends[t], ends[t + 1], head, head + 1);
        }
        for (int t = 0; t < 3; t++) {
            size_t length = ends[t + 1] - ends[t];
            problem one = problem_new(length, HEADS, 2, DIM, 0);
            one.call.isa = (ce_isa)isa;
            one.call.window_left = 20;
            for (size_t i = 0; i < length; i++) {
                for (size_t h = 0; h < HEADS; h++)
                    memcpy(one.data[0] + (i * HEADS + h) * DIM,
                           element(&all.call.q, ends[t] + i, h), DIM * sizeof(float));
                for (size_t h = 0; h < 2; h++) {
                    memcpy(one.data[1] + (i * 2 + h) * DIM, element(&all.call.k, ends[t] + i, h),
                           DIM * sizeof(float));
                    memcpy(one.data[2] + (i * 2 + h) * DIM, element(&all.call.v, ends[t] + i, h),
                           DIM * sizeof(float));
                }
            }
            run_text(&one, 0, length, 0, HEADS);
            assert_memory_equal(one.out, all.out + ends[t] * HEADS * DIM,
                                length * HEADS * DIM * sizeof(float));
            problem_free(&one);
        }
        problem_free(&all);
    }
}

/* Any queries and heads of a text, in rows of their own: the same bits. */
static void test_query_does_not_depend_on_others(void **state)
{
    (void)state;
    enum { HEADS = 4, DIM = 32, LENGTH = 75 };
    static const size_t ranges[][2] = {{0, 1},   {0, 2},  {1, 1},  {3, 16},
                                       {17, 33}, {74, 1}, {40, 35}};
    half_problem p = half_new(problem_new(LENGTH, HEADS, 2, DIM, 4));
    uint16_t *part = ce_malloc((2 + LENGTH) * p.stride * sizeof *part);
    float *part_fp32 = ce_malloc((2 + LENGTH) * HEADS * DIM * sizeof *part_fp32);
    assert_true(part && part_fp32);
    for (int isa = CE_ISA_GENERIC; isa <= (int)ce_isa_best(); isa++) {
        for (size_t w = 0; w < 6; w++) {
            p.of.call.isa = (ce_isa)isa;
            p.of.call.window_left = (int64_t)(w / 2) * 9 - 1; /* none, 8, 17 */
            p.of.call.window_right = (int64_t)(w % 2) - 1;    /* none, 0 */
            ce_attention call = half_call(&p), some = call, some_fp32 = p.of.call;
            some.out.data = part;
            some_fp32.out.data = part_fp32;
            ce_attention_text whole = {0, LENGTH, 0, LENGTH, 0};
            ce_attention_run(&call, &whole, 0, HEADS, p.scratch);
            ce_attention_run(&p.of.call, &whole, 0, HEADS, p.of.scratch);
            for (size_t r = 0; r < sizeof ranges / sizeof *ranges; r++) {
                size_t first = ranges[r][0], count = ranges[r][1];
                ce_attention_text text = {0, LENGTH, 2, count, first};
                some.q.data = p.data[0] + (ptrdiff_t)(first - 2) * some.q.by_token;
                some_fp32.q.data = p.of.data[0] + (ptrdiff_t)(first - 2) * some_fp32.q.by_token;
                for (size_t head = 0; head < HEADS; head += 1 + r % 2) {
                    ce_attention_run(&some, &text, head, head + 1 + r % 2, p.scratch);
                    ce_attention_run(&some_fp32, &text, head, head + 1 + r % 2, p.of.scratch);
                }
                for (size_t i = 0; i < count; i++) {
                    assert_memory_equal(part + (2 + i) * p.stride, p.out + (first + i) * p.stride,
                                        HEADS * DIM * sizeof *part);
                    assert_memory_equal(part_fp32 + (2 + i) * HEADS * DIM,
                                        p.of.out + (first + i) * HEADS * DIM,
                                        HEADS * DIM * sizeof *part_fp32);
                }
            }
        }
    }
    ce_free(part);
    ce_free(part_fp32);
    half_free(&p);
}

static void test_what_is_not_finite_shows(void **state)
{
    (void)state;
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    static const uint16_t halves[] = {0x7fc0, 0x7f80, 0xff80};
    enum { LENGTH = 37, DIM = 20 };
    for (int isa = CE_ISA_GENERIC; isa <= (int)ce_isa_best(); isa++) {
        for (int tensor = 0; tensor < 3; tensor++) {
            for (int b = 0; b < 3; b++) {
                problem p = problem_new(LENGTH, 1, 1, DIM, 0);
                p.call.isa = (ce_isa)isa;
                size_t token = seed % LENGTH, d = seed / LENGTH % DIM;
                p.data[tensor][token * DIM + d] = bad[b];
                run_text(&p, 0, LENGTH, 0, 1);
                for (size_t i = 0; i < LENGTH * DIM; i++) {
                    /* q spoils its own row, k all, v its own column */
                    int spoilt = tensor == 0 ? i / DIM == token : tensor == 1 || i % DIM == d;
                    assert_int_equal(!isfinite(p.out[i]), spoilt);
                }
                half_problem half = half_new(p);
                half.data[tensor][token * DIM + d] = halves[b];
                ce_attention call = half_call(&half);
                ce_attention_text text = {0, LENGTH, 0, LENGTH, 0};
                ce_attention_run(&call, &text, 0, 1, half.scratch);
                for (size_t i = 0; i < LENGTH * DIM; i++) {
                    int spoilt = tensor == 0 ? i / DIM == token : tensor == 1 || i % DIM == d;
                    uint16_t number = half.out[i / DIM * half.stride + i % DIM];
                    assert_int_equal(!isfinite(widened(number)), spoilt);
                }
                half_free(&half);
            }
        }
    }
}

static void test_long_text(void **state)
{
    (void)state;
    problem p = problem_new(1111, 1, 1, 9, 0);
    problem_fill(&p, 0, 10.0f);
    run_and_check(&p);
    p.call.window_left = p.call.window_right = 64;
    run_and_check(&p);
    problem_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_length_and_dim),
        cmocka_unit_test(test_grouped_heads_and_strides),
        cmocka_unit_test(test_windows),
        cmocka_unit_test(test_extreme_scores),
        cmocka_unit_test(test_text_does_not_depend_on_its_batch),
        cmocka_unit_test(test_query_does_not_depend_on_others),
        cmocka_unit_test(test_what_is_not_finite_shows),
        cmocka_unit_test(test_long_text),
    };
    return cmocka_run_group_tests_name("attention", tests, NULL, NULL);
}
