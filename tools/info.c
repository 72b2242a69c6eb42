/* citadel-embed info */
#include "buffer.h"
#include "commands.h"
#include "report.h"
#include "session.h"
#include "sink.h"

#include <inttypes.h>
#include <string.h>

static const char *precision_name(int32_t precision)
{
    switch (precision) {
    case CITADEL_PRECISION_FP32:
        return "fp32";
    case CITADEL_PRECISION_BF16:
        return "bf16";
    case CITADEL_PRECISION_FP16:
        return "fp16";
    case CITADEL_PRECISION_INT8:
        return "int8";
    case CITADEL_PRECISION_INT8_ACCURATE:
        return "int8-accurate";
    default:
        return "unknown";
    }
}

/* ---- JSON --------------------------------------------------------------------------------- */

static void json_string(buffer *b, const char *key, const char *value)
{
    buffer_format(b, "\"%s\":", key);
    if (value)
        buffer_json_string(b, value, strlen(value));
    else
        buffer_format(b, "null");
    buffer_format(b, ",");
}

static bool json_prompts(buffer *b, const citadel_model *model, uint32_t count,
                         citadel_error *error)
{
    buffer_format(b, "\"prompts\":{");
    for (uint32_t i = 0; i < count; i++) {
        const char *name, *text;
        if (citadel_model_prompt(model, i, &name, &text, error) != CITADEL_OK)
            return false;
        buffer_format(b, "%s", i ? "," : "");
        buffer_json_string(b, name, strlen(name));
        buffer_format(b, ":");
        buffer_json_string(b, text, strlen(text));
    }
    buffer_format(b, "},");
    return true;
}

static void json_measures(buffer *b, const citadel_info *info)
{
    buffer_format(b, "\"load_seconds\":%.6g,\"load_phases\":{\"tokenizer\":%.6g,\"weights\":%.6g,",
                  info->load_seconds, info->tokenizer_seconds, info->weights_seconds);
    buffer_format(b, "\"backend\":%.6g,\"check\":%.6g,\"warmup\":%.6g},", info->backend_seconds,
                  info->check_seconds, info->warmup_seconds);
    buffer_format(b, "\"golden_error\":%.6g,\"golden_cosine\":%.9g,\"golden_texts\":%" PRIu32 ",",
                  info->golden_error, info->golden_cosine, info->golden_texts);
    buffer_format(b, "\"min_cosine\":%.9g,\"mean_cosine\":%.9g,\"neighbour_overlap\":%.4g,",
                  info->min_cosine, info->mean_cosine, info->neighbour_overlap);
    buffer_format(b, "\"fallbacks\":%" PRIu32 ",", info->fallbacks);
    buffer_format(b, "\"explain\":");
    buffer_json_string(b, info->explain, strlen(info->explain));
    buffer_format(b, "}\n");
}

static bool json_info(buffer *b, const citadel_model *model, const citadel_info *info,
                      citadel_error *error)
{
    buffer_format(b, "{");
    json_string(b, "name", info->name);
    json_string(b, "path", info->path);
    json_string(b, "id", info->id);
    json_string(b, "architecture", info->architecture);
    json_string(b, "backend", info->backend);
    json_string(b, "form", info->form);
    json_string(b, "precision", precision_name(info->precision));
    json_string(b, "layout", info->layout);
    json_string(b, "pooling", info->pooling);
    buffer_format(b, "\"normalize\":%s,", info->normalize ? "true" : "false");
    buffer_format(b, "\"dim\":%" PRIu32 ",\"max_tokens\":%" PRIu32 ",\"vocab_size\":%" PRIu32 ",",
                  info->dim, info->max_tokens, info->vocab_size);
    json_string(b, "default_prompt", info->default_prompt);
    if (!json_prompts(b, model, info->prompts, error))
        return false;
    buffer_format(b, "\"weight_bytes\":%" PRIu64 ",", info->weight_bytes);
    json_measures(b, info);
    return true;
}

/* ---- Lines to read ------------------------------------------------------------------------ */

static void line(buffer *b, const char *key, const char *value)
{
    buffer_format(b, "%-15s %s\n", key, value ? value : "none");
}

