#include "cmocka_all.h"

#include "small_tokenizer.h"
#include "tokenizer/tokenizer.h"

#include <pthread.h>

enum { THREADS = 8, ROUNDS = 200, MOST = 64 };

/* One of each model. */
static const char *const files[] = {
    SMALL_TOKENIZER(SMALL_ADDED_RAW SMALL_ADDED_NORMALIZED),
    SMALL_TOKENIZER_OF("", "{\"type\":\"NFKC\"}", SMALL_METASPACE, SMALL_POST_PROCESSOR, SMALL_BPE),
    SMALL_TOKENIZER_OF("", "null", SMALL_BYTE_LEVEL, SMALL_POST_PROCESSOR, SMALL_BYTE_BPE),
    SMALL_TOKENIZER_OF("", "{\"type\":\"NFD\"}", SMALL_METASPACE, SMALL_POST_PROCESSOR,
                       SMALL_UNIGRAM),
};

static const char *const texts[] = {"the quick brown fox jumped over", "aba ab \xC3\xA9 a!! b",
                                    "<raw>  \xC3\x89mile, unaffable",
                                    "ab\xE6\x9D\xB1\xE4\xBA\xAC!!! na\xC3\xAFve", ""};
enum { TEXTS = sizeof texts / sizeof *texts };

typedef struct ids {
    int32_t ids[MOST];
    size_t count;
} ids;

static ce_tokenizer *tokenizer;
static ids expected[TEXTS];

static int encode(ce_tokenizer_scratch *scratch, size_t text, ids *out)
{
    ce_encode_options options = {.offsets = text & 1};
    ce_encoding encoding;
    ce_error error;
    if (ce_tokenizer_encode(tokenizer, scratch, texts[text], strlen(texts[text]), &options,
                            &encoding, &error) != CE_OK ||
        encoding.count > MOST)
        return 0;
    memcpy(out->ids, encoding.ids, encoding.count * sizeof *out->ids);
    out->count = encoding.count;
    return 1;
}

/* NULL if every text has the ids that one thread alone gave it. */
static void *encode_all(void *scratch)
{
    for (size_t i = 0; i < ROUNDS; i++) {
        size_t text = i % TEXTS;
        ids found;
        if (!encode(scratch, text, &found) || found.count != expected[text].count ||
            memcmp(found.ids, expected[text].ids, found.count * sizeof *found.ids) != 0)
            return scratch;
    }
    return NULL;
}

static void test_threads_share_a_tokenizer(void **state)
{
    (void)state;
    ce_tokenizer_scratch *scratches[THREADS];
    ce_error error;
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(ce_tokenizer_scratch_create(&scratches[i], &error), CE_OK);
    for (size_t f = 0; f < sizeof files / sizeof *files; f++) {
        pthread_t threads[THREADS];
        assert_int_equal(ce_tokenizer_create(files[f], strlen(files[f]), &tokenizer, &error),
                         CE_OK);
        for (size_t i = 0; i < TEXTS; i++)
            assert_true(encode(scratches[0], i, &expected[i]));
        for (size_t i = 0; i < THREADS; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, encode_all, scratches[i]), 0);
        for (size_t i = 0; i < THREADS; i++) {
            void *failed;
            pthread_join(threads[i], &failed);
            assert_null(failed);
        }
        ce_tokenizer_destroy(tokenizer);
    }
    for (size_t i = 0; i < THREADS; i++)
        ce_tokenizer_scratch_destroy(scratches[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_threads_share_a_tokenizer)};
    return cmocka_run_group_tests_name("tokenizer_threads", tests, NULL, NULL);
}
