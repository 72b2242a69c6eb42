/* What can be said of an installed library without a model. */
#include <citadel_embed.h>
#include <stdio.h>
#include <string.h>

int main(void)
{
    citadel_error error = CITADEL_ERROR_INIT;
    citadel_engine_options options = CITADEL_ENGINE_OPTIONS_INIT;
    citadel_engine *engine = NULL;
    citadel_model *model = NULL;

    options.flags = CITADEL_ENGINE_NO_ENVIRONMENT;
    options.threads = 1;
    options.model_path = "/nonexistent";
    if (citadel_api_version() != CITADEL_API_VERSION)
        return puts("the library is of another version than its header"), 1;
    if (citadel_engine_create(&options, &engine, &error) != CITADEL_OK)
        return puts(error.message), 1;
    citadel_status status = citadel_model_load(engine, "no-such-model", NULL, &model, &error);
    citadel_engine_destroy(engine);
    if (status != CITADEL_E_NOT_FOUND || model || !strstr(error.message, "no-such-model"))
        return printf("%s: %s\n", citadel_status_name(status), error.message), 1;
    return 0;
}
