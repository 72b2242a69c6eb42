/* BERT and what is like it: attention and network are added to what they read, and the sum is normalised
 * (Devlin et al., 2018). */
#include "native/pass.h"

/* Word, type and place of each token. */
static void embed(const ce_lane *lane, ce_stretch rows)
{
    const ce_pass *p = lane->pass;
    const ce_native_model *m = p->model;
    size_t hidden = m->architecture->hidden;
    ce_stretch own = ce_lane_own(lane, rows);
    ce_lane_words(lane, own);
    for (size_t row = own.begin; row < own.end; row++) {
        float *x = ce_rows_from(&p->x, row).data;
        size_t place = (size_t)p->batch->positions[row] + m->architecture->position_offset;
        if (m->types)
            ce_weights_add(m->types, 0, hidden, x);
        ce_weights_add(m->places, place * hidden, hidden, x);
    }
}

/* x to its norm, and to what the next linear layer reads, if there is one. */
static void normalise(const ce_lane *lane, const ce_norm *norm, size_t row, size_t count, int last)
{
    ce_rows x = ce_rows_from(&lane->x, row), low = ce_rows_from(&lane->low, row);
    int apart = lane->low.data != lane->x.data;
    ce_lane_norm(lane, norm, x, count, &x, apart && !last ? &low : NULL);
}

/* Inputs of q, k and v that are read for each panel: they are to stay in the second-level cache. */
enum { INPUT_BYTES = 384 << 10 };

static void project(const ce_lane *lane, const ce_native_layer *layer, size_t panel,
                    size_t panel_end, const ce_rows *to)
{
    ce_stretch rows = ce_lane_rows(lane, lane->rows);
    size_t fitting = INPUT_BYTES / lane->low.stride;
    size_t block = fitting > CE_PASS_BLOCK ? fitting : CE_PASS_BLOCK;
    for (size_t row = rows.begin; row < rows.end; row += block) {
        size_t left = rows.end - row, count = left < block ? left : block;
        ce_lane_linear(lane, &layer->qkv, ce_rows_from(&lane->low, row), count, panel, panel_end,
                       (ce_linear_output){.rows = ce_rows_from(to, row)});
    }
}

/* q, k and v. In a single last layer q is that of the tokens that count. */
static void project_all(ce_lane *lane, const ce_native_layer *layer, int single)
{
    const ce_pass *p = lane->pass;
    size_t q = ce_native_q_width(p->model->architecture), panels = ce_linear_panels(layer->qkv.out);
    if (!single) {
        project(lane, layer, 0, panels, &p->qkv);
        return;
    }
    project(lane, layer, q / CE_PANEL, panels, &p->qkv);
    ce_lane_keep_single(lane);
    project(lane, layer, 0, ce_linear_panels(q), &p->first_q);
}

/* x += attention's output layer, normalised; of `count` rows from `row` on. */
static void add_attention(const ce_lane *lane, const ce_native_layer *layer, uint32_t index,
                          size_t row, size_t count)
{
    const ce_pass *p = lane->pass;
    size_t q = ce_native_q_width(p->model->architecture);
    ce_rows context = ce_rows_from(&p->context, row), low = ce_rows_from(&p->low_context, row);
    ce_lane_record(lane, index, CE_RANGE_OUT, context, count, q);
    if (p->low_context.data != p->context.data)
        ce_lane_convert(lane, context, count, q, low);
    ce_lane_layer(lane, &layer->out, low, count,
                  (ce_linear_output){.rows = ce_rows_from(&lane->x, row), .add = 1});
    normalise(lane, &layer->attention_norm, row, count, 0);
}

/* x += the feed-forward network, normalised. */
static void add_network(const ce_lane *lane, const ce_native_layer *layer, uint32_t index,
                        size_t row, size_t count)
{
    const ce_pass *p = lane->pass;
    const ce_architecture *a = p->model->architecture;
    ce_rows mid = ce_lane_block(lane, &p->mid), low_mid = ce_lane_block(lane, &p->low_mid);
    ce_lane_record(lane, index, CE_RANGE_UP, ce_rows_from(&lane->x, row), count, a->hidden);
    ce_lane_layer(lane, &layer->up, ce_rows_from(&lane->low, row), count,
                  (ce_linear_output){
                      .rows = mid, .activation = a->activation, .multiply = layer->down_smooth});
    ce_lane_record(lane, index, CE_RANGE_DOWN, mid, count, a->intermediate);
    if (low_mid.data != mid.data)
        ce_lane_convert(lane, mid, count, a->intermediate, low_mid);
    ce_lane_layer(lane, &layer->down, low_mid, count,
                  (ce_linear_output){.rows = ce_rows_from(&lane->x, row), .add = 1});
    normalise(lane, &layer->mlp_norm, row, count, index + 1 == a->layers);
}

void ce_bert_forward(ce_lane *lane)
{
    const ce_pass *p = lane->pass;
    const ce_native_model *m = p->model;
    const ce_architecture *a = m->architecture;
    ce_stretch rows = ce_lane_rows(lane, lane->rows);
    embed(lane, rows);
    normalise(lane, &m->weights.embedding_norm, rows.begin, rows.end - rows.begin, 0);

    for (uint32_t i = 0; i < a->layers; i++) {
        const ce_native_layer *layer = &m->weights.layers[i];
        int single = i + 1 == a->layers && ce_native_is_single(a);
        ce_lane_record(lane, i, CE_RANGE_QKV, lane->x, lane->rows, a->hidden);
        project_all(lane, layer, single);
        ce_lane_attention(lane, i, single);
        rows = ce_lane_rows(lane, lane->rows);
        for (size_t row = rows.begin; row < rows.end; row += CE_PASS_BLOCK) {
            size_t left = rows.end - row, count = left < CE_PASS_BLOCK ? left : CE_PASS_BLOCK;
            add_attention(lane, layer, i, row, count);
            add_network(lane, layer, i, row, count);
        }
    }
}
