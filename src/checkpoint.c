#include "checkpoint.h"

#include "base/mem.h"
#include "calibration.h"
#include "engine.h"
#include "native/layout.h"
#include "native/native_backend.h"
#include "native/weights.h"
#include "precision.h"

#include <stdio.h>
#include <string.h>

static int add_weights(ce_sha256 *sha, const ce_pack *pack, const char *folder, ce_error *error)
{
    ce_weights *weights;
    char key[CE_SHA256_HEX];
    int status = ce_weights_open(pack->directory, folder, &weights, error);
    if (status != CE_OK)
        return status;
    ce_weights_key(weights, key);
    ce_sha256_update(sha, key, sizeof key);
    ce_weights_close(weights);
    return CE_OK;
}

/* What the prepared weights depend on: the checkpoint, how they are laid out, and what they were fitted to. */
static int prepared_key(const ce_pack *pack, char key[CE_SHA256_HEX], ce_error *error)
{
    char weights[CE_SHA256_HEX], rest[64];
    unsigned char digest[CE_SHA256_BYTES];
    ce_weights_key(pack->native_weights, weights);
    snprintf(rest, sizeof rest, "%s %d %d", ce_precision_name(pack->chosen->precision),
             CE_LAYOUT_VERSION, CE_CALIBRATION_VERSION);
    ce_sha256 sha;
    ce_sha256_init(&sha);
    ce_sha256_update(&sha, pack->id, sizeof pack->id);
    ce_sha256_update(&sha, weights, sizeof weights);
    ce_sha256_update(&sha, rest, strlen(rest));
    for (uint32_t i = 0; i < pack->native->dense_count; i++) {
        int status = add_weights(&sha, pack, pack->native->dense[i].folder, error);
        if (status != CE_OK)
            return status;
    }
    ce_sha256_final(&sha, digest);
    ce_sha256_hex(digest, key);
    return CE_OK;
}

/* "<cache>/<name>-<precision>-<some of the key>", so that a user who looks there knows what is what. */
static int prepared_path(const ce_config *config, const ce_pack *pack, const char *key, char **out,
                         ce_error *error)
{
    enum { DIGITS = 16, NAME_BYTES = 64 }; /* all in one name, which has a limit */
    const char *precision = ce_precision_name(pack->chosen->precision);
    size_t size = strlen(config->prepared_path) + NAME_BYTES + strlen(precision) + DIGITS + 4;
    *out = ce_malloc(size);
    if (!*out)
        return ce_fail(error, CE_E_NO_MEMORY, "no memory for a path");
    snprintf(*out, size, "%s/%.*s-%s-%.*s", config->prepared_path, NAME_BYTES, pack->name,
             precision, DIGITS, key);
    return CE_OK;
}

ce_isa ce_checkpoint_isa(const ce_config *config)
{
    return config->optimization ? (ce_isa)config->isa : CE_ISA_GENERIC;
}

/* A load that takes minutes is told without being asked for. */
static void tell_preparing(void *argument)
{
    const uint64_t large = UINT64_C(1) << 30;
    citadel_model *model = argument;
    const ce_pack *pack = model->pack;
    const ce_config *config = &model->engine->config;
    uint64_t bytes = ce_native_bytes(pack->native, pack->chosen->precision);
    ce_log_write(&model->engine->log, bytes > large ? CITADEL_LOG_WARNING : CITADEL_LOG_INFO,
                 "model '%s': preparing %llu MB of weights in %s%s", pack->name,
                 (unsigned long long)(bytes >> 20), ce_precision_name(pack->chosen->precision),
                 config->prepared && config->prepared_path ? ", which the next load will find"
                                                           : ", which are not kept");
}

int ce_checkpoint_load(citadel_model *model, ce_error *error)
{
    const ce_pack *pack = model->pack;
    const ce_config *config = &model->engine->config;
    char key[CE_SHA256_HEX] = "", *path = NULL;
    int kept = config->prepared && config->prepared_path, status = CE_OK;
    if (kept)
        status = prepared_key(pack, key, error);
    if (kept && status == CE_OK)
        status = prepared_path(config, pack, key, &path, error);
    if (status != CE_OK)
        return status;
    const ce_backend_model description = {
        .form = pack->chosen->form,
        .dim = pack->dim,
        .layout = pack->layout,
        .threads = config->threads,
        .precision = pack->chosen->precision,
        .architecture = pack->native,
        .weights = pack->native_weights,
        .directory = pack->directory,
        .prepared = path,
        .prepared_key = key,
        .calibrate = ce_calibration_run,
        .evaluate = ce_evaluation_run,
        .preparing = tell_preparing,
        .texts = model,
        .isa = ce_checkpoint_isa(config),
    };
    status = model->backend->model_load(&description, &model->backend_model, error);
    ce_free(path);
    return status;
}
