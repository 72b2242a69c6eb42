#include "base/mem.h"
#include "folder_files.h"
#include "json_match.h"
#include "native/checkpoint_config.h"

#include <stdio.h>
#include <string.h>

#define TOKENIZER "tokenizer.json"
#define SETTINGS "tokenizer_config.json"
#define CAMEMBERT "CamembertTokenizer"

/* What transformers does with tokenizer.json: these classes take the vocabulary from it, and the rest from themselves
 * and tokenizer_config.json. */
typedef enum tokenizer_class {
    AS_IS, /* TokenizersBackend: all of the file */
    BERT,
    ROBERTA,
    XLM_ROBERTA, /* and CamemBERT */
    LLAMA,
    QWEN2,
    CLASSES
} tokenizer_class;

/* Members of tokenizer.json, and of its model, which has a large vocabulary beside them. */
typedef enum part {
    NORMALIZER,
    PRE_TOKENIZER,
    POST_PROCESSOR,
    ADDED_TOKENS,
    UNK_TOKEN,
    UNK_ID,
    WORD_PREFIX,
    WORD_SUFFIX,
    WORD_LIMIT,
    DROPOUT,
    IGNORE_MERGES,
    FUSE_UNK,
    BYTE_FALLBACK,
    PARTS
} part;

typedef enum special { BOS, EOS, CLS, SEP, UNK, PAD, MASK, SPECIALS } special;

enum { TOKEN_MOST = 64, EXPECTED_MOST = 768 };

typedef struct switches {
    int do_lower_case, tokenize_chinese_chars, strip_accents, add_prefix_space, legacy;
} switches;

typedef struct added_token {
    char *content; /* owned */
    int64_t id;
    int single_word, lstrip, rstrip, normalized;
    int seen; /* in tokenizer_config.json */
} added_token;

typedef struct reading {
    ce_folder *folder;
    ce_bytes file;             /* tokenizer.json, which `parts` lie in */
    ce_json_text parts[PARTS]; /* of the file; empty: not there */
    added_token *added;
    size_t added_count;
    tokenizer_class class;
    char class_name[TOKEN_MOST]; /* "": none */
    char specials[SPECIALS][TOKEN_MOST];
    switches set; /* -1: null or not there */
    int has_added;
    int status; /* NO_MEMORY: a comparison could not be made */
} reading;

static int part_has(reading *r, part part, const char *expected)
{
    return ce_json_contains(r->parts[part], expected, &r->status);
}

/* ---- tokenizer.json ----------------------------------------------------------------------- */

/* The limit itself is not the one that is used. */
static void check_truncation(ce_json *json)
{
    ce_json_text key;
    if (ce_json_peek(json) != CE_JSON_OBJECT) {
        ce_json_skip(json);
        return;
    }
    ce_json_object(json);
    while (ce_json_member(json, &key)) {
        if (!ce_json_is(key, "direction"))
            ce_json_skip(json);
        else if (!ce_json_is(ce_json_string(json), "Right"))
            ce_refuse_member(json, "the direction of truncation", "not Right");
    }
}

/* 1: `key` is one of the parts first .. end, and has been read. */
static int read_part(ce_json *json, ce_json_text key, part first, part end, ce_json_text *parts)
{
    static const char *const names[PARTS] = {
        [NORMALIZER] = "normalizer",
        [PRE_TOKENIZER] = "pre_tokenizer",
        [POST_PROCESSOR] = "post_processor",
        [ADDED_TOKENS] = "added_tokens",
        [UNK_TOKEN] = "unk_token",
        [UNK_ID] = "unk_id",
        [WORD_PREFIX] = "continuing_subword_prefix",
        [WORD_SUFFIX] = "end_of_word_suffix",
        [WORD_LIMIT] = "max_input_chars_per_word",
        [DROPOUT] = "dropout",
        [IGNORE_MERGES] = "ignore_merges",
        [FUSE_UNK] = "fuse_unk",
        [BYTE_FALLBACK] = "byte_fallback",
    };
    for (part i = first; i < end; i++) {
        if (ce_json_is(key, names[i])) {
            parts[i] = ce_json_span(json);
            return 1;
        }
    }
    return 0;
}