static bool print_prompts(buffer *b, const citadel_model *model, uint32_t count,
                          citadel_error *error)
{
    if (count == 0)
        line(b, "prompts:", NULL);
    for (uint32_t i = 0; i < count; i++) {
        const char *name, *text;
        if (citadel_model_prompt(model, i, &name, &text, error) != CITADEL_OK)
            return false;
        buffer_format(b, "%-15s %s = ", i ? "" : "prompts:", name);
        buffer_json_string(b, text, strlen(text)); /* in quotes: a space at its end counts */
        buffer_format(b, "\n");
    }
    return true;
}

static void print_measures(buffer *b, const citadel_info *info)
{
    buffer_format(b, "%-15s %.3f\n", "load_seconds:", info->load_seconds);
    buffer_format(b, "%-15s tokenizer %.3f, weights %.3f, backend %.3f, check %.3f, warmup %.3f\n",
                  "load_phases:", info->tokenizer_seconds, info->weights_seconds,
                  info->backend_seconds, info->check_seconds, info->warmup_seconds);
    buffer_format(b, "%-15s %.2g\n", "golden_error:", info->golden_error);
    buffer_format(b, "%-15s %.9g\n", "golden_cosine:", info->golden_cosine);
    buffer_format(b, "%-15s %" PRIu32 "\n", "golden_texts:", info->golden_texts);
    buffer_format(b, "%-15s %.9g\n", "min_cosine:", info->min_cosine);
    buffer_format(b, "%-15s %.9g\n", "mean_cosine:", info->mean_cosine);
    buffer_format(b, "%-15s %.4g\n", "neighbour_overlap:", info->neighbour_overlap);
    buffer_format(b, "%-15s %" PRIu32 "\n", "fallbacks:", info->fallbacks);
}

static void print_lines(buffer *b, const char *key, const char *text)
{
    while (*text) {
        size_t length = strcspn(text, "\n");
        buffer_format(b, "%-15s %.*s\n", key, (int)length, text);
        text += length + (text[length] == '\n');
        key = "";
    }
}

static bool print_info(buffer *b, const citadel_model *model, const citadel_info *info,
                       citadel_error *error)
{
    line(b, "name:", info->name);
    line(b, "path:", info->path);
    line(b, "id:", info->id);
    line(b, "architecture:", info->architecture);
    line(b, "backend:", info->backend);
    line(b, "form:", info->form);
    line(b, "precision:", precision_name(info->precision));
    line(b, "layout:", info->layout);
    line(b, "pooling:", info->pooling);
    line(b, "normalize:", info->normalize ? "yes" : "no");
    buffer_format(b, "%-15s %" PRIu32 "\n", "dim:", info->dim);
    buffer_format(b, "%-15s %" PRIu32 "\n", "max_tokens:", info->max_tokens);
    buffer_format(b, "%-15s %" PRIu32 "\n", "vocab_size:", info->vocab_size);
    line(b, "default_prompt:", info->default_prompt);
    if (!print_prompts(b, model, info->prompts, error))
        return false;
    buffer_format(b, "%-15s %" PRIu64 " (%.1f MB)\n", "weight_bytes:", info->weight_bytes,
                  1e-6 * (double)info->weight_bytes);
    print_measures(b, info);
    print_lines(b, "explain:", info->explain);
    return true;
}

/* ------------------------------------------------------------------------------------------- */

static bool describe(const settings *s, buffer *text)
{
    session opened = {0};
    citadel_error error = CITADEL_ERROR_INIT;
    citadel_info info = CITADEL_INFO_INIT;
    bool done = session_open(&opened, s);
    if (done) {
        done = citadel_model_info(opened.model, &info, &error) == CITADEL_OK &&
               (s->json ? json_info : print_info)(text, opened.model, &info, &error);
        if (!done)
            report_error("%s", error.message);
    }
    session_close(&opened);
    return done;
}

int run_info(const settings *s)
{
    buffer text = {0};
    sink out = {0};
    bool done = describe(s, &text) && sink_open(&out, NULL) &&
                sink_write(&out, text.data, text.used) && sink_finish(&out);
    sink_close(&out);
    buffer_free(&text);
    return done ? EXIT_OK : EXIT_FAILED;
}
