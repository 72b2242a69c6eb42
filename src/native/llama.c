/* Llama and what is like it: attention and a gated network read the norm of what they are added to, and places are
 * turns of q and k (Touvron et al., 2023). */
#include "native/pass.h"

#include "kernels/rope.h"

/* Of `heads` heads from element `first` on, in one row after the other: each head is a row of its own. */
static void normalise_heads(const ce_pass *p, const ce_norm *norm, const ce_rows *rows,
                            size_t count, size_t first, size_t heads)
{
    for (size_t row = 0; row < count; row++) {
        ce_rows of_row = ce_rows_from(rows, row);
        ce_rows in = {.data = (float *)of_row.data + first, .stride = norm->width * sizeof(float)};
        ce_norm_rows(norm, &in, heads, &in, NULL, p->model->isa);
    }
}

/* Norms and turns of the lane's own rows, in place, and on to where attention reads them. */
static void turn(const ce_lane *lane, const ce_native_layer *layer, size_t row, ce_rows wide,
                 size_t count)
{
    const ce_pass *p = lane->pass;
    const ce_architecture *a = p->model->architecture;
    size_t q = ce_native_q_width(a), kv = ce_native_kv_width(a);
    ce_stretch own = ce_lane_own(lane, (ce_stretch){0, count});
    size_t owned = own.end - own.begin;
    if (owned == 0)
        return;
    ce_rows rows = ce_rows_from(&wide, own.begin);
    if (a->qk_norm) {
        normalise_heads(p, &layer->q_norm, &rows, owned, 0, a->heads);
        normalise_heads(p, &layer->k_norm, &rows, owned, q, a->kv_heads);
    }
    const ce_rope rope = {.rotary_dim = a->rope.rotary_dim, .cos = p->cos, .sin = p->sin};
    const int32_t *turns = p->row_numbers + row + own.begin;
    ce_rope_rows(&rope, &rows, owned, turns, 0, a->heads, a->head_dim, p->model->isa);
    ce_rope_rows(&rope, &rows, owned, turns, q, a->kv_heads, a->head_dim, p->model->isa);
    ce_rows to = ce_rows_from(&p->qkv, row + own.begin);
    ce_rows_convert(&rows, owned, q + 2 * kv, &to, p->model->isa);
}

static void project(const ce_lane *lane, const ce_native_layer *layer, uint32_t index, size_t row,
                    size_t count)
{
    const ce_pass *p = lane->pass;
    ce_rows x = ce_rows_from(&lane->x, row), low = ce_rows_from(&lane->low, row);
    ce_rows wide = ce_lane_block(lane, &p->wide);
    ce_lane_norm(lane, &layer->attention_norm, x, count, NULL, &low);
    ce_lane_record(lane, index, CE_RANGE_QKV, low, count);
    ce_lane_layer(lane, &layer->qkv, low, count, (ce_linear_output){.rows = wide});
    turn(lane, layer, row, wide, count);
}

void ce_llama_forward(ce_lane *lane)
{
    const ce_pass *p = lane->pass;
    const ce_native_model *m = p->model;
    const ce_architecture *a = m->architecture;
    ce_stretch rows = ce_lane_rows(lane, lane->rows);
    ce_lane_words(lane, ce_lane_own(lane, rows));

    for (uint32_t i = 0; i < a->layers; i++) {
        const ce_native_layer *layer = &m->weights.layers[i];
        int single = i + 1 == a->layers && ce_native_is_single(a);
        rows = ce_lane_rows(lane, lane->rows);
        for (size_t row = rows.begin; row < rows.end; row += CE_PASS_BLOCK) {
            size_t left = rows.end - row, count = left < CE_PASS_BLOCK ? left : CE_PASS_BLOCK;
            project(lane, layer, i, row, count);
        }
        if (single)
            ce_lane_keep_single(lane);
        ce_lane_attention(lane, i, single);
        rows = ce_lane_rows(lane, lane->rows);
        for (size_t row = rows.begin; row < rows.end; row += CE_PASS_BLOCK) {
            size_t left = rows.end - row, count = left < CE_PASS_BLOCK ? left : CE_PASS_BLOCK;
            ce_rows low = ce_rows_from(&lane->low, row);
            ce_lane_add_attention(lane, i, row, count);
            ce_lane_norm(lane, &layer->mlp_norm, ce_rows_from(&lane->x, row), count, NULL, &low);
            ce_lane_record(lane, i, CE_RANGE_UP, low, count);
            ce_lane_add_network(lane, i, row, count);
        }
    }
    rows = ce_lane_rows(lane, lane->rows);
    ce_rows x = ce_rows_from(&lane->x, rows.begin);
    ce_lane_norm(lane, &m->weights.final_norm, x, rows.end - rows.begin, &x, NULL);
}
