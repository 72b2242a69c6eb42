/* The contract between the library and whatever computes: libtorch behind shim/, the native kernels,
 * and the fake of the tests. A backend gets checked input and a team of threads; it decides nothing,
 * logs nothing and keeps no state but its models.
 *
 * It lives in a shared object of its own, opened when the first model needs it and never closed. */
#ifndef CE_BACKEND_H
#define CE_BACKEND_H

#include "base/error.h"
#include "base/team.h"
#include "base/tensor.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Raised whenever a struct or a function below changes: both sides are built together. */
#define CE_BACKEND_VERSION 6u

typedef enum ce_layout {
    CE_LAYOUT_PACKED = 1, /* texts of any length laid end to end */
    CE_LAYOUT_PADDED = 2  /* the graph needs texts of one length in a batch */
} ce_layout;

/* Texts laid end to end, without padding. */
typedef struct ce_batch {
    const int32_t *ids;        /* [tokens] */
    const int32_t *positions;  /* [tokens], from 0 in each text */
    const int32_t *cu_seqlens; /* [texts + 1], from 0 to tokens; no text is empty */
    size_t tokens;
    size_t texts;
} ce_batch;

/* How near a model's vectors are to those in fp32; zeros: not known. */
typedef struct ce_accuracy {
    double min_cosine, mean_cosine;
    double neighbour_overlap; /* of each text's ten nearest, the share that stays */
} ce_accuracy;

/* Everything a model needs, already verified. All memory belongs to the caller: the tensors stay as
 * they are until model_unload has returned, the rest until model_load has. */
typedef struct ce_backend_model {
    const char *form; /* "torchscript", or "compiled" */
    /* Where the graph is: a shared object for the compiled form, which is opened under its path; for
     * the others a file, whose bytes these are. */
    const char *path;
    const void *graph;
    size_t graph_size;
    /* Parameters and buffers of the graph and the recovery graph, by name. */
    const ce_tensor *tensors;
    size_t tensor_count;
    int tensors_inside; /* the compiled graph has its own copy, and needs no tensors */
    /* For a form of less than fp32: a TorchScript graph over the same tensors whose activations are
     * fp32; else NULL. */
    const void *recovery;
    size_t recovery_size;
    uint32_t dim;
    ce_layout layout;
    unsigned threads;  /* runs at once, at most */
    int32_t precision; /* CITADEL_PRECISION_* */
    /* For the native kernels, which compute from a checkpoint; else NULL and 0. Both stay as they are until
     * model_unload has returned. */
    const struct ce_architecture *architecture;
    const struct ce_weights *weights;
    int directory; /* descriptor of the checkpoint's, where Dense modules have theirs */
    /* File of the weights in the kernels' layout, to be mapped or written (NULL: none), and 64 hexadecimal digits
     * that no other weights have. */
    const char *prepared, *prepared_key;
    /* Call `take` for each of some batches of texts: those that a model is fitted to, and others, on which it is seen
     * how well that went. */
    int (*calibrate)(void *texts,
                     int (*take)(void *argument, const ce_batch *batch, ce_error *error),
                     void *argument, ce_error *error);
    int (*evaluate)(void *texts,
                    int (*take)(void *argument, const ce_batch *batch, ce_error *error),
                    void *argument, ce_error *error);
    /* Is told that weights are about to be prepared, which takes minutes where they are many; or NULL. */
    void (*preparing)(void *texts);
    void *texts;
    int isa; /* ce_isa: the highest instruction set that kernels may use */
} ce_backend_model;

/* What there is to compute on, for diagnostics; of several CUDA devices the first. */
typedef struct ce_backend_device {
    int compiled;                    /* the compiled form runs here */
    int cuda_available;              /* to the backend */
    unsigned cuda_devices;           /* in the machine, whether the backend can use them or not */
    unsigned cuda_major, cuda_minor; /* compute capability */
    char name[96];
    uint64_t allocated, reserved; /* device memory of this process */
} ce_backend_device;

typedef struct ce_backend {
    uint32_t version;
    const char *name;        /* "torch" */
    const char *description; /* "libtorch 2.11.0", for build info and diagnostics */
    /* Tokens that a batch is best at with one thread (0: no preference), and from how many on it
     * repays being computed apart. */
    size_t batch_tokens, split_tokens;
    /* Any thread may call run and recover, for they leave it as it was: floating-point modes, which
     * the caller of both has set to the default, settings of libraries, a small stack. */
    int any_thread;

    int (*model_load)(const ce_backend_model *model, void **out, ce_error *error);
    void (*model_unload)(void *model);

    /* Bytes that the model holds beside the memory it was given. */
    size_t (*model_bytes)(const void *model);

    /* One batch to [texts, dim] pooled vectors, before normalisation. May be called from several
     * threads at once for one model, but without any_thread from worker threads only: the calling
     * thread's settings (intra-op threads, floating-point modes) may be changed for good. Uses the
     * threads of the team, or at most as many. */
    int (*run)(void *model, const ce_batch *batch, ce_team *team, float *out, ce_error *error);

    /* The same through the recovery graph; never called for a model without one. */
    int (*recover)(void *model, const ce_batch *batch, ce_team *team, float *out, ce_error *error);

    /* What was measured when the model's weights were prepared; NULL where nothing ever is. */
    void (*accuracy)(const void *model, ce_accuracy *out);

    /* `*device` comes with zeros. */
    int (*describe)(ce_backend_device *device, ce_error *error);
} ce_backend;

/* The one symbol that a backend exports. NULL, with `error` filled, when it cannot serve this process. */
#define CE_BACKEND_ENTRY "ce_backend_get"
typedef const ce_backend *ce_backend_entry(uint32_t version, ce_error *error);

#ifdef __cplusplus
}
#endif

#endif
