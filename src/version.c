#include "citadel_embed.h"

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)
#define VERSION                     \
    TEXT(CITADEL_API_VERSION_MAJOR) \
    "." TEXT(CITADEL_API_VERSION_MINOR) "." TEXT(CITADEL_API_VERSION_PATCH)

uint32_t citadel_api_version(void)
{
    return CITADEL_API_VERSION;
}

const char *citadel_version(void)
{
    return VERSION;
}

const char *citadel_build_info(void)
{
    return "citadel_embed " VERSION " (" CE_BUILD_REVISION "), compiler " __VERSION__
           ", backends: " CE_BACKENDS ", models in " CE_DEFAULT_MODEL_PATH;
}