static void read_model(ce_json *json, ce_json_text *parts)
{
    ce_json_text key;
    ce_json_object(json);
    while (ce_json_member(json, &key))
        if (!read_part(json, key, UNK_TOKEN, PARTS, parts))
            ce_json_skip(json);
}

static void read_tokenizer(ce_json *json, void *target)
{
    reading *r = target;
    ce_json_text key;
    ce_json_object(json);
    while (ce_json_member(json, &key)) {
        if (ce_json_is(key, "model"))
            read_model(json, r->parts);
        else if (ce_json_is(key, "truncation"))
            check_truncation(json);
        else if (!read_part(json, key, NORMALIZER, UNK_TOKEN, r->parts))
            ce_json_skip(json);
    }
}

static int *flag_of(added_token *token, ce_json_text key)
{
    const struct {
        const char *name;
        int *flag;
    } flags[] = {{"single_word", &token->single_word},
                 {"lstrip", &token->lstrip},
                 {"rstrip", &token->rstrip},
                 {"normalized", &token->normalized}};
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++)
        if (ce_json_is(key, flags[i].name))
            return flags[i].flag;
    return NULL;
}

static void read_content(ce_json *json, char **out)
{
    ce_json_text text = ce_json_string(json);
    if (json->status != CE_OK)
        return;
    ce_free(*out);
    *out = ce_strndup(text.data, text.size);
    if (!*out)
        ce_json_stop(json, CE_E_NO_MEMORY, "no memory for a tokenizer");
}

static void read_added_token(ce_json *json, added_token *token)
{
    ce_json_text key;
    ce_json_object(json);
    while (ce_json_member(json, &key)) {
        int *flag = flag_of(token, key);
        if (flag)
            *flag = ce_json_boolean(json);
        else if (ce_json_is(key, "content"))
            read_content(json, &token->content);
        else if (ce_json_is(key, "id"))
            token->id = ce_json_integer(json, 0, INT32_MAX);
        else
            ce_json_skip(json);
    }
    if (!token->content)
        ce_json_fail(json, "an added token needs content");
}

static added_token *append_token(ce_json *json, reading *r)
{
    if ((r->added_count & (r->added_count - 1)) == 0) {
        size_t room = r->added_count ? 2 * r->added_count : 1;
        added_token *grown = ce_reallocarray(r->added, room, sizeof *grown);
        if (!grown) {
            ce_json_stop(json, CE_E_NO_MEMORY, "no memory for a tokenizer");
            return NULL;
        }
        r->added = grown;
    }
    r->added[r->added_count] = (added_token){.id = -1};
    return &r->added[r->added_count++];
}

static int read_added_tokens(reading *r)
{
    ce_json_text all = r->parts[ADDED_TOKENS];
    ce_json json;
    if (all.size == 0 || ce_json_span_kind(all) == CE_JSON_NULL)
        return CE_OK;
    ce_json_open(&json, all.data, all.size, r->folder->error);
    ce_json_array(&json);
    while (ce_json_element(&json)) {
        added_token *token = append_token(&json, r);
        if (!token)
            break;
        read_added_token(&json, token);
    }
    int status = ce_json_close(&json);
    if (status != CE_OK)
        ce_error_prefix(r->folder->error, TOKENIZER ": added_tokens");
    return status;
}

/* ---- tokenizer_config.json ---------------------------------------------------------------- */

static void read_name(ce_json *json, char out[TOKEN_MOST])
{
    ce_json_text text = ce_json_string(json);
    if (json->status != CE_OK)
        return;
    if (text.size >= TOKEN_MOST || memchr(text.data, '"', text.size) ||
        memchr(text.data, '\\', text.size) || memchr(text.data, '\0', text.size))
        ce_refuse_member(json, "a token", "too long, or with a quote or a backslash");
    else
        snprintf(out, TOKEN_MOST, "%.*s", (int)text.size, text.data);
}

