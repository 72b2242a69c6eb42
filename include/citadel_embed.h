/* citadel_embed: text to vectors inside your own process.
 *
 * Copyright the citadel_embed authors. SPDX-License-Identifier: Apache-2.0
 *
 * This header is the specification: what it does not say is not promised. It compiles as C99 and as
 * C++11 and includes nothing but <stddef.h> and <stdint.h>.
 *
 *
 * A COMPLETE PROGRAM
 *
 *     #include <citadel_embed.h>
 *     #include <stdio.h>
 *     #include <stdlib.h>
 *
 *     int main(void)
 *     {
 *         const char *texts[] = {"How do I reset my password?", "Forgot the password: what now?"};
 *         citadel_error error = CITADEL_ERROR_INIT;
 *         citadel_engine *engine = NULL;
 *         citadel_model *model = NULL;
 *         float *v = NULL;
 *         int failed = 1;
 *
 *         if (citadel_engine_create(NULL, &engine, &error) == CITADEL_OK &&
 *             citadel_model_load(engine, "all-MiniLM-L6-v2", NULL, &model, &error) == CITADEL_OK) {
 *             size_t dim = citadel_model_dim(model);
 *             v = malloc(2 * dim * sizeof *v);
 *             if (v && citadel_model_embed(model, texts, NULL, 2, NULL, v, 2 * dim, NULL, &error) == 0) {
 *                 double similarity = 0;
 *                 for (size_t i = 0; i < dim; i++)
 *                     similarity += (double)v[i] * v[dim + i];
 *                 printf("similarity %.3f\n", similarity);
 *                 failed = 0;
 *             }
 *         }
 *         if (failed)
 *             fprintf(stderr, "%s\n", error.message);
 *         free(v);
 *         citadel_model_unload(model);
 *         citadel_engine_destroy(engine);
 *         return failed;
 *     }
 *
 *     cc program.c $(pkg-config --cflags --libs citadel_embed)
 *
 *
 * RULES
 *
 * Result      The vectors are those of sentence-transformers' encode() for the same model: tokenizer,
 *             prompts, truncation, pooling, Dense layers, normalisation. What cannot be done exactly
 *             is refused by name, never approximated.
 * Errors      Every call that can fail returns a citadel_status and fills the citadel_error given as
 *             its last argument (NULL is allowed there) with one line that names the value, the limit
 *             and the cause. Handles that a failed call would have created are set to NULL; there is
 *             nothing to free. No input makes the library abort, exit, raise a signal or throw.
 * Ownership   What you pass in stays yours and is not kept after the call. What a call returns through
 *             a handle is released by the matching function. Every array is the caller's. Pointers in
 *             result structs are borrowed: they live as long as the handle they came from.
 * Text        Bytes with a length, or NUL-terminated where lengths are NULL, in UTF-8. A NUL inside a
 *             text of given length is text like any other. Invalid UTF-8 is an error that names its
 *             place.
 * Threads     Any function may be called from any thread, any number at once, on the same engine and
 *             the same model, unless its own text says otherwise; releasing the last reference while
 *             others still start calls on it is the caller's error, as with free(). Computing is done
 *             by threads that belong to the engine; they block asynchronous signals. The native
 *             backend also computes on the calling thread, in the place of one of them: with its
 *             signal mask, a few KB of its stack, and default floating-point modes, which are put back
 *             before the call returns. Structs are yours: do not write to one while a call reads it.
 *             A thread must not be cancelled (pthread_cancel) inside a call.
 * Fork        A child of fork() has none of the engine's threads: calls there return
 *             CITADEL_E_FORKED. Create the engine after forking, or exec.
 * Files       The weights of a loaded model are mapped, not copied: replace a pack or a folder by
 *             renaming, never by writing into its files.
 * Process     The library installs no signal handler, sets no locale, writes no environment variable
 *             and changes no OpenMP or torch setting of threads that are not its own. It reads the
 *             environment and the configuration file once, in citadel_engine_create. It never uses the
 *             network. The libtorch backend has one exit handler, which waits for calls that are still
 *             running.
 * Structs     Option and result structs begin with `size`, set by their _INIT macro or _init function.
 *             Zero means default in every option. Fields are only ever appended: an older caller runs
 *             with a newer library; a newer caller's field that an older library does not know must be
 *             zero, else CITADEL_E_ABI.
 */
#ifndef CITADEL_EMBED_H
#define CITADEL_EMBED_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Version ----------------------------------------------------------------------------- */

/* The version of this header. A program built with it runs with any library of the same major and
 * an equal or higher minor version (before 1.0: the same minor). */
#define CITADEL_API_VERSION_MAJOR 0
#define CITADEL_API_VERSION_MINOR 1
#define CITADEL_API_VERSION_PATCH 0

#define CITADEL_VERSION_PACK(major, minor, patch) \
    (((uint32_t)(major) << 24) | ((uint32_t)(minor) << 12) | (uint32_t)(patch))
#define CITADEL_API_VERSION                                                    \
    CITADEL_VERSION_PACK(CITADEL_API_VERSION_MAJOR, CITADEL_API_VERSION_MINOR, \
                         CITADEL_API_VERSION_PATCH)

/* ---- Macros ------------------------------------------------------------------------------ */

#ifndef CITADEL_API
#if defined(__GNUC__)
#define CITADEL_API __attribute__((visibility("default")))
#else
#define CITADEL_API
#endif
#endif

#if defined(__GNUC__)
#define CITADEL_NODISCARD __attribute__((warn_unused_result))
#else
#define CITADEL_NODISCARD
#endif

/* ---- Status and error -------------------------------------------------------------------- */

typedef int32_t citadel_status;

