#include "options.h"

#include "buffer.h"
#include "citadel_embed.h"
#include "report.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

typedef struct option {
    unsigned commands;
    enum { FLAG, STRING, NUMBER, CHOICE } kind;
    const char *name, *value;
    size_t field; /* offset in settings */
    uint32_t min, max;
    const char *const *choices; /* their index is the setting */
    const char *help;
} option;

static const char *const precisions[] = {"auto", "fp32",          "bf16", "fp16",
                                         "int8", "int8-accurate", NULL};
_Static_assert(CITADEL_PRECISION_AUTO == 0 && CITADEL_PRECISION_FP32 == 1 &&
                   CITADEL_PRECISION_BF16 == 2 && CITADEL_PRECISION_FP16 == 3 &&
                   CITADEL_PRECISION_INT8 == 4 && CITADEL_PRECISION_INT8_ACCURATE == 5,
               "precisions[] is in the order of CITADEL_PRECISION_*");

static const char *const backends[] = {"auto", "native", "torch", NULL};
_Static_assert(CITADEL_BACKEND_AUTO == 0 && CITADEL_BACKEND_NATIVE == 1 &&
                   CITADEL_BACKEND_TORCH == 2,
               "backends[] is in the order of CITADEL_BACKEND_*");

static const char *const normalizations[] = {"model", "always", "never", NULL};
_Static_assert(CITADEL_NORMALIZE_MODEL == 0 && CITADEL_NORMALIZE_ALWAYS == 1 &&
                   CITADEL_NORMALIZE_NEVER == 2,
               "normalizations[] is in the order of CITADEL_NORMALIZE_*");

static const char *const formats[] = {"json", "npy", "text", NULL};

#define TEXTS (COMMAND_EMBED | COMMAND_TOKENIZE | COMMAND_SIMILARITY)
#define VECTORS (COMMAND_EMBED | COMMAND_SIMILARITY)
#define MODEL (TEXTS | COMMAND_INFO)
#define COMPUTES (VECTORS | COMMAND_INFO | COMMAND_WARMUP)
#define CHOOSES (COMPUTES | COMMAND_CONFIG | COMMAND_DOCTOR)
#define ALL (MODEL | COMMAND_WARMUP | COMMAND_CONFIG | COMMAND_DOCTOR)
#define AT(member) offsetof(settings, member)

