/* BERT and what is like it: attention and network are added to what they read, and the sum is normalised
 * (Devlin et al., 2018). */
#include "native/pass.h"

/* RoBERTa counts the tokens that are not its padding, whose own place is the row before that of the first token: also
 * where a text spells the padding out. */
static size_t place_of(const ce_pass *p, size_t row)
{
    size_t offset = p->model->architecture->position_offset;
    size_t position = (size_t)p->batch->positions[row], padding = 0;
    if (offset == 0)
        return position;
    const int32_t *ids = p->batch->ids + (row - position), pad = (int32_t)offset - 1;
    if (ids[position] == pad)
        return offset - 1;
    for (size_t i = 0; i < position; i++)
        padding += ids[i] == pad;
    return offset + position - padding;
}

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
        if (m->types)
            ce_weights_add(m->types, 0, hidden, x);
        ce_weights_add(m->places, place_of(p, row) * hidden, hidden, x);
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
        ce_lane_record(lane, i, CE_RANGE_QKV, lane->x, lane->rows);
        project_all(lane, layer, single);
        ce_lane_attention(lane, i, single);
        rows = ce_lane_rows(lane, lane->rows);
        for (size_t row = rows.begin; row < rows.end; row += CE_PASS_BLOCK) {
            size_t left = rows.end - row, count = left < CE_PASS_BLOCK ? left : CE_PASS_BLOCK;
            ce_lane_add_attention(lane, i, row, count);
            normalise(lane, &layer->attention_norm, row, count, 0);
            ce_lane_record(lane, i, CE_RANGE_UP, ce_rows_from(&lane->x, row), count);
            ce_lane_add_network(lane, i, row, count);
            normalise(lane, &layer->mlp_norm, row, count, i + 1 == a->layers);
        }
    }
}
