/* What the program can do. Each returns an exit code. */
#ifndef CLI_COMMANDS_H
#define CLI_COMMANDS_H

#include "options.h"

int run_embed(const settings *s);
int run_tokenize(const settings *s);
int run_similarity(const settings *s);
int run_info(const settings *s);
int run_warmup(const settings *s);
int run_config(const settings *s);
int run_doctor(const settings *s);

#endif