/* The numbers never change; new ones may be added: treat an unknown one as a failure. */
#define CITADEL_OK 0
#define CITADEL_E_INVALID_ARGUMENT 10 /* NULL, out of range, contradictory        */
#define CITADEL_E_ABI 11              /* a struct's size or unknown tail          */
#define CITADEL_E_CAPACITY 12         /* an output buffer is too small            */
#define CITADEL_E_INVALID_UTF8 13     /* a text is not UTF-8                      */
#define CITADEL_E_NOT_FOUND 20        /* no such model, file or prompt            */
#define CITADEL_E_IO 21               /* a file cannot be read                    */
#define CITADEL_E_BAD_MODEL 22        /* malformed, damaged, or fails its check   */
#define CITADEL_E_UNSUPPORTED 23      /* well-formed, but not implemented         */
#define CITADEL_E_NO_MEMORY 30
#define CITADEL_E_FORKED 31     /* the engine was created before a fork()     */
#define CITADEL_E_BUSY 32       /* held models, or a timeout, forbid it       */
#define CITADEL_E_BACKEND 40    /* the backend is missing or failed           */
#define CITADEL_E_NOT_FINITE 41 /* a vector came out with NaN or infinity     */
#define CITADEL_E_INTERNAL 90   /* a defect of the library                    */

/* "CITADEL_E_IO", and a short description. Static text; never NULL. */
CITADEL_API const char *citadel_status_name(citadel_status status);
CITADEL_API const char *citadel_status_string(citadel_status status);

/* Caller-owned, on the stack as a rule; reset by every call that takes it. */
typedef struct citadel_error {
    size_t size;         /* CITADEL_ERROR_INIT sets it */
    int32_t code;        /* the citadel_status that the call returned */
    int32_t native_code; /* errno where the system gave one, else 0 */
    char message[496];   /* one line of UTF-8, NUL-terminated; "" on success */
} citadel_error;

#define CITADEL_ERROR_INIT           \
    {                                \
        sizeof(citadel_error), 0, 0, \
        {                            \
            0                        \
        }                            \
    }

/* ---- Library ----------------------------------------------------------------------------- */

CITADEL_API uint32_t citadel_api_version(void); /* CITADEL_VERSION_PACK of the running library   */
CITADEL_API const char *citadel_version(void);  /* "0.1.0"                                       */
CITADEL_API const char *citadel_build_info(void); /* one line: version, compiler, build options */

/* ---- Log --------------------------------------------------------------------------------- */

#define CITADEL_LOG_DEFAULT 0 /* warnings and errors */
#define CITADEL_LOG_ERROR 1
#define CITADEL_LOG_WARNING 2
#define CITADEL_LOG_INFO 3
#define CITADEL_LOG_DEBUG 4
#define CITADEL_LOG_NONE (-1)

/* One finished line without newline. Called on whatever thread has something to say, one call at a
 * time for an engine; it must not call the library. A failed call's reason is always in its
 * citadel_error too: the log is never the only place. */
typedef void citadel_log_fn(void *user, int32_t level, const char *message);

/* ---- Engine ------------------------------------------------------------------------------ */

/* Threads, configuration, and the models in memory. One per process is the usual number. */
typedef struct citadel_engine citadel_engine;

/* Flag: ignore environment variables, and with them the configuration file, unless config_file is set. */
#define CITADEL_ENGINE_NO_ENVIRONMENT 1u

/* What an option leaves open its environment variable decides, else the configuration file, else the
 * default. A switch is true, false, 1, 0, on, off, yes or no there, in any case. */
#define CITADEL_SWITCH_DEFAULT 0
#define CITADEL_SWITCH_ON 1
#define CITADEL_SWITCH_OFF (-1)

#define CITADEL_BACKEND_AUTO 0
#define CITADEL_BACKEND_NATIVE 1
#define CITADEL_BACKEND_TORCH 2

typedef struct citadel_engine_options {
    size_t size;
    uint32_t flags;   /* CITADEL_ENGINE_* */
    uint32_t threads; /* compute threads, at most 1024; 0: CITADEL_THREADS, else the CPUs that the
                         process may use (affinity mask and control group considered) */
    /* Where models are looked for by name: directories separated by ':'. NULL: CITADEL_MODEL_PATH,
       else citadel/models under the XDG data home, then the directory set when the library was
       built. */
    const char *model_path;
    /* File of the libtorch backend. NULL: CITADEL_TORCH_BACKEND, else libcitadel_torch.so in the
       directory that this library was loaded from. */
    const char *torch_backend;
    citadel_log_fn *log; /* NULL: lines to standard error */
    void *log_user;
    int32_t log_level;     /* the highest CITADEL_LOG_* that is passed on */
    uint32_t cache_models; /* models kept in memory, at most 1000; 0: MODEL_CACHE_SIZE, else 4 */
    uint32_t batch_tokens; /* tokens computed in one pass at most, 16 to 1048576 (a longer text goes
                              alone); 0: CITADEL_BATCH_TOKENS, else 1024, or what the backend is best
                              at */
    /* CITADEL_SWITCH_*. `optimization` (INFERENCE_OPTIMIZATION, on): off takes a model's TorchScript
       form of its own precision, whatever the other two say. `compile` (TORCH_COMPILE_ENABLED, on):
       compiled forms come before TorchScript. `mixed_precision` (MIXED_PRECISION_ENABLED, off): bf16
       forms come before a model's own precision, on a CPU that has bf16 instructions and where the
       smallest cosine measured at export is .9999 or more. */
    int32_t optimization;
    int32_t compile;
    int32_t mixed_precision;
    /* Bytes that the models in memory may take together, at most 2^60. 0: CITADEL_CACHE_BYTES (a
       number, or one with K, M, G, KiB, MiB or GiB behind it; K is 1024 like KiB), else no limit. */
    uint64_t cache_bytes;
    /* A model that was not used for so long is freed though no call comes, by one more thread. At
       most a year; 0: CITADEL_CACHE_IDLE_SECONDS, else never. */
    uint32_t cache_idle_seconds;
    /* CITADEL_PRECISION_* of the models whose load does not name one. AUTO: CITADEL_PRECISION, else
       auto. Without `optimization` it does not count. */
    int32_t precision;
    /* The configuration file (docs/configuration.md): what options and environment leave open, and
       names, prompts and precisions of models. NULL: CITADEL_CONFIG, else
       citadel/optimization_config.yaml under the XDG configuration home, if that is there. "": none.
       One that has a fault fails the call, and the message has its line. */
    const char *config_file;
    /* Models are warmed up before they are handed out: CITADEL_SWITCH_* (MODEL_WARMUP_ENABLED, off),
       and the passes that this takes, at most 1000; 0: WARMUP_ITERATIONS, else 10. */
    int32_t warmup;
    uint32_t warmup_iterations;
    /* CITADEL_BACKEND_*: who computes; AUTO: CITADEL_BACKEND, else auto, which is native for folders
       and libtorch for packs. A folder has no form for libtorch, a pack has none for the native
       backend: the other one is UNSUPPORTED. */
    int32_t backend;
    /* CITADEL_SWITCH_* (CITADEL_PREPARED_WEIGHTS, on): weights in the layout of the native kernels are
       kept in files, from where the next load maps them. Without `optimization` it does not count. */
    int32_t prepared_weights;
    /* The highest instruction set that native kernels may use: "generic", "avx2", "avx512",
       "avx512_vnni" or "avx512_bf16", which this processor must have, or "auto": the best that it has.
       NULL: CITADEL_ISA, else "auto". */
    const char *isa;
    /* Directory of those files. NULL: CITADEL_PREPARED_PATH, else citadel/prepared under the XDG cache
       home; "", or no home: none, and nothing is kept. */
    const char *prepared_path;
} citadel_engine_options;

