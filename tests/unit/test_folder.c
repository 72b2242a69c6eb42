/* What is expected is what sentence-transformers 6.2 and transformers 5.24 make of such folders; tests/python/test_folder.py
 * compares genuine ones with them. */
#include "small_folder.h"

#include "citadel_embed.h"
#include "form.h"
#include "pack.h"

static ce_error error;
static ce_pack *pack;

static int attempt(const char *require_id)
{
    memset(&error, 0, sizeof error);
    return ce_pack_open(files_folder, require_id, &pack, &error);
}

static void accept(void)
{
    if (attempt(NULL) != CE_OK)
        fail_msg("%s", error.message);
}

static void refuse(int expected, const char *message)
{
    int status = attempt(NULL);
    if (status != expected || !strstr(error.message, message))
        fail_msg("%d \"%s\", expected %d \"%s\"", status, error.message, expected, message);
    assert_null(pack);
}

static void test_a_model_of_transformers_alone(void **state)
{
    (void)state;
    write_model();
    accept();
    assert_string_equal(pack->name, strrchr(files_folder, '/') + 1);
    assert_string_equal(pack->architecture, "BertModel");
    assert_string_equal(pack->pooling, "mean");
    assert_string_equal(pack->tokenizer, "tokenizer.json");
    assert_int_equal(pack->dim, 4);
    assert_int_equal(pack->max_tokens, 32); /* the positions: the tokenizer has no limit */
    assert_int_equal(pack->vocab_size, 6);
    assert_int_equal(pack->layout, CE_LAYOUT_PACKED);
    assert_int_equal(pack->precision, CITADEL_PRECISION_FP32);
    assert_false(pack->normalize);
    assert_int_equal(pack->native->dtype, CE_DTYPE_F32); /* as the weights are */
    assert_int_equal(pack->prompt_count, 2);
    assert_string_equal(pack->prompts[0].name, "query");
    assert_string_equal(pack->prompts[1].name, "document");
    assert_string_equal(pack->prompts[0].text, "");
    assert_null(pack->default_prompt);
    assert_int_equal(pack->artifact_count, 4);
    assert_int_equal(strlen(pack->id), 64);
    ce_bytes bytes;
    assert_int_equal(ce_pack_map(pack, "tokenizer.json", &bytes, &error), CE_OK);
    assert_int_equal(bytes.size, strlen(PLAIN_TOKENIZER));
    ce_pack_unmap(&bytes);
    ce_pack_close(pack);

    files_write_text("tokenizer_config.json", "{\"model_max_length\":20}");
    accept();
    assert_int_equal(pack->max_tokens, 20);
    ce_pack_close(pack);
}

static void test_what_a_class_of_transformers_means(void **state)
{
    (void)state;
    write_model();
    files_write_text("config.json",
                     CONFIG ",\"architectures\":[\"BertForSequenceClassification\"]}");
    refuse(CE_E_UNSUPPORTED, "gives scores and no vectors");
    files_write_text("config.json", CONFIG ",\"torch_dtype\":\"bfloat16\",\"architectures\":"
                                           "[\"BertForCausalLM\"]}");
    accept();
    assert_string_equal(pack->pooling, "lasttoken");
    assert_int_equal(pack->precision, CITADEL_PRECISION_BF16);
    ce_pack_close(pack);
    files_write_text("config.json", CONFIG ",\"dtype\":\"float16\"}");
    accept();
    assert_int_equal(pack->precision, CITADEL_PRECISION_FP32);
    ce_pack_close(pack);
    files_write_text("tokenizer_config.json", "{\"chat_template\":\"{{ x }}\"}");
    refuse(CE_E_UNSUPPORTED, "chat_template");
}

