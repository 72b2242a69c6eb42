#include <citadel_embed.h>
#include <stdio.h>
#include <stdlib.h>

int main(void)
{
    const char *texts[] = {"How do I reset my password?", "Forgot the password: what now?"};
    citadel_error error = CITADEL_ERROR_INIT;
    citadel_engine *engine = NULL;
    citadel_model *model = NULL;
    float *v = NULL;
    int failed = 1;

    if (citadel_engine_create(NULL, &engine, &error) == CITADEL_OK &&
        citadel_model_load(engine, "all-MiniLM-L6-v2", NULL, &model, &error) == CITADEL_OK) {
        size_t dim = citadel_model_dim(model);
        v = malloc(2 * dim * sizeof *v);
        if (v && citadel_model_embed(model, texts, NULL, 2, NULL, v, 2 * dim, NULL, &error) == 0) {
            double similarity = 0;
            for (size_t i = 0; i < dim; i++)
                similarity += (double)v[i] * v[dim + i];
            printf("similarity %.3f\n", similarity);
            failed = 0;
        }
    }
    if (failed)
        fprintf(stderr, "%s\n", error.message);
    free(v);
    citadel_model_unload(model);
    citadel_engine_destroy(engine);
    return failed;
}
