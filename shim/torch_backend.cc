// libtorch behind src/backend.h: graphs of either form, and the operator citadel::varlen_attention
// over lib/kernels. Nothing here decides anything.
//
// No C++ exception leaves this folder, nothing is printed, and no object of static storage has a
// destructor: libtorch may be gone, or still at work, when a process ends.

#include "attention.h"
#include "device.h"
#include "graph.h"
#include "guard.h"
#include "threads.h"

#include <ATen/ops/empty.h>
#include <c10/core/InferenceMode.h>
#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/headeronly/version.h>

#include <algorithm>
#include <cstring>

namespace
{

struct Model {
    std::unique_ptr<Graph> graph, recovery;
    int64_t dim;
    bool packed;
};

int load(const ce_backend_model &given, Model &model, ce_error *error)
{
    int status = std::strcmp(given.form, "compiled") == 0
                     ? load_compiled(given, &model.graph, error)
                     : load_torchscript(given, given.graph, given.graph_size, &model.graph, error);
    if (status == CE_OK && given.recovery)
        status =
            load_torchscript(given, given.recovery, given.recovery_size, &model.recovery, error);
    return status;
}

int model_load(const ce_backend_model *given, void **out, ce_error *error) noexcept
{
    *out = nullptr;
    if (std::strcmp(given->form, "torchscript") != 0 && std::strcmp(given->form, "compiled") != 0)
        return ce_fail(error, CE_E_UNSUPPORTED, "the torch backend does not run form '%s'",
                       given->form);
    int status = guarded(error, [&]() -> int {
        std::lock_guard<std::mutex> lock(registries());
        auto model = std::make_unique<Model>();
        model->dim = given->dim;
        model->packed = given->layout == CE_LAYOUT_PACKED;
        int status = load(*given, *model, error);
        if (status == CE_OK)
            *out = model.release();
        return status;
    });
    if (status != CE_E_BACKEND)
        return status;
    // What libtorch does not like here is the graph.
    if (error)
        error->code = CE_E_BAD_MODEL;
    ce_error_prefix(error, "the graph cannot be loaded");
    return CE_E_BAD_MODEL;
}

void model_unload(void *model) noexcept
{
    guarded(nullptr, [&] {
        std::lock_guard<std::mutex> lock(registries());
        delete static_cast<Model *>(model);
        return CE_OK;
    });
}

size_t model_bytes(const void *handle) noexcept
{
    return static_cast<const Model *>(handle)->graph->bytes();
}

// `count` values, then as many of `filler` as it takes to be `size`.
at::Tensor as_int64(const int32_t *values, size_t count, size_t size, int64_t filler)
{
    at::Tensor tensor = at::empty({static_cast<int64_t>(size)}, at::kLong);
    int64_t *data = tensor.mutable_data_ptr<int64_t>();
    std::fill(std::copy(values, values + count, data), data + size, filler);
    return tensor;
}

// libtorch keeps compiled code for every number of tokens it has seen, some 200 KB each: so it sees
// few of them.
size_t rounded_up(size_t tokens)
{
    size_t step = tokens <= 64 ? 4 : tokens <= 256 ? 8 : 32;
    return (tokens + step - 1) / step * step;
}

int compute(const Model &model, const Graph &graph, const ce_batch *batch, int threads, float *out,
            ce_error *error) noexcept
{
    return guarded(error, [&]() -> int {
        use_threads(threads);
        c10::InferenceMode inference;

        // One more text, whose vector nobody reads, makes up the round number of a packed batch.
        bool one_more = batch->texts < graph.fewest_texts();
        size_t tokens = model.packed ? rounded_up(batch->tokens + one_more) : batch->tokens;
        size_t all_texts = batch->texts + (tokens > batch->tokens);
        at::Tensor vectors = graph.run(as_int64(batch->ids, batch->tokens, tokens, 0),
                                       as_int64(batch->positions, batch->tokens, tokens, 0),
                                       as_int64(batch->cu_seqlens, batch->texts + 1, all_texts + 1,
                                                static_cast<int64_t>(tokens)));
        int64_t texts = static_cast<int64_t>(all_texts);
        TORCH_CHECK(vectors.scalar_type() == at::kFloat && vectors.is_cpu() &&
                        vectors.sizes() == at::IntArrayRef({texts, model.dim}),
                    "the graph gave ", vectors.scalar_type(), vectors.sizes(), " for ", texts,
                    " texts, not float32 of ", model.dim, " elements each");
        vectors = vectors.contiguous();
        std::copy_n(vectors.const_data_ptr<float>(), batch->texts * model.dim, out);

        static std::once_flag worked;
        std::call_once(worked, close_door_at_exit);
        return CE_OK;
    });
}

int run(void *handle, const ce_batch *batch, ce_team *team, float *out, ce_error *error) noexcept
{
    const Model &model = *static_cast<const Model *>(handle);
    return compute(model, *model.graph, batch, team->threads, out, error);
}

int recover(void *handle, const ce_batch *batch, ce_team *team, float *out,
            ce_error *error) noexcept
{
    const Model &model = *static_cast<const Model *>(handle);
    return compute(model, *model.recovery, batch, team->threads, out, error);
}

#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)

const ce_backend backend = {
    CE_BACKEND_VERSION,
    "torch",
    "libtorch " TEXT(TORCH_VERSION_MAJOR) "." TEXT(TORCH_VERSION_MINOR) "." TEXT(
        TORCH_VERSION_PATCH),
    0,   // batch_tokens
    256, // split_tokens
    0,   // any_thread
    model_load,
    model_unload,
    model_bytes,
    run,
    recover,
    nullptr, // accuracy is measured at export
    describe_device,
};

} // namespace

extern "C" __attribute__((visibility("default"))) const ce_backend *ce_backend_get(uint32_t version,
                                                                                   ce_error *error)
{
    if (version != CE_BACKEND_VERSION) {
        ce_fail(error, CE_E_ABI, "the torch backend has contract version %u, but %u is asked for",
                CE_BACKEND_VERSION, version);
        return nullptr;
    }
    // The C++ interfaces used here hold for one release only. A host that has loaded another libtorch
    // gets a message instead of a crash.
    uint64_t found = aoti_torch_abi_version();
    if (found >> 40 != TORCH_ABI_VERSION >> 40) {
        ce_fail(error, CE_E_ABI,
                "the torch backend was built for %s, but this process has %u.%u.%u",
                backend.description, static_cast<unsigned>(found >> 56),
                static_cast<unsigned>(found >> 48 & 255), static_cast<unsigned>(found >> 40 & 255));
        return nullptr;
    }
    bool first = begin_process();
    int status = guarded(error, [first] {
        std::lock_guard<std::mutex> lock(registries());
        register_attention();
        if (first)
            close_door_at_exit();
        return CE_OK;
    });
    return status == CE_OK ? &backend : nullptr;
}