/* A token is its text, or an object with its text and flags. */
static void read_special(ce_json *json, char out[TOKEN_MOST])
{
    ce_json_text key;
    *out = '\0';
    if (ce_json_peek(json) == CE_JSON_STRING) {
        read_name(json, out);
    } else if (ce_json_peek(json) != CE_JSON_OBJECT) {
        ce_json_skip(json);
    } else {
        ce_json_object(json);
        while (ce_json_member(json, &key)) {
            if (ce_json_is(key, "content"))
                read_name(json, out);
            else
                ce_json_skip(json);
        }
    }
}

static int is_added(reading *r, const char *token)
{
    for (size_t i = 0; i < r->added_count; i++)
        if (strcmp(r->added[i].content, token) == 0)
            return 1;
    return 0;
}

/* Tokens that are not in the file's list would be added to it. */
static void check_more_specials(ce_json *json, reading *r)
{
    if (ce_json_peek(json) != CE_JSON_ARRAY) {
        ce_json_skip(json);
        return;
    }
    ce_json_array(json);
    while (ce_json_element(json)) {
        char token[TOKEN_MOST];
        read_special(json, token);
        if (json->status == CE_OK && !is_added(r, token))
            ce_refuse_member(json, "one of the special tokens", "not in " TOKENIZER);
    }
}

static void read_switch(ce_json *json, int *out)
{
    if (ce_json_peek(json) == CE_JSON_NULL) {
        ce_json_null(json);
        *out = -1;
    } else {
        *out = ce_json_boolean(json);
    }
}

static void check_decoded(ce_json *json, reading *r, const added_token *token)
{
    for (size_t i = 0; i < r->added_count; i++) {
        added_token *own = &r->added[i];
        if (own->id != token->id || strcmp(own->content, token->content) != 0)
            continue;
        own->seen = 1;
        if (own->single_word == token->single_word && own->lstrip == token->lstrip &&
            own->rstrip == token->rstrip && own->normalized == token->normalized)
            return;
    }
    ce_refuse_member(json, "one of added_tokens_decoder", "another token than in " TOKENIZER);
}

static int64_t number_of(ce_json_text key)
{
    int64_t value = 0;
    for (size_t i = 0; i < key.size && value <= INT32_MAX; i++) {
        if (key.data[i] < '0' || key.data[i] > '9')
            return -1;
        value = 10 * value + (key.data[i] - '0');
    }
    return key.size ? value : -1;
}

static void read_decoder(ce_json *json, reading *r)
{
    ce_json_text key;
    r->has_added = 1;
    ce_json_object(json);
    while (ce_json_member(json, &key)) {
        added_token token = {.id = number_of(key), .normalized = -1};
        int64_t id = token.id;
        read_added_token(json, &token);
        token.id = id;
        if (token.normalized < 0)
            token.normalized = 1; /* AddedToken's own default */
        if (json->status == CE_OK)
            check_decoded(json, r, &token);
        ce_free(token.content);
    }
}

static void check_side(ce_json *json)
{
    if (!ce_json_is(ce_json_string(json), "right"))
        ce_refuse_member(json, "truncation_side", "not right");
}

static void read_limit(ce_json *json, double *limit)
{
    if (ce_json_peek(json) == CE_JSON_NULL) {
        ce_json_null(json);
        return;
    }
    *limit = ce_json_number(json);
    if (!(*limit >= 1))
        ce_json_fail(json, "model_max_length is less than one token");
}

static int read_special_named(ce_json *json, ce_json_text key, reading *r)
{
    static const char *const names[SPECIALS] = {"bos_token", "eos_token", "cls_token", "sep_token",
                                                "unk_token", "pad_token", "mask_token"};
    for (size_t i = 0; i < SPECIALS; i++) {
        if (ce_json_is(key, names[i])) {
            read_special(json, r->specials[i]);
            return 1;
        }
    }
    return 0;
}

