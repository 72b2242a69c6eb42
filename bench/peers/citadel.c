/* citadel_embed as one of the engines of bench/peers/run: peer_citadel MODEL PRECISION THREADS.
 *
 * The public header alone. Reads a request a line and answers each with "ok ...", as worker.py says;
 * the batch size of "all" is ignored, since the library makes its batches itself. */
#include <citadel_embed.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LINE_MAX_BYTES 4096

typedef struct session {
    const char *name;
    int32_t precision;
    unsigned threads;
    citadel_engine *engine;
    citadel_model *model;
    char *bytes; /* of the texts */
    const char **texts;
    size_t count;
    float *vectors; /* [count, dim] */
    citadel_error error;
} session;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int complain(const char *what, const char *why)
{
    fprintf(stderr, "peer_citadel: %s: %s\n", what, why);
    return 0;
}

static int check(session *s, citadel_status status)
{
    return status == CITADEL_OK ? 1 : complain(s->name, s->error.message);
}

/* ---- Texts -------------------------------------------------------------------------------- */

static char *read_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    long size = -1;
    char *bytes = NULL;
    if (file && fseek(file, 0, SEEK_END) == 0 && (size = ftell(file)) >= 0)
        bytes = malloc((size_t)size + 1);
    if (bytes) {
        rewind(file);
        bytes[fread(bytes, 1, (size_t)size, file)] = '\0';
    }
    if (file)
        fclose(file);
    return bytes;
}

static size_t count_lines(const char *bytes)
{
    size_t count = 0;
    for (; (bytes = strchr(bytes, '\n')); bytes++)
        count++;
    return count;
}

static void split(session *s)
{
    char *at = s->bytes;
    for (size_t i = 0; i < s->count; i++) {
        char *end = strchr(at, '\n');
        *end = '\0';
        s->texts[i] = at;
        at = end + 1;
    }
}

static void forget_texts(session *s)
{
    free(s->bytes);
    free(s->texts);
    free(s->vectors);
    s->bytes = NULL;
    s->texts = NULL;
    s->vectors = NULL;
    s->count = 0;
}

static int read_texts(session *s, const char *path)
{
    forget_texts(s);
    s->bytes = read_file(path);
    if (!s->bytes)
        return complain(path, strerror(errno));
    s->count = count_lines(s->bytes);
    s->texts = calloc(s->count + 1, sizeof *s->texts);
    s->vectors = calloc(s->count * citadel_model_dim(s->model) + 1, sizeof *s->vectors);
    if (!s->texts || !s->vectors)
        return complain(path, "no memory");
    split(s);
    return 1;
}

/* ---- Requests ----------------------------------------------------------------------------- */

static int load(session *s)
{
    citadel_engine_options engine = CITADEL_ENGINE_OPTIONS_INIT;
    citadel_load_options options = CITADEL_LOAD_OPTIONS_INIT;
    engine.threads = s->threads;
    options.precision = s->precision;
    return check(s, citadel_engine_create(&engine, &s->engine, &s->error)) &&
           check(s, citadel_model_load(s->engine, s->name, &options, &s->model, &s->error));
}

static int embed(session *s, size_t first, size_t count, double *seconds)
{
    size_t dim = citadel_model_dim(s->model);
    double before = now();
    citadel_status status =
        citadel_model_embed(s->model, s->texts + first, NULL, count, NULL, s->vectors + first * dim,
                            count * dim, NULL, &s->error);
    *seconds = now() - before;
    return check(s, status);
}

static int embed_all(session *s)
{
    double seconds;
    if (!embed(s, 0, s->count, &seconds))
        return 0;
    printf("ok %.9f\n", seconds);
    return 1;
}

static int embed_each(session *s)
{
    printf("ok");
    for (size_t i = 0; i < s->count; i++) {
        double seconds;
        if (!embed(s, i, 1, &seconds))
            return 0;
        printf(" %.9f", seconds);
    }
    puts("");
    return 1;
}

static int save(const session *s, const char *path)
{
    size_t numbers = s->count * citadel_model_dim(s->model);
    FILE *file = fopen(path, "wb");
    if (!file)
        return complain(path, strerror(errno));
    size_t written = fwrite(s->vectors, sizeof *s->vectors, numbers, file);
    return fclose(file) == 0 && written == numbers ? 1 : complain(path, "cannot be written");
}

/* Build lines and forms have neither quotes nor backslashes. */
static int tell_versions(session *s)
{
    citadel_info info = CITADEL_INFO_INIT;
    if (!check(s, citadel_model_info(s->model, &info, &s->error)))
        return 0;
    printf("ok {\"citadel_embed\": \"%s\", \"backend\": \"%s\", \"form\": \"%s\"}\n",
           citadel_build_info(), info.backend, info.form);
    return 1;
}

static int silent(int good)
{
    if (good)
        puts("ok");
    return good;
}

static int answer(session *s, char *line)
{
    char *argument = strchr(line, ' ');
    if (argument)
        *argument++ = '\0';
    if (strcmp(line, "load") == 0)
        return silent(load(s));
    if (strcmp(line, "texts") == 0)
        return silent(read_texts(s, argument));
    if (strcmp(line, "all") == 0)
        return embed_all(s);
    if (strcmp(line, "each") == 0)
        return embed_each(s);
    if (strcmp(line, "save") == 0)
        return silent(save(s, argument));
    if (strcmp(line, "versions") == 0)
        return tell_versions(s);
    return complain(line, "no such request");
}

/* ---- Arguments ---------------------------------------------------------------------------- */

static int read_precision(const char *word, int32_t *out)
{
    static const struct {
        const char *word;
        int32_t precision;
    } known[] = {{"auto", CITADEL_PRECISION_AUTO},
                 {"fp32", CITADEL_PRECISION_FP32},
                 {"bf16", CITADEL_PRECISION_BF16},
#ifdef CITADEL_PRECISION_INT8_ACCURATE
                 {"int8-accurate", CITADEL_PRECISION_INT8_ACCURATE},
#endif
                 {"int8", CITADEL_PRECISION_INT8}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(word, known[i].word) == 0) {
            *out = known[i].precision;
            return 1;
        }
    return complain(word, "no such precision");
}

int main(int argc, char **argv)
{
    session s = {.error = CITADEL_ERROR_INIT};
    char line[LINE_MAX_BYTES];
    int good = argc == 4 && read_precision(argv[2], &s.precision);
    if (argc != 4)
        return complain("usage", "peer_citadel MODEL PRECISION THREADS") + 2;
    s.name = argv[1];
    s.threads = (unsigned)strtoul(argv[3], NULL, 10);
    while (good && fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = '\0';
        good = answer(&s, line);
        fflush(stdout);
    }
    forget_texts(&s);
    citadel_model_unload(s.model);
    citadel_engine_destroy(s.engine);
    return good ? 0 : 1;
}