#define CITADEL_ENGINE_OPTIONS_INIT                                                              \
    {                                                                                            \
        sizeof(citadel_engine_options), 0, 0, NULL, NULL, NULL, NULL, 0, 0, 0, 0, 0, 0, 0, 0, 0, \
            NULL, 0, 0, 0, 0, NULL, NULL                                                         \
    }

/* Write defaults into `size` bytes (sizeof *options), never beyond. */
CITADEL_API void citadel_engine_options_init(citadel_engine_options *options, size_t size);

/* Starts the compute threads; loads nothing. `options` may be NULL. Errors: INVALID_ARGUMENT (a bad
 * option, environment variable or line of the configuration file, named), UNSUPPORTED (an `isa` that
 * this processor does not have), NOT_FOUND, IO, INVALID_UTF8 (the configuration file), ABI,
 * NO_MEMORY. */
CITADEL_API CITADEL_NODISCARD citadel_status citadel_engine_create(
    const citadel_engine_options *options, citadel_engine **engine, citadel_error *error);

/* Releases the engine and the models it cached, and ends its threads. While model handles are still
 * held the engine lives on for them and goes with the last, so the order of release does not
 * matter. NULL is allowed. After a fork() the child's call does nothing. */
CITADEL_API void citadel_engine_destroy(citadel_engine *engine);

/* ---- Model ------------------------------------------------------------------------------- */

typedef struct citadel_model citadel_model;

/* The arithmetic of a model's form: how its weights are kept and multiplied. Vectors are float32
 * always. */
#define CITADEL_PRECISION_AUTO 0
#define CITADEL_PRECISION_FP32 1
#define CITADEL_PRECISION_BF16 2
#define CITADEL_PRECISION_FP16 3
#define CITADEL_PRECISION_INT8 4
/* int8 with scales for smaller groups of numbers: a third less error, a little slower. */
#define CITADEL_PRECISION_INT8_ACCURATE 5

typedef struct citadel_load_options {
    size_t size;
    uint32_t flags;    /* none defined: 0 */
    int32_t precision; /* CITADEL_PRECISION_*; AUTO: the model's own, or as mixed_precision says */
    /* 64 hexadecimal digits: refuse the model unless its identity is this and the SHA-256 of every
       file agrees. NULL: checksums (CRC-32C) only. */
    const char *require_id;
    /* Milliseconds to wait for room in the cache, for another thread's load or unload of the model;
       then BUSY. The load itself is not cut short. 0: no limit. */
    uint32_t timeout_ms;
    uint32_t reserved0;
} citadel_load_options;

#define CITADEL_LOAD_OPTIONS_INIT                      \
    {                                                  \
        sizeof(citadel_load_options), 0, 0, NULL, 0, 0 \
    }

CITADEL_API void citadel_load_options_init(citadel_load_options *options, size_t size);

/* Load a model, or take one more reference to it if the engine has it already.
 *
 * `name` with a '/' in it is the path of a model; without, a directory of that name is looked for
 * along the model path. A model is a folder of sentence-transformers or transformers as it was
 * published (config.json, tokenizer.json, weights in safetensors), which the native backend computes,
 * or a model pack, which libtorch computes. Of a folder everything is read that changes the vectors,
 * and what is not implemented is UNSUPPORTED by name (docs/native.md). Packs are made by
 * `python -m citadel_embed.export`. A folder is data; a pack can hold code: load only packs that you
 * trust.
 *
 * A folder can be had in fp32, bf16, int8 and int8-accurate; its weights are converted at the first
 * load, and kept for the next ones (`prepared_weights` of the engine).
 *
 * Of a pack "loaded" means verified: checksums have been compared and the pack's golden texts have
 * been embedded and agree with the vectors stored beside them. Of the forms that it has, the first
 * that passes is taken: one that fails, for whatever reason, is given up with a warning in the log,
 * and the next is tried (docs/forms.md). A precision that is asked for is never another one. Models
 * are shared by everyone who loads them through the same engine.
 *
 * The engine keeps at most cache_models models in memory, and with cache_bytes no more than so many
 * bytes of them: by citadel_model_estimate until a model is loaded, by what it takes from then on.
 * Where there is no room, models that nobody uses, holds or pinned are freed, those used least
 * recently first. If that is not enough, the call waits for models that are merely in use, and
 * returns BUSY at once where those that are held or pinned leave no room. A model that alone is
 * above cache_bytes is NO_MEMORY.
 * Errors: INVALID_ARGUMENT, ABI, NOT_FOUND, IO, BAD_MODEL, UNSUPPORTED, BUSY, BACKEND, NO_MEMORY,
 * FORKED. */