static int read_switch_named(ce_json *json, ce_json_text key, switches *set)
{
    const struct {
        const char *name;
        int *value;
    } known[] = {{"do_lower_case", &set->do_lower_case},
                 {"tokenize_chinese_chars", &set->tokenize_chinese_chars},
                 {"strip_accents", &set->strip_accents},
                 {"add_prefix_space", &set->add_prefix_space},
                 {"legacy", &set->legacy}};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (ce_json_is(key, known[i].name)) {
            read_switch(json, known[i].value);
            return 1;
        }
    }
    return 0;
}

static void check_code(ce_json *json)
{
    ce_json_text key;
    if (ce_json_peek(json) != CE_JSON_OBJECT) {
        ce_refuse_member(json, "auto_map", "code of the folder's own");
        return;
    }
    ce_json_object(json);
    while (ce_json_member(json, &key)) {
        if (ce_json_is(key, "AutoTokenizer"))
            ce_refuse_member(json, "auto_map", "code of the folder's own for AutoTokenizer");
        ce_json_skip(json);
    }
}

static void read_class(ce_json *json, reading *r)
{
    char name[TOKEN_MOST] = "";
    read_special(json, name);
    if (*name)
        memcpy(r->class_name, name, sizeof name);
}

static void check_template(ce_json *json, const ce_folder *folder)
{
    if (ce_json_peek(json) == CE_JSON_NULL || folder->has_modules)
        ce_json_skip(json);
    else
        ce_refuse_member(json, "chat_template", "there, and no modules.json");
}

static void read_setting(ce_json *json, ce_json_text key, reading *r)
{
    if (ce_json_is(key, "model_max_length"))
        read_limit(json, &r->folder->model_max_length);
    else if (ce_json_is(key, "tokenizer_class"))
        read_class(json, r);
    else if (ce_json_is(key, "truncation_side"))
        check_side(json);
    else if (ce_json_is(key, "auto_map"))
        check_code(json);
    else if (ce_json_is(key, "chat_template"))
        check_template(json, r->folder);
    else if (ce_json_is(key, "added_tokens_decoder"))
        read_decoder(json, r);
    else if (ce_json_is(key, "additional_special_tokens") ||
             ce_json_is(key, "extra_special_tokens"))
        check_more_specials(json, r);
    else if (ce_json_is(key, "split_special_tokens") && ce_json_peek(json) == CE_JSON_BOOLEAN) {
        if (ce_json_boolean(json))
            ce_refuse_member(json, "split_special_tokens", "true");
    } else if (!read_special_named(json, key, r) && !read_switch_named(json, key, &r->set)) {
        ce_json_skip(json);
    }
}

static void read_settings(ce_json *json, void *target)
{
    ce_json_text key;
    ce_json_object(json);
    while (ce_json_member(json, &key))
        read_setting(json, key, target);
}

/* Names of special tokens in a file of their own, as older versions write it. */
static void read_special_map(ce_json *json, void *target)
{
    ce_json_text key;
    ce_json_object(json);
    while (ce_json_member(json, &key)) {
        if (ce_json_is(key, "additional_special_tokens") || ce_json_is(key, "extra_special_tokens"))
            check_more_specials(json, target);
        else if (!read_special_named(json, key, target))
            ce_json_skip(json);
    }
}

static void read_added_map(ce_json *json, void *target)
{
    char token[TOKEN_MOST];
    ce_json_text key;
    ce_json_object(json);
    while (ce_json_member(json, &key)) {
        int fits = key.size < sizeof token;
        snprintf(token, sizeof token, "%.*s", fits ? (int)key.size : 0, key.data);
        if (!fits || !is_added(target, token))
            ce_refuse_member(json, "one of the added tokens", "not in " TOKENIZER);
        ce_json_skip(json);
    }
}