static void test_forms(void **state)
{
    (void)state;
    static const int32_t precisions[] = {CITADEL_PRECISION_FP32, CITADEL_PRECISION_BF16,
                                         CITADEL_PRECISION_INT8};
    ce_config config = {.optimization = 1, .compile = 1};
    ce_cpu cpu = {.known = 1};
    write_model();
    for (size_t i = 0; i < 3; i++) {
        accept();
        assert_int_equal(ce_form_choose_for(pack, &config, &cpu, precisions[i], &error), CE_OK);
        assert_string_equal(pack->chosen->form, "native");
        assert_int_equal(pack->chosen->precision, precisions[i]);
        assert_int_equal(ce_pack_load_weights(pack, &error), CE_OK);
        assert_int_equal(ce_pack_weight_bytes(pack), ce_weights_bytes(pack->native_weights));
        ce_pack_close(pack);
    }
    accept();
    assert_int_equal(ce_form_choose_for(pack, &config, &cpu, CITADEL_PRECISION_AUTO, &error),
                     CE_OK);
    assert_int_equal(pack->chosen->precision, CITADEL_PRECISION_FP32);
    ce_pack_close(pack);
}

static void test_modules(void **state)
{
    (void)state;
    write_sentence_model(TWO "," MODULE("Dense", "2_Dense") "," MODULE("Dropout", "") "," MODULE(
        "Normalize", "4_Normalize"));
    write_in("1_Pooling", "config.json",
             "{\"word_embedding_dimension\":4,\"pooling_mode_cls_token\":true,"
             "\"pooling_mode_lasttoken\":true,\"pooling_mode_max_tokens\":true}");
    write_in("2_Dense", "config.json",
             "{\"in_features\":12,\"out_features\":3,\"bias\":true,\"activation_function\":"
             "\"torch.nn.modules.linear.Identity\"}");
    files_write_tensors("2_Dense/model.safetensors",
                        "{\"linear.weight\":{\"dtype\":\"F32\",\"shape\":[3,12],"
                        "\"data_offsets\":[0,144]},\"linear.bias\":{\"dtype\":\"F32\","
                        "\"shape\":[3],\"data_offsets\":[144,156]}}",
                        NULL, 156);
    accept();
    assert_string_equal(pack->pooling, "cls+max+lasttoken");
    assert_int_equal(pack->dim, 3);
    assert_int_equal(pack->max_tokens, 16);
    assert_true(pack->normalize);
    assert_int_equal(pack->native->pooling_count, 3);
    assert_int_equal(pack->native->poolings[1], CE_POOL_MAX);
    assert_int_equal(pack->native->dense_count, 1);
    assert_string_equal(pack->native->dense[0].folder, "2_Dense");
    assert_int_equal(pack->native->dense[0].activation, CE_DENSE_IDENTITY);
    assert_true(pack->native->dense[0].bias);
    ce_pack_close(pack);

    write_in("1_Pooling", "config.json",
             "{\"embedding_dimension\":4,\"pooling_mode\":[\"mean\",\"cls\",\"mean\"],"
             "\"pooling_mode_max_tokens\":true}");
    write_in("2_Dense", "config.json", "{\"in_features\":12,\"out_features\":3}");
    accept();
    assert_string_equal(pack->pooling, "mean+cls+mean");
    assert_int_equal(pack->native->dense[0].activation, CE_DENSE_TANH);
    ce_pack_close(pack);
    files_write_tensors("2_Dense/model.safetensors",
                        "{\"linear.weight\":{\"dtype\":\"F32\",\"shape\":[12,3],"
                        "\"data_offsets\":[0,144]}}",
                        NULL, 144);
    refuse(CE_E_BAD_MODEL, "2_Dense: tensor 'linear.weight' has the shape [12, 3]");
}

