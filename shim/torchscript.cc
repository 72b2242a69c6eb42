// TorchScript graphs without weights; the weights are bound in place.
#include "graph.h"
#include "guard.h"

#include <ATen/ops/from_blob.h>
#include <caffe2/serialize/read_adapter_interface.h>
#include <torch/csrc/jit/runtime/graph_executor.h>
#include <torch/csrc/jit/serialization/import.h>

#include <algorithm>
#include <cstring>
#include <string_view>
#include <unordered_map>

namespace
{

// The graph file in memory. libtorch has such a reader, but it believes any position that a damaged
// archive names.
class GraphBytes final : public caffe2::serialize::ReadAdapterInterface
{
  public:
    GraphBytes(const void *data, size_t size) : data_(static_cast<const char *>(data)), size_(size)
    {
    }

    size_t size() const override
    {
        return size_;
    }

    size_t read(uint64_t position, void *to, size_t wanted, const char *) const override
    {
        size_t count = position < size_ ? std::min<size_t>(wanted, size_ - position) : 0;
        if (count > 0)
            std::memcpy(to, data_ + position, count);
        return count;
    }

  private:
    const char *data_;
    size_t size_;
};

// Let every parameter and buffer of the graph, which come empty, lie where the caller has it.
int bind_tensors(const torch::jit::Module &module, const ce_backend_model &given, ce_error *error)
{
    std::unordered_map<std::string_view, const ce_tensor *> unused;
    for (size_t i = 0; i < given.tensor_count; i++)
        unused.emplace(given.tensors[i].name, &given.tensors[i]);

    auto bind = [&](const std::string &name, at::Tensor slot) -> int {
        auto at = unused.find(name);
        if (at == unused.end())
            return ce_fail(error, CE_E_BAD_MODEL, "the graph needs tensor '%s', which is missing",
                           Printable(name).line);
        const ce_tensor &tensor = *at->second;
        at::Tensor bound = in_place(tensor);
        if (bound.scalar_type() != slot.scalar_type())
            return ce_fail(error, CE_E_BAD_MODEL, "tensor '%s' is %s, but the graph needs %s",
                           name.c_str(), c10::toString(bound.scalar_type()),
                           c10::toString(slot.scalar_type()));
        slot.requires_grad_(false);
        slot.set_data(bound);
        unused.erase(at);
        return CE_OK;
    };
    for (const auto &parameter : module.named_parameters())
        if (int status = bind(parameter.name, parameter.value))
            return status;
    for (const auto &buffer : module.named_buffers())
        if (int status = bind(buffer.name, buffer.value))
            return status;

    // Of several the first in the caller's order, so that the message is always the same.
    for (size_t i = 0; i < given.tensor_count && !unused.empty(); i++)
        if (unused.count(given.tensors[i].name))
            return ce_fail(error, CE_E_BAD_MODEL, "the graph does not use tensor '%s'",
                           given.tensors[i].name);
    return CE_OK;
}

class TorchScript final : public Graph
{
  public:
    explicit TorchScript(torch::jit::Module module)
        : module_(std::move(module)), forward_(module_.get_method("forward"))
    {
    }

    at::Tensor run(const at::Tensor &ids, const at::Tensor &positions,
                   const at::Tensor &cu_seqlens) const override
    {
        // On this thread the graph runs as it is: the profiling executor would compile it anew, for
        // seconds, whenever a shape it has not seen comes along.
        torch::jit::GraphOptimizerEnabledGuard unoptimized(false);
        // Not through the method itself, which makes a new owner each time, and aborts without memory.
        return forward_.function()({module_._ivalue(), ids, positions, cu_seqlens}).toTensor();
    }

    size_t bytes() const override
    {
        return 0;
    }

  private:
    torch::jit::Module module_;
    torch::jit::Method forward_;
};

} // namespace

int load_torchscript(const ce_backend_model &given, const void *graph, size_t size,
                     std::unique_ptr<Graph> *out, ce_error *error)
{
    torch::jit::Module module =
        torch::jit::load(std::make_shared<GraphBytes>(graph, size), at::kCPU, false);
    module.eval();
    int status = bind_tensors(module, given, error);
    if (status == CE_OK)
        *out = std::make_unique<TorchScript>(std::move(module));
    return status;
}
