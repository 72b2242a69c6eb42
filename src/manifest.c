#include "manifest.h"

#include "base/mem.h"
#include "citadel_embed.h"
#include "form.h"
#include "precision.h"
#include "json/json.h"

#include <math.h>
#include <string.h>

enum { TOKENS_MOST = 1 << 24, DIM_MOST = 1 << 20 };

/* ---- Pieces ------------------------------------------------------------------------------- */

static void out_of_memory(ce_json *json)
{
    ce_json_stop(json, CE_E_NO_MEMORY, "no memory for the manifest");
}

/* One more element at the end of a growing array; its memory is zero. */
static void *append(ce_json *json, void **array, size_t *count, size_t size)
{
    if ((*count & (*count - 1)) == 0) { /* room for the next power of two */
        void *grown = ce_reallocarray(*array, *count ? 2 * *count : 1, size);
        if (!grown) {
            out_of_memory(json);
            return NULL;
        }
        *array = grown;
    }
    void *element = (char *)*array + *count * size;
    memset(element, 0, size);
    ++*count;
    return element;
}

static void copy_text(ce_json *json, ce_json_text text, char **out)
{
    ce_json_copy(json, text, "no memory for the manifest", out);
}

static void read_text(ce_json *json, char **out)
{
    copy_text(json, ce_json_string(json), out);
}

static void read_text_or_null(ce_json *json, char **out)
{
    if (ce_json_peek(json) == CE_JSON_NULL)
        ce_json_null(json);
    else
        read_text(json, out);
}

/* A file of the pack: nothing may point outside. */
static void check_file_name(ce_json *json, const char *name)
{
    if (name && (!*name || *name == '.' || strchr(name, '/')))
        ce_json_fail(json, "'%s' is not the name of a file in the pack", name);
}

static void read_file_name(ce_json *json, char **out)
{
    read_text(json, out);
    check_file_name(json, *out);
}

static void read_file_name_or_null(ce_json *json, char **out)
{
    read_text_or_null(json, out);
    if (*out)
        check_file_name(json, *out);
}

static int hex_value(char c)
{
    const char *digits = "0123456789abcdef";
    const char *found = c ? strchr(digits, c) : NULL;
    return found ? (int)(found - digits) : -1;
}

static int is_hex(ce_json_text text, size_t size)
{
    for (size_t i = 0; i < text.size; i++)
        if (hex_value(text.data[i]) < 0)
            return 0;
    return text.size == size;
}

static uint32_t read_crc32c(ce_json *json)
{
    ce_json_text text = ce_json_string(json);
    uint32_t crc = 0;
    if (!is_hex(text, 8))
        ce_json_fail(json, "a CRC-32C is eight lower-case hexadecimal digits");
    for (size_t i = 0; json->status == CE_OK && i < text.size; i++)
        crc = crc << 4 | (uint32_t)hex_value(text.data[i]);
    return crc;
}

static void read_sha256(ce_json *json, char out[CE_SHA256_HEX])
{
    ce_json_text text = ce_json_string(json);
    if (!is_hex(text, CE_SHA256_HEX - 1))
        ce_json_fail(json, "a SHA-256 is %d lower-case hexadecimal digits", CE_SHA256_HEX - 1);
    else
        memcpy(out, text.data, text.size);
}

/* ---- Members ------------------------------------------------------------------------------ */

static void read_layout(ce_json *json, ce_layout *layout)
{
    ce_json_text text = ce_json_string(json);
    if (ce_json_is(text, "packed"))
        *layout = CE_LAYOUT_PACKED;
    else if (ce_json_is(text, "padded"))
        *layout = CE_LAYOUT_PADDED;
    else
        ce_json_fail(json, "layout '%.*s' is not supported, expected packed or padded",
                     (int)text.size, text.data);
}

