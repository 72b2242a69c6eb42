/* Defaults and rules are those of transformers 5.24 (configuration_*.py, modeling_rope_utils.py). */
#include "cmocka_all.h"

#include "native/architecture.h"

#include <math.h>
#include <stdio.h>

static ce_error error;
static ce_architecture read;

static int attempt(const char *json)
{
    memset(&error, 0, sizeof error);
    return ce_architecture_read(json, strlen(json), &read, &error);
}

static void accept(const char *json)
{
    if (attempt(json) != CE_OK)
        fail_msg("%s: %s", json, error.message);
}

static void refuse(const char *json, int expected, const char *message)
{
    int status = attempt(json);
    if (status != expected || !strstr(error.message, message))
        fail_msg("%s: %d \"%s\", expected %d \"%s\"", json, status, error.message, expected,
                 message);
    assert_null(read.name);
}

static void test_bert_has_the_defaults_of_transformers(void **state)
{
    (void)state;
    accept("{\"model_type\":\"bert\"}");
    assert_int_equal(read.family, CE_FAMILY_BERT);
    assert_string_equal(read.name, "BertModel");
    assert_string_equal(read.model_type, "bert");
    assert_int_equal(read.dtype, 0);
    assert_int_equal(read.vocab_size, 30522);
    assert_int_equal(read.hidden, 768);
    assert_int_equal(read.intermediate, 3072);
    assert_int_equal(read.layers, 12);
    assert_int_equal(read.heads, 12);
    assert_int_equal(read.kv_heads, 12);
    assert_int_equal(read.head_dim, 64);
    assert_int_equal(read.positions, 512);
    assert_int_equal(read.position_offset, 0);
    assert_int_equal(read.token_types, 2);
    assert_int_equal(read.activation, CE_ACTIVATION_GELU);
    assert_true(read.norm_eps == 1e-12F);
    assert_false(read.causal);
    assert_int_equal(read.windowed_layers, 0);
    assert_true(read.qkv_bias && read.out_bias && read.mlp_bias);
    ce_architecture_free(&read);
}

static void test_settings_take_the_place_of_defaults(void **state)
{
    (void)state;
    accept("{\"model_type\":\"bert\",\"architectures\":[\"BertForMaskedLM\",\"X\"],"
           "\"hidden_size\":384,\"num_hidden_layers\":6,\"num_attention_heads\":4,"
           "\"intermediate_size\":100,\"vocab_size\":7,\"type_vocab_size\":1,"
           "\"max_position_embeddings\":33,\"layer_norm_eps\":1e-05,\"hidden_act\":\"gelu_new\","
           "\"torch_dtype\":\"float16\",\"dtype\":\"bfloat16\",\"position_embedding_type\":"
           "\"absolute\",\"is_decoder\":false,\"pruned_heads\":{},\"quantization_config\":null,"
           "\"hidden_size\":64}");
    assert_string_equal(read.name, "BertForMaskedLM");
    assert_int_equal(read.hidden, 64); /* the last one counts */
    assert_int_equal(read.head_dim, 16);
    assert_int_equal(read.layers, 6);
    assert_int_equal(read.intermediate, 100);
    assert_int_equal(read.vocab_size, 7);
    assert_int_equal(read.token_types, 1);
    assert_int_equal(read.positions, 33);
    assert_true(read.norm_eps == 1e-5F);
    assert_int_equal(read.activation, CE_ACTIVATION_GELU_TANH);
    assert_int_equal(read.dtype, CE_DTYPE_BF16);
    ce_architecture_free(&read);
}