CITADEL_API CITADEL_NODISCARD citadel_status citadel_model_load(citadel_engine *engine,
                                                                const char *name,
                                                                const citadel_load_options *options,
                                                                citadel_model **model,
                                                                citadel_error *error);

/* One more reference for another owner; returns `model`. */
CITADEL_API citadel_model *citadel_model_ref(citadel_model *model);

/* Drop a reference. With the last one the model leaves the cache, unless it is pinned, and its memory
 * is given back, once the calls that are still running on it have returned; the log (INFO) tells how
 * much. NULL is allowed. */
CITADEL_API void citadel_model_unload(citadel_model *model);

/* What a model takes of memory, reckoned beforehand. libtorch itself comes on top, once in a process. */
typedef struct citadel_estimate {
    size_t size;
    uint64_t weight_bytes;   /* the file that has the weights */
    uint64_t resident_bytes; /* the model once it is loaded, weights included */
    uint64_t peak_bytes;     /* at most, while it loads or computes on all threads of the engine */
    char form[24];           /* the form that a load would try first: "native", "torchscript" */
    int32_t precision;       /* of that form: CITADEL_PRECISION_* */
    uint32_t dim;            /* numbers in a vector, for citadel_embed */
} citadel_estimate;

#define CITADEL_ESTIMATE_INIT                        \
    {                                                \
        sizeof(citadel_estimate), 0, 0, 0, {0}, 0, 0 \
    }

/* What citadel_model_load would load for this name and these options, told from the manifest of a
 * pack, or the configuration of a folder; with require_id all files are read as well. Loads nothing
 * and changes nothing.
 * Errors: INVALID_ARGUMENT, ABI, NOT_FOUND, IO, BAD_MODEL, UNSUPPORTED, NO_MEMORY, FORKED. */
CITADEL_API CITADEL_NODISCARD citadel_status citadel_model_estimate(
    citadel_engine *engine, const char *name, const citadel_load_options *options,
    citadel_estimate *estimate, citadel_error *error);

/* With `pinned` 1: load a model if the engine does not have it, and keep it in memory whatever other
 * models need and however long nobody uses it, without a handle. With 0: let all forms of the model
 * that are in memory take their turn again; of `options` nothing counts then, and a model that is
 * not there is NOT_FOUND. Pins are not counted: the first 0 ends them. So do citadel_unload and
 * citadel_engine_destroy.
 * Errors: those of citadel_model_load. */
CITADEL_API CITADEL_NODISCARD citadel_status citadel_model_pin(citadel_engine *engine,
                                                               const char *name,
                                                               const citadel_load_options *options,
                                                               uint32_t pinned,
                                                               citadel_error *error);

typedef struct citadel_unload_report {
    size_t size;
    uint64_t models;      /* forms of the model that were in memory */
    uint64_t model_bytes; /* what they took by the engine's ledger, as in citadel_metrics.bytes */
    uint64_t cache_bytes_before; /* the ledger of all models */
    uint64_t cache_bytes_after;
    uint64_t process_bytes_before; /* resident memory of the process; 0: the system does not tell */
    uint64_t process_bytes_after;
} citadel_unload_report;

#define CITADEL_UNLOAD_REPORT_INIT                      \
    {                                                   \
        sizeof(citadel_unload_report), 0, 0, 0, 0, 0, 0 \
    }

/* Free a model, all forms of it and pinned or not, and give memory back to the system. Waits for calls
 * that are running on it; calls that come meanwhile wait, and load it anew. `report` may be NULL.
 * Errors: BUSY (handles are held, and how many: nothing is freed), NOT_FOUND (the engine does not
 * have the model), INVALID_ARGUMENT, ABI, IO, BAD_MODEL, NO_MEMORY, FORKED. */
CITADEL_API CITADEL_NODISCARD citadel_status citadel_unload(citadel_engine *engine,
                                                            const char *name,
                                                            citadel_unload_report *report,
                                                            citadel_error *error);

/* Numbers in a vector of this model; 0 for NULL. */
CITADEL_API size_t citadel_model_dim(const citadel_model *model);

/* What was loaded and why it is as it is. Strings are borrowed from the model. */
typedef struct citadel_info {
    size_t size;
    const char *name;           /* from the manifest; of a folder its own */
    const char *path;           /* absolute path of the pack or folder */
    const char *id;             /* identity: 64 hexadecimal digits */
    const char *architecture;   /* "BertModel" */
    const char *backend;        /* "native", or "libtorch 2.11.0" */
    const char *form;           /* "native", "torchscript" or "compiled" */
    const char *pooling;        /* "mean", "cls", ... */
    const char *layout;         /* "packed", or "padded": texts of one length are batched */
    const char *default_prompt; /* name of the prompt used when none is asked for, or NULL */
    const char *explain; /* why form, precision, pooling, prompt and limit are what they are, a
                                   line for each, and one for every form skipped or failed */
    uint32_t dim;
    uint32_t max_tokens; /* special tokens included */
    uint32_t vocab_size;
    int32_t precision;  /* CITADEL_PRECISION_* */
    uint32_t normalize; /* 1: the model ends with L2 normalisation */
    uint32_t prompts;   /* for citadel_model_prompt */
    uint64_t weight_bytes;
    double load_seconds;      /* until the golden texts had their vectors and these were compared */
    double tokenizer_seconds; /* parts of it, those of forms that failed included */
    double weights_seconds;
    double backend_seconds;
    double check_seconds;
    double golden_error;  /* largest difference from the golden vectors checked at load */
    double golden_cosine; /* smallest cosine with them */
    /* Smallest cosine with fp32 that the export measured for this form, or, for a folder's form of less
       than fp32, the load that prepared its weights, on texts of its own; 0: not known, as of models of
       more than 1 GiB in fp32, or where prepared weights are not kept. */
    double min_cosine;
    uint32_t golden_texts; /* of a folder none */
    uint32_t fallbacks;    /* forms that failed before this one */
    double warmup_seconds; /* a part of load_seconds; 0: MODEL_WARMUP_ENABLED is off */
    /* Measured with min_cosine for a folder; 0: not known. */
    double mean_cosine;
    double neighbour_overlap; /* of each text's ten nearest in fp32, the share that stays */
} citadel_info;

