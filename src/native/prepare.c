#include "native/prepare.h"

#include "base/mem.h"
#include "citadel_embed.h"
#include "native/layout.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { NAME_MAX_BYTES = 160, PARTS_MAX = 3 };

/* What a tensor is called in this checkpoint. */
typedef struct names {
    const char *prefix;
    const char *layer; /* "encoder.layer" */
    const char *words, *places, *types, *embedding_norm, *final_norm;
    const char *q, *k, *v, *qkv, *out;
    const char *gate, *up, *gate_up, *down;
    const char *attention_norm, *mlp_norm, *q_norm, *k_norm;
} names;

static const names bert = {
    .layer = "encoder.layer",
    .words = "embeddings.word_embeddings",
    .places = "embeddings.position_embeddings",
    .types = "embeddings.token_type_embeddings",
    .embedding_norm = "embeddings.LayerNorm",
    .q = "attention.self.query",
    .k = "attention.self.key",
    .v = "attention.self.value",
    .out = "attention.output.dense",
    .up = "intermediate.dense",
    .down = "output.dense",
    .attention_norm = "attention.output.LayerNorm",
    .mlp_norm = "output.LayerNorm",
};

static const names distilbert = {
    .layer = "transformer.layer",
    .words = "embeddings.word_embeddings",
    .places = "embeddings.position_embeddings",
    .embedding_norm = "embeddings.LayerNorm",
    .q = "attention.q_lin",
    .k = "attention.k_lin",
    .v = "attention.v_lin",
    .out = "attention.out_lin",
    .up = "ffn.lin1",
    .down = "ffn.lin2",
    .attention_norm = "sa_layer_norm",
    .mlp_norm = "output_layer_norm",
};

static const names llama = {
    .layer = "layers",
    .words = "embed_tokens",
    .final_norm = "norm",
    .q = "self_attn.q_proj",
    .k = "self_attn.k_proj",
    .v = "self_attn.v_proj",
    .out = "self_attn.o_proj",
    .gate = "mlp.gate_proj",
    .up = "mlp.up_proj",
    .down = "mlp.down_proj",
    .attention_norm = "input_layernorm",
    .mlp_norm = "post_attention_layernorm",
    .q_norm = "self_attn.q_norm",
    .k_norm = "self_attn.k_norm",
};

static const names phi3 = {
    .layer = "layers",
    .words = "embed_tokens",
    .final_norm = "norm",
    .qkv = "self_attn.qkv_proj",
    .out = "self_attn.o_proj",
    .gate_up = "mlp.gate_up_proj",
    .down = "mlp.down_proj",
    .attention_norm = "input_layernorm",
    .mlp_norm = "post_attention_layernorm",
};

/* ---- Tensors by name ---------------------------------------------------------------------- */

typedef struct source {
    const ce_native_model *model;
    const ce_weights *weights;
    names names;
    float *rows;             /* CE_PANEL rows of the widest input */
    const ce_ranges *ranges; /* int8: of a calibration */
    float *smooth, *largest; /* int8: [hidden] */
} source;

static int choose_names(const ce_architecture *a, const ce_weights *weights, names *out,
                        ce_error *error)
{
    static const char *const prefixes[] = {"", "bert.", "roberta.", "distilbert.", "model.", NULL};
    static const names *const all[] = {[CE_FAMILY_BERT] = &bert,
                                       [CE_FAMILY_DISTILBERT] = &distilbert,
                                       [CE_FAMILY_LLAMA] = &llama,
                                       [CE_FAMILY_PHI3] = &phi3};
    char words[NAME_MAX_BYTES];
    *out = *all[a->family];
    snprintf(words, sizeof words, "%s.weight", out->words);
    out->prefix = ce_weights_prefix(weights, prefixes, words);
    if (!out->prefix)
        return ce_fail(error, CE_E_BAD_MODEL, "the weights have no tensor '%s'", words);
    return CE_OK;
}

static const ce_tensor *find(const ce_weights *weights, uint32_t dims, size_t rows, size_t columns,
                             ce_error *error, const char *format, ...)
    __attribute__((format(printf, 6, 7)));