/* clang-format off */
static const option options[] = {
    {MODEL, STRING, "model", "MODEL", AT(model), 0, 0, NULL,
     "name of a model, or the path of its folder or pack (with a '/' in it)"},
    {COMPUTES, CHOICE, "precision", "P", AT(precision), 0, 0, precisions,
     "auto (see --mixed-precision), fp32, bf16, fp16, int8, int8-accurate"},
    {CHOOSES, CHOICE, "backend", "B", AT(backend), 0, 0, backends,
     "auto, native, torch; else CITADEL_BACKEND, else auto"},
    {CHOOSES, FLAG, "mixed-precision", NULL, AT(mixed_precision), 0, 0, NULL,
     "bf16 where the model is exact enough so and the CPU has it"},
    {CHOOSES, FLAG, "no-compile", NULL, AT(no_compile), 0, 0, NULL,
     "take no compiled form of the model"},
    {TEXTS, STRING, "input", "FILE", AT(input), 0, 0, NULL,
     "read texts from FILE; '-', or no --input: standard input"},
    {TEXTS, FLAG, "lines", NULL, AT(lines), 0, 0, NULL,
     "the input is one text a line, whatever it looks like"},
    {TEXTS, FLAG, "jsonl", NULL, AT(jsonl), 0, 0, NULL,
     "the input is JSON lines: one object with a string \"text\" a line"},
    {COMMAND_EMBED, CHOICE, "format", "F", AT(format), 0, 0, formats,
     "json (lines; the default), npy (NumPy array), text (numbers)"},
    {TEXTS, STRING, "output", "FILE", AT(output), 0, 0, NULL,
     "write to FILE, which appears only when all went well"},
    {COMMAND_EMBED, STRING, "metrics", "FILE", AT(metrics), 0, 0, NULL,
     "at the end write the library's metrics to FILE, for Prometheus"},
    {TEXTS, STRING, "prompt-name", "NAME", AT(prompt_name), 0, 0, NULL,
     "put the model's prompt NAME in front (see 'info')"},
    {TEXTS, STRING, "prompt", "TEXT", AT(prompt), 0, 0, NULL,
     "put TEXT in front; '' means no prompt"},
    {COMMAND_SIMILARITY, STRING, "text-prompt-name", "NAME", AT(text_prompt_name), 0, 0, NULL,
     "like --prompt-name, which is for QUERY, for the other texts"},
    {COMMAND_SIMILARITY, STRING, "text-prompt", "TEXT", AT(text_prompt), 0, 0, NULL,
     "like --prompt, which is for QUERY, for the other texts"},
    {COMMAND_EMBED, CHOICE, "normalize", "N", AT(normalize), 0, 0, normalizations,
     "model (as the model does; the default), always (to length 1), never"},
    {VECTORS, NUMBER, "truncate-dim", "N", AT(truncate_dim), 1, UINT32_MAX, NULL,
     "keep the first N numbers of each vector (Matryoshka models)"},
    {TEXTS, NUMBER, "max-tokens", "N", AT(max_tokens), 1, UINT32_MAX, NULL,
     "cut texts after N tokens, special tokens included"},
    {COMMAND_TOKENIZE, FLAG, "no-truncation", NULL, AT(no_truncation), 0, 0, NULL,
     "all tokens, whatever the model's limit"},
    {COMMAND_TOKENIZE, FLAG, "truncate-left", NULL, AT(truncate_left), 0, 0, NULL,
     "cut the beginning of a text, not its end"},
    {COMMAND_TOKENIZE, FLAG, "no-specials", NULL, AT(no_specials), 0, 0, NULL,
     "without the tokens that surround a text, such as [CLS] and [SEP]"},
    {COMMAND_SIMILARITY, NUMBER, "top", "N", AT(top), 1, UINT32_MAX, NULL,
     "only the best N"},
    {COMMAND_INFO, FLAG, "json", NULL, AT(json), 0, 0, NULL,
     "one JSON object instead of lines to read"},
    {COMMAND_WARMUP, FLAG, "all-models", NULL, AT(all_models), 0, 0, NULL,
     "every configured model; without any, those along the model path"},
    {COMMAND_WARMUP, NUMBER, "iterations", "N", AT(iterations), 1, 100000, NULL,
     "passes of the first text; else WARMUP_ITERATIONS, else 10"},
    {COMMAND_WARMUP, NUMBER, "time-budget", "MS", AT(time_budget), 1, UINT32_MAX, NULL,
     "begin no pass of a model after so many milliseconds"},
    {ALL, STRING, "config", "FILE", AT(config), 0, 0, NULL,
     "configuration file; else CITADEL_CONFIG, else the user's own; '': none"},
    {ALL, NUMBER, "threads", "N", AT(threads), 1, 1024, NULL,
     "compute with N threads; else CITADEL_THREADS, else all CPUs"},
    {ALL, FLAG, "verbose", NULL, AT(verbose), 0, 0, NULL,
     "say on standard error what happens"},
    {ALL, FLAG, "quiet", NULL, AT(quiet), 0, 0, NULL,
     "nothing but errors on standard error"},
    {ALL, FLAG, "help", NULL, AT(help), 0, 0, NULL,
     "this text"},
};
/* clang-format on */
enum { OPTIONS = sizeof options / sizeof options[0] };

bool options_wrong(const command *c, const char *format, ...)
{
    char reason[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reason, sizeof reason, format, arguments);
    va_end(arguments);
    report_error("%s: %s; try 'citadel-embed %s --help'", c->name, reason, c->name);
    return false;
}

static const option *find(unsigned bit, const char *name, size_t length)
{
    for (size_t i = 0; i < OPTIONS; i++)
        if (options[i].commands & bit && strlen(options[i].name) == length &&
            memcmp(options[i].name, name, length) == 0)
            return &options[i];
    return NULL;
}

static bool set_number(const command *c, const option *o, const char *value, uint32_t *field)
{
    uint64_t number = 0;
    size_t length = strlen(value);
    bool good = length > 0 && length <= 10 && strspn(value, "0123456789") == length;
    for (size_t i = 0; good && i < length; i++)
        number = number * 10 + (uint64_t)(value[i] - '0');
    if (!good || number < o->min || number > o->max)
        return options_wrong(c, "--%s: '%s' is not a whole number from %u to %u", o->name, value,
                             o->min, o->max);
    *field = (uint32_t)number;
    return true;
}

