/* citadel-embed: the library's command line program. Which command, help, version. */
#include "citadel_embed.h"
#include "commands.h"
#include "options.h"
#include "report.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

/* ---- What the options alone cannot say ---------------------------------------------------- */

static bool check_model(const command *c, const settings *s)
{
    return s->model ? true : options_wrong(c, "no model: say --model MODEL");
}

/* `texts`: how many of the arguments are texts to read. */
static bool check_input(const command *c, const settings *s, size_t texts)
{
    const char *option = s->input ? "input" : s->lines ? "lines" : s->jsonl ? "jsonl" : NULL;
    if (texts > 0 && option)
        return options_wrong(c, "texts were given as arguments, and --%s for an input", option);
    return true;
}

static bool check_texts(const command *c, settings *s)
{
    return check_model(c, s) && check_input(c, s, s->text_count);
}

static bool check_similarity(const command *c, settings *s)
{
    if (s->text_count == 0)
        return options_wrong(c, "no QUERY");
    return check_model(c, s) && check_input(c, s, s->text_count - 1);
}

static bool check_info(const command *c, settings *s)
{
    size_t models = s->text_count + (s->model != NULL);
    if (models > 1)
        return options_wrong(c, "%zu models were given, expected one", models);
    if (s->text_count == 1)
        s->model = s->texts[0];
    return s->model ? true : options_wrong(c, "no MODEL");
}

static bool check_warmup(const command *c, settings *s)
{
    if (s->all_models && s->text_count > 0)
        return options_wrong(c, "models were named, and --all-models was given");
    return s->all_models || s->text_count > 0 ? true
                                              : options_wrong(c, "no NAME, and no --all-models");
}

static bool check_nothing(const command *c, settings *s)
{
    return s->text_count == 0
               ? true
               : options_wrong(c, "'%s' was given, expected no argument", s->texts[0]);
}

/* ---- Commands ----------------------------------------------------------------------------- */