static const ce_tensor *find(const ce_weights *weights, uint32_t dims, size_t rows, size_t columns,
                             ce_error *error, const char *format, ...)
{
    char name[NAME_MAX_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(name, sizeof name, format, arguments);
    va_end(arguments);
    return ce_weights_find(weights, name, dims, (int64_t)rows, (int64_t)columns, error);
}

static const ce_tensor *find_table(const ce_weights *weights, const names *n, const char *table,
                                   size_t rows, size_t columns, ce_error *error)
{
    return find(weights, 2, rows, columns, error, "%s%s.weight", n->prefix, table);
}

int ce_prepare_tables(ce_native_model *model, const ce_weights *weights, ce_error *error)
{
    const ce_architecture *a = model->architecture;
    names n;
    int status = choose_names(a, weights, &n, error);
    if (status != CE_OK)
        return status;
    model->words = find_table(weights, &n, n.words, a->vocab_size, a->hidden, error);
    if (!model->words)
        return CE_E_BAD_MODEL;
    if (n.places) {
        size_t places = (size_t)a->positions + a->position_offset;
        model->places = find_table(weights, &n, n.places, places, a->hidden, error);
        if (!model->places)
            return CE_E_BAD_MODEL;
    }
    if (n.types && a->token_types > 0) {
        model->types = find_table(weights, &n, n.types, a->token_types, a->hidden, error);
        if (!model->types)
            return CE_E_BAD_MODEL;
    }
    return CE_OK;
}

static int copy_vector(const source *s, const float *to, size_t count, const char *name,
                       ce_error *error)
{
    const ce_tensor *tensor = ce_weights_find(s->weights, name, 1, (int64_t)count, 0, error);
    if (!tensor)
        return CE_E_BAD_MODEL;
    ce_weights_read(tensor, 0, count, (float *)to);
    return CE_OK;
}

/* `at`: "layers.0." or "". */
static int copy_norm(const source *s, const ce_norm *norm, const char *at, const char *name,
                     ce_error *error)
{
    static const char *const gains[] = {"weight", "gamma"}, *const biases[] = {"bias", "beta"};
    char full[NAME_MAX_BYTES];
    /* The first checkpoints of BERT call them gamma and beta. */
    snprintf(full, sizeof full, "%s%s%s.gamma", s->names.prefix, at, name);
    int old = ce_weights_find(s->weights, full, 1, (int64_t)norm->width, 0, NULL) != NULL;
    snprintf(full, sizeof full, "%s%s%s.%s", s->names.prefix, at, name, gains[old]);
    int status = copy_vector(s, norm->gain, norm->width, full, error);
    if (status == CE_OK && norm->bias) {
        snprintf(full, sizeof full, "%s%s%s.%s", s->names.prefix, at, name, biases[old]);
        status = copy_vector(s, norm->bias, norm->width, full, error);
    }
    return status;
}

/* ---- Linear layers ------------------------------------------------------------------------ */

/* Tensors that lie below each other in one layer. */
typedef struct parts {
    struct part {
        const ce_tensor *weight, *bias;
        size_t rows;
    } part[PARTS_MAX];
    size_t count;
    size_t in;
    int halves; /* the rows of a panel are 16 of the first half and 16 of the second */
    size_t rows;
} parts;

static int add_part(const source *s, parts *p, const char *at, const char *name, size_t rows,
                    int bias, ce_error *error)
{
    const char *prefix = s->names.prefix;
    struct part *part = &p->part[p->count++];
    part->rows = rows;
    part->weight = find(s->weights, 2, rows, p->in, error, "%s%s%s.weight", prefix, at, name);
    if (!part->weight)
        return CE_E_BAD_MODEL;
    if (bias) {
        part->bias = find(s->weights, 1, rows, 0, error, "%s%s%s.bias", prefix, at, name);
        if (!part->bias)
            return CE_E_BAD_MODEL;
    }
    p->rows += rows;
    return CE_OK;
}

/* Row `row` of all parts, and its bias. */
static void read_row(const parts *p, size_t row, float *weights, float *bias)
{
    const struct part *part = p->part;
    while (row >= part->rows) {
        row -= part->rows;
        part++;
    }
    ce_weights_read(part->weight, row * p->in, p->in, weights);
    *bias = 0;
    if (part->bias)
        ce_weights_read(part->bias, row, 1, bias);
}

/* Which row is the column of a panel; beyond the last: a column of zeros. */
static size_t row_of(const parts *p, size_t panel, size_t column)
{
    if (!p->halves)
        return panel * CE_PANEL + column;
    size_t half = CE_PANEL / 2, i = panel * half + column % half;
    if (i >= p->rows / 2)
        return p->rows;
    return column < half ? i : p->rows / 2 + i;
}

/* `smooth` [in]: what inputs are divided by where they are read; or NULL. */
static void write_linear(const source *s, const ce_linear *linear, const parts *p,
                         const float *smooth)
{
    for (size_t panel = 0; panel < ce_linear_panels(linear->out); panel++) {
        float bias[CE_PANEL] = {0};
        size_t columns = 0;
        for (; columns < CE_PANEL; columns++) {
            float *weights = s->rows + columns * p->in;
            size_t row = row_of(p, panel, columns);
            if (row >= p->rows && !p->halves)
                break;
            if (row >= p->rows) {
                memset(weights, 0, p->in * sizeof *weights);
                continue;
            }
            read_row(p, row, weights, &bias[columns]);
            for (size_t k = 0; smooth && k < p->in; k++)
                weights[k] *= smooth[k];
        }
        ce_linear_pack(linear, panel, s->rows, p->in, bias, columns);
    }
}

/* ---- Smoothing ---------------------------------------------------------------------------- */

/* Half of the range goes into the weights (SmoothQuant with an exponent of 1/2). An input that was never seen keeps its
 * place. */
static void find_smoothing(const source *s, const parts *p, const float *seen)
{
    float bias;
    memset(s->largest, 0, p->in * sizeof *s->largest);
    for (size_t row = 0; row < p->rows; row++) {
        read_row(p, row, s->rows, &bias);
        for (size_t k = 0; k < p->in; k++)
            s->largest[k] = fmaxf(s->largest[k], fabsf(s->rows[k]));
    }
    for (size_t k = 0; k < p->in; k++) {
        float value = sqrtf(seen[k] / s->largest[k]);
        int usable = seen[k] > 0 && s->largest[k] > 0 && isfinite(value);
        s->smooth[k] = usable ? fminf(fmaxf(value, 1e-3f), 1e3f) : 1.0f;
    }
}

/* A layer that reads a norm, which multiplies by `inverse`. */
static void write_smoothed(const source *s, const ce_linear *linear, const parts *p,
                           const float *seen, const float *inverse)
{
    find_smoothing(s, p, seen);
    for (size_t k = 0; k < p->in; k++)
        ((float *)inverse)[k] = 1.0f / s->smooth[k];
    write_linear(s, linear, p, s->smooth);
}

/* ---- A layer ------------------------------------------------------------------------------ */

typedef struct layer_parts {
    parts qkv, out, up, down;
} layer_parts;

static int find_qkv(const source *s, const char *at, parts *p, ce_error *error)
{
    const ce_architecture *a = s->model->architecture;
    const names *n = &s->names;
    size_t q = ce_native_q_width(a), kv = ce_native_kv_width(a);
    if (n->qkv)
        return add_part(s, p, at, n->qkv, q + 2 * kv, a->qkv_bias, error);
    int status = add_part(s, p, at, n->q, q, a->qkv_bias, error);
    if (status == CE_OK)
        status = add_part(s, p, at, n->k, kv, a->qkv_bias, error);
    if (status == CE_OK)
        status = add_part(s, p, at, n->v, kv, a->qkv_bias, error);
    return status;
}

static int find_up(const source *s, const char *at, parts *p, ce_error *error)
{
    const ce_architecture *a = s->model->architecture;
    const names *n = &s->names;
    size_t width = a->intermediate;
    p->halves = a->activation == CE_ACTIVATION_SILU_GATE;
    if (n->gate_up)
        return add_part(s, p, at, n->gate_up, 2 * width, a->mlp_bias, error);
    int status = CE_OK;
    if (p->halves)
        status = add_part(s, p, at, n->gate, width, a->mlp_bias, error);
    if (status == CE_OK)
        status = add_part(s, p, at, n->up, width, a->mlp_bias, error);
    return status;
}

static int find_layer(const source *s, const char *at, layer_parts *p, ce_error *error)
{
    const ce_architecture *a = s->model->architecture;
    const names *n = &s->names;
    *p = (layer_parts){.qkv.in = a->hidden,
                       .out.in = ce_native_q_width(a),
                       .up.in = a->hidden,
                       .down.in = a->intermediate};
    int status = find_qkv(s, at, &p->qkv, error);
    if (status == CE_OK)
        status = add_part(s, &p->out, at, n->out, a->hidden, a->out_bias, error);
    if (status == CE_OK)
        status = find_up(s, at, &p->up, error);
    if (status == CE_OK)
        status = add_part(s, &p->down, at, n->down, a->hidden, a->mlp_bias, error);
    return status;
}

static int copy_norms(const source *s, const char *at, const ce_native_layer *layer,
                      ce_error *error)
{
    const names *n = &s->names;
    int status = copy_norm(s, &layer->attention_norm, at, n->attention_norm, error);
    if (status == CE_OK)
        status = copy_norm(s, &layer->mlp_norm, at, n->mlp_norm, error);
    if (status == CE_OK && s->model->architecture->qk_norm) {
        status = copy_norm(s, &layer->q_norm, at, n->q_norm, error);
        if (status == CE_OK)
            status = copy_norm(s, &layer->k_norm, at, n->k_norm, error);
    }
    return status;
}

static int write_layer(const source *s, uint32_t index, ce_error *error)
{
    const ce_native_layer *layer = &s->model->weights.layers[index];
    char at[NAME_MAX_BYTES];
    layer_parts p;
    snprintf(at, sizeof at, "%s.%u.", s->names.layer, index);
    int status = copy_norms(s, at, layer, error);
    if (status == CE_OK)
        status = find_layer(s, at, &p, error);
    if (status != CE_OK)
        return status;
    if (s->ranges) {
        write_smoothed(s, &layer->qkv, &p.qkv, ce_ranges_at(s->ranges, index, CE_RANGE_QKV),
                       layer->qkv_smooth);
        write_smoothed(s, &layer->up, &p.up, ce_ranges_at(s->ranges, index, CE_RANGE_UP),
                       layer->up_smooth);
    } else {
        write_linear(s, &layer->qkv, &p.qkv, NULL);
        write_linear(s, &layer->up, &p.up, NULL);
    }
    write_linear(s, &layer->out, &p.out, NULL);
    write_linear(s, &layer->down, &p.down, NULL);
    return CE_OK;
}

int ce_prepare_check(const ce_native_model *model, const ce_weights *weights, ce_error *error)
{
    source s = {.model = model, .weights = weights};
    int status = choose_names(model->architecture, weights, &s.names, error);
    for (uint32_t i = 0; i < model->architecture->layers && status == CE_OK; i++) {
        char at[NAME_MAX_BYTES];
        layer_parts p;
        snprintf(at, sizeof at, "%s.%u.", s.names.layer, i);
        status = find_layer(&s, at, &p, error);
    }
    return status;
}

/* ---- All ---------------------------------------------------------------------------------- */

static size_t widest(const ce_native_model *model)
{
    const ce_architecture *a = model->architecture;
    size_t most = ce_native_q_width(a);
    most = a->hidden > most ? a->hidden : most;
    most = a->intermediate > most ? a->intermediate : most;
    return most;
}

static int write_all(const source *s, ce_error *error)
{
    const ce_architecture *a = s->model->architecture;
    const ce_native_weights *w = &s->model->weights;
    int bert_like = ce_native_is_bert(a);
    int status = copy_norm(s, bert_like ? &w->embedding_norm : &w->final_norm, "",
                           bert_like ? s->names.embedding_norm : s->names.final_norm, error);
    for (uint32_t i = 0; i < a->layers && status == CE_OK; i++)
        status = write_layer(s, i, error);
    return status;
}

int ce_prepare_weights(ce_native_model *model, const ce_weights *weights, const ce_ranges *ranges,
                       ce_error *error)
{
    source s = {.model = model, .weights = weights, .ranges = ranges};
    int status = choose_names(model->architecture, weights, &s.names, error);
    if (status != CE_OK)
        return status;
    size_t width = widest(model);
    float *memory = ce_reallocarray(NULL, width, (CE_PANEL + 2) * sizeof(float));
    if (!memory)
        return ce_fail(error, CE_E_NO_MEMORY, "no memory for rows of weights");
    s.rows = memory;
    s.smooth = memory + CE_PANEL * width;
    s.largest = s.smooth + width;
    status = write_all(&s, error);
    ce_free(memory);
    return status;
}

int ce_prepare_dense(const ce_linear *linear, const ce_weights *weights, int bias, ce_error *error)
{
    source s = {.weights = weights, .names.prefix = ""};
    parts p = {.in = linear->in};
    int status = add_part(&s, &p, "", "linear", linear->out, bias, error);
    if (status != CE_OK)
        return status;
    s.rows = ce_reallocarray(NULL, linear->in, CE_PANEL * sizeof(float));
    if (!s.rows)
        return ce_fail(error, CE_E_NO_MEMORY, "no memory for rows of weights");
    write_linear(&s, linear, &p, NULL);
    ce_free(s.rows);
    return CE_OK;
}
