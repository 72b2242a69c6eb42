#include "explain.h"

#include "base/mem.h"
#include "form.h"
#include "lines.h"
#include "precision.h"

static void add_chosen(ce_lines *to, const ce_pack *pack)
{
    const ce_form *form = ce_form_chosen(pack);
    int failed = ce_form_count(pack, CE_FORM_FAILED) > 0;
    ce_lines_add(to, "form: %s (%s): %s", form->artifact->form, form->artifact->graph,
                 failed ? "what came before it failed" : form->form_reason);
    ce_lines_add(to, "precision: %s: %s", ce_precision_name(form->artifact->precision),
                 form->precision_reason);
}

static void add_limits(ce_lines *to, const ce_pack *pack)
{
    int configured = pack->configured && pack->configured->default_prompt;
    const char *source = pack->native ? "folder" : "pack";
    const char *by = configured ? "configuration" : source;
    ce_lines_add(to, "pooling: %s: %s; %s", pack->pooling,
                 pack->native ? "as the folder's modules have it"
                              : "inside the graph, as the source of the pack has it",
                 pack->normalize ? "normalised to length 1" : "not normalised");
    if (pack->default_prompt)
        ce_lines_add(to, "prompt: '%s' where none is named: the %s's default_prompt",
                     pack->default_prompt, by);
    else
        ce_lines_add(to, "prompt: none where none is named: the %s has no default_prompt", by);
    ce_lines_add(to, "max length: %u tokens, special tokens included: %s", pack->max_tokens,
                 pack->native ? "as sentence-transformers reads the folder"
                              : "the pack's max_tokens");
}

static void add_others(ce_lines *to, const ce_pack *pack)
{
    for (size_t i = 0; i < pack->artifact_count; i++) {
        const ce_form *form = &pack->forms[i];
        char name[256];
        if (form->state == CE_FORM_CANDIDATE)
            continue;
        ce_form_describe(form->artifact, name, sizeof name);
        ce_lines_add(to, "%s: %s: %s", form->state == CE_FORM_FAILED ? "failed" : "skipped", name,
                     form->reason);
    }
}

int ce_explain(const ce_pack *pack, char **out, ce_error *error)
{
    ce_lines all = {0};
    add_chosen(&all, pack);
    add_limits(&all, pack);
    add_others(&all, pack);
    if (all.failed) {
        ce_free(all.text);
        return ce_fail(error, CE_E_NO_MEMORY, "no memory for the explanation of a model");
    }
    all.text[all.used - 1] = '\0';
    *out = all.text;
    return CE_OK;
}