#define CITADEL_INFO_INIT                                                                          \
    {                                                                                              \
        sizeof(citadel_info), NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, 0, 0, \
            0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0                                      \
    }

CITADEL_API CITADEL_NODISCARD citadel_status citadel_model_info(const citadel_model *model,
                                                                citadel_info *info,
                                                                citadel_error *error);

/* The prompt number `index`, counted from 0 (citadel_info.prompts has how many): its name and text,
 * borrowed. Errors: NOT_FOUND. */
CITADEL_API CITADEL_NODISCARD citadel_status citadel_model_prompt(const citadel_model *model,
                                                                  uint32_t index, const char **name,
                                                                  const char **text,
                                                                  citadel_error *error);

/* ---- Warm-up ----------------------------------------------------------------------------- */

/* Not 0: end here. */
typedef int32_t citadel_cancel_fn(void *user);

/* What to compute before the first caller comes: texts of every length in batches of every size. The
 * first length in the first batch size is computed `iterations` times, each of the others twice (once
 * with 1 iteration), then the first again, which leaves memory and caches as most calls want them; and
 * one text of the first length on each compute thread by itself. */
typedef struct citadel_warmup_plan {
    size_t size;
    /* [length_count] tokens, special tokens included, up to the model's limit; NULL: 26, 8, 128 and
       512, as far as the model goes, and its limit below that. */
    const uint32_t *lengths;
    size_t length_count; /* at most 64 */
    /* [batch_size_count] texts, 1 to 4096 each; NULL: 1, and 8 where these have no more tokens together
       than batch_tokens. */
    const uint32_t *batch_sizes;
    size_t batch_size_count;   /* at most 64 */
    uint32_t iterations;       /* at most 100000; 0: WARMUP_ITERATIONS, else 10 */
    uint32_t time_budget_ms;   /* no pass begins later; 0: no limit */
    citadel_cancel_fn *cancel; /* asked before every pass, on the calling thread; NULL: never */
    void *cancel_user;
} citadel_warmup_plan;

#define CITADEL_WARMUP_PLAN_INIT                                        \
    {                                                                   \
        sizeof(citadel_warmup_plan), NULL, 0, NULL, 0, 0, 0, NULL, NULL \
    }

CITADEL_API void citadel_warmup_plan_init(citadel_warmup_plan *plan, size_t size);

typedef struct citadel_warmup_report {
    size_t size;
    double seconds;       /* all of it */
    double first_seconds; /* the very first pass */
    double p50_seconds;   /* of the later passes of the same shape; 0: there were none */
    double p95_seconds;
    uint64_t passes;     /* that were computed */
    uint64_t peak_bytes; /* most resident memory of the process so far; 0: unknown */
    uint32_t cancelled;  /* 1: by `cancel` */
    uint32_t timed_out;  /* 1: by time_budget_ms */
} citadel_warmup_report;

#define CITADEL_WARMUP_REPORT_INIT                            \
    {                                                         \
        sizeof(citadel_warmup_report), 0, 0, 0, 0, 0, 0, 0, 0 \
    }

/* Compute as `plan` says (NULL: its defaults), so that later calls find threads, code and memory in
 * place. With MODEL_WARMUP_ENABLED a load does so too, before anybody gets the model: one text of 26
 * tokens WARMUP_ITERATIONS times, one of 8 twice, that of 26 twice; a form that fails there gives way
 * to the next.
 * `report` may be NULL. Cancelled or out of time is CITADEL_OK.
 * Errors: INVALID_ARGUMENT, ABI, NO_MEMORY, BACKEND, NOT_FINITE, FORKED. */
CITADEL_API CITADEL_NODISCARD citadel_status citadel_model_warmup(const citadel_model *model,
                                                                  const citadel_warmup_plan *plan,
                                                                  citadel_warmup_report *report,
                                                                  citadel_error *error);

/* ---- Metrics ----------------------------------------------------------------------------- */

#define CITADEL_HISTOGRAM_BUCKETS 20

/* Observations by size. Bucket i has those up to first * 2^i and above the bucket before; the last one has all that
   are larger. `first` is 25 microseconds for times and 1 for numbers. Of fixed size for ever. */
typedef struct citadel_histogram {
    uint64_t count;
    double sum;           /* of the observations, times in seconds */
    uint64_t buckets[20]; /* CITADEL_HISTOGRAM_BUCKETS */
} citadel_histogram;

