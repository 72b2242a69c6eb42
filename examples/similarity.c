/* Semantic search: which text answers a question?     similarity all-MiniLM-L6-v2 */
#include <citadel_embed.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const texts[] = {
    "To reset your password, open the account page and choose \"Forgot password\".",
    "Parcels are delivered within three working days.",
    "You can return any item within 30 days, free of charge.",
    "Invoices are sent by e-mail at the end of each month.",
};
static const char *const queries[] = {
    "I cannot log in any more",
    "How long does shipping take?",
    "When do I get the bill?",
};
enum { TEXTS = sizeof texts / sizeof texts[0], QUERIES = sizeof queries / sizeof queries[0] };

/* Models that tell questions from documents have prompts: `wanted` if it is one of them, else NULL. */
static const char *prompt_named(const citadel_model *model, const char *wanted)
{
    const char *name, *text;
    for (uint32_t i = 0; citadel_model_prompt(model, i, &name, &text, NULL) == CITADEL_OK; i++)
        if (strcmp(name, wanted) == 0)
            return name;
    return NULL;
}

/* Vectors of length 1, so that their scalar product is the cosine. */
static int embed(const citadel_model *model, const char *const *strings, size_t count,
                 const char *prompt_name, float *vectors, citadel_error *error)
{
    citadel_text_result results[TEXTS > QUERIES ? TEXTS : QUERIES];
    citadel_embed_options options = CITADEL_EMBED_OPTIONS_INIT;
    options.normalize = CITADEL_NORMALIZE_ALWAYS;
    options.prompt_name = prompt_name;
    if (citadel_model_embed(model, strings, NULL, count, &options, vectors,
                            count * citadel_model_dim(model), results, error) != CITADEL_OK)
        return 0;
    for (size_t i = 0; i < count; i++)
        if (results[i].truncated)
            fprintf(stderr, "cut after %u tokens: %s\n", (unsigned)results[i].tokens, strings[i]);
    return 1;
}

static double dot(const float *a, const float *b, size_t dim)
{
    double sum = 0;
    for (size_t i = 0; i < dim; i++)
        sum += (double)a[i] * b[i];
    return sum;
}

static int search(const citadel_model *model, citadel_error *error)
{
    size_t dim = citadel_model_dim(model);
    float *t = malloc((TEXTS + QUERIES) * dim * sizeof *t);
    float *q = t ? t + TEXTS * dim : NULL;
    int found = t && embed(model, texts, TEXTS, prompt_named(model, "document"), t, error) &&
                embed(model, queries, QUERIES, prompt_named(model, "query"), q, error);
    for (size_t i = 0; found && i < QUERIES; i++) {
        size_t best = 0;
        for (size_t j = 1; j < TEXTS; j++)
            if (dot(q + i * dim, t + j * dim, dim) > dot(q + i * dim, t + best * dim, dim))
                best = j;
        printf("%s\n  %.3f  %s\n", queries[i], dot(q + i * dim, t + best * dim, dim), texts[best]);
    }
    free(t);
    return found;
}

int main(int argc, char **argv)
{
    citadel_error error = CITADEL_ERROR_INIT;
    citadel_engine *engine = NULL;
    citadel_model *model = NULL;
    if (argc != 2) {
        fprintf(stderr, "usage: similarity MODEL\n");
        return 2;
    }
    int found = citadel_engine_create(NULL, &engine, &error) == CITADEL_OK &&
                citadel_model_load(engine, argv[1], NULL, &model, &error) == CITADEL_OK &&
                search(model, &error);
    if (!found)
        fprintf(stderr, "%s\n", error.message[0] ? error.message : "out of memory");
    citadel_model_unload(model);
    citadel_engine_destroy(engine);
    return !found;
}