static void test_roberta_counts_positions_from_behind_the_padding(void **state)
{
    (void)state;
    const char *const types[] = {"roberta", "xlm-roberta", "camembert"};
    for (size_t i = 0; i < 3; i++) {
        char json[200];
        snprintf(json, sizeof json,
                 "{\"model_type\":\"%s\",\"max_position_embeddings\":514,\"type_vocab_size\":1}",
                 types[i]);
        accept(json);
        assert_int_equal(read.family, CE_FAMILY_BERT);
        assert_int_equal(read.position_offset, 2);
        assert_int_equal(read.positions, 512);
        ce_architecture_free(&read);
    }
    accept("{\"model_type\":\"roberta\",\"pad_token_id\":0,\"max_position_embeddings\":10}");
    assert_int_equal(read.position_offset, 1);
    assert_int_equal(read.positions, 9);
    ce_architecture_free(&read);
    refuse("{\"model_type\":\"roberta\",\"pad_token_id\":null}", CE_E_BAD_MODEL, "pad_token_id");
    refuse("{\"model_type\":\"roberta\",\"max_position_embeddings\":2}", CE_E_BAD_MODEL,
           "pad_token_id");
}

static void test_distilbert_has_names_of_its_own(void **state)
{
    (void)state;
    accept("{\"model_type\":\"distilbert\",\"dim\":64,\"n_layers\":3,\"n_heads\":4,"
           "\"hidden_dim\":99,\"activation\":\"gelu\",\"layer_norm_eps\":0.5}");
    assert_int_equal(read.family, CE_FAMILY_DISTILBERT);
    assert_int_equal(read.hidden, 64);
    assert_int_equal(read.layers, 3);
    assert_int_equal(read.heads, 4);
    assert_int_equal(read.intermediate, 99);
    assert_int_equal(read.token_types, 0);
    assert_true(read.norm_eps == 1e-12F); /* fixed */
    ce_architecture_free(&read);
    accept("{\"model_type\":\"distilbert\"}");
    assert_int_equal(read.layers, 6);
    ce_architecture_free(&read);
    refuse("{\"model_type\":\"distilbert\",\"activation\":\"relu\"}", CE_E_UNSUPPORTED,
           "activation is 'relu'");
}

static void test_llama(void **state)
{
    (void)state;
    accept("{\"model_type\":\"llama\",\"num_key_value_heads\":8,\"attention_bias\":true,"
           "\"sliding_window\":7}");
    assert_int_equal(read.family, CE_FAMILY_LLAMA);
    assert_int_equal(read.kv_heads, 8);
    assert_int_equal(read.head_dim, 128);
    assert_int_equal(read.activation, CE_ACTIVATION_SILU_GATE);
    assert_true(read.causal && read.qkv_bias && read.out_bias && !read.mlp_bias);
    assert_int_equal(read.window, 0);
    assert_int_equal(read.positions, 2048);
    assert_true(read.norm_eps == 1e-6F);
    assert_int_equal(read.rope.kind, CE_ROPE_DEFAULT);
    assert_true(read.rope.theta == 10000 && read.rope.attention_factor == 1);
    assert_int_equal(read.rope.rotary_dim, 128);
    ce_architecture_free(&read);
    accept("{\"model_type\":\"llama\",\"num_key_value_heads\":null,\"head_dim\":null}");
    assert_int_equal(read.kv_heads, 32);
    ce_architecture_free(&read);
    refuse("{\"model_type\":\"llama\",\"num_key_value_heads\":5}", CE_E_BAD_MODEL, "5 key");
    refuse("{\"model_type\":\"llama\",\"hidden_size\":100}", CE_E_BAD_MODEL, "hidden_size 100");
}

static void test_biases_and_norms_of_decoders(void **state)
{
    (void)state;
    accept("{\"model_type\":\"qwen2\"}");
    assert_true(read.qkv_bias && !read.out_bias && !read.mlp_bias && !read.qk_norm);
    assert_int_equal(read.windowed_layers, 0);
    ce_architecture_free(&read);
    accept("{\"model_type\":\"qwen3\",\"hidden_size\":1024,\"num_attention_heads\":16,"
           "\"num_key_value_heads\":8}");
    assert_true(!read.qkv_bias && !read.out_bias && read.qk_norm);
    assert_int_equal(read.head_dim, 128); /* not 1024 / 16 */
    ce_architecture_free(&read);
    accept("{\"model_type\":\"mistral\"}");
    assert_false(read.qkv_bias || read.out_bias || read.mlp_bias || read.qk_norm);
    assert_int_equal(read.kv_heads, 8);
    assert_int_equal(read.window, 4096);
    assert_int_equal(read.first_windowed_layer, 0);
    assert_int_equal(read.windowed_layers, 32);
    ce_architecture_free(&read);
}