static const command commands[] = {
    {COMMAND_EMBED, "embed", "texts to vectors",
     "Usage: citadel-embed embed --model MODEL [OPTION...] [TEXT...]\n"
     "\n"
     "Turn texts into the vectors that sentence-transformers gives. Texts are the arguments or, if\n"
     "there are none, the lines of --input: one text a line, or JSON lines if the first line is an\n"
     "object with a string \"text\". Results come in the order of the texts, while reading goes on.\n",
     "Formats:\n"
     "  json   a line for each text: {\"embedding\":[...],\"tokens\":7,\"truncated\":false}, or\n"
     "         {\"error\":\"...\",\"status\":\"CITADEL_E_...\"} for a text that fails; the others go on, and\n"
     "         the exit code is 1\n"
     "  npy    for numpy.load: float32 of shape (texts, dim); a text that fails ends the run\n"
     "  text   a line of numbers for each text; a text that fails ends the run\n"
     "\n"
     "Examples:\n"
     "  citadel-embed embed --model all-MiniLM-L6-v2 'How do I reset my password?'\n"
     "  citadel-embed embed --model ./my-model --input texts.txt --format npy --output texts.npy\n"
     "  zcat docs.jsonl.gz | citadel-embed embed --model my-model --prompt-name document\n",
     check_texts, run_embed},
    {COMMAND_TOKENIZE, "tokenize", "texts to token ids",
     "Usage: citadel-embed tokenize --model MODEL [OPTION...] [TEXT...]\n"
     "\n"
     "Show the tokens that would be computed for each text, and the bytes of the text that they come\n"
     "from: {\"ids\":[101,...],\"offsets\":[[0,0],...],\"truncated\":false}. Texts are read as for 'embed';\n"
     "an object of JSON lines may have a string \"pair\", and \"type_ids\" are shown too then. A default\n"
     "prompt of the model is left out unless it is named.\n",
     "Examples:\n"
     "  citadel-embed tokenize --model all-MiniLM-L6-v2 'How many tokens is this?'\n"
     "  citadel-embed tokenize --model my-model --no-truncation --input texts.txt\n"
     "  echo '{\"text\":\"a question\",\"pair\":\"an answer\"}' | citadel-embed tokenize --model my-model\n",
     check_texts, run_tokenize},
    {COMMAND_SIMILARITY, "similarity", "rank texts by similarity to a query",
     "Usage: citadel-embed similarity --model MODEL [OPTION...] QUERY [TEXT...]\n"
     "\n"
     "Show the cosine of QUERY with each text, best first. Texts are the other arguments or, if there\n"
     "are none, the lines of --input, read as for 'embed'. Without options for prompts, QUERY and\n"
     "texts get the model's default prompt, if it has one.\n",
     "Examples:\n"
     "  citadel-embed similarity --model all-MiniLM-L6-v2 'lost password' 'reset a login' 'fry an egg'\n"
     "  citadel-embed similarity --model e5 --prompt-name query --text-prompt-name passage \\\n"
     "      --top 10 --input passages.txt 'what is a vector?'\n",
     check_similarity, run_similarity},
    {COMMAND_INFO, "info", "what a model is",
     "Usage: citadel-embed info [OPTION...] MODEL\n"
     "\n"
     "Load a model, which checks it, and show what it is: size, limits, prompts, identity, how\n"
     "closely a pack agrees with the vectors stored in it, and which form computes, and why.\n",
     "Examples:\n"
     "  citadel-embed info all-MiniLM-L6-v2\n"
     "  citadel-embed info --json ./my-model\n",
     check_info, run_info},
    {COMMAND_WARMUP, "warmup", "load models and compute with them, to see that they are ready",
     "Usage: citadel-embed warmup [OPTION...] --all-models\n"
     "       citadel-embed warmup [OPTION...] NAME...\n"
     "\n"
     "Load each model and let it compute texts of some lengths, alone and in batches. A line for each\n"
     "says how long both took, or why it failed; the others are tried all the same. If all went well\n"
     "'All models ready for inference' follows, else the exit code is 1.\n",
     "Examples:\n"
     "  citadel-embed warmup --all-models\n"
     "  citadel-embed warmup --time-budget 5000 all-MiniLM-L6-v2 ./my-model\n",
     check_warmup, run_warmup},
    {COMMAND_CONFIG, "config", "the effective configuration",
     "Usage: citadel-embed config [OPTION...]\n"
     "\n"
     "Show every value that the library runs with, and where it comes from: an option, a variable of\n"
     "the environment, a line of the configuration file, or the default. A file with a fault is named\n"
     "with the line, the value, and what is allowed.\n",
     "Examples:\n"
     "  citadel-embed config\n"
     "  citadel-embed config --config ./optimization_config.yaml\n",
     check_nothing, run_config},
    {COMMAND_DOCTOR, "doctor", "what there is to compute with",
     "Usage: citadel-embed doctor [OPTION...]\n"
     "\n"
     "Look at the backends, CUDA, the CPU, the models with their forms, and memory. A line with a ✓ is\n"
     "well; one with a ✗ is followed by what to do; one with a · is not needed. The exit code is 0\n"
     "unless nothing can be embedded.\n",
     "Examples:\n"
     "  citadel-embed doctor\n"
     "  MIXED_PRECISION_ENABLED=true citadel-embed doctor\n",
     check_nothing, run_doctor},
};
enum { COMMANDS = sizeof commands / sizeof commands[0] };

