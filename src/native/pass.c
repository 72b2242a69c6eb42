#include "native/pass.h"

#include "base/mem.h"
#include "citadel_embed.h"
#include "kernels/pool.h"

#include <math.h>
#include <string.h>

enum {
    ALIGNMENT = 64,
    /* Weights of a layer above which lanes share them out, and rows up to which that pays. */
    PANELS_BYTES = 16 << 20,
    PANELS_ROWS = 4 * CE_PASS_BLOCK,
    KEPT_BYTES = 32 << 20 /* scratch memory that is kept for the next pass, of all together */
};

/* ---- Memory ------------------------------------------------------------------------------- */

typedef struct arena {
    char *memory; /* NULL: only measured */
    size_t used;
} arena;

static void *take(arena *a, size_t bytes)
{
    void *at = a->memory ? a->memory + a->used : NULL;
    a->used += (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    return at;
}

/* `group` counts in int8 alone. */
static ce_rows take_rows(arena *a, ce_number number, size_t count, size_t width, size_t group)
{
    ce_rows rows = {.number = number, .stride = ce_rows_stride(number, width)};
    rows.data = take(a, count * rows.stride);
    if (number == CE_NUMBER_INT8) {
        rows.group = group;
        rows.groups = ce_groups(width, group);
        rows.scales = take(a, count * rows.groups * sizeof *rows.scales);
    }
    return rows;
}

static size_t longest(const ce_batch *batch)
{
    size_t most = 0;
    for (size_t i = 0; i < batch->texts; i++) {
        size_t length = (size_t)(batch->cu_seqlens[i + 1] - batch->cu_seqlens[i]);
        most = length > most ? length : most;
    }
    return most;
}

/* Only in fp32 do linear layers read x itself, and in Llama's family not then either: they read its norm. */
static int reads_apart(const ce_native_model *model)
{
    return model->number != CE_NUMBER_FP32 || !ce_native_is_bert(model->architecture);
}

static void take_common(ce_pass *p, arena *a)
{
    const ce_native_model *m = p->model;
    const ce_architecture *arch = m->architecture;
    size_t tokens = p->batch->tokens, q = ce_native_q_width(arch);
    size_t qkv = q + 2 * ce_native_kv_width(arch);
    ce_number wide = m->number == CE_NUMBER_FP32 ? CE_NUMBER_FP32 : CE_NUMBER_BF16;
    ce_number seen = m->number == CE_NUMBER_BF16 ? CE_NUMBER_BF16 : CE_NUMBER_FP32;
    p->x = take_rows(a, CE_NUMBER_FP32, tokens, arch->hidden, 0);
    p->low = p->x;
    if (reads_apart(m))
        p->low = take_rows(a, m->number, tokens, arch->hidden, m->group);
    p->qkv = take_rows(a, wide, tokens, qkv, 0);
    p->context = take_rows(a, seen, tokens, q, 0);
    p->low_context = p->context;
    if (m->number == CE_NUMBER_INT8)
        p->low_context = take_rows(a, CE_NUMBER_INT8, tokens, q, m->group);
}

static void take_single(ce_pass *p, arena *a)
{
    const ce_architecture *arch = p->model->architecture;
    size_t texts = p->batch->texts;
    /* Panels of q may reach into those of k. */
    size_t q = ce_linear_panels(ce_native_q_width(arch)) * (size_t)CE_PANEL;
    p->first_x = take_rows(a, CE_NUMBER_FP32, texts, arch->hidden, 0);
    p->first_low = p->first_x;
    if (reads_apart(p->model))
        p->first_low = take_rows(a, p->low.number, texts, arch->hidden, p->model->group);
    p->first_q = take_rows(a, p->qkv.number, texts, q, 0);
}

static void take_blocks(ce_pass *p, arena *a)
{
    const ce_native_model *m = p->model;
    const ce_architecture *arch = m->architecture;
    size_t rows = (size_t)CE_PASS_BLOCK * (size_t)p->lanes;
    size_t qkv = ce_native_q_width(arch) + 2 * ce_native_kv_width(arch);
    ce_number mid = m->number == CE_NUMBER_BF16 ? CE_NUMBER_BF16 : CE_NUMBER_FP32;
    if (!ce_native_is_bert(arch))
        p->wide = take_rows(a, CE_NUMBER_FP32, rows, qkv, 0);
    p->mid = take_rows(a, mid, rows, arch->intermediate, 0);
    p->low_mid = p->mid;
    if (m->number == CE_NUMBER_INT8)
        p->low_mid = take_rows(a, CE_NUMBER_INT8, rows, arch->intermediate, m->down_group);
}

static void take_lanes(ce_pass *p, arena *a)
{
    const ce_architecture *arch = p->model->architecture;
    size_t lanes = (size_t)p->lanes, widest = arch->hidden * (size_t)arch->pooling_count;
    for (uint32_t i = 0; i < arch->dense_count; i++)
        widest = arch->dense[i].out > widest ? arch->dense[i].out : widest;
    p->head_floats = (widest + 31) / 32 * 32;
    p->heads = take(a, lanes * 2 * p->head_floats * sizeof(float));
    size_t bytes = ce_attention_scratch(p->qkv.number, arch->head_dim, longest(p->batch));
    p->attention_bytes = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    p->attention = take(a, lanes * p->attention_bytes);
}

static void take_turns(ce_pass *p, arena *a)
{
    const ce_architecture *arch = p->model->architecture;
    size_t tokens = p->batch->tokens, pairs = arch->rope.rotary_dim / 2;
    p->cos = take(a, tokens * pairs * sizeof(float));
    p->sin = take(a, tokens * pairs * sizeof(float));
    p->row_numbers = take(a, tokens * sizeof(int32_t));
}

static size_t place(ce_pass *p, char *memory)
{
    const ce_architecture *arch = p->model->architecture;
    arena a = {.memory = memory};
    take_common(p, &a);
    if (ce_native_is_single(arch))
        take_single(p, &a);
    if (!ce_native_is_bert(arch))
        take_turns(p, &a);
    take_blocks(p, &a);
    take_lanes(p, &a);
    return a.used;
}

/* One that is large enough, or the first one, to be freed. */
static ce_scratch *take_kept(ce_native_model *model, size_t size)
{
    pthread_mutex_lock(&model->lock);
    ce_scratch **at = &model->scratch;
    while (*at && (*at)->size < size && (*at)->next)
        at = &(*at)->next;
    ce_scratch *found = *at;
    if (found) {
        *at = found->next;
        model->scratch_bytes -= found->size;
    }
    pthread_mutex_unlock(&model->lock);
    return found;
}

static void free_scratch(ce_scratch *scratch)
{
    ce_free(scratch->data);
    ce_free(scratch);
}

static ce_scratch *take_scratch(ce_native_model *model, size_t size)
{
    ce_scratch *scratch = take_kept(model, size);
    if (scratch && scratch->size >= size)
        return scratch;
    if (scratch)
        free_scratch(scratch);
    scratch = ce_calloc(1, sizeof *scratch);
    if (!scratch)
        return NULL;
    scratch->size = size;
    scratch->data = ce_aligned_alloc(ALIGNMENT, size);
    if (!scratch->data) {
        ce_free(scratch);
        return NULL;
    }
    return scratch;
}

static void give_scratch(ce_native_model *model, ce_scratch *scratch)
{
    pthread_mutex_lock(&model->lock);
    int kept = model->scratch_bytes + scratch->size <= KEPT_BYTES;
    if (kept) {
        model->scratch_bytes += scratch->size;
        scratch->next = model->scratch;
        model->scratch = scratch;
    }
    pthread_mutex_unlock(&model->lock);
    if (!kept)
        free_scratch(scratch);
}

/* ---- Rotary positions --------------------------------------------------------------------- */

/* As transformers computes them, in fp32. */
static float frequency(const ce_rope_scaling *rope, size_t pair, const float *factors)
{
    float inverse = 1.0f / powf((float)rope->theta, (float)(2 * pair) / (float)rope->rotary_dim);
    const double two_pi = 6.283185307179586;
    switch (rope->kind) {
    case CE_ROPE_DEFAULT:
        return inverse;
    case CE_ROPE_LINEAR:
        return inverse / (float)rope->factor;
    case CE_ROPE_LONGROPE:
        return 1.0f / (factors[pair] *
                       powf((float)rope->theta, (float)(2 * pair) / (float)rope->rotary_dim));
    case CE_ROPE_LLAMA3:
        break;
    }
    double length = two_pi / inverse, original = rope->original_positions;
    if (length < original / rope->high_freq_factor)
        return inverse;
    if (length > original / rope->low_freq_factor)
        return inverse / (float)rope->factor;
    float share = (float)((original / length - rope->low_freq_factor) /
                          (rope->high_freq_factor - rope->low_freq_factor));
    return (1.0f - share) * inverse / (float)rope->factor + share * inverse;
}

static void fill_turns(ce_pass *p)
{
    const ce_rope_scaling *rope = &p->model->architecture->rope;
    size_t pairs = rope->rotary_dim / 2;
    float factor = rope->kind == CE_ROPE_LONGROPE ? (float)rope->attention_factor : 1.0f;
    for (size_t text = 0; text < p->batch->texts; text++) {
        int32_t begin = p->batch->cu_seqlens[text], end = p->batch->cu_seqlens[text + 1];
        int long_text = (uint32_t)(end - begin) > rope->original_positions;
        const float *factors = long_text ? rope->long_factor : rope->short_factor;
        for (size_t pair = 0; pair < pairs; pair++) {
            float turn = frequency(rope, pair, factors);
            for (int32_t row = begin; row < end; row++) {
                double angle = (double)(turn * (float)p->batch->positions[row]);
                p->cos[(size_t)row * pairs + pair] = (float)cos(angle) * factor;
                p->sin[(size_t)row * pairs + pair] = (float)sin(angle) * factor;
            }
        }
    }
    for (size_t row = 0; row < p->batch->tokens; row++)
        p->row_numbers[row] = (int32_t)row;
}

/* ---- Lanes -------------------------------------------------------------------------------- */

static ce_stretch share(ce_stretch all, int index, int lanes)
{
    size_t count = all.end - all.begin;
    return (ce_stretch){all.begin + count * (size_t)index / (size_t)lanes,
                        all.begin + count * (size_t)(index + 1) / (size_t)lanes};
}

ce_stretch ce_lane_rows(const ce_lane *lane, size_t count)
{
    ce_stretch all = {0, count};
    return lane->pass->by_panels ? all : share(all, lane->index, lane->pass->lanes);
}

ce_stretch ce_lane_own(const ce_lane *lane, ce_stretch rows)
{
    return lane->pass->by_panels ? share(rows, lane->index, lane->pass->lanes) : rows;
}

void ce_lane_meet(const ce_lane *lane)
{
    if (lane->pass->lanes > 1)
        ce_barrier_wait(&lane->pass->barrier);
}

ce_rows ce_lane_block(const ce_lane *lane, const ce_rows *blocks)
{
    size_t index = lane->pass->by_panels ? 0 : (size_t)lane->index;
    return ce_rows_from(blocks, index * CE_PASS_BLOCK);
}

void ce_lane_linear(const ce_lane *lane, const ce_linear *linear, ce_rows in, size_t count,
                    size_t panel, size_t panel_end, ce_linear_output out)
{
    const ce_pass *p = lane->pass;
    if (!p->by_panels) {
        ce_linear_run(linear, &in, count, panel, panel_end, &out, p->model->isa);
        return;
    }
    ce_stretch own = share((ce_stretch){panel, panel_end}, lane->index, p->lanes);
    ce_lane_meet(lane);
    ce_linear_run(linear, &in, count, own.begin, own.end, &out, p->model->isa);
    ce_lane_meet(lane);
}

void ce_lane_layer(const ce_lane *lane, const ce_linear *linear, ce_rows in, size_t count,
                   ce_linear_output out)
{
    ce_lane_linear(lane, linear, in, count, 0, ce_linear_panels(linear->out), out);
}

void ce_lane_norm(const ce_lane *lane, const ce_norm *norm, ce_rows in, size_t count,
                  const ce_rows *out, const ce_rows *low)
{
    ce_stretch own = ce_lane_own(lane, (ce_stretch){0, count});
    if (own.begin == own.end)
        return;
    ce_rows from = ce_rows_from(&in, own.begin), to = {0}, to_low = {0};
    if (out)
        to = ce_rows_from(out, own.begin);
    if (low)
        to_low = ce_rows_from(low, own.begin);
    ce_norm_rows(norm, &from, own.end - own.begin, out ? &to : NULL, low ? &to_low : NULL,
                 lane->pass->model->isa);
}

void ce_lane_convert(const ce_lane *lane, ce_rows from, size_t count, size_t width, ce_rows to)
{
    ce_stretch own = ce_lane_own(lane, (ce_stretch){0, count});
    ce_rows own_from = ce_rows_from(&from, own.begin), own_to = ce_rows_from(&to, own.begin);
    if (own.begin < own.end)
        ce_rows_convert(&own_from, own.end - own.begin, width, &own_to, lane->pass->model->isa);
}

void ce_lane_record(const ce_lane *lane, uint32_t layer, ce_range_place place, ce_rows rows,
                    size_t count)
{
    if (lane->pass->ranges)
        ce_ranges_add(lane->pass->ranges, layer, place, &rows, count);
}

void ce_lane_words(const ce_lane *lane, ce_stretch rows)
{
    const ce_pass *p = lane->pass;
    size_t hidden = p->model->architecture->hidden;
    for (size_t row = rows.begin; row < rows.end; row++) {
        ce_rows x = ce_rows_from(&p->x, row);
        ce_weights_read(p->model->words, (size_t)p->batch->ids[row] * hidden, hidden, x.data);
    }
}

/* ---- Attention ---------------------------------------------------------------------------- */

static int is_windowed(const ce_architecture *a, uint32_t layer)
{
    return a->window > 0 && layer >= a->first_windowed_layer &&
           layer - a->first_windowed_layer < a->windowed_layers;
}

static ce_heads heads_from(const ce_rows *rows, size_t column, size_t head_dim)
{
    size_t bytes = rows->number == CE_NUMBER_FP32 ? sizeof(float) : sizeof(uint16_t);
    return (ce_heads){.data = (const char *)rows->data + column * bytes,
                      .by_token = (ptrdiff_t)(rows->stride / bytes),
                      .by_head = (ptrdiff_t)head_dim};
}

static ce_attention_text text_of(const ce_pass *p, size_t text, int single)
{
    const int32_t *ends = p->batch->cu_seqlens;
    size_t row = (size_t)ends[text], tokens = (size_t)(ends[text + 1] - ends[text]);
    ce_attention_text all = {
        .row = row, .tokens = tokens, .query_row = row, .queries = tokens, .first = 0};
    if (!single)
        return all;
    all.query_row = text;
    all.queries = 1;
    all.first = p->model->architecture->poolings[0] == CE_POOL_LAST ? tokens - 1 : 0;
    return all;
}

void ce_lane_attention(const ce_lane *lane, uint32_t layer, int single)
{
    const ce_pass *p = lane->pass;
    const ce_architecture *a = p->model->architecture;
    size_t q = ce_native_q_width(a), kv = ce_native_kv_width(a), group = a->heads / a->kv_heads;
    const ce_attention attention = {
        .number = p->qkv.number,
        .q = heads_from(single ? &p->first_q : &p->qkv, 0, a->head_dim),
        .k = heads_from(&p->qkv, q, a->head_dim),
        .v = heads_from(&p->qkv, q + kv, a->head_dim),
        .heads = a->heads,
        .kv_heads = a->kv_heads,
        .head_dim = a->head_dim,
        .scale = 1.0f / sqrtf((float)a->head_dim),
        .window_left = is_windowed(a, layer) ? a->window - 1 : -1,
        .window_right = a->causal ? 0 : -1,
        .out = p->context,
        .isa = p->model->isa,
    };
    /* Heads of all texts in a row: each lane gets a stretch of them. */
    ce_stretch own = share((ce_stretch){0, p->batch->texts * a->kv_heads}, lane->index, p->lanes);
    ce_lane_meet(lane);
    while (own.begin < own.end) {
        size_t text = own.begin / a->kv_heads, head = own.begin % a->kv_heads;
        size_t left = own.end - own.begin, heads = a->kv_heads - head;
        heads = heads < left ? heads : left;
        ce_attention_text place = text_of(p, text, single);
        ce_attention_run(&attention, &place, head * group, (head + heads) * group,
                         p->attention + (size_t)lane->index * p->attention_bytes);
        own.begin += heads;
    }
    ce_lane_meet(lane);
}

/* ---- What is added to x -------------------------------------------------------------------- */

void ce_lane_add_attention(const ce_lane *lane, uint32_t layer, size_t row, size_t count)
{
    const ce_pass *p = lane->pass;
    size_t q = ce_native_q_width(p->model->architecture);
    ce_rows context = ce_rows_from(&p->context, row), low = ce_rows_from(&p->low_context, row);
    if (low.data != context.data)
        ce_lane_convert(lane, context, count, q, low);
    ce_lane_layer(lane, &p->model->weights.layers[layer].out, low, count,
                  (ce_linear_output){.rows = ce_rows_from(&lane->x, row), .add = 1});
}

void ce_lane_add_network(const ce_lane *lane, uint32_t layer, size_t row, size_t count)
{
    const ce_pass *p = lane->pass;
    const ce_architecture *a = p->model->architecture;
    const ce_native_layer *weights = &p->model->weights.layers[layer];
    ce_rows mid = ce_lane_block(lane, &p->mid), low_mid = ce_lane_block(lane, &p->low_mid);
    ce_lane_layer(lane, &weights->up, ce_rows_from(&lane->low, row), count,
                  (ce_linear_output){.rows = mid, .activation = a->activation});
    if (low_mid.data != mid.data)
        ce_lane_convert(lane, mid, count, a->intermediate, low_mid);
    ce_lane_layer(lane, &weights->down, low_mid, count,
                  (ce_linear_output){.rows = ce_rows_from(&lane->x, row), .add = 1});
}

/* ---- The last layer ----------------------------------------------------------------------- */

static void copy_row(const ce_rows *from, size_t row, const ce_rows *to, size_t to_row)
{
    memcpy((char *)to->data + to_row * to->stride, (char *)from->data + row * from->stride,
           from->stride);
    if (from->number == CE_NUMBER_INT8)
        memcpy(to->scales + to_row * to->groups, from->scales + row * from->groups,
               from->groups * sizeof *from->scales);
}

void ce_lane_keep_single(ce_lane *lane)
{
    ce_pass *p = lane->pass;
    const ce_architecture *a = p->model->architecture;
    size_t bytes = p->qkv.number == CE_NUMBER_FP32 ? sizeof(float) : sizeof(uint16_t);
    ce_stretch own = share((ce_stretch){0, p->batch->texts}, lane->index, p->lanes);
    ce_lane_meet(lane);
    for (size_t text = own.begin; text < own.end; text++) {
        ce_attention_text place = text_of(p, text, 1);
        copy_row(&p->x, place.row + place.first, &p->first_x, text);
        if (p->first_low.data != p->first_x.data)
            copy_row(&p->low, place.row + place.first, &p->first_low, text);
        /* BERT projects the queries from here on, and no others. */
        if (!ce_native_is_bert(a))
            memcpy(ce_rows_from(&p->first_q, text).data,
                   ce_rows_from(&p->qkv, place.row + place.first).data,
                   ce_native_q_width(a) * bytes);
    }
    ce_lane_meet(lane);
    lane->x = p->first_x;
    lane->low = p->first_low;
    lane->rows = p->batch->texts;
}

/* ---- Pooling ------------------------------------------------------------------------------ */

static void activate(const ce_dense *dense, float *vector)
{
    for (uint32_t i = 0; i < dense->out; i++) {
        float v = vector[i];
        switch (dense->activation) {
        case CE_DENSE_IDENTITY:
            return;
        case CE_DENSE_TANH:
            vector[i] = tanhf(v);
            break;
        case CE_DENSE_RELU:
            vector[i] = v > 0 || isnan(v) ? v : 0;
            break;
        case CE_DENSE_GELU:
            vector[i] = 0.5f * v * (1.0f + erff(v * 0.70710678118654752f));
            break;
        case CE_DENSE_SIGMOID:
            vector[i] = 1.0f / (1.0f + expf(-v));
            break;
        }
    }
}

/* Returns where the result is: one of the two. */
static const float *through_dense(const ce_pass *p, float *vector, float *other)
{
    const ce_architecture *a = p->model->architecture;
    for (uint32_t i = 0; i < a->dense_count; i++) {
        ce_rows in = {.data = vector, .stride = p->head_floats * sizeof(float)};
        ce_linear_output out = {.rows = {.data = other, .stride = p->head_floats * sizeof(float)}};
        const ce_linear *linear = &p->model->weights.dense[i];
        ce_linear_run(linear, &in, 1, 0, ce_linear_panels(linear->out), &out, p->model->isa);
        activate(&a->dense[i], other);
        float *swapped = vector;
        vector = other;
        other = swapped;
    }
    return vector;
}

void ce_lane_pool(const ce_lane *lane)
{
    const ce_pass *p = lane->pass;
    const ce_architecture *a = p->model->architecture;
    float *vector = p->heads + (size_t)lane->index * 2 * p->head_floats;
    size_t dim = ce_native_dim(a);
    ce_stretch own = share((ce_stretch){0, p->batch->texts}, lane->index, p->lanes);
    ce_lane_meet(lane);
    for (size_t text = own.begin; text < own.end; text++) {
        int kept = lane->x.data == p->first_x.data && p->first_x.data;
        size_t row = kept ? text : (size_t)p->batch->cu_seqlens[text];
        size_t tokens =
            kept ? 1 : (size_t)(p->batch->cu_seqlens[text + 1] - p->batch->cu_seqlens[text]);
        ce_rows rows = ce_rows_from(&lane->x, row);
        for (uint32_t i = 0; i < a->pooling_count; i++)
            ce_pool_rows(a->poolings[i], &rows, tokens, a->hidden, vector + (size_t)i * a->hidden,
                         p->model->isa);
        memcpy(p->out + text * dim, through_dense(p, vector, vector + p->head_floats),
               dim * sizeof(float));
    }
}

/* ---- A pass ------------------------------------------------------------------------------- */

static size_t layer_bytes(const ce_native_model *model)
{
    const ce_native_layer *l = &model->weights.layers[0];
    const ce_linear *all[] = {&l->qkv, &l->out, &l->up, &l->down};
    size_t bytes = 0;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        bytes += ce_linear_bytes(all[i]->number, all[i]->in, all[i]->out, all[i]->group);
    return bytes;
}

static void forward(void *argument, int index)
{
    ce_pass *p = argument;
    ce_lane lane = {.pass = p, .index = index, .x = p->x, .low = p->low, .rows = p->batch->tokens};
    if (ce_native_is_bert(p->model->architecture))
        ce_bert_forward(&lane);
    else
        ce_llama_forward(&lane);
    ce_lane_pool(&lane);
}

int ce_pass_run(ce_native_model *model, const ce_batch *batch, ce_team *team,
                const ce_ranges *ranges, float *out, ce_error *error)
{
    ce_pass pass = {.model = model,
                    .batch = batch,
                    .lanes = team->threads,
                    .by_panels = team->threads > 1 && batch->tokens <= PANELS_ROWS &&
                                 layer_bytes(model) > PANELS_BYTES,
                    .ranges = ranges,
                    .out = out};
    size_t size = place(&pass, NULL);
    ce_scratch *scratch = take_scratch(model, size);
    if (!scratch)
        return ce_fail(error, CE_E_NO_MEMORY,
                       "no memory for a pass of %zu tokens, which takes %zu bytes", batch->tokens,
                       size);
    place(&pass, scratch->data);
    if (!ce_native_is_bert(model->architecture))
        fill_turns(&pass);
    ce_barrier_init(&pass.barrier, pass.lanes);
    if (pass.lanes > 1)
        team->run(team, forward, &pass);
    else
        forward(&pass, 0);
    give_scratch(model, scratch);
    return CE_OK;
}