static bool set_choice(const command *c, const option *o, const char *value, uint32_t *field)
{
    for (uint32_t i = 0; o->choices[i]; i++) {
        if (strcmp(o->choices[i], value) == 0) {
            *field = i;
            return true;
        }
    }
    buffer allowed = {0};
    for (uint32_t i = 0; o->choices[i]; i++)
        buffer_format(&allowed, "%s%s", i ? ", " : "", o->choices[i]);
    options_wrong(c, "--%s: '%s' is not one of %s", o->name, value, allowed.data);
    buffer_free(&allowed);
    return false;
}

static bool set(const command *c, const option *o, const char *value, settings *s)
{
    void *field = (char *)s + o->field;
    switch (o->kind) {
    case FLAG:
        *(uint32_t *)field = 1;
        return true;
    case STRING:
        *(const char **)field = value;
        return true;
    case NUMBER:
        return set_number(c, o, value, field);
    case CHOICE:
        return set_choice(c, o, value, field);
    }
    return false;
}

/* The option at `arguments[*at]`, which begins with "--"; its value may be the next argument. */
static bool parse_option(const command *c, char **arguments, size_t count, size_t *at, settings *s)
{
    const char *name = arguments[*at] + 2;
    size_t length = strcspn(name, "=");
    const option *o = find(c->bit, name, length);
    if (!o)
        return options_wrong(c, "there is no option '--%.*s'", (int)length, name);
    const char *value = name[length] == '=' ? name + length + 1 : NULL;
    if (o->kind == FLAG && value)
        return options_wrong(c, "--%s takes no value, but '%s' was given", o->name, value);
    if (o->kind != FLAG && !value) {
        if (*at + 1 == count)
            return options_wrong(c, "--%s needs a value", o->name);
        value = arguments[++*at];
    }
    return set(c, o, value, s);
}

static bool contradict(const command *c, bool a, bool b, const char *name_a, const char *name_b)
{
    return a && b ? !options_wrong(c, "--%s and --%s contradict each other", name_a, name_b)
                  : false;
}

static bool check(const command *c, const settings *s)
{
    return !contradict(c, s->lines, s->jsonl, "lines", "jsonl") &&
           !contradict(c, s->verbose, s->quiet, "verbose", "quiet") &&
           !contradict(c, s->mixed_precision, s->precision, "mixed-precision", "precision") &&
           !contradict(c, s->prompt, s->prompt_name, "prompt", "prompt-name") &&
           !contradict(c, s->text_prompt, s->text_prompt_name, "text-prompt", "text-prompt-name") &&
           !contradict(c, s->no_truncation, s->max_tokens, "no-truncation", "max-tokens") &&
           !contradict(c, s->no_truncation, s->truncate_left, "no-truncation", "truncate-left");
}

bool options_parse(const command *c, char **arguments, size_t count, settings *s)
{
    *s = (settings){.texts = arguments};
    bool only_texts = false;
    for (size_t i = 0; i < count; i++) {
        const char *argument = arguments[i];
        if (only_texts || argument[0] != '-' || argument[1] == '\0')
            s->texts[s->text_count++] = arguments[i];
        else if (strcmp(argument, "--") == 0)
            only_texts = true;
        else if (strcmp(argument, "-h") == 0)
            s->help = 1;
        else if (argument[1] != '-')
            return options_wrong(
                c, "there is no option '%s' (a text that begins with '-' goes behind '--')",
                argument);
        else if (!parse_option(c, arguments, count, &i, s))
            return false;
    }
    return s->help || (check(c, s) && c->check(c, s));
}

void options_print(unsigned bit)
{
    for (size_t i = 0; i < OPTIONS; i++) {
        const option *o = &options[i];
        if (!(o->commands & bit))
            continue;
        char left[64];
        snprintf(left, sizeof left, "--%s%s%s", o->name, o->value ? " " : "",
                 o->value ? o->value : "");
        printf("  %-24s %s\n", left, o->help);
    }
}