static void test_windows(void **state)
{
    (void)state;
    accept("{\"model_type\":\"mistral\",\"sliding_window\":null}");
    assert_int_equal(read.window, 0);
    ce_architecture_free(&read);
    accept("{\"model_type\":\"phi3\",\"sliding_window\":2047}");
    assert_int_equal(read.window, 2047);
    assert_int_equal(read.windowed_layers, 32);
    ce_architecture_free(&read);
    accept("{\"model_type\":\"qwen2\",\"use_sliding_window\":true,\"sliding_window\":9,"
           "\"max_window_layers\":30}");
    assert_int_equal(read.window, 9);
    assert_int_equal(read.first_windowed_layer, 30);
    assert_int_equal(read.windowed_layers, 2);
    ce_architecture_free(&read);
    accept("{\"model_type\":\"qwen3\",\"num_hidden_layers\":3,\"use_sliding_window\":true,"
           "\"sliding_window\":9,\"layer_types\":[\"full_attention\",\"sliding_attention\","
           "\"sliding_attention\"]}");
    assert_int_equal(read.first_windowed_layer, 1);
    assert_int_equal(read.windowed_layers, 2);
    ce_architecture_free(&read);
    refuse("{\"model_type\":\"qwen3\",\"num_hidden_layers\":3,\"use_sliding_window\":true,"
           "\"layer_types\":[\"sliding_attention\",\"full_attention\",\"sliding_attention\"]}",
           CE_E_UNSUPPORTED, "layer_types");
    refuse("{\"model_type\":\"qwen3\",\"num_hidden_layers\":1,\"layer_types\":"
           "[\"sliding_attention\"]}",
           CE_E_BAD_MODEL, "no sliding_window");
    refuse("{\"model_type\":\"qwen3\",\"num_hidden_layers\":2,\"layer_types\":"
           "[\"full_attention\"]}",
           CE_E_BAD_MODEL, "1 layer_types for 2 layers");
    refuse("{\"model_type\":\"qwen3\",\"layer_types\":[\"linear_attention\"]}", CE_E_UNSUPPORTED,
           "linear_attention");
    refuse("{\"model_type\":\"mistral\",\"sliding_window\":0}", CE_E_BAD_MODEL, "sliding_window");
}

static void test_scaled_frequencies(void **state)
{
    (void)state;
    accept("{\"model_type\":\"llama\",\"rope_theta\":500000.0,\"rope_scaling\":{\"type\":"
           "\"linear\",\"factor\":2}}");
    assert_int_equal(read.rope.kind, CE_ROPE_LINEAR);
    assert_true(read.rope.theta == 500000 && read.rope.factor == 2);
    ce_architecture_free(&read);
    /* What stands inside goes first; an empty rope_scaling says nothing. */
    accept("{\"model_type\":\"llama\",\"max_position_embeddings\":131072,\"rope_theta\":1,"
           "\"rope_scaling\":{},\"rope_parameters\":{\"rope_type\":\"llama3\",\"rope_theta\":9.0,"
           "\"factor\":8.0,\"low_freq_factor\":1.0,\"high_freq_factor\":4.0,"
           "\"original_max_position_embeddings\":8192}}");
    assert_int_equal(read.rope.kind, CE_ROPE_LLAMA3);
    assert_true(read.rope.theta == 9 && read.rope.factor == 8);
    assert_true(read.rope.low_freq_factor == 1 && read.rope.high_freq_factor == 4);
    assert_int_equal(read.rope.original_positions, 8192);
    ce_architecture_free(&read);
    refuse("{\"model_type\":\"llama\",\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":8}}",
           CE_E_BAD_MODEL, "low_freq_factor");
    refuse("{\"model_type\":\"llama\",\"rope_scaling\":{\"type\":\"linear\"}}", CE_E_BAD_MODEL,
           "factor");
    refuse("{\"model_type\":\"llama\",\"rope_scaling\":{\"type\":\"dynamic\",\"factor\":2}}",
           CE_E_UNSUPPORTED, "rope_type is 'dynamic'");
    refuse("{\"model_type\":\"llama\",\"rope_scaling\":{\"rope_type\":\"yarn\",\"factor\":2}}",
           CE_E_UNSUPPORTED, "rope_type is 'yarn'");
    refuse("{\"model_type\":\"llama\",\"partial_rotary_factor\":0.5}", CE_E_UNSUPPORTED,
           "partial_rotary_factor");
    refuse("{\"model_type\":\"qwen3\",\"rope_parameters\":{\"full_attention\":{}}}",
           CE_E_UNSUPPORTED, "for each type of layer");
}