typedef struct citadel_metrics {
    size_t size;
    /* Since the engine was created; none ever falls. Of calls that name a model: */
    uint64_t hits;            /* it was loaded */
    uint64_t misses;          /* it was not: a load was begun, or refused for want of room */
    uint64_t joins;           /* another thread was loading it */
    uint64_t evictions_count; /* models that made room because of cache_models */
    uint64_t evictions_bytes; /* ... because of cache_bytes */
    uint64_t evictions_idle;  /* ... because of cache_idle_seconds */
    uint64_t loads;           /* loads that ended well */
    uint64_t load_failures;   /* loads that did not */
    uint64_t fallbacks;       /* forms that failed and gave way to another */
    uint64_t nan_recoveries;  /* texts computed again because of NaN or infinity */
    /* Now: */
    uint64_t models; /* in memory, also those that are being loaded or freed */
    uint64_t models_limit;
    uint64_t models_pinned;
    uint64_t bytes; /* of these models: mapped weights, tokenizer, and what the backend tells */
    uint64_t bytes_limit;   /* 0: none */
    uint64_t process_bytes; /* resident memory of the process; 0: the system does not tell */
    /* Since the engine was created. Of calls that embed, by what they returned; not of calls without
       texts, nor of what a load or a warm-up computes. */
    uint64_t requests_ok;
    uint64_t failed_invalid;    /* INVALID_ARGUMENT, ABI, CAPACITY, NOT_FOUND, UNSUPPORTED */
    uint64_t failed_text;       /* INVALID_UTF8 */
    uint64_t failed_not_finite; /* NOT_FINITE */
    uint64_t failed_model;      /* IO, BAD_MODEL: of a model that was to be loaded */
    uint64_t failed_memory;     /* NO_MEMORY */
    uint64_t failed_busy;       /* BUSY */
    uint64_t failed_backend;    /* BACKEND */
    uint64_t failed_internal;   /* any other */
    uint64_t texts;             /* computed */
    uint64_t tokens;            /* of these texts, special tokens and prompts included */
    /* Of every call that computed vectors: as in citadel_timings. */
    citadel_histogram tokenize;
    citadel_histogram queue;
    citadel_histogram compute;
    citadel_histogram total;
    citadel_histogram batch_texts; /* of every pass through a model */
    citadel_histogram batch_tokens;
    double load_seconds; /* of all `loads` together */
    double warmup_seconds;
    uint64_t warmups; /* that ended well, those of loads included */
} citadel_metrics;

#define CITADEL_HISTOGRAM_INIT \
    {                          \
        0, 0,                  \
        {                      \
            0                  \
        }                      \
    }

#define CITADEL_METRICS_INIT                                                                       \
    {                                                                                              \
        sizeof(citadel_metrics), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, \
            0, 0, 0, 0, 0, CITADEL_HISTOGRAM_INIT, CITADEL_HISTOGRAM_INIT, CITADEL_HISTOGRAM_INIT, \
            CITADEL_HISTOGRAM_INIT, CITADEL_HISTOGRAM_INIT, CITADEL_HISTOGRAM_INIT, 0, 0, 0        \
    }

/* What the engine has counted. Numbers of the cache are of one moment; calls that end meanwhile may
 * be in some of the others already and in some not yet. Errors: INVALID_ARGUMENT, ABI, FORKED. */
CITADEL_API CITADEL_NODISCARD citadel_status citadel_metrics_snapshot(const citadel_engine *engine,
                                                                      citadel_metrics *metrics,
                                                                      citadel_error *error);

/* The same as text for Prometheus (exposition format 0.0.4), and the bytes of each model in memory.
 *
 * buffer       [capacity], or NULL, with a capacity of 0, to learn the length. The text ends with NUL.
 * length       bytes of the text, without the NUL, also when it did not fit. The text may have grown
 *              by the next call.
 *
 * Errors: INVALID_ARGUMENT, CAPACITY, FORKED. */
CITADEL_API CITADEL_NODISCARD citadel_status citadel_metrics_text(const citadel_engine *engine,
                                                                  char *buffer, size_t capacity,
                                                                  size_t *length,
                                                                  citadel_error *error);

/* ---- Embed ------------------------------------------------------------------------------- */

#define CITADEL_NORMALIZE_MODEL 0  /* as the model does */
#define CITADEL_NORMALIZE_ALWAYS 1 /* to length 1, after truncate_dim */
#define CITADEL_NORMALIZE_NEVER 2  /* as pooled, even if the model would normalise */

/* Where the time of one call went, in seconds. What is missing from the parts to the total is spent
 * between them; a load by name is in none. */
typedef struct citadel_timings {
    size_t size;
    double tokenize; /* texts to tokens */
    double queue;    /* waiting for the first thread that was free */
    double compute;  /* vectors, on the clock and not summed over threads */
    double output;   /* normalising and writing the rows */
    double total;
    uint64_t tokens;  /* computed, special tokens and prompts included */
    uint64_t batches; /* passes through the model */
} citadel_timings;

#define CITADEL_TIMINGS_INIT                         \
    {                                                \
        sizeof(citadel_timings), 0, 0, 0, 0, 0, 0, 0 \
    }

typedef struct citadel_embed_options {
    size_t size;
    uint32_t flags;    /* none defined: 0 */
    int32_t precision; /* the form to use, or AUTO; for a loaded model: its own, or an error */
    int32_t normalize; /* CITADEL_NORMALIZE_* */
    /* Keep the first so many numbers of each vector (Matryoshka models); 0: all. As in
       sentence-transformers the cut comes after the model's own normalisation; NORMALIZE_ALWAYS
       brings what is left to length 1 again. */
    uint32_t truncate_dim;
    size_t row_stride;   /* floats from one row of `out` to the next; 0: rows without gaps */
    uint32_t max_tokens; /* cut texts here, special tokens included; 0: the model's limit, which is
                            also the most that is allowed */
    uint32_t reserved0;
    const char *prompt_name; /* one of the model's prompts; NULL: its default one, if it has one */
    const char *prompt;      /* text put in front of every text; "": none; not with prompt_name */
    /* Written by a call that succeeds, or fails because of single texts; NULL: none. Not for two
       calls at once. */
    citadel_timings *timings;
} citadel_embed_options;

#define CITADEL_EMBED_OPTIONS_INIT                                           \
    {                                                                        \
        sizeof(citadel_embed_options), 0, 0, 0, 0, 0, 0, 0, NULL, NULL, NULL \
    }

CITADEL_API void citadel_embed_options_init(citadel_embed_options *options, size_t size);

#define CITADEL_LIMIT_NONE 0   /* the whole text was used */
#define CITADEL_LIMIT_MODEL 1  /* cut at the model's max_tokens */
#define CITADEL_LIMIT_OPTION 2 /* cut at the max_tokens of the options */