static void test_modules_that_are_refused(void **state)
{
    (void)state;
    const struct {
        const char *modules, *message;
    } cases[] = {
        {MODULE("Transformer", ""), "nothing in the place of Pooling"},
        {MODULE("Transformer", "") "," MODULE("CNN", "1_CNN"), "CNN in the place of Pooling"},
        {MODULE("WordEmbeddings", ""), "WordEmbeddings in the place of Transformer"},
        {MODULE("Transformer", "0_Transformer") "," MODULE("Pooling", "1_Pooling"),
         "Transformer in a folder of its own"},
        {TWO "," MODULE("LayerNorm", "2_LayerNorm"), "LayerNorm"},
        {TWO "," MODULE("WeightedLayerPooling", "2_W"), "WeightedLayerPooling"},
        {TWO "," MODULE("Normalize", "2_N") "," MODULE("Dense", "3_Dense"),
         "Normalize before others"},
        {TWO ",{\"type\":\"modeling.Mine\",\"path\":\"2\"}", "'modeling.Mine'"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        write_sentence_model(cases[i].modules);
        refuse(CE_E_UNSUPPORTED, cases[i].message);
        assert_non_null(strstr(error.message, "citadel_embed.export"));
    }
    write_sentence_model(TWO "," MODULE("Dense", "../x"));
    refuse(CE_E_BAD_MODEL, "'../x' is not the name of a folder");
    write_sentence_model("{\"path\":\"\"}");
    refuse(CE_E_BAD_MODEL, "a module needs type and path");
}

static void test_settings_of_modules(void **state)
{
    (void)state;
    const struct {
        const char *name, *text;
        int status;
        const char *message;
    } cases[] = {
        {"1_Pooling/config.json", "{\"embedding_dimension\":4,\"include_prompt\":false}",
         CE_E_UNSUPPORTED, "include_prompt is false"},
        {"1_Pooling/config.json", "{\"embedding_dimension\":4,\"pooling_mode\":\"median\"}",
         CE_E_UNSUPPORTED, "pooling_mode is 'median'"},
        {"1_Pooling/config.json", "{\"embedding_dimension\":5}", CE_E_BAD_MODEL,
         "embedding_dimension is 5, the encoder's vectors have 4"},
        {"sentence_bert_config.json", "{\"do_lower_case\":true}", CE_E_UNSUPPORTED,
         "do_lower_case is true"},
        {"sentence_bert_config.json", "{\"max_seq_length\":33}", CE_E_UNSUPPORTED,
         "max_seq_length is 33, but the model has 32 positions"},
        {"sentence_bert_config.json", "{\"max_seq_length\":0}", CE_E_BAD_MODEL, "whole number"},
        {"sentence_bert_config.json", "{\"max_seq_length\":1.5}", CE_E_BAD_MODEL, "whole number"},
        {"sentence_bert_config.json", "{\"transformer_task\":\"fill-mask\"}", CE_E_UNSUPPORTED,
         "'fill-mask'"},
        {"sentence_bert_config.json", "{\"tokenizer_args\":{\"model_max_length\":8}}",
         CE_E_UNSUPPORTED, "tokenizer_args is 'model_max_length'"},
        {"sentence_bert_config.json", "{\"modality_config\":{\"text\":{},\"message\":{}}}",
         CE_E_UNSUPPORTED, "chat template"},
        {"sentence_bert_config.json",
         "{\"modality_config\":{\"text\":{\"method_output_name\":\"pooler_output\"}}}",
         CE_E_UNSUPPORTED, "'pooler_output'"},
        {"config_sentence_transformers.json", "{\"truncate_dim\":2}", CE_E_UNSUPPORTED,
         "truncate_dim"},
        {"config_sentence_transformers.json", "{\"model_type\":\"SparseEncoder\"}",
         CE_E_UNSUPPORTED, "'SparseEncoder'"},
        {"config_sentence_transformers.json", "{\"default_prompt_name\":\"x\"}", CE_E_BAD_MODEL,
         "'x' is none of the prompts"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        files_write_text("config_sentence_transformers.json", "{}");
        write_sentence_model(TWO);
        files_write_text(cases[i].name, cases[i].text);
        refuse(cases[i].status, cases[i].message);
    }
}

static void test_limits_of_tokens(void **state)
{
    (void)state;
    write_sentence_model(TWO);
    files_write_text("sentence_bert_config.json", "{}"); /* says nothing: the next one is read */
    files_write_text("sentence_roberta_config.json", "{\"max_seq_length\":9}");
    accept();
    assert_int_equal(pack->max_tokens, 9);
    ce_pack_close(pack);
    files_write_text("sentence_bert_config.json", "{\"max_seq_length\":null,\"query_length\":null,"
                                                  "\"model_args\":{},\"module_output_name\":"
                                                  "\"token_embeddings\"}");
    accept();
    assert_int_equal(pack->max_tokens, 32);
    ce_pack_close(pack);
}

static void test_prompts(void **state)
{
    (void)state;
    write_sentence_model(TWO "," MODULE("Normalize", "2_Normalize"));
    files_write_text("config_sentence_transformers.json",
                     "{\"prompts\":{\"query\":\"q: \",\"other\":null,\"document\":null},"
                     "\"default_prompt_name\":\"query\",\"similarity_fn_name\":\"dot\"}");
    accept();
    assert_int_equal(pack->prompt_count, 3);
    assert_string_equal(pack->prompts[0].text, "q: ");
    assert_string_equal(pack->prompts[1].text, "");
    assert_string_equal(pack->prompts[2].name, "other");
    assert_string_equal(pack->prompts[2].text, "");
    assert_string_equal(pack->default_prompt, "query");
    ce_pack_close(pack);
}

static void test_tokenizers_that_transformers_changes(void **state)
{
    (void)state;
    const struct {
        const char *tokenizer, *settings, *message; /* NULL: it is accepted */
    } cases[] = {
        {PLAIN_TOKENIZER, "{}", NULL},
        {PLAIN_TOKENIZER, "{\"do_lower_case\":false}", "normalizer"},
        {PLAIN_TOKENIZER, "{\"strip_accents\":true,\"do_lower_case\":true}", NULL},
        {PLAIN_TOKENIZER, "{\"strip_accents\":false}", "normalizer"},
        {PLAIN_TOKENIZER, "{\"tokenize_chinese_chars\":false}", "normalizer"},
        {TOKENIZER("\"strip_accents\":true,\"lowercase\":true", ""), "{}", NULL},
        {TOKENIZER("\"strip_accents\":false,\"lowercase\":true", ""), "{}", "normalizer"},
        {TOKENIZER("\"strip_accents\":null,\"lowercase\":false", ""), "{\"do_lower_case\":false}",
         NULL},
        /* This class takes all from the file. */
        {PLAIN_TOKENIZER,
         "{\"tokenizer_class\":\"PreTrainedTokenizerFast\",\"do_lower_case\":false}", NULL},
        {PLAIN_TOKENIZER,
         "{\"tokenizer_class\":\"PreTrainedTokenizerFast\","
         "\"add_bos_token\":false}",
         NULL},
        {PLAIN_TOKENIZER, "{\"tokenizer_class\":\"MPNetTokenizer\"}", "MPNetTokenizer"},
        {PLAIN_TOKENIZER, "{\"tokenizer_class\":\"RobertaTokenizer\"}", "normalizer"},
        {PLAIN_TOKENIZER, "{\"cls_token\":\"[X]\"}", "post_processor"},
        {PLAIN_TOKENIZER, "{\"unk_token\":{\"content\":\"[X]\"}}", "model"},
        {PLAIN_TOKENIZER, "{\"mask_token\":\"[X]\"}", "added tokens"},
        {PLAIN_TOKENIZER, "{\"additional_special_tokens\":[\"[X]\"]}", "special tokens"},
        {PLAIN_TOKENIZER, "{\"added_tokens_decoder\":{\"2\":{\"content\":\"[CLS]\"}}}",
         "added_tokens_decoder"},
        {PLAIN_TOKENIZER, "{\"truncation_side\":\"left\"}", "truncation_side"},
        {PLAIN_TOKENIZER, "{\"split_special_tokens\":true}", "split_special_tokens"},
        {PLAIN_TOKENIZER, "{\"auto_map\":{\"AutoTokenizer\":[\"x.Y\",null]}}", "auto_map"},
        {TOKENIZER("\"strip_accents\":null,\"lowercase\":true",
                   ",\"truncation\":{\"direction\":\"Left\"}"),
         "{}", "direction"},
    };
    write_model();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        files_write_text("tokenizer.json", cases[i].tokenizer);
        files_write_text("tokenizer_config.json", cases[i].settings);
        if (cases[i].message) {
            refuse(CE_E_UNSUPPORTED, cases[i].message);
        } else {
            accept();
            ce_pack_close(pack);
        }
    }
}

static void test_tokens_in_files_of_older_versions(void **state)
{
    (void)state;
    write_model();
    files_write_text("special_tokens_map.json",
                     "{\"cls_token\":\"[CLS]\",\"mask_token\":{\"content\":\"[MASK]\"}}");
    files_write_text("added_tokens.json", "{\"[SEP]\":3}");
    accept();
    ce_pack_close(pack);
    files_write_text("added_tokens.json", "{\"[X]\":6}");
    refuse(CE_E_UNSUPPORTED, "added_tokens.json: one of the added tokens is not in");
    files_write_text("special_tokens_map.json", "{\"sep_token\":\"[MASK]\"}");
    files_write_text("added_tokens.json", "{}");
    refuse(CE_E_UNSUPPORTED, "post_processor");
}

static void remove_file(const char *name)
{
    assert_int_equal(remove(files_path(name)), 0);
}

static void test_files_that_are_missing(void **state)
{
    (void)state;
    refuse(CE_E_NOT_FOUND, "no citadel.json there");
    write_sentence_model(TWO);
    remove_file("1_Pooling/config.json");
    refuse(CE_E_BAD_MODEL, "1_Pooling/config.json is missing");
    write_sentence_model(TWO);
    remove_file("tokenizer.json");
    refuse(CE_E_UNSUPPORTED, "tokenizer.json is missing");
    write_sentence_model(TWO);
    remove_file("model.safetensors");
    refuse(CE_E_BAD_MODEL, "neither model.safetensors");
    files_write_tensors("model.safetensors",
                        "{\"x\":{\"dtype\":\"F32\",\"shape\":[1],"
                        "\"data_offsets\":[0,4]}}",
                        NULL, 4);
    refuse(CE_E_BAD_MODEL, "no tensor 'embeddings.word_embeddings.weight'");
    write_sentence_model(TWO);
    files_write_text("adapter_config.json", "{}");
    refuse(CE_E_UNSUPPORTED, "adapter_config.json");
    remove_file("adapter_config.json");
    remove_file("config.json");
    refuse(CE_E_BAD_MODEL, "config.json is missing");
}

static void test_the_identity(void **state)
{
    (void)state;
    char first[CE_SHA256_HEX];
    write_sentence_model(TWO);
    accept();
    memcpy(first, pack->id, sizeof first);
    ce_pack_close(pack);
    const struct timespec times[] = {{1000, 1}, {1000, 1}};
    assert_int_equal(utimensat(AT_FDCWD, files_path("model.safetensors"), times, 0), 0);
    accept();
    assert_string_equal(pack->id, first);
    ce_pack_close(pack);
    files_write_text("sentence_bert_config.json", "{\"max_seq_length\":15}");
    accept();
    assert_string_not_equal(pack->id, first);
    ce_pack_close(pack);
    assert_int_equal(attempt(first), CE_E_UNSUPPORTED);
    assert_non_null(strstr(error.message, "an identity is required"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_model_of_transformers_alone, files_make,
                                        files_remove),
        cmocka_unit_test_setup_teardown(test_what_a_class_of_transformers_means, files_make,
                                        files_remove),
        cmocka_unit_test_setup_teardown(test_forms, files_make, files_remove),
        cmocka_unit_test_setup_teardown(test_modules, files_make, files_remove),
        cmocka_unit_test_setup_teardown(test_modules_that_are_refused, files_make, files_remove),
        cmocka_unit_test_setup_teardown(test_settings_of_modules, files_make, files_remove),
        cmocka_unit_test_setup_teardown(test_limits_of_tokens, files_make, files_remove),
        cmocka_unit_test_setup_teardown(test_prompts, files_make, files_remove),
        cmocka_unit_test_setup_teardown(test_tokenizers_that_transformers_changes, files_make,
                                        files_remove),
        cmocka_unit_test_setup_teardown(test_tokens_in_files_of_older_versions, files_make,
                                        files_remove),
        cmocka_unit_test_setup_teardown(test_files_that_are_missing, files_make, files_remove),
        cmocka_unit_test_setup_teardown(test_the_identity, files_make, files_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