#define PHI                                                                  \
    "{\"model_type\":\"phi3\",\"hidden_size\":32,\"num_attention_heads\":4," \
    "\"max_position_embeddings\":16384,"
#define FACTORS "\"short_factor\":[1,1.5,2,2.5],\"long_factor\":[1,2,3,4.25]"

static void test_longrope_of_phi3(void **state)
{
    (void)state;
    const char *const names[] = {"longrope", "su", "yarn"};
    for (size_t i = 0; i < 3; i++) {
        char json[400];
        snprintf(json, sizeof json, PHI "\"rope_scaling\":{\"type\":\"%s\"," FACTORS "}}",
                 names[i]);
        accept(json);
        assert_int_equal(read.rope.kind, CE_ROPE_LONGROPE);
        assert_int_equal(read.rope.original_positions, 4096);
        assert_true(read.rope.short_factor[3] == 2.5F && read.rope.long_factor[3] == 4.25F);
        /* sqrt(1 + ln 4 / ln 4096) */
        assert_true(fabs(read.rope.attention_factor - 1.0801234497346435) < 1e-15);
        ce_architecture_free(&read);
    }
    accept(PHI "\"original_max_position_embeddings\":8192,\"rope_scaling\":{\"type\":\"longrope\","
               "\"original_max_position_embeddings\":1024,\"attention_factor\":1.25," FACTORS "}}");
    assert_int_equal(read.rope.original_positions, 8192);
    assert_true(read.rope.attention_factor == 1.25);
    ce_architecture_free(&read);
    accept(PHI "\"partial_rotary_factor\":0.5,\"rope_scaling\":{\"type\":\"longrope\","
               "\"short_factor\":[1,1],\"long_factor\":[1,1]}}");
    assert_int_equal(read.rope.rotary_dim, 4);
    ce_architecture_free(&read);
    refuse(PHI "\"rope_scaling\":{\"type\":\"longrope\",\"short_factor\":[1],"
               "\"long_factor\":[1,1,1,1]}}",
           CE_E_BAD_MODEL, "short_factor has 1 numbers, needed are 4");
    refuse(PHI "\"rope_scaling\":{\"type\":\"longrope\",\"short_factor\":[0,1,1,1]}}",
           CE_E_BAD_MODEL, "positive");
    refuse(PHI "\"rope_scaling\":{\"type\":\"linear\",\"factor\":2}}", CE_E_UNSUPPORTED,
           "rope_type is 'linear'");
}

