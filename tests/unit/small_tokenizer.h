/* A tokenizer.json that can be read at a glance, for tests and fuzzers. `ADDED` is text for the list of added tokens. */
#ifndef CE_TESTS_SMALL_TOKENIZER_H
#define CE_TESTS_SMALL_TOKENIZER_H

#define SMALL_SPECIAL(id, content, lstrip)                                                 \
    "{\"id\":" #id ",\"content\":\"" content "\",\"single_word\":false,\"lstrip\":" lstrip \
    ",\"rstrip\":false,\"normalized\":false,\"special\":true}"

/* As a word of its own that swallows the white space behind it, found in raw text. */
#define SMALL_ADDED_RAW                                                        \
    ",{\"id\":55,\"content\":\"<raw>\",\"single_word\":true,\"lstrip\":false," \
    "\"rstrip\":true,\"normalized\":false,\"special\":false}"

/* Found in normalized text, so that \xC9MILE is one too. */
#define SMALL_ADDED_NORMALIZED                                                         \
    ",{\"id\":56,\"content\":\"\xC3\x89mile\",\"single_word\":false,\"lstrip\":false," \
    "\"rstrip\":false,\"normalized\":true,\"special\":false}"

/* Found in raw text; its parts are many tokens. */
#define SMALL_ADDED_MARKS                                                                          \
    ",{\"id\":57,\"content\":\"!!!!!!!!!!!!!!!!!!!!!!!!\",\"single_word\":false,\"lstrip\":false," \
    "\"rstrip\":false,\"normalized\":false,\"special\":false}"

/* Found in normalized text where it is no part of a word. */
#define SMALL_ADDED_ALONE                                                      \
    ",{\"id\":55,\"content\":\"foxes\",\"single_word\":true,\"lstrip\":false," \
    "\"rstrip\":false,\"normalized\":true,\"special\":false}"

#define SMALL_NORMALIZER                                                                \
    "{\"type\":\"BertNormalizer\",\"clean_text\":true,\"handle_chinese_chars\":true,\n" \
    " \"strip_accents\":null,\"lowercase\":true}"

#define SMALL_POST_PROCESSOR                                                                        \
    "{\"type\":\"TemplateProcessing\",\n"                                                           \
    " \"single\":[{\"SpecialToken\":{\"id\":\"[CLS]\",\"type_id\":0}},\n"                           \
    "  {\"Sequence\":{\"id\":\"A\",\"type_id\":0}},\n"                                              \
    "  {\"SpecialToken\":{\"id\":\"[SEP]\",\"type_id\":0}}],\n"                                     \
    " \"pair\":[{\"SpecialToken\":{\"id\":\"[CLS]\",\"type_id\":0}},\n"                             \
    "  {\"Sequence\":{\"id\":\"A\",\"type_id\":0}},{\"Sequence\":{\"id\":\"B\",\"type_id\":1}}],\n" \
    " \"special_tokens\":{\"[CLS]\":{\"id\":\"[CLS]\",\"ids\":[2],\"tokens\":[\"[CLS]\"]},\n"       \
    "  \"[SEP]\":{\"id\":\"[SEP]\",\"ids\":[3],\"tokens\":[\"[SEP]\"]}}}"

#define SMALL_VOCAB                                                                                    \
    "{\"[PAD]\":0,\"[UNK]\":1,\"[CLS]\":2,\"[SEP]\":3,\"[MASK]\":4,\n"                                 \
    " \"the\":5,\"quick\":6,\"brown\":7,\"fox\":8,\"##es\":9,\"jump\":10,\"##ed\":11,\"over\":12,\n"   \
    " \"lazy\":13,\"dog\":14,\"##s\":15,\"un\":16,\"##aff\":17,\"##able\":18,\"cafe\":19,\"na\":20,\n" \
    " \"##ive\":21,\"a\":22,\"##a\":23,\"aa\":24,\"b\":25,\"1\":26,\"##2\":27,\"##3\":28,\"12\":29,\n" \
    " \",\":30,\".\":31,\"!\":32,\"-\":33,\"'\":34,\"#\":35,\"##\":36,\"[\":37,\"]\":38,\"_\":39,\n"   \
    " \"\xE6\x9D\xB1\":40,\"\xE4\xBA\xAC\":41,\"\xD0\xBF\xD1\x80\xD0\xB8\":42,"                        \
    "\"##\xD0\xB2\xD0\xB5\xD1\x82\":43,\"\xCF\x83\":44,\"##\xCF\x82\":45,\"\xC3\x9F\":46,\n"           \
    " \"\xE1\x84\x92\":47,\"##\xE1\x85\xA1\":48,\"##\xE1\x86\xAB\":49,"                                \
    "\"\xF0\x9F\x98\x80\":50,\"##\xF0\x9F\x98\x80\":51,\"i\":52,\"mask\":53,\"emile\":54}"