/* Read only where tokenizer_config.json lists no tokens. */
static int read_older_files(reading *r)
{
    if (r->has_added)
        return CE_OK;
    int status = ce_folder_read(r->folder, "special_tokens_map.json", read_special_map, r);
    if (status == CE_OK || status == CE_E_NOT_FOUND)
        status = ce_folder_read(r->folder, "added_tokens.json", read_added_map, r);
    return status == CE_E_NOT_FOUND ? CE_OK : status;
}

/* ---- The class ---------------------------------------------------------------------------- */

static const struct {
    const char *name;
    tokenizer_class class;
} class_names[] = {
    {"BertTokenizer", BERT},       {"DistilBertTokenizer", BERT},
    {"RobertaTokenizer", ROBERTA}, {"XLMRobertaTokenizer", XLM_ROBERTA},
    {CAMEMBERT, XLM_ROBERTA},      {"LlamaTokenizer", LLAMA},
    {"Qwen2Tokenizer", QWEN2},     {"PreTrainedTokenizer", AS_IS}, /* ...Fast */
    {"TokenizersBackend", AS_IS},
};

static int has_byte_level(reading *r)
{
    return part_has(r, PRE_TOKENIZER, "{\"type\":\"ByteLevel\"}") ||
           part_has(r, PRE_TOKENIZER, "{\"pretokenizers\":[\"*\",{\"type\":\"ByteLevel\"}]}");
}

/* AutoTokenizer's choice by the class that the folder names: some families have one of their own, whatever is named. */
static int choose_class(reading *r, const char *model_type)
{
    size_t length = strlen(r->class_name);
    if (length > 4 && strcmp(r->class_name + length - 4, "Fast") == 0)
        r->class_name[length - 4] = '\0';
    r->class = CLASSES;
    for (size_t i = 0; i < sizeof class_names / sizeof class_names[0]; i++)
        if (strcmp(r->class_name, class_names[i].name) == 0)
            r->class = class_names[i].class;
    if (strcmp(model_type, "phi3") == 0)
        r->class = AS_IS;
    if (strcmp(model_type, "qwen2") == 0)
        r->class = QWEN2;
    if (strcmp(model_type, "mistral") == 0 && *r->class_name)
        r->class = AS_IS;
    if (r->class == LLAMA && has_byte_level(r))
        r->class = AS_IS;
    if (r->class != CLASSES)
        return CE_OK;
    return ce_refuse_setting(r->folder->error, "tokenizer_class",
                             *r->class_name ? r->class_name : "not there");
}

/* Of a model_type whose folder names no class. */
static const char *own_class(const char *model_type)
{
    static const char *const own[][2] = {
        {"bert", "BertTokenizer"},       {"distilbert", "BertTokenizer"},
        {"roberta", "RobertaTokenizer"}, {"xlm-roberta", "XLMRobertaTokenizer"},
        {"camembert", CAMEMBERT},        {"qwen3", "Qwen2Tokenizer"}};
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        if (strcmp(own[i][0], model_type) == 0)
            return own[i][1];
    return "";
}

static void name_class(reading *r)
{
    const char *named = r->folder->class_in_config;
    if (*r->class_name)
        return;
    if (!named || strlen(named) >= sizeof r->class_name)
        named = own_class(r->folder->pack->native->model_type);
    snprintf(r->class_name, sizeof r->class_name, "%s", named);
}

