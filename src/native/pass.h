/* One batch on its way through a model: what the threads of a team share, and what each of them does.
 *
 * Every thread ("lane") takes a share of the rows and does everything with them; only attention needs the rows of others,
 * and the lanes meet before and after it. Where the weights of a layer do not fit into a cache, reading them once matters
 * more: then all lanes work on all rows, each with its share of the weights' panels, and meet at every layer. Either way a
 * number is computed by the same instructions, so that vectors do not depend on the team. */
#ifndef CE_NATIVE_PASS_H
#define CE_NATIVE_PASS_H

#include "base/barrier.h"
#include "base/team.h"
#include "kernels/attention.h"
#include "native/model.h"
#include "native/ranges.h"

/* Rows that go through a layer together: activations stay in the cache of second level. */
enum { CE_PASS_BLOCK = 48 };

typedef struct ce_stretch {
    size_t begin, end;
} ce_stretch;

typedef struct ce_pass {
    const ce_native_model *model;
    const ce_batch *batch;
    int lanes;
    int by_panels;
    const ce_ranges *ranges; /* of a calibration, which has one lane; or NULL */
    float *out;              /* [texts, dim] */
    ce_barrier barrier;

    ce_rows x;       /* [tokens, hidden] fp32: the residual stream */
    ce_rows low;     /* [tokens, hidden]: what a linear layer reads; x itself in fp32 BERT */
    ce_rows qkv;     /* [tokens, q + 2 kv] */
    ce_rows context; /* [tokens, q]: what attention found */
    ce_rows first_x, first_low,
        first_q;         /* [texts, ...]: the one token of each text that the last layer computes */
    ce_rows low_context; /* int8: [tokens, q] */
    /* A block for each lane, or one for all of them. */
    ce_rows wide;         /* [block, q + 2 kv] fp32: q, k and v before they are turned */
    ce_rows mid;          /* [block, intermediate] */
    ce_rows low_mid;      /* int8 */
    float *cos, *sin;     /* [tokens, rotary_dim / 2] */
    int32_t *row_numbers; /* [tokens]: 0, 1, 2, ... */
    char *attention;      /* scratch memory for each lane */
    size_t attention_bytes;
    float *heads; /* for each lane: vectors on their way through Dense modules */
    size_t head_floats;
} ce_pass;

/* What a lane works on. */
typedef struct ce_lane {
    ce_pass *pass;
    int index;
    ce_rows x, low; /* of the pass, or the first tokens' */
    size_t rows;    /* that are left: tokens, or texts in a single last layer */
} ce_lane;

/* One batch to `out` [texts, dim], on all threads of the team. */
int ce_pass_run(ce_native_model *model, const ce_batch *batch, ce_team *team,
                const ce_ranges *ranges, float *out, ce_error *error);

void ce_bert_forward(ce_lane *lane);
void ce_llama_forward(ce_lane *lane);

/* ---- Steps -------------------------------------------------------------------------------- */

/* The rows of 0 .. count that this lane takes through layers. */
ce_stretch ce_lane_rows(const ce_lane *lane, size_t count);

/* Of rows that it takes through layers those that are its own where no layer's panels are shared out. */
ce_stretch ce_lane_own(const ce_lane *lane, ce_stretch rows);

void ce_lane_meet(const ce_lane *lane);

/* The lane's block of rows in memory that has one for each lane. */
ce_rows ce_lane_block(const ce_lane *lane, const ce_rows *blocks);

/* Rows `in` .. through a linear layer, panels panel .. panel_end of it. */
void ce_lane_linear(const ce_lane *lane, const ce_linear *linear, ce_rows in, size_t count,
                    size_t panel, size_t panel_end, ce_linear_output out);

/* The same through all panels. */
void ce_lane_layer(const ce_lane *lane, const ce_linear *linear, ce_rows in, size_t count,
                   ce_linear_output out);

void ce_lane_norm(const ce_lane *lane, const ce_norm *norm, ce_rows in, size_t count,
                  const ce_rows *out, const ce_rows *low);

void ce_lane_convert(const ce_lane *lane, ce_rows from, size_t count, size_t width, ce_rows to);

/* Words to pass->x: rows begin .. end. */
void ce_lane_words(const ce_lane *lane, ce_stretch rows);

/* Attention of layer `layer` for the lane's share of heads. With `single` the queries are pass->first_q. */
void ce_lane_attention(const ce_lane *lane, uint32_t layer, int single);

/* From here on the lane's rows are those of one token of each text, the only ones that count in the end: x and low of
 * all tokens are there. */
void ce_lane_keep_single(ce_lane *lane);

/* Of `count` rows from `row` on. x += the output layer over what attention found. */
void ce_lane_add_attention(const ce_lane *lane, uint32_t layer, size_t row, size_t count);

/* x += the feed-forward network over low. */
void ce_lane_add_network(const ce_lane *lane, uint32_t layer, size_t row, size_t count);

/* Pooling and Dense modules. */
void ce_lane_pool(const ce_lane *lane);

void ce_lane_record(const ce_lane *lane, uint32_t layer, ce_range_place place, ce_rows rows,
                    size_t count);

#endif