#define SMALL_MODEL                                                                           \
    "{\"type\":\"WordPiece\",\"unk_token\":\"[UNK]\",\"continuing_subword_prefix\":\"##\",\n" \
    " \"max_input_chars_per_word\":20,\"vocab\":" SMALL_VOCAB "}"

#define SMALL_TOKENS "\"[PAD]\":0,\"[UNK]\":1,\"[CLS]\":2,\"[SEP]\":3,\"[MASK]\":4,"

#define SMALL_BPE                                                                            \
    "{\"type\":\"BPE\",\"unk_token\":\"[UNK]\",\"fuse_unk\":true,\"byte_fallback\":false,\n" \
    " \"vocab\":{" SMALL_TOKENS                                                              \
    "\"a\":5,\"b\":6,\"\xC3\xA9\":7,\"\xE6\x9D\xB1\":8,\"ab\":9,\"aba\":10,\n"               \
    "  \"\xE2\x96\x81\":11,\"\xE2\x96\x81\x61\":12,\"!\":13,\"!!\":14},\n"                   \
    " \"merges\":[\"a b\",\"ab a\",\"\xE2\x96\x81 a\",\"! !\"]}"

/* Letters of bytes: C3 A9 is U+00C3 U+00A9, a blank is U+0120. */
#define SMALL_BYTE_BPE                                                                            \
    "{\"type\":\"BPE\",\"vocab\":{" SMALL_TOKENS "\"a\":5,\"b\":6,\"\xC3\x83\":7,\"\xC2\xA9\":8," \
    "\"\xC4\xA0\":9,\n  \"ab\":10,\"\xC4\xA0\x61\":11,\"\xC3\x83\xC2\xA9\":12,\"!\":13},\n"       \
    " \"merges\":[\"a b\",\"\xC4\xA0 a\",\"\xC3\x83 \xC2\xA9\"]}"

#define SMALL_UNIGRAM                                                                                 \
    "{\"type\":\"Unigram\",\"unk_id\":1,\"byte_fallback\":false,\n"                                   \
    " \"vocab\":[[\"[PAD]\",0],[\"[UNK]\",0],[\"[CLS]\",0],[\"[SEP]\",0],[\"[MASK]\",0],\n"           \
    "  [\"a\",-3],[\"b\",-3.5],[\"\xC3\xA9\",-4],[\"\xE6\x9D\xB1\",-5],[\"ab\",-4],[\"aba\",-5.5],\n" \
    "  [\"\xE2\x96\x81\",-2],[\"\xE2\x96\x81\x61\",-2.5],[\"!\",-6],[\"!!!\",-7]]}"

#define SMALL_METASPACE                                                                       \
    "{\"type\":\"Metaspace\",\"replacement\":\"\xE2\x96\x81\",\"prepend_scheme\":\"always\"," \
    "\"split\":true}"

#define SMALL_BYTE_LEVEL \
    "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true,\"use_regex\":true}"

#define SMALL_TOKENIZER_OF(ADDED, NORMALIZER, PRE_TOKENIZER, POST_PROCESSOR, MODEL)                                                        \
    "{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,\n\"added_tokens\":[" SMALL_SPECIAL(0, "[PAD]", "false") "," SMALL_SPECIAL( \
        1, "[UNK]",                                                                                                                        \
        "false") "," SMALL_SPECIAL(2, "[CLS]",                                                                                             \
                                   "false") "," SMALL_SPECIAL(3, "[SEP]",                                                                  \
                                                              "false") "," SMALL_SPECIAL(4,                                                \
                                                                                         "[MASK]",                                         \
                                                                                         "true")                                           \
        ADDED "],\n\"normalizer\":" NORMALIZER ",\n\"pre_tokenizer\":" PRE_TOKENIZER                                                       \
              ",\n\"post_processor\":" POST_PROCESSOR ",\n\"decoder\":null,\n\"model\":" MODEL                                             \
              "}\n"

#define SMALL_TOKENIZER(ADDED)                                                     \
    SMALL_TOKENIZER_OF(ADDED, SMALL_NORMALIZER, "{\"type\":\"BertPreTokenizer\"}", \
                       SMALL_POST_PROCESSOR, SMALL_MODEL)

#endif