/* What became of one text. Of fixed size for ever. */
typedef struct citadel_text_result {
    citadel_status status; /* CITADEL_OK, CITADEL_E_INVALID_UTF8, CITADEL_E_NOT_FINITE, ... */
    uint32_t tokens;       /* tokens computed, special tokens and prompt included */
    uint32_t truncated;    /* 1: the text had more tokens than that */
    uint32_t limit;        /* CITADEL_LIMIT_*: what cut it */
    uint32_t reserved[4];  /* 0 */
} citadel_text_result;

/* Embed `count` texts.
 *
 * texts        [count] UTF-8; an element may be NULL only where its length is 0.
 * lengths      [count] bytes of each text, none above PTRDIFF_MAX; NULL: all NUL-terminated.
 * count        0 is allowed and does nothing.
 * options      NULL: defaults.
 * out          [count, dim] float32, row-major; row i is the vector of text i. dim is
 *              citadel_model_dim, or truncate_dim.
 * out_capacity floats that `out` has room for: (count - 1) * row_stride + dim at least, else
 *              CITADEL_E_CAPACITY.
 * results      [count], or NULL.
 *
 * Texts longer than the limit are cut on the right, as sentence-transformers does; `results` tells.
 * A text is read no further than the cut needs. A text's vector does not depend on what is embedded
 * beside it: a native form gives the same bits in any batch, in any order and with any number of
 * threads, libtorch the same but for rounding, 2e-6 in any number of a normalised fp32 vector.
 *
 * A form of less than fp32 can come with a recovery graph, through which a text whose vector is not
 * finite is computed once more, with fp32 activations.
 *
 * A bad text (invalid UTF-8, a vector that is not finite) fails the call, and the error names the
 * first one. Without `results` nothing more is computed then. With `results` the other texts are
 * computed all the same: rows whose status is CITADEL_OK are valid, the rows of failed texts are
 * filled with zeros. After any other error the contents of `out` are unspecified, and every status
 * in `results` is the call's error.
 *
 * May run at the same time on any number of threads.
 * Errors: INVALID_ARGUMENT, ABI, CAPACITY, INVALID_UTF8, NOT_FOUND (prompt_name), UNSUPPORTED
 * (precision), NO_MEMORY, BACKEND, NOT_FINITE, FORKED. */
CITADEL_API CITADEL_NODISCARD citadel_status
citadel_model_embed(const citadel_model *model, const char *const *texts, const size_t *lengths,
                    size_t count, const citadel_embed_options *options, float *out,
                    size_t out_capacity, citadel_text_result *results, citadel_error *error);

/* The same by name (see citadel_model_load): the model is loaded if the engine does not have it,
 * and kept. When the cache is full, the model that was used least recently and that nobody holds
 * makes room. Errors: those of citadel_model_load and citadel_model_embed. */
CITADEL_API CITADEL_NODISCARD citadel_status
citadel_embed(citadel_engine *engine, const char *name, const char *const *texts,
              const size_t *lengths, size_t count, const citadel_embed_options *options, float *out,
              size_t out_capacity, citadel_text_result *results, citadel_error *error);

/* ---- Tokenize ---------------------------------------------------------------------------- */

#define CITADEL_TOKENIZE_NO_SPECIALS 1u   /* flag: without what surrounds a text ([CLS], [SEP]) */
#define CITADEL_TOKENIZE_NO_TRUNCATION 2u /* flag: the whole text, whatever the model's limit   */
#define CITADEL_TOKENIZE_TRUNCATE_LEFT 4u /* flag: cut the beginning; not with NO_TRUNCATION    */

#define CITADEL_NUL_TERMINATED ((size_t)-1) /* for a single text's length */

typedef struct citadel_tokenize_options {
    size_t size;
    uint32_t flags;          /* CITADEL_TOKENIZE_* */
    uint32_t max_tokens;     /* as in citadel_embed_options; not with NO_TRUNCATION */
    const char *prompt_name; /* as in citadel_embed_options, but NULL: no prompt */
    const char *prompt;
    const char *pair;   /* a second text, as rerankers take it; NULL: none */
    size_t pair_length; /* its bytes, or CITADEL_NUL_TERMINATED; 0 without a pair */
} citadel_tokenize_options;

#define CITADEL_TOKENIZE_OPTIONS_INIT                               \
    {                                                               \
        sizeof(citadel_tokenize_options), 0, 0, NULL, NULL, NULL, 0 \
    }

CITADEL_API void citadel_tokenize_options_init(citadel_tokenize_options *options, size_t size);

/* Bytes from `start` to before `end`. */
typedef struct citadel_span {
    size_t start;
    size_t end;
} citadel_span;

typedef struct citadel_tokens {
    size_t size;
    int32_t *ids;          /* in: the caller's array [capacity], or NULL for none */
    citadel_span *offsets; /* in: likewise; asking for offsets costs time */
    int32_t *type_ids;     /* in: likewise */
    size_t capacity;       /* in: room in each of the arrays that is not NULL */
    size_t count;          /* out: number of tokens, also when they did not fit */
    uint32_t truncated;    /* out: 1: there were more */
    uint32_t limit;        /* out: CITADEL_LIMIT_* */
} citadel_tokens;

#define CITADEL_TOKENS_INIT                                  \
    {                                                        \
        sizeof(citadel_tokens), NULL, NULL, NULL, 0, 0, 0, 0 \
    }