static void test_what_is_not_known_is_refused_by_name(void **state)
{
    (void)state;
    const struct {
        const char *json, *message;
    } cases[] = {
        {"{\"model_type\":\"t5\"}", "model_type is 't5'"},
        {"{\"model_type\":\"bert\",\"hidden_act\":\"relu\"}", "hidden_act is 'relu'"},
        {"{\"model_type\":\"bert\",\"hidden_act\":\"silu\"}", "hidden_act is 'silu'"},
        {"{\"model_type\":\"llama\",\"hidden_act\":\"gelu\"}", "hidden_act is 'gelu'"},
        {"{\"model_type\":\"bert\",\"position_embedding_type\":\"relative_key\"}", "relative_key"},
        {"{\"model_type\":\"bert\",\"is_decoder\":true}", "is_decoder is true"},
        {"{\"model_type\":\"bert\",\"add_cross_attention\":true}", "add_cross_attention"},
        {"{\"model_type\":\"bert\",\"embedding_size\":128}", "embedding_size"},
        {"{\"model_type\":\"bert\",\"pruned_heads\":{\"1\":[0]}}", "pruned_heads"},
        {"{\"model_type\":\"bert\",\"torch_dtype\":\"float64\"}", "dtype is 'float64'"},
        {"{\"model_type\":\"llama\",\"quantization_config\":{\"bits\":4}}", "quantization_config"},
        {"{\"model_type\":\"llama\",\"is_causal\":false}", "is_causal is false"},
        {"{\"model_type\":\"llama\",\"use_bidirectional_attention\":true}",
         "use_bidirectional_attention"},
        {"{\"model_type\":\"qwen2\",\"auto_map\":{\"AutoModel\":\"modeling.M\"}}", "auto_map"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        refuse(cases[i].json, CE_E_UNSUPPORTED, cases[i].message);
        assert_non_null(strstr(error.message, "python -m citadel_embed.export"));
    }
    accept("{\"model_type\":\"phi3\",\"auto_map\":{\"AutoModelForCausalLM\":\"m.M\"}}");
    ce_architecture_free(&read);
}

static void test_malformed_values(void **state)
{
    (void)state;
    const struct {
        const char *json, *message;
    } cases[] = {
        {"", "expected"},
        {"[]", "expected an object"},
        {"{}", "model_type"},
        {"{\"model_type\":null}", "model_type"},
        {"{\"model_type\":\"a\\u0000b\"}", "NUL"},
        {"{\"model_type\":\"bert\",\"hidden_size\":0}", "hidden_size"},
        {"{\"model_type\":\"bert\",\"hidden_size\":70000}", "hidden_size"},
        {"{\"model_type\":\"bert\",\"hidden_size\":\"768\"}", "hidden_size"},
        {"{\"model_type\":\"bert\",\"hidden_size\":-1}", "hidden_size"},
        {"{\"model_type\":\"bert\",\"vocab_size\":4294967297}", "vocab_size"},
        {"{\"model_type\":\"bert\",\"num_hidden_layers\":1.5}", "num_hidden_layers"},
        {"{\"model_type\":\"bert\",\"num_attention_heads\":5}", "5 attention heads"},
        {"{\"model_type\":\"bert\",\"layer_norm_eps\":-1}", "layer_norm_eps"},
        {"{\"model_type\":\"llama\",\"rope_theta\":0}", "rope_theta"},
        {"{\"model_type\":\"llama\",\"head_dim\":3}", "3 elements of a head"},
        {"{\"model_type\":\"llama\",\"attention_bias\":1}", "attention_bias"},
        {"{\"model_type\":\"bert\"} x", "more text"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        refuse(cases[i].json, CE_E_BAD_MODEL, cases[i].message);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bert_has_the_defaults_of_transformers),
        cmocka_unit_test(test_settings_take_the_place_of_defaults),
        cmocka_unit_test(test_roberta_counts_positions_from_behind_the_padding),
        cmocka_unit_test(test_distilbert_has_names_of_its_own),
        cmocka_unit_test(test_llama),
        cmocka_unit_test(test_biases_and_norms_of_decoders),
        cmocka_unit_test(test_windows),
        cmocka_unit_test(test_scaled_frequencies),
        cmocka_unit_test(test_longrope_of_phi3),
        cmocka_unit_test(test_what_is_not_known_is_refused_by_name),
        cmocka_unit_test(test_malformed_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