/* Tokens that a class has where tokenizer_config.json does not name others. */
static void fill_specials(reading *r)
{
    static const char *const own[CLASSES][SPECIALS] = {
        [BERT] = {"", "", "[CLS]", "[SEP]", "[UNK]", "[PAD]", "[MASK]"},
        [ROBERTA] = {"<s>", "</s>", "<s>", "</s>", "<unk>", "<pad>", "<mask>"},
        [XLM_ROBERTA] = {"<s>", "</s>", "<s>", "</s>", "<unk>", "<pad>", "<mask>"},
        [LLAMA] = {"<s>", "</s>", "", "", "<unk>", "", ""},
        [QWEN2] = {"", "<|endoftext|>", "", "", "<|endoftext|>", "<|endoftext|>", ""},
    };
    for (size_t i = 0; i < SPECIALS; i++)
        if (!*r->specials[i] && own[r->class][i])
            snprintf(r->specials[i], TOKEN_MOST, "%s", own[r->class][i]);
}

/* ---- Agreement ---------------------------------------------------------------------------- */

static int disagree(reading *r, const char *part)
{
    return ce_fail(r->folder->error, CE_E_UNSUPPORTED,
                   TOKENIZER ": the %s is not the one that %s of transformers makes of it and "
                             "of " SETTINGS ": export the model with `python -m "
                             "citadel_embed.export`, whose pack has the tokenizer that is used",
                   part, *r->class_name ? r->class_name : "the tokenizer class");
}

/* Tokens before and after a text. */
static int ends_with(reading *r, const char *before, const char *after)
{
    char one[EXPECTED_MOST], two[EXPECTED_MOST + 128];
    snprintf(one, sizeof one,
             "{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"%s\","
             "\"type_id\":0}},{\"Sequence\":{\"id\":\"A\",\"type_id\":0}},{\"SpecialToken\":"
             "{\"id\":\"%s\",\"type_id\":0}}]}",
             before, after);
    snprintf(two, sizeof two,
             "{\"type\":\"Sequence\",\"processors\":[{\"type\":\"ByteLevel\"},%s]}", one);
    return part_has(r, POST_PROCESSOR, one) || part_has(r, POST_PROCESSOR, two);
}

static int ends_with_pair(reading *r, const char *type, const char *cls, const char *sep)
{
    char expected[EXPECTED_MOST];
    snprintf(expected, sizeof expected,
             "{\"type\":\"%s\",\"sep\":[\"%s\",\"*\"],\"cls\":[\"%s\",\"*\"]}", type, sep, cls);
    return part_has(r, POST_PROCESSOR, expected) || ends_with(r, cls, sep);
}

static const char *word(int value, int otherwise)
{
    return (value < 0 ? otherwise : value) ? "true" : "false";
}

/* Accents that nobody speaks of are stripped where letters become small. */
static int agree_bert_normalizer(reading *r)
{
    char known[EXPECTED_MOST], whole[EXPECTED_MOST + 64];
    const switches *set = &r->set;
    int lowercase = set->do_lower_case != 0;
    int strip = set->strip_accents < 0 ? lowercase : set->strip_accents;
    snprintf(known, sizeof known,
             "\"type\":\"BertNormalizer\",\"clean_text\":true,\"handle_chinese_chars\":%s,"
             "\"lowercase\":%s",
             word(set->tokenize_chinese_chars, 1), word(lowercase, 1));
    snprintf(whole, sizeof whole, "{%s,\"strip_accents\":%s}", known, word(strip, 1));
    if (part_has(r, NORMALIZER, whole))
        return 1;
    snprintf(whole, sizeof whole, "{%s,\"strip_accents\":null}", known);
    return strip == lowercase && part_has(r, NORMALIZER, whole);
}

static int agree_bert(reading *r)
{
    char unknown[TOKEN_MOST + 2];
    snprintf(unknown, sizeof unknown, "\"%s\"", r->specials[UNK]);
    if (!agree_bert_normalizer(r))
        return disagree(r, "normalizer");
    if (!part_has(r, PRE_TOKENIZER, "{\"type\":\"BertPreTokenizer\"}"))
        return disagree(r, "pre_tokenizer");
    if (!part_has(r, UNK_TOKEN, unknown) || !part_has(r, WORD_PREFIX, "\"##\"") ||
        !part_has(r, WORD_LIMIT, "100"))
        return disagree(r, "model");
    return ends_with_pair(r, "BertProcessing", r->specials[CLS], r->specials[SEP])
               ? CE_OK
               : disagree(r, "post_processor");
}