static void read_prompts(ce_json *json, ce_pack *pack)
{
    ce_json_text key;
    ce_json_object(json);
    while (ce_json_member(json, &key)) {
        ce_prompt *prompt =
            append(json, (void **)&pack->prompts, &pack->prompt_count, sizeof *prompt);
        if (!prompt)
            return;
        copy_text(json, key, &prompt->name);
        read_text(json, &prompt->text);
    }
}

static void read_golden_names(ce_json *json, ce_pack *pack)
{
    ce_json_text key;
    ce_json_object(json);
    while (ce_json_member(json, &key)) {
        if (ce_json_is(key, "texts"))
            read_file_name(json, &pack->golden_texts);
        else if (ce_json_is(key, "vectors"))
            read_file_name(json, &pack->golden_vectors);
        else
            ce_json_skip(json);
    }
}

static void read_precision(ce_json *json, int32_t *precision)
{
    char *name = NULL;
    read_text(json, &name);
    *precision = name ? ce_precision_parse(name) : -1;
    ce_free(name);
}

static void read_base_precision(ce_json *json, int32_t *precision)
{
    read_precision(json, precision);
    if (*precision < 0)
        ce_json_fail(json, "precision is none of fp32, bf16, fp16, int8, int8-accurate");
}

static void read_isa(ce_json *json, ce_artifact *artifact)
{
    artifact->has_isa = 1;
    ce_json_array(json);
    while (ce_json_element(json)) {
        char **feature =
            append(json, (void **)&artifact->isa, &artifact->isa_count, sizeof *feature);
        if (!feature)
            return;
        read_text(json, feature);
    }
}

static double read_measure(ce_json *json, const char *name, double min, double max)
{
    double value = ce_json_number(json);
    if (!(value >= min && value <= max))
        ce_json_fail(json, "%s is a number from %g to %g", name, min, max);
    return value;
}

/* An exporter's cosine of equal vectors can come out a little above 1. */
static void read_artifact_member(ce_json *json, ce_json_text key, ce_artifact *artifact)
{
    if (ce_json_is(key, "form"))
        read_text(json, &artifact->form);
    else if (ce_json_is(key, "precision"))
        read_precision(json, &artifact->precision);
    else if (ce_json_is(key, "device"))
        read_text(json, &artifact->device);
    else if (ce_json_is(key, "graph"))
        read_file_name(json, &artifact->graph);
    else if (ce_json_is(key, "weights"))
        read_file_name_or_null(json, &artifact->weights);
    else if (ce_json_is(key, "recovery"))
        read_file_name_or_null(json, &artifact->recovery);
    else if (ce_json_is(key, "externs"))
        read_file_name_or_null(json, &artifact->externs);
    else if (ce_json_is(key, "torch"))
        read_text_or_null(json, &artifact->torch);
    else if (ce_json_is(key, "isa"))
        read_isa(json, artifact);
    else if (ce_json_is(key, "tensors_inside"))
        artifact->tensors_inside = ce_json_boolean(json);
    else if (ce_json_is(key, "min_cosine"))
        artifact->min_cosine = read_measure(json, "min_cosine", -1, 1.001);
    else if (ce_json_is(key, "max_abs_error"))
        artifact->max_abs_error = read_measure(json, "max_abs_error", 0, HUGE_VAL);
    else
        ce_json_skip(json);
}

static void read_artifact(ce_json *json, ce_pack *pack)
{
    ce_artifact *artifact =
        append(json, (void **)&pack->artifacts, &pack->artifact_count, sizeof *artifact);
    if (!artifact)
        return;
    ce_json_text key;
    ce_json_object(json);
    while (ce_json_member(json, &key))
        read_artifact_member(json, key, artifact);
    if (!artifact->form || !artifact->precision || !artifact->device || !artifact->graph ||
        (!artifact->weights && ce_form_needs_weights(artifact)))
        ce_json_fail(json, "an artifact needs form, precision, device, graph and weights (these "
                           "not if its tensors are inside and it has no recovery graph)");
}

