#include "form.h"

#include "base/mem.h"
#include "citadel_embed.h"
#include "precision.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* What a form of less than the model's own precision must have shown at export to be used unasked. */
#define MIXED_COSINE .9999

/* Order in which forms are tried: each of these, and in it compiled forms first. */
enum { TIER_MIXED, TIER_WANTED, TIERS };

typedef struct choice {
    const ce_pack *pack;
    const ce_config *config;
    const ce_cpu *cpu;
    int32_t asked;
} choice;

int ce_form_is_compiled(const ce_artifact *artifact)
{
    return strcmp(artifact->form, "compiled") == 0;
}

const char *ce_form_recovery(const ce_artifact *artifact)
{
    return artifact->precision == CITADEL_PRECISION_FP32 ? NULL : artifact->recovery;
}

int ce_form_needs_weights(const ce_artifact *artifact)
{
    return !artifact->tensors_inside || ce_form_recovery(artifact);
}

void ce_form_describe(const ce_artifact *artifact, char *text, size_t size)
{
    snprintf(text, size, "%s %s (%s)", artifact->form,
             artifact->precision > 0 ? ce_precision_name(artifact->precision)
                                     : "of unknown precision",
             artifact->graph);
}

/* ---- One artifact ------------------------------------------------------------------------- */

static int skip(ce_form *form, const char *format, ...) __attribute__((format(printf, 2, 3)));

static int skip(ce_form *form, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(form->reason, sizeof form->reason, format, arguments);
    va_end(arguments);
    ce_error_tidy(form->reason);
    form->state = CE_FORM_SKIPPED;
    return 0;
}

static int is_known(ce_form *form)
{
    const ce_artifact *a = form->artifact;
    if (strcmp(a->form, "torchscript") != 0 && strcmp(a->form, "native") != 0 &&
        !ce_form_is_compiled(a))
        return skip(form, "this library does not know the form '%s'", a->form);
    if (a->precision < 0)
        return skip(form, "this library does not know its precision");
    if (strcmp(a->device, "cpu") != 0)
        return skip(form, "it is for the device '%s', this library computes on the cpu", a->device);
    return 1;
}

static int mixed_allowed(const choice *c, ce_form *form)
{
    double cosine = form->artifact->min_cosine;
    if (!c->config->mixed_precision)
        return skip(form, "mixed precision is off (MIXED_PRECISION_ENABLED)");
    if (cosine < MIXED_COSINE)
        return skip(form, "its smallest cosine at export, %.6f, is below %g", cosine, MIXED_COSINE);
    if (!c->cpu->known)
        return skip(form, "the CPU's features cannot be read in /proc/cpuinfo");
    if (!ce_cpu_has(c->cpu, "avx512_bf16") && !ce_cpu_has(c->cpu, "amx_bf16"))
        return skip(form, "this CPU has neither avx512_bf16 nor amx_bf16");
    form->precision_reason = "mixed precision is on";
    return 1;
}

static int precision_allowed(const choice *c, ce_form *form, int *tier)
{
    int32_t precision = form->artifact->precision;
    *tier = TIER_WANTED;
    if (c->asked != CITADEL_PRECISION_AUTO) {
        form->precision_reason = "it was asked for";
        return precision == c->asked
                   ? 1
                   : skip(form, "precision %s was asked for", ce_precision_name(c->asked));
    }
    if (precision == c->pack->precision) {
        form->precision_reason = "the model's own";
        return 1;
    }
    *tier = TIER_MIXED;
    return precision == CITADEL_PRECISION_BF16
               ? mixed_allowed(c, form)
               : skip(form, "precision %s is used only when it is asked for",
                      ce_precision_name(precision));
}

static int runs_on(const ce_cpu *cpu, ce_form *form)
{
    const ce_artifact *a = form->artifact;
    if (!a->has_isa)
        return ce_form_is_compiled(a)
                   ? skip(form, "the pack does not say which CPU features it needs")
                   : 1;
    if (a->isa_count > 0 && !cpu->known)
        return skip(form, "the CPU's features cannot be read in /proc/cpuinfo");
    for (size_t i = 0; i < a->isa_count; i++)
        if (!ce_cpu_has(cpu, a->isa[i]))
            return skip(form, "this CPU has no %s", a->isa[i]);
    return 1;
}

static int form_allowed(const choice *c, ce_form *form)
{
    const ce_config *config = c->config;
    if (ce_form_is_compiled(form->artifact)) {
        form->form_reason = "compiled forms come first";
        if (!config->optimization)
            return skip(form, "optimization is off (INFERENCE_OPTIMIZATION)");
        if (!config->compile)
            return skip(form, "compiled forms are off (TORCH_COMPILE_ENABLED)");
    } else {
        form->form_reason = !config->optimization ? "optimization is off"
                            : !config->compile    ? "compiled forms are off"
                                                  : "no compiled form comes before it";
    }
    return runs_on(c->cpu, form);
}