static int is_plain_bpe(reading *r)
{
    return part_has(r, DROPOUT, "null") && !part_has(r, IGNORE_MERGES, "true") &&
           (part_has(r, WORD_PREFIX, "null") || part_has(r, WORD_PREFIX, "\"\"")) &&
           (part_has(r, WORD_SUFFIX, "null") || part_has(r, WORD_SUFFIX, "\"\""));
}

static int agree_roberta(reading *r)
{
    char pre[EXPECTED_MOST];
    snprintf(pre, sizeof pre, "{\"type\":\"ByteLevel\",\"add_prefix_space\":%s}",
             word(r->set.add_prefix_space, 0));
    if (!part_has(r, NORMALIZER, "null"))
        return disagree(r, "normalizer");
    if (!part_has(r, PRE_TOKENIZER, pre) || part_has(r, PRE_TOKENIZER, "{\"use_regex\":false}"))
        return disagree(r, "pre_tokenizer");
    if (!is_plain_bpe(r))
        return disagree(r, "model");
    return ends_with_pair(r, "RobertaProcessing", r->specials[CLS], r->specials[SEP])
               ? CE_OK
               : disagree(r, "post_processor");
}

/* Runs of spaces that become one are split at all the same. */
static int agree_xlm_roberta(reading *r)
{
    static const char *const normalizers[] = {
        "null", "{\"type\":\"Precompiled\"}",
        "{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Precompiled\"},{\"type\":\"Replace\","
        "\"pattern\":{\"Regex\":\" {2,}\"},\"content\":\" \"}]}"};
    static const char *const pre_tokenizers[] = {
        "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"WhitespaceSplit\"},{\"type\":"
        "\"Metaspace\",\"replacement\":\"\xE2\x96\x81\",\"prepend_scheme\":\"always\"}]}",
        "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"WhitespaceSplit\"},{\"type\":"
        "\"Metaspace\",\"replacement\":\"\xE2\x96\x81\",\"add_prefix_space\":true,"
        "\"prepend_scheme\":null}]}"};
    int normalizes = 0, splits = 0;
    for (size_t i = 0; i < 3; i++)
        normalizes |= part_has(r, NORMALIZER, normalizers[i]);
    for (size_t i = 0; i < 2; i++)
        splits |= part_has(r, PRE_TOKENIZER, pre_tokenizers[i]);
    if (!normalizes)
        return disagree(r, "normalizer");
    if (!splits || r->set.add_prefix_space == 0)
        return disagree(r, "pre_tokenizer");
    int other_unknown = strcmp(r->class_name, CAMEMBERT) != 0 && !part_has(r, UNK_ID, "3");
    if (part_has(r, BYTE_FALLBACK, "true") || other_unknown)
        return disagree(r, "model");
    return ends_with(r, r->specials[BOS], r->specials[EOS]) ? CE_OK : disagree(r, "post_processor");
}

static int agree_llama(reading *r)
{
    char pre[EXPECTED_MOST];
    int prefix = r->set.add_prefix_space != 0, legacy = r->set.legacy == 1;
    snprintf(pre, sizeof pre,
             "{\"type\":\"Metaspace\",\"replacement\":\"\xE2\x96\x81\",\"prepend_scheme\":\"%s\","
             "\"split\":false}",
             !prefix  ? "never"
             : legacy ? "always"
                      : "first");
    if (!part_has(r, NORMALIZER, "null"))
        return disagree(r, "normalizer");
    if (!part_has(r, PRE_TOKENIZER, pre))
        return disagree(r, "pre_tokenizer");
    return is_plain_bpe(r) && part_has(r, FUSE_UNK, "true") && part_has(r, BYTE_FALLBACK, "true")
               ? CE_OK
               : disagree(r, "model");
}