static void read_tensor_crcs(ce_json *json, ce_pack_file *file)
{
    ce_json_text key;
    ce_json_object(json);
    while (ce_json_member(json, &key)) {
        struct ce_tensor_crc *tensor =
            append(json, (void **)&file->tensors, &file->tensor_count, sizeof *tensor);
        if (!tensor)
            return;
        copy_text(json, key, &tensor->name);
        tensor->crc32c = read_crc32c(json);
    }
}

static void read_file(ce_json *json, ce_json_text name, ce_pack *pack)
{
    ce_pack_file *file = append(json, (void **)&pack->files, &pack->file_count, sizeof *file);
    if (!file)
        return;
    copy_text(json, name, &file->name);
    check_file_name(json, file->name);
    ce_json_text key;
    ce_json_object(json);
    while (ce_json_member(json, &key)) {
        if (ce_json_is(key, "bytes")) {
            file->bytes = (uint64_t)ce_json_integer(json, 0, INT64_C(1) << 48);
        } else if (ce_json_is(key, "sha256")) {
            read_sha256(json, file->sha256);
        } else if (ce_json_is(key, "crc32c")) {
            file->crc32c = read_crc32c(json);
            file->has_crc32c = 1;
        } else if (ce_json_is(key, "header_crc32c")) {
            file->header_crc32c = read_crc32c(json);
        } else if (ce_json_is(key, "tensors")) {
            read_tensor_crcs(json, file);
        } else {
            ce_json_skip(json);
        }
    }
}

static void read_member(ce_json *json, ce_json_text key, ce_pack *pack)
{
    const struct {
        const char *name;
        char **text;
    } texts[] = {
        {"name", &pack->name}, {"architecture", &pack->architecture}, {"pooling", &pack->pooling}};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (ce_json_is(key, texts[i].name)) {
            read_text(json, texts[i].text);
            return;
        }
    }
    if (ce_json_is(key, "dim")) {
        pack->dim = (uint32_t)ce_json_integer(json, 1, DIM_MOST);
    } else if (ce_json_is(key, "max_tokens")) {
        pack->max_tokens = (uint32_t)ce_json_integer(json, 1, TOKENS_MOST);
    } else if (ce_json_is(key, "vocab_size")) {
        pack->vocab_size = (uint32_t)ce_json_integer(json, 1, INT32_MAX);
    } else if (ce_json_is(key, "precision")) {
        read_base_precision(json, &pack->precision);
    } else if (ce_json_is(key, "layout")) {
        read_layout(json, &pack->layout);
    } else if (ce_json_is(key, "normalize")) {
        pack->normalize = ce_json_boolean(json);
    } else if (ce_json_is(key, "prompts")) {
        read_prompts(json, pack);
    } else if (ce_json_is(key, "default_prompt")) {
        read_text_or_null(json, &pack->default_prompt);
    } else if (ce_json_is(key, "tokenizer")) {
        read_file_name(json, &pack->tokenizer);
    } else if (ce_json_is(key, "golden")) {
        read_golden_names(json, pack);
    } else if (ce_json_is(key, "artifacts")) {
        ce_json_array(json);
        while (ce_json_element(json))
            read_artifact(json, pack);
    } else if (ce_json_is(key, "files")) {
        ce_json_text name;
        ce_json_object(json);
        while (ce_json_member(json, &name))
            read_file(json, name, pack);
    } else {
        ce_json_skip(json);
    }
}

/* ---- Whole -------------------------------------------------------------------------------- */

static int check_default_prompt(const ce_pack *pack, ce_error *error)
{
    if (!pack->default_prompt)
        return CE_OK;
    for (size_t i = 0; i < pack->prompt_count; i++)
        if (strcmp(pack->prompts[i].name, pack->default_prompt) == 0)
            return CE_OK;
    return ce_fail(error, CE_E_BAD_MODEL, "default_prompt '%s' is none of the prompts",
                   pack->default_prompt);
}

