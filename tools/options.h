/* The command line: `--name value` and `--name=value` in any order with the texts; everything
 * behind `--` is text. Names are never abbreviated, so that new options break no script. */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Exit codes; those from 126 on belong to the shell. */
enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

/* Commands are bits, so that an option can name those that know it. */
enum {
    COMMAND_EMBED = 1,
    COMMAND_TOKENIZE = 2,
    COMMAND_SIMILARITY = 4,
    COMMAND_INFO = 8,
    COMMAND_WARMUP = 16,
    COMMAND_CONFIG = 32,
    COMMAND_DOCTOR = 64
};

/* In the order in which the help names them; CITADEL_PRECISION_*, CITADEL_BACKEND_* and CITADEL_NORMALIZE_* likewise. */
enum { FORMAT_JSON, FORMAT_NPY, FORMAT_TEXT };

typedef struct settings {
    const char *model, *input, *output, *metrics, *config;
    const char *prompt, *prompt_name, *text_prompt, *text_prompt_name;
    uint32_t precision, backend, normalize, format;
    uint32_t truncate_dim, max_tokens, threads, top;
    uint32_t lines, jsonl, json, no_truncation, truncate_left, no_specials, verbose, quiet, help;
    uint32_t mixed_precision, no_compile;
    uint32_t all_models, iterations, time_budget;
    char **texts; /* what is not an option */
    size_t text_count;
} settings;

typedef struct command {
    unsigned bit;
    const char *name;
    const char *summary; /* half a line for the overall help */
    const char *help;    /* what stands before and behind the list of options */
    const char *examples;
    bool (*check)(const struct command *command, settings *s); /* what options alone cannot say */
    int (*run)(const settings *s);
} command;

/* False after a usage error that has been reported. The texts are collected at the front of
 * `arguments`. */
bool options_parse(const command *command, char **arguments, size_t count, settings *s);

/* "citadel-embed embed: ...; try 'citadel-embed embed --help'", and false. */
bool options_wrong(const command *command, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The options that the command of this bit knows, for its help. */
void options_print(unsigned bit);

#endif
