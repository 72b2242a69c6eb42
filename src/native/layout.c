#include "native/layout.h"

enum { ALIGNMENT = 64 };

typedef struct cursor {
    const char *memory; /* NULL: only measured */
    size_t used;
} cursor;

static const void *take(cursor *c, size_t bytes)
{
    const void *at = c->memory ? c->memory + c->used : NULL;
    c->used += (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    return at;
}

static const float *take_vector(cursor *c, size_t count)
{
    return take(c, count * sizeof(float));
}

static void place_linear(cursor *c, ce_linear *linear, ce_number number, size_t in, size_t out,
                         size_t group)
{
    const void *memory = take(c, ce_linear_bytes(number, in, out, group));
    if (memory)
        ce_linear_place(linear, number, in, out, group, memory);
}

static void place_norm(cursor *c, const ce_architecture *a, ce_norm *norm, size_t width)
{
    norm->centred = ce_native_is_bert(a);
    norm->width = width;
    norm->eps = a->norm_eps;
    norm->gain = take_vector(c, width);
    norm->bias = norm->centred ? take_vector(c, width) : NULL;
}

int ce_layout_smooths(const ce_native_model *model)
{
    return model->number == CE_NUMBER_INT8;
}

static void place_smoothing(cursor *c, const ce_native_model *model, ce_native_layer *layer)
{
    const ce_architecture *a = model->architecture;
    if (!ce_layout_smooths(model))
        return;
    layer->qkv_smooth = take_vector(c, a->hidden);
    layer->up_smooth = take_vector(c, a->hidden);
}

static void place_layer(cursor *c, const ce_native_model *model, ce_native_layer *layer)
{
    const ce_architecture *a = model->architecture;
    size_t q = ce_native_q_width(a), kv = ce_native_kv_width(a);
    size_t gates = a->activation == CE_ACTIVATION_SILU_GATE ? 2 : 1;
    place_norm(c, a, &layer->attention_norm, a->hidden);
    place_norm(c, a, &layer->mlp_norm, a->hidden);
    if (a->qk_norm) {
        place_norm(c, a, &layer->q_norm, a->head_dim);
        place_norm(c, a, &layer->k_norm, a->head_dim);
    }
    place_smoothing(c, model, layer);
    ce_number number = model->number;
    place_linear(c, &layer->qkv, number, a->hidden, q + 2 * kv, model->group);
    place_linear(c, &layer->out, number, q, a->hidden, model->group);
    place_linear(c, &layer->up, number, a->hidden, gates * a->intermediate, model->group);
    place_linear(c, &layer->down, number, a->intermediate, a->hidden, model->down_group);
}

static size_t walk(ce_native_model *model, const void *memory)
{
    const ce_architecture *a = model->architecture;
    ce_native_weights *w = &model->weights;
    cursor c = {.memory = memory};
    place_norm(&c, a, ce_native_is_bert(a) ? &w->embedding_norm : &w->final_norm, a->hidden);
    for (uint32_t i = 0; i < a->layers; i++)
        place_layer(&c, model, &w->layers[i]);
    for (uint32_t i = 0; i < a->dense_count; i++)
        place_linear(&c, &w->dense[i], CE_NUMBER_FP32, a->dense[i].in, a->dense[i].out, 0);
    return c.used;
}

/* What smooths the input of a linear layer is applied where the norm before it writes that. */
static void join_smoothing(ce_native_model *model)
{
    const ce_architecture *a = model->architecture;
    ce_native_layer *layers = model->weights.layers;
    int bert_like = ce_native_is_bert(a);
    model->weights.embedding_norm.smooth = layers[0].qkv_smooth;
    for (uint32_t i = 0; i < a->layers; i++) {
        ce_norm *before_mlp = bert_like ? &layers[i].attention_norm : &layers[i].mlp_norm;
        before_mlp->smooth = layers[i].up_smooth;
        if (!bert_like)
            layers[i].attention_norm.smooth = layers[i].qkv_smooth;
        else if (i + 1 < a->layers)
            layers[i].mlp_norm.smooth = layers[i + 1].qkv_smooth;
    }
}

size_t ce_layout_bytes(const ce_native_model *model)
{
    return walk((ce_native_model *)model, NULL);
}

void ce_layout_place(ce_native_model *model, const void *memory)
{
    walk(model, memory);
    join_smoothing(model);
}