static int check_complete(const ce_pack *pack, ce_error *error)
{
    const struct {
        const char *name;
        int present;
    } members[] = {
        {"name", pack->name != NULL},
        {"architecture", pack->architecture != NULL},
        {"pooling", pack->pooling != NULL},
        {"dim", pack->dim != 0},
        {"max_tokens", pack->max_tokens != 0},
        {"vocab_size", pack->vocab_size != 0},
        {"layout", pack->layout != 0},
        {"tokenizer", pack->tokenizer != NULL},
        {"golden.texts", pack->golden_texts != NULL},
        {"golden.vectors", pack->golden_vectors != NULL},
        {"artifacts", pack->artifact_count != 0},
        {"files", pack->file_count != 0},
    };
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++)
        if (!members[i].present)
            return ce_fail(error, CE_E_BAD_MODEL, "no member '%s'", members[i].name);
    return check_default_prompt(pack, error);
}

int ce_manifest_read(const char *data, size_t size, ce_pack *pack, ce_error *error)
{
    ce_json json;
    ce_json_text key;
    pack->precision = CITADEL_PRECISION_FP32;
    ce_json_open(&json, data, size, error);
    ce_json_object(&json);
    while (ce_json_member(&json, &key))
        read_member(&json, key, pack);
    int status = ce_json_close(&json);
    return status == CE_OK ? check_complete(pack, error) : status;
}

int ce_manifest_check_version(const char *data, size_t size, ce_error *error)
{
    int is_pack = 0;
    int64_t version = 0;
    ce_json json;
    ce_json_text key;
    ce_json_open(&json, data, size, error);
    ce_json_object(&json);
    while (ce_json_member(&json, &key)) {
        if (ce_json_is(key, "format"))
            is_pack = ce_json_is(ce_json_string(&json), "citadel-pack");
        else if (ce_json_is(key, "format_version"))
            version = ce_json_integer(&json, 0, INT32_MAX);
        else
            ce_json_skip(&json);
    }
    int status = ce_json_close(&json);
    if (status != CE_OK)
        return status;
    if (!is_pack)
        return ce_fail(error, CE_E_BAD_MODEL, "'format' is not 'citadel-pack'");
    if (version != CE_PACK_FORMAT_VERSION)
        return ce_fail(
            error, CE_E_UNSUPPORTED,
            "format_version is %lld, this library reads version %d: export the model again",
            (long long)version, CE_PACK_FORMAT_VERSION);
    return CE_OK;
}

/* Unlike a name, a golden text may well hold NUL characters. */
static void read_golden_text(ce_json *json, ce_golden *golden)
{
    size_t lengths = golden->count;
    char **text = append(json, (void **)&golden->texts, &golden->count, sizeof *text);
    size_t *length =
        text ? append(json, (void **)&golden->lengths, &lengths, sizeof *length) : NULL;
    if (!length)
        return;
    ce_json_text key;
    ce_json_object(json);
    while (ce_json_member(json, &key)) {
        if (ce_json_is(key, "text")) {
            ce_json_text value = ce_json_string(json);
            ce_free(*text);
            *text = ce_strndup(value.data, value.size);
            *length = value.size;
            if (!*text)
                out_of_memory(json);
        } else {
            ce_json_skip(json);
        }
    }
    if (!*text)
        ce_json_fail(json, "a golden text needs a member 'text'");
}

int ce_manifest_read_golden(const char *data, size_t size, ce_golden *golden, ce_error *error)
{
    ce_json json;
    ce_json_text key;
    ce_json_open(&json, data, size, error);
    ce_json_object(&json);
    while (ce_json_member(&json, &key)) {
        if (!ce_json_is(key, "texts")) {
            ce_json_skip(&json);
            continue;
        }
        ce_json_array(&json);
        while (ce_json_element(&json))
            read_golden_text(&json, golden);
    }
    int status = ce_json_close(&json);
    if (status == CE_OK && golden->count == 0)
        return ce_fail(error, CE_E_BAD_MODEL, "no golden texts");
    return status;
}