/* The tokens that citadel_model_embed would compute for one text, without computing; or those of a
 * pair of texts.
 *
 * text         [length] UTF-8; may be NULL only where length is 0.
 * length       bytes, at most PTRDIFF_MAX, or CITADEL_NUL_TERMINATED.
 * options      NULL: defaults.
 * tokens       with the caller's arrays. The first `count` elements of each are written, or, after
 *              an error, none. With no array at all the call only counts.
 *
 * offsets[i]   the bytes of `text` that token i came from, those of `pair` for the pair's tokens; in
 *              characters they would be Hugging Face's offsets. Special tokens around the texts,
 *              tokens of the prompt and tokens that came from no text have {0, 0}; a token that
 *              begins in the prompt and ends in the text begins at 0. A token that stands for part
 *              of a character covers the whole character, so spans never cut one. Normalisation can
 *              make the spans of neighbours overlap or leave gaps; white space mostly is a gap.
 * type_ids[i]  0 for a single text. For a pair, what the model's template says: the pair's tokens
 *              and the special token behind them have 1 in BERT, 0 in models that do not tell the
 *              two apart (RoBERTa).
 *
 * A prompt is put in front of the text, never of the pair. Texts longer than the limit are cut on
 * the right, and what lies behind is not read; with TRUNCATE_LEFT on the left, and all is read.
 * Special tokens stay. Of a pair the longer text is cut first, both once they are equally long, as
 * Hugging Face's longest_first does. `max_tokens` must have room for the special tokens, and with a
 * pair for those of a pair.
 *
 * To cut a long text into chunks, ask for its offsets with NO_TRUNCATION | NO_SPECIALS and cut at
 * offsets[i].start of every n-th token, with n some tokens below max_tokens less the special tokens,
 * as the words beside a cut can have more tokens when they stand alone.
 *
 * Errors: INVALID_ARGUMENT, ABI, INVALID_UTF8, NOT_FOUND (prompt_name), UNSUPPORTED (the model's
 * tokenizer has no template for pairs), CAPACITY (tokens->count has the need), NO_MEMORY, FORKED. */
CITADEL_API CITADEL_NODISCARD citadel_status citadel_tokenize(
    const citadel_model *model, const char *text, size_t length,
    const citadel_tokenize_options *options, citadel_tokens *tokens, citadel_error *error);

/* ---- Configuration and diagnostics -------------------------------------------------------- */

/* These calls write a text of lines, with a NUL behind the last line feed. `*length` gets its bytes
 * without the NUL, also when they do not fit into `capacity` bytes (CAPACITY). With `buffer` NULL that
 * is all they do; `length` may be NULL otherwise. */

/* What the engine runs with, a line for each value: `threads = 2   # variable CITADEL_THREADS`. The
 * origin is an option, a variable, a place in the configuration file, or `default`. Lines of the
 * models that the file names begin with `models.`.
 * Errors: INVALID_ARGUMENT, CAPACITY, NO_MEMORY, FORKED. */
CITADEL_API CITADEL_NODISCARD citadel_status citadel_config_text(const citadel_engine *engine,
                                                                 char *buffer, size_t capacity,
                                                                 size_t *length,
                                                                 citadel_error *error);

#define CITADEL_MODELS_CONFIGURED 1u /* flag: only those that the configuration file names */

/* The names of models, a line for each: those of the configuration file, in its order, then the packs
 * and the folders of models (config.json or modules.json beside weights in safetensors) in the
 * directories of the model path. Whether a model can be loaded is not looked at.
 * Errors: INVALID_ARGUMENT, CAPACITY, NO_MEMORY, FORKED. */
CITADEL_API CITADEL_NODISCARD citadel_status citadel_model_names(citadel_engine *engine,
                                                                 uint32_t flags, char *buffer,
                                                                 size_t capacity, size_t *length,
                                                                 citadel_error *error);

/* The forms of a model, a line for each, told from its files: `taken: ` is what a load would try
 * first, `next: ` what would be tried if that failed, `skipped: ` has the reason. Opens the backend
 * and loads nothing.
 * Errors: those of citadel_model_estimate, and CAPACITY. */
CITADEL_API CITADEL_NODISCARD citadel_status
citadel_model_forms(citadel_engine *engine, const char *name, const citadel_load_options *options,
                    char *buffer, size_t capacity, size_t *length, citadel_error *error);

/* What there is to compute with. */
typedef struct citadel_diagnostics {
    size_t size;
    char backend[64];        /* the torch backend: "libtorch 2.11.0"; "": it cannot be opened */
    char backend_error[496]; /* why not, or why it cannot tell about devices; "" */
    char cpu[96];     /* "avx2 fma avx512f avx512_vnni avx512_bf16 amx_bf16", as far as there */
    char device[96];  /* the first CUDA device in the machine; "": none */
    uint32_t threads; /* compute threads of the engine */
    uint32_t cpus;    /* that the process may use */
    uint32_t mixed_precision; /* 1: the CPU multiplies bf16 */
    uint32_t compiled;        /* 1: the backend runs compiled forms */
    uint32_t cuda_available;  /* 1: the backend can use CUDA */
    uint32_t cuda_devices;    /* in the machine */
    uint32_t cuda_major;      /* compute capability of the first; 0.0: unknown */
    uint32_t cuda_minor;
    uint64_t process_bytes;    /* resident memory of the process; 0: the system does not tell */
    uint64_t device_allocated; /* memory of the first CUDA device that the backend uses, */
    uint64_t device_reserved;  /* and that it holds */
    /* Instruction set of the native backend, which is always there: "avx512_bf16". */
    char native[32];
} citadel_diagnostics;

#define CITADEL_DIAGNOSTICS_INIT                                                          \
    {                                                                                     \
        sizeof(citadel_diagnostics), {0}, {0}, {0}, {0}, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, \
        {                                                                                 \
            0                                                                             \
        }                                                                                 \
    }

/* Opens the torch backend, and loads nothing. If it is missing that is no error: `backend_error` has
 * it, and folders are computed all the same, natively.
 * Errors: INVALID_ARGUMENT, ABI, FORKED. */
CITADEL_API CITADEL_NODISCARD citadel_status citadel_diagnose(citadel_engine *engine,
                                                              citadel_diagnostics *diagnostics,
                                                              citadel_error *error);

#ifdef __cplusplus
}
#endif

#endif
