/* What the tests of the public interface share: an engine over the packs of tests/fake, and checks. */
#ifndef CE_TESTS_HARNESS_H
#define CE_TESTS_HARNESS_H

#include "cmocka_all.h"

#include "citadel_embed.h"
#include "fake_backend.h"

/* Of every pack that tests/fake/make_packs.py makes. */
enum { DIM = 8, MAX_TOKENS = 16, VOCAB_SIZE = 33, UNK = 1, CLS = 2, SEP = 3, THE = 12, FOX = 15 };

/* For the calls of the test's own thread. */
extern citadel_error error;

#define assert_ok(call) check_ok((call), __FILE__, __LINE__)

/* The call fails with `status`, and its one line has `piece` in it. */
#define assert_fails(status, piece, call) \
    check_failure((status), (piece), (call), __FILE__, __LINE__)

#define assert_vector(got, expected, count) \
    check_vector((got), (expected), (count), __FILE__, __LINE__)

void check_ok(citadel_status got, const char *file, int line);
void check_failure(citadel_status expected, const char *piece, citadel_status got, const char *file,
                   int line);
void check_vector(const float *got, const float *expected, size_t count, const char *file,
                  int line);

/* Options for the fake backend and its packs, whatever the environment says. */
citadel_engine_options test_options(uint32_t threads, uint32_t cache_models);
citadel_engine *new_engine(uint32_t threads, uint32_t cache_models);
citadel_model *load(citadel_engine *engine, const char *name);

citadel_metrics metrics_of(const citadel_engine *engine);
citadel_estimate estimate_of(citadel_engine *engine, const char *name);
/* Once it is loaded, by the ledger of an engine of its own. Another load differs by what the allocator rounds. */
uint64_t bytes_of(const char *name);
enum { ROUNDED = 4000 };

/* Of the fake backend in this process. Where no model is loaded, its numbers can begin at 0 again. */
fake_probe *the_probe(void);
fake_probe *reset_probe(void);
void set_gate(fake_probe *probe, int closed);
void await(fake_probe *probe, const int *number, int expected);
int read_probe(fake_probe *probe, const int *number);

/* What the fake computes, reckoned anew from a text's ids. */
void reference(const citadel_model *model, const char *text, double bias, float vector[DIM]);
void normalize(float *vector, size_t count);

/* What the library gives for one text is what the fake computes; 0 in every other case. For threads, where nothing can be
 * asserted. */
int embeds_right(const citadel_model *model, const char *text, double bias);
int close_enough(const float *got, const float *expected, size_t count);

/* Run `work` in `count` threads at once, numbered from 0, and assert that it gives 0 in each. */
void in_threads(int count, int (*work)(int number, void *shared), void *shared);

/* A good pack in a directory of its own, which is made if need be. */
void copy_pack(const char *name, const char *to);
void remove_pack(const char *directory);

/* Entries of a directory of /proc/self. */
int count_threads(void);
int count_files(void);

#endif
