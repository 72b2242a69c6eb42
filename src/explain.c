#include "explain.h"

#include "base/mem.h"
#include "form.h"
#include "precision.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

typedef struct lines {
    char *text;
    size_t used;
    int failed; /* for want of memory */
} lines;

static void add(lines *to, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* What came from the pack cannot end a line. */
static void add(lines *to, const char *format, ...)
{
    char line[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    ce_error_tidy(line);
    size_t length = strlen(line);
    char *grown = to->failed ? NULL : ce_realloc(to->text, to->used + length + 2);
    if (!grown) {
        to->failed = 1;
        return;
    }
    to->text = grown;
    if (to->used)
        grown[to->used++] = '\n';
    memcpy(grown + to->used, line, length + 1);
    to->used += length;
}

static void add_chosen(lines *to, const ce_pack *pack)
{
    const ce_form *form = ce_form_chosen(pack);
    int failed = ce_form_count(pack, CE_FORM_FAILED) > 0;
    add(to, "form: %s (%s): %s", form->artifact->form, form->artifact->graph,
        failed ? "what came before it failed" : form->form_reason);
    add(to, "precision: %s: %s", ce_precision_name(form->artifact->precision),
        form->precision_reason);
}

static void add_limits(lines *to, const ce_pack *pack)
{
    int configured = pack->configured && pack->configured->default_prompt;
    const char *by = configured ? "configuration" : "pack";
    add(to, "pooling: %s: inside the graph, as the source of the pack has it; %s", pack->pooling,
        pack->normalize ? "normalised to length 1" : "not normalised");
    if (pack->default_prompt)
        add(to, "prompt: '%s' where none is named: the %s's default_prompt", pack->default_prompt,
            by);
    else
        add(to, "prompt: none where none is named: the %s has no default_prompt", by);
    add(to, "max length: %u tokens, special tokens included: the pack's max_tokens",
        pack->max_tokens);
}

static void add_others(lines *to, const ce_pack *pack)
{
    for (size_t i = 0; i < pack->artifact_count; i++) {
        const ce_form *form = &pack->forms[i];
        char name[256];
        if (form->state == CE_FORM_CANDIDATE)
            continue;
        ce_form_describe(form->artifact, name, sizeof name);
        add(to, "%s: %s: %s", form->state == CE_FORM_FAILED ? "failed" : "skipped", name,
            form->reason);
    }
}

int ce_explain(const ce_pack *pack, char **out, ce_error *error)
{
    lines all = {0};
    add_chosen(&all, pack);
    add_limits(&all, pack);
    add_others(&all, pack);
    if (all.failed) {
        ce_free(all.text);
        return ce_fail(error, CE_E_NO_MEMORY, "no memory for the explanation of a model");
    }
    *out = all.text;
    return CE_OK;
}
