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
    {"phi-3-mini", "out", 3072, 3072, CE_ACTIVATION_NONE},
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
    "Usage: kernels [--isa N] [--model NAME] [--seconds S] [--in-turn]\n\n"
    "Measures the linear layers of three models in fp32, bf16 and int8 on one thread and prints\n"
    "JSON: GFLOP/s, best and median, for each layer and number of rows, and the best of all\n"
    "(\"peak\") for each number. Pin it to a CPU: taskset -c 1 bench/kernels\n\n"
    "  --isa N       instruction set: 0 generic, 1 avx2, 2 avx512, 3 avx512_vnni, 4 avx512_bf16\n"
    "                (the best that the processor has)\n"
    "  --model NAME  only the layers of this model (all)\n"
    "  --seconds S   for each measurement (0.03)\n"
    "  --in-turn     instead: seconds for the linear layers of one layer of each model, one after the\n"
    "                other as in a pass, the bytes of their weights, and how fast memory is read\n";

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

/* What goes through layers, one after the other. */
typedef struct turn {
    ce_linear linears[SHAPES];
    ce_rows in[SHAPES];
    ce_linear_output out[SHAPES];
    size_t count, bytes;
} turn;

static void run_turn(const turn *t, size_t rows, ce_isa isa)
{
    for (size_t i = 0; i < t->count; i++)
        ce_linear_run(&t->linears[i], &t->in[i], rows, 0, ce_linear_panels(t->linears[i].out),
                      &t->out[i], isa);
}

/* Best and median of as many runs as there are in so many seconds. */
static void sample(const turn *t, size_t rows, ce_isa isa, double seconds, double *best,
                   double *median)
{
    static double samples[SAMPLES_MAX];
    size_t used = 0;
    run_turn(t, rows, isa);
    for (double end = now() + seconds; (now() < end || used < 3) && used < SAMPLES_MAX;) {
        double begin = now();
        run_turn(t, rows, isa);
        samples[used++] = now() - begin;
    }
    qsort(samples, used, sizeof *samples, by_value);
    *best = samples[0];
    *median = samples[used / 2];
}

/* GFLOP/s. */
static void measure(const ce_linear *linear, const shape *s, size_t count, ce_isa isa,
                    double seconds, double *best, double *median)
{
    ce_number number = linear->number == CE_NUMBER_FP32 ? CE_NUMBER_FP32 : CE_NUMBER_BF16;
    ce_rows in = make_rows(linear->number, s->in, count), to = make_rows(number, s->out, count);
    const turn alone = {.linears = {*linear},
                        .in = {in},
                        .out = {{.rows = to, .activation = s->activation}},
                        .count = 1};
    double gflop = 2e-9 * (double)count * (double)s->in * (double)s->out;
    sample(&alone, count, isa, seconds, best, median);
    *best = gflop / *best;
    *median = gflop / *median;
    drop_rows(&in);
    drop_rows(&to);
}

/* ---- Layers in turn ------------------------------------------------------------------------ */

static turn make_turn(const char *model, ce_number number, size_t rows)
{
    turn t = {0};
    for (size_t i = 0; i < SHAPES; i++) {
        const shape *s = &shapes[i];
        if (strcmp(s->model, model) != 0)
            continue;
        t.linears[t.count] = make_linear(s, number);
        t.in[t.count] = make_rows(number, s->in, rows);
        t.out[t.count].activation = s->activation;
        t.out[t.count].rows = make_rows(CE_NUMBER_FP32, s->out, rows);
        t.bytes += ce_linear_bytes(number, s->in, s->out, GROUP);
        t.count++;
    }
    return t;
}

static void drop_turn(turn *t)
{
    for (size_t i = 0; i < t->count; i++) {
        ce_free((void *)t->linears[i].panels);
        drop_rows(&t->in[i]);
        drop_rows(&t->out[i].rows);
    }
}

/* Bytes a second that one thread reads of far more than caches hold. */
static double read_speed(void)
{
    const size_t count = (size_t)64 << 20;
    uint64_t *words = memory(count * sizeof *words), sums[8] = {0};
    double best = 0;
    for (int i = 0; i < 5; i++) {
        double begin = now();
        for (size_t k = 0; k < count; k += 8)
            for (size_t lane = 0; lane < 8; lane++)
                sums[lane] += words[k + lane];
        double speed = (double)(count * sizeof *words) / (now() - begin);
        best = speed > best ? speed : best;
    }
    volatile uint64_t used = 0;
    for (size_t lane = 0; lane < 8; lane++)
        used += sums[lane];
    ce_free(words);
    return best;
}

static void print_turns(const char *only, ce_isa isa, double seconds)
{
    const char *comma = "";
    printf("{\"isa\": \"%s\", \"layers\": [", ce_isa_name(isa));
    for (size_t i = 0; i < SHAPES; i++) {
        const char *model = shapes[i].model;
        if ((i > 0 && strcmp(model, shapes[i - 1].model) == 0) ||
            (only && strcmp(model, only) != 0))
            continue;
        for (int number = 0; number < NUMBERS; number++) {
            for (size_t c = 0; c < COUNTS; c++) {
                double best, median;
                turn t = make_turn(model, (ce_number)number, counts[c]);
                sample(&t, counts[c], isa, seconds, &best, &median);
                printf(
                    "%s\n {\"model\": \"%s\", \"number\": \"%s\", \"rows\": %zu, \"bytes\": %zu, "
                    "\"seconds\": %.6f}",
                    comma, model, number_names[number], counts[c], t.bytes, median);
                fflush(stdout);
                comma = ",";
                drop_turn(&t);
            }
        }
    }
    printf("\n], \"read_bytes_per_second\": %.3g}\n", read_speed());
}

int main(int argc, char **argv)
{
    ce_isa isa = ce_isa_best();
    const char *model = NULL;
    double seconds = 0.03, peak[NUMBERS] = {0};
    int in_turn = 0;
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], "--help") == 0) {
            fputs(usage, stdout);
            return 0;
        }
        if (strcmp(argv[i], "--in-turn") == 0) {
            in_turn = 1;
            continue;
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
    if (in_turn) {
        print_turns(model, isa, seconds);
        return 0;
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