static int agree_qwen2(reading *r)
{
    static const char pre[] =
        "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"Regex\":"
        "\"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}| "
        "?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+\"},"
        "\"behavior\":\"Isolated\",\"invert\":false},{\"type\":\"ByteLevel\","
        "\"add_prefix_space\":false,\"use_regex\":false}]}";
    if (!part_has(r, NORMALIZER, "{\"type\":\"NFC\"}"))
        return disagree(r, "normalizer");
    if (!part_has(r, PRE_TOKENIZER, pre) || r->set.add_prefix_space == 1)
        return disagree(r, "pre_tokenizer");
    return is_plain_bpe(r) ? CE_OK : disagree(r, "model");
}

/* What CamembertTokenizer adds to its special tokens. */
static int agree_camembert(reading *r)
{
    static const char *const more[] = {"<s>NOTUSED", "</s>NOTUSED", "<unk>NOTUSED"};
    for (size_t i = 0; strcmp(r->class_name, CAMEMBERT) == 0 && i < 3; i++)
        if (!is_added(r, more[i]))
            return disagree(r, "list of added tokens");
    return CE_OK;
}

/* Classes that build a tokenizer of their own add the tokens that tokenizer_config.json lists, if it lists any. */
static int agree_added(reading *r)
{
    for (size_t i = 0; r->has_added && r->class != AS_IS && i < r->added_count; i++)
        if (!r->added[i].seen)
            return disagree(r, "list of added tokens");
    for (size_t i = 0; i < SPECIALS; i++)
        if (*r->specials[i] && !is_added(r, r->specials[i]))
            return disagree(r, "list of added tokens");
    return agree_camembert(r);
}

static int agree(reading *r)
{
    static int (*const checks[CLASSES])(reading *) = {
        NULL, agree_bert, agree_roberta, agree_xlm_roberta, agree_llama, agree_qwen2};
    name_class(r);
    int status = choose_class(r, r->folder->pack->native->model_type);
    if (status != CE_OK)
        return status;
    fill_specials(r);
    if (checks[r->class])
        status = checks[r->class](r);
    if (status == CE_OK)
        status = agree_added(r);
    return r->status == CE_OK ? status
                              : ce_fail(r->folder->error, r->status, "no memory for a tokenizer");
}

/* ---- Whole -------------------------------------------------------------------------------- */

static int check_template_file(const ce_folder *folder)
{
    static const char name[] = "chat_template.jinja";
    if (folder->has_modules || !ce_folder_has(folder, name))
        return CE_OK;
    return ce_refuse_setting(folder->error, name, "there, and no modules.json");
}

static int read_both(reading *r)
{
    int status = ce_folder_map(r->folder, TOKENIZER, &r->file);
    if (status == CE_OK)
        status = ce_folder_parse(r->folder, TOKENIZER, &r->file, read_tokenizer, r);
    if (status == CE_E_NOT_FOUND)
        return ce_fail(r->folder->error, CE_E_UNSUPPORTED,
                       TOKENIZER " is missing: export the model with `python -m "
                                 "citadel_embed.export`, which makes one");
    if (status == CE_OK)
        status = read_added_tokens(r);
    if (status == CE_OK)
        status = ce_folder_read(r->folder, SETTINGS, read_settings, r);
    if (status == CE_E_NOT_FOUND)
        status = CE_OK;
    if (status == CE_OK)
        status = read_older_files(r);
    if (status == CE_OK)
        status = check_template_file(r->folder);
    return status == CE_OK ? agree(r) : status;
}

int ce_folder_read_tokenizer(ce_folder *folder)
{
    reading r = {.folder = folder, .set = {-1, -1, -1, -1, -1}};
    int status = read_both(&r);
    for (size_t i = 0; i < r.added_count; i++)
        ce_free(r.added[i].content);
    ce_free(r.added);
    ce_pack_unmap(&r.file);
    return status;
}
