/* Opening a folder of Hugging Face with each allocation and system call failing in turn. */
#include "faults.h"
#include "small_folder.h"

#include "pack.h"

#include <errno.h>

/* Every kind of file, of member and of string that there is. */
static int write_all(void **state)
{
    files_make(state);
    write_sentence_model(TWO "," MODULE("Dense", "2_Dense") "," MODULE("Normalize", "3_Normalize"));
    files_write_text("config.json",
                     CONFIG ",\"architectures\":[\"Bert\\u004dodel\"],\"tokenizer_class\":"
                            "\"BertTokenizer\",\"layer_types\":[],\"rope_scaling\":{\"type\":"
                            "\"x\",\"short_factor\":[1],\"long_factor\":[2]}}");
    files_write_text(
        "tokenizer_config.json",
        "{\"cls_token\":\"\\u005bCLS]\",\"added_tokens_decoder\":{\"0\":" ADDED("0", "[PAD]") ",\"1\":" ADDED(
            "1",
            "[UNK]") ",\"2\":" ADDED("2",
                                     "[CLS]") ",\"3\":" ADDED("3",
                                                              "[SEP]") ",\"4\":" ADDED("4",
                                                                                       "[MASK]") "}}");
    files_write_text("config_sentence_transformers.json",
                     "{\"prompts\":{\"query\":\"\\u0071\",\"o\":\"p\"},"
                     "\"default_prompt_name\":\"o\"}");
    write_in("2_Dense", "config.json", "{\"in_features\":4,\"out_features\":3,\"bias\":false}");
    files_write_tensors("2_Dense/model.safetensors",
                        "{\"linear.weight\":{\"dtype\":\"F32\",\"shape\":[3,4],"
                        "\"data_offsets\":[0,48]}}",
                        NULL, 48);
    remove(files_path("model.safetensors"));
    files_write_tensors("one.safetensors", TABLE, NULL, 96);
    files_write_text(
        "model.safetensors.index.json",
        "{\"weight_map\":{\"embeddings.word_embeddings.weight\":\"one.safetensors\"}}");
    return 0;
}

static void open_with_every_fault(fault_kind kind, int errnum, int expected, long least)
{
    long number = 1;
    for (int struck = 1; struck; number++) {
        ce_error error = {0};
        ce_pack *pack;
        fault_arm(kind, number, errnum);
        int status = ce_pack_open(files_folder, NULL, &pack, &error);
        struck = fault_struck();
        fault_arm(kind, 0, 0);
        if (status != (struck ? expected : CE_OK))
            fail_msg("call %ld: %d %s", number, status, error.message);
        assert_int_equal(error.code, status);
        ce_pack_close(pack);
        assert_int_equal(fault_blocks(), 0);
        assert_int_equal(fault_mappings(), 0);
    }
    assert_true(number > least);
}

static void test_a_folder_that_cannot_be_read(void **state)
{
    (void)state;
    open_with_every_fault(FAULT_MEMORY, ENOMEM, CE_E_NO_MEMORY, 50);
    open_with_every_fault(FAULT_OPEN, EACCES, CE_E_IO, 12);
    open_with_every_fault(FAULT_FSTAT, EIO, CE_E_IO, 10);
    open_with_every_fault(FAULT_MMAP, ENOMEM, CE_E_NO_MEMORY, 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_folder_that_cannot_be_read, write_all, files_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