static const command *find_command(const char *name)
{
    for (size_t i = 0; i < COMMANDS; i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

/* ---- Help and version --------------------------------------------------------------------- */

/* Even help can fail to be written: a full disk, a pipe that closed. */
static int end_of_stdout(void)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return EXIT_OK;
    report_error("cannot write to standard output: %s", strerror(errno));
    return EXIT_FAILED;
}

static int print_command_help(const command *c)
{
    printf("%s\nOptions:\n", c->help);
    options_print(c->bit);
    printf("\n%s", c->examples);
    return end_of_stdout();
}

static int print_help(void)
{
    printf("Usage: citadel-embed COMMAND [OPTION...] ...\n"
           "\n"
           "Text to vectors, exactly those of sentence-transformers, on this machine.\n"
           "\n"
           "Commands:\n");
    for (size_t i = 0; i < COMMANDS; i++)
        printf("  %-12s %s\n", commands[i].name, commands[i].summary);
    printf(
        "\n"
        "Options:\n"
        "  --help       this text; 'citadel-embed COMMAND --help' has the command's options\n"
        "  --version    version and how it was built\n"
        "\n"
        "A MODEL is a name, looked for along the model path, or a path, with a '/' in it: of a folder of\n"
        "sentence-transformers or transformers, or of a pack that 'python -m citadel_embed.export' made.\n"
        "Packs can hold code: trust them as you trust a program. '--option value' and '--option=value'\n"
        "are the same; what follows '--' is text.\n"
        "\n"
        "Environment:\n"
        "  CITADEL_CONFIG          the configuration file (docs/configuration.md)\n"
        "  CITADEL_MODEL_PATH      directories with models, separated by ':'\n"
        "  CITADEL_THREADS         compute threads\n"
        "  CITADEL_BACKEND         auto, native or torch: who computes\n"
        "  CITADEL_TORCH_BACKEND   file of the libtorch backend\n"
        "  INFERENCE_OPTIMIZATION, TORCH_COMPILE_ENABLED, MIXED_PRECISION_ENABLED\n"
        "                          true or false: which forms of a model may be taken\n"
        "  MODEL_WARMUP_ENABLED    true: a load lets the model compute WARMUP_ITERATIONS times\n"
        "\n"
        "Exit codes: 0 all went well, 1 something failed, 2 the command line is wrong.\n"
        "\n"
        "Examples:\n"
        "  citadel-embed embed --model all-MiniLM-L6-v2 'How do I reset my password?'\n"
        "  citadel-embed embed --model all-MiniLM-L6-v2 --format npy <texts.txt >texts.npy\n"
        "  citadel-embed similarity --model all-MiniLM-L6-v2 'lost password' --input questions.txt\n"
        "  citadel-embed info all-MiniLM-L6-v2\n"
        "  citadel-embed warmup --all-models\n"
        "  citadel-embed config\n"
        "  citadel-embed doctor\n");
    return end_of_stdout();
}

static int print_version(void)
{
    printf("citadel-embed %s\n%s\n", citadel_version(), citadel_build_info());
    return end_of_stdout();
}

/* ------------------------------------------------------------------------------------------- */

static int run_command(const command *c, char **arguments, size_t count)
{
    settings s;
    if (!options_parse(c, arguments, count, &s))
        return EXIT_USAGE;
    if (s.help)
        return print_command_help(c);
    report_setup((int)s.quiet);
    return c->run(&s);
}

/* Where a standard stream is closed, the next file that is opened would take its place, and get what is meant for the
 * stream. What is opened here instead fails as a closed one does. */
static void keep_places_of_standard_streams(void)
{
    static const int useless[] = {O_WRONLY, O_RDONLY, O_RDONLY};
    for (int fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_GETFD) < 0)
            (void)!open("/dev/null", useless[fd]);
}

int main(int argc, char **argv)
{
    keep_places_of_standard_streams();
    /* A closed pipe or a limit on file sizes is an error of write() like any other, and not the end by a signal. */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    if (argc < 2) {
        report_error("no command; try 'citadel-embed --help'");
        return EXIT_USAGE;
    }
    const char *name = argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
        return print_help();
    if (strcmp(name, "--version") == 0)
        return print_version();
    const command *c = find_command(name);
    if (!c && name[0] == '-') {
        report_error("option '%s' before the command, expected 'citadel-embed COMMAND %s'; try "
                     "'citadel-embed --help'",
                     name, name);
        return EXIT_USAGE;
    }
    if (!c) {
        report_error("there is no command '%s': embed, tokenize, similarity, info, warmup, config, "
                     "doctor; try 'citadel-embed --help'",
                     name);
        return EXIT_USAGE;
    }
    return run_command(c, argv + 2, (size_t)argc - 2);
}
