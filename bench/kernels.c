/* What the linear kernels reach in the layers of models, on one thread: see --help. */
#define _GNU_SOURCE
#include "base/mem.h"
#include "kernels/linear.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SAMPLES_MAX = 100000, GROUP = 384 };

typedef struct shape {
    const char *model, *layer;
    size_t in, out;
    ce_activation activation;
} shape;

static const shape shapes[] = {
    {"all-MiniLM-L6-v2", "qkv", 384, 1152, CE_ACTIVATION_NONE},
    {"all-MiniLM-L6-v2", "out", 384, 384, CE_ACTIVATION_NONE},
    {"all-MiniLM-L6-v2", "up", 384, 1536, CE_ACTIVATION_GELU},
    {"all-MiniLM-L6-v2", "down", 1536, 384, CE_ACTIVATION_NONE},
    {"bge-base-en-v1.5", "qkv", 768, 2304, CE_ACTIVATION_NONE},
    {"bge-base-en-v1.5", "out", 768, 768, CE_ACTIVATION_NONE},
    {"bge-base-en-v1.5", "up", 768, 3072, CE_ACTIVATION_GELU},
    {"bge-base-en-v1.5", "down", 3072, 768, CE_ACTIVATION_NONE},
    {"phi-3-mini", "qkv", 3072, 9216, CE_ACTIVATION_NONE},
    {"phi-3-mini", "up", 3072, 16384, CE_ACTIVATION_SILU_GATE},
    {"phi-3-mini", "down", 8192, 3072, CE_ACTIVATION_NONE},
};
static const size_t counts[] = {1, 8, 26, 48, 256};
static const char *const number_names[] = {"fp32", "bf16", "int8"};

enum {
    SHAPES = sizeof shapes / sizeof shapes[0],
    COUNTS = sizeof counts / sizeof counts[0],
    NUMBERS = 3
};

static const char *const usage =
    "Usage: kernels [--isa N] [--model NAME] [--seconds S]\n\n"
    "Measures the linear layers of three models in fp32, bf16 and int8 on one thread and prints\n"
    "JSON: GFLOP/s, best and median, for each layer and number of rows, and the best of all\n"
    "(\"peak\") for each number. Pin it to a CPU: taskset -c 1 bench/kernels\n\n"
    "  --isa N       instruction set: 0 generic, 1 avx2, 2 avx512, 3 avx512_vnni, 4 avx512_bf16\n"
    "                (the best that the processor has)\n"
    "  --model NAME  only the layers of this model (all)\n"
    "  --seconds S   for each measurement (0.03)\n";

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void *memory(size_t bytes)
{
    void *found = ce_aligned_alloc(64, bytes);
    if (!found) {
        fprintf(stderr, "kernels: no memory for %zu bytes\n", bytes);
        exit(1);
    }
    memset(found, 1, bytes);
    return found;
}

static ce_linear make_linear(const shape *s, ce_number number)
{
    ce_linear linear;
    float *weights = memory(CE_PANEL * s->in * sizeof *weights);
    ce_linear_place(&linear, number, s->in, s->out, GROUP,
                    memory(ce_linear_bytes(number, s->in, s->out, GROUP)));
    for (size_t i = 0; i < CE_PANEL * s->in; i++)
        weights[i] = (float)(rand() % 1000) / 1000 - 0.5f;
    for (size_t panel = 0; panel < ce_linear_panels(s->out); panel++)
        ce_linear_pack(&linear, panel, weights, s->in, NULL, CE_PANEL);
    ce_free(weights);
    return linear;
}

static ce_rows make_rows(ce_number number, size_t width, size_t count)
{
    ce_rows rows = {.number = number,
                    .stride = ce_rows_stride(number, width),
                    .group = GROUP,
                    .groups = ce_groups(width, GROUP)};
    rows.data = memory(count * rows.stride);
    rows.scales = memory(count * rows.groups * sizeof *rows.scales);
    for (size_t i = 0; i < count * rows.groups; i++)
        rows.scales[i] = (ce_row_scale){0.01f, 100};
    return rows;
}

static void drop_rows(ce_rows *rows)
{
    ce_free(rows->data);
    ce_free(rows->scales);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Best and median of as many runs as there are in so many seconds. */
static void measure(const ce_linear *linear, const shape *s, size_t count, ce_isa isa,
                    double seconds, double *best, double *median)
{
    static double samples[SAMPLES_MAX];
    size_t used = 0;
    ce_number number = linear->number == CE_NUMBER_FP32 ? CE_NUMBER_FP32 : CE_NUMBER_BF16;
    ce_rows in = make_rows(linear->number, s->in, count), to = make_rows(number, s->out, count);
    const ce_linear_output out = {.rows = to, .activation = s->activation};
    ce_linear_run(linear, &in, count, 0, ce_linear_panels(s->out), &out, isa);
    for (double end = now() + seconds; now() < end && used < SAMPLES_MAX;) {
        double begin = now();
        ce_linear_run(linear, &in, count, 0, ce_linear_panels(s->out), &out, isa);
        samples[used++] = now() - begin;
    }
    qsort(samples, used, sizeof *samples, by_value);
    double gflop = 2e-9 * (double)count * (double)s->in * (double)s->out;
    *best = gflop / samples[0];
    *median = gflop / samples[used / 2];
    drop_rows(&in);
    drop_rows(&to);
}

int main(int argc, char **argv)
{
    ce_isa isa = ce_isa_best();
    const char *model = NULL;
    double seconds = 0.03, peak[NUMBERS] = {0};
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], "--help") == 0) {
            fputs(usage, stdout);
            return 0;
        }
        if (strcmp(argv[i], "--isa") == 0 && atoi(value) >= 0 && atoi(value) <= (int)isa) {
            isa = (ce_isa)atoi(value);
        } else if (strcmp(argv[i], "--model") == 0) {
            model = value;
        } else if (strcmp(argv[i], "--seconds") == 0 && atof(value) > 0) {
            seconds = atof(value);
        } else {
            fprintf(stderr, "kernels: '%s %s' is not understood\n\n%s", argv[i], value, usage);
            return 2;
        }
        i++;
    }
    printf("{\"isa\": \"%s\", \"layers\": [", ce_isa_name(isa));
    const char *comma = "";
    for (int number = 0; number < NUMBERS; number++) {
        for (size_t i = 0; i < SHAPES; i++) {
            const shape *s = &shapes[i];
            if (model && strcmp(model, s->model) != 0)
                continue;
            ce_linear linear = make_linear(s, (ce_number)number);
            for (size_t c = 0; c < COUNTS; c++) {
                double best, median;
                measure(&linear, s, counts[c], isa, seconds, &best, &median);
                peak[number] = best > peak[number] ? best : peak[number];
                printf(
                    "%s\n {\"number\": \"%s\", \"model\": \"%s\", \"layer\": \"%s\", \"in\": %zu, "
                    "\"out\": %zu, \"rows\": %zu, \"best\": %.1f, \"median\": %.1f}",
                    comma, number_names[number], s->model, s->layer, s->in, s->out, counts[c], best,
                    median);
                fflush(stdout);
                comma = ",";
            }
            ce_free((void *)linear.panels);
        }
    }
    printf("\n], \"peak\": {\"fp32\": %.1f, \"bf16\": %.1f, \"int8\": %.1f}}\n", peak[0], peak[1],
           peak[2]);
    return 0;
}