/* The place in the order; -1: skipped. */
static int rank(const choice *c, ce_form *form)
{
    int tier;
    if (!is_known(form) || !precision_allowed(c, form, &tier) || !form_allowed(c, form))
        return -1;
    return 2 * tier + !ce_form_is_compiled(form->artifact);
}

/* ---- All ---------------------------------------------------------------------------------- */

static void sort(const choice *c, ce_form *forms)
{
    size_t used = 0;
    for (int place = 0; place < 2 * TIERS + 1; place++) {
        for (size_t i = 0; i < c->pack->artifact_count; i++) {
            ce_form form = {.artifact = &c->pack->artifacts[i]};
            int own = rank(c, &form);
            if (own == place || (own < 0 && place == 2 * TIERS))
                forms[used++] = form;
        }
    }
}

static int none_left(const ce_pack *pack, int32_t precision, ce_error *error)
{
    char all[sizeof error->message] = "";
    size_t used = 0;
    for (size_t i = 0; i < pack->artifact_count && used < sizeof all; i++) {
        char name[128];
        ce_form_describe(pack->forms[i].artifact, name, sizeof name);
        used += (size_t)snprintf(all + used, sizeof all - used, "%s%s: %s", i ? "; " : "", name,
                                 pack->forms[i].reason);
    }
    return ce_fail(error, CE_E_UNSUPPORTED, "no form of precision %s can run here: %s",
                   ce_precision_name(precision), all);
}

static int take_first(ce_pack *pack)
{
    for (size_t i = 0; i < pack->artifact_count; i++) {
        if (pack->forms[i].state == CE_FORM_CANDIDATE) {
            pack->chosen = pack->forms[i].artifact;
            return 1;
        }
    }
    return 0;
}

int ce_form_choose_for(ce_pack *pack, const ce_config *config, const ce_cpu *cpu, int32_t precision,
                       ce_error *error)
{
    const choice c = {.pack = pack, .config = config, .cpu = cpu, .asked = precision};
    pack->forms = ce_calloc(pack->artifact_count, sizeof *pack->forms);
    if (!pack->forms)
        return ce_fail(error, CE_E_NO_MEMORY, "no memory for the forms of a model");
    sort(&c, pack->forms);
    if (take_first(pack))
        return CE_OK;
    return none_left(pack, precision == CITADEL_PRECISION_AUTO ? pack->precision : precision,
                     error);
}

int ce_form_choose(ce_pack *pack, const ce_config *config, int32_t precision, ce_error *error)
{
    ce_cpu cpu;
    ce_cpu_read(&cpu);
    return ce_form_choose_for(pack, config, &cpu, precision, error);
}

/* "2.11.0" of "libtorch 2.11.0" or "2.11.0+cpu": how it was built does not matter. */
static size_t version_of(const char *text, const char **version)
{
    const char *space = strrchr(text, ' ');
    *version = space ? space + 1 : text;
    return strcspn(*version, "+");
}

static int same_version(const char *a, const char *b)
{
    const char *x, *y;
    size_t length = version_of(a, &x);
    return version_of(b, &y) == length && memcmp(x, y, length) == 0;
}

int ce_form_check_backend(ce_pack *pack, const ce_backend *backend, ce_error *error)
{
    int32_t wanted = pack->chosen->precision;
    for (size_t i = 0; i < pack->artifact_count; i++) {
        ce_form *form = &pack->forms[i];
        const char *torch = form->artifact->torch;
        /* What TorchScript saved any later libtorch reads; compiled code knows its insides. */
        if (form->state == CE_FORM_CANDIDATE && ce_form_is_compiled(form->artifact) && torch &&
            !same_version(torch, backend->description))
            skip(form, "it was made with torch %s, the backend is %s", torch, backend->description);
    }
    return take_first(pack) ? CE_OK : none_left(pack, wanted, error);
}

int ce_form_fall_back(ce_pack *pack, const ce_error *failure)
{
    for (size_t i = 0; i < pack->artifact_count; i++) {
        ce_form *form = &pack->forms[i];
        if (form->artifact != pack->chosen)
            continue;
        form->state = CE_FORM_FAILED;
        memcpy(form->reason, failure->message, sizeof form->reason);
    }
    return take_first(pack);
}

size_t ce_form_count(const ce_pack *pack, ce_form_state state)
{
    size_t count = 0;
    for (size_t i = 0; i < pack->artifact_count; i++)
        count += pack->forms[i].state == state;
    return count;
}

const ce_form *ce_form_chosen(const ce_pack *pack)
{
    const ce_form *form = pack->forms;
    while (form->artifact != pack->chosen)
        form++;
    return form;
}
