/* The smallest folder of a model that there is: a BERT of six words. */
#ifndef CE_TESTS_SMALL_FOLDER_H
#define CE_TESTS_SMALL_FOLDER_H

#include "files.h"

#define CONFIG                                                                             \
    "{\"model_type\":\"bert\",\"vocab_size\":6,\"hidden_size\":4,\"num_hidden_layers\":1," \
    "\"num_attention_heads\":2,\"intermediate_size\":8,\"max_position_embeddings\":32"
#define TABLE                                                                    \
    "{\"embeddings.word_embeddings.weight\":{\"dtype\":\"F32\",\"shape\":[6,4]," \
    "\"data_offsets\":[0,96]}}"
#define ADDED(id, token)                                                               \
    "{\"id\":" id ",\"content\":\"" token "\",\"single_word\":false,\"lstrip\":false," \
    "\"rstrip\":false,\"normalized\":false,\"special\":true}"
#define TOKENIZER(normalizer, more)                                                                                                            \
    "{\"version\":\"1.0\",\"truncation\":null,\"added_tokens\":[" ADDED("0", "[PAD]") "," ADDED("1", "[UNK]") "," ADDED(                       \
        "2",                                                                                                                                   \
        "[CLS]") "," ADDED("3",                                                                                                                \
                           "[SEP]") "," ADDED("4",                                                                                             \
                                              "[MASK]") "],"                                                                                   \
                                                        "\"normalizer\":{\"type\":\"BertNormalizer\",\"clean_text\":true,"                     \
                                                        "\"handle_chinese_chars\":true," normalizer                                            \
                                                        "},\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"},\"post_processor\":{\"type\":"    \
                                                        "\"BertProcessing\",\"sep\":[\"[SEP]\",3],\"cls\":[\"[CLS]\",2]},\"model\":{\"type\":" \
                                                        "\"WordPiece\",\"unk_token\":\"[UNK]\",\"continuing_subword_prefix\":\"##\","          \
                                                        "\"max_input_chars_per_word\":100,\"vocab\":{\"[PAD]\":0,\"[UNK]\":1,\"[CLS]\":2,"     \
                                                        "\"[SEP]\":3,\"[MASK]\":4,\"a\":5}}" more                                              \
                                                        "}"
#define PLAIN_TOKENIZER TOKENIZER("\"strip_accents\":null,\"lowercase\":true", "")
#define MODULE(type, path) \
    "{\"type\":\"sentence_transformers.models." type "\",\"path\":\"" path "\"}"
#define TWO MODULE("Transformer", "") "," MODULE("Pooling", "1_Pooling")

static inline void write_in(const char *folder, const char *name, const char *text)
{
    char path[128];
    mkdir(files_path(folder), 0700);
    snprintf(path, sizeof path, "%s/%s", folder, name);
    files_write_text(path, text);
}

/* A model of transformers alone. */
static inline void write_model(void)
{
    files_write_text("config.json", CONFIG "}");
    files_write_text("tokenizer.json", PLAIN_TOKENIZER);
    files_write_text("tokenizer_config.json",
                     "{\"tokenizer_class\":\"BertTokenizer\","
                     "\"model_max_length\":1000000000000000019884624838656}");
    files_write_tensors("model.safetensors", TABLE, NULL, 96);
}

/* One of sentence-transformers. */
static inline void write_sentence_model(const char *modules)
{
    char list[512];
    write_model();
    snprintf(list, sizeof list, "[%s]", modules);
    files_write_text("modules.json", list);
    files_write_text("sentence_bert_config.json",
                     "{\"max_seq_length\":16,\"do_lower_case\":false}");
    write_in("1_Pooling", "config.json",
             "{\"word_embedding_dimension\":4,\"pooling_mode_cls_token\":false,"
             "\"pooling_mode_mean_tokens\":true}");
}

#endif
