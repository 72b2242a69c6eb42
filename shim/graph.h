// A model as libtorch computes it, in one of its forms.
#ifndef CE_SHIM_GRAPH_H
#define CE_SHIM_GRAPH_H

extern "C" {
#include "../src/backend.h"
}

#include <ATen/core/Tensor.h>

#include <memory>

class Graph
{
  public:
    virtual ~Graph() = default;

    // int64 [tokens], [tokens], [texts + 1] to float32 [texts, dim]; on any number of threads at once.
    virtual at::Tensor run(const at::Tensor &ids, const at::Tensor &positions,
                           const at::Tensor &cu_seqlens) const = 0;

    // Bytes it holds beside the memory it was given.
    virtual size_t bytes() const = 0;

    // The compiled code is made for no less.
    virtual size_t fewest_texts() const
    {
        return 1;
    }
};

// Each with the tensors of `given`, which stay where they are. They may throw.
int load_torchscript(const ce_backend_model &given, const void *graph, size_t size,
                     std::unique_ptr<Graph> *out, ce_error *error);
int load_compiled(const ce_backend_model &given, std::unique_ptr<Graph> *out, ce_error *error);

// A tensor that lies in memory of the caller.
at::Tensor in_place(const ce_tensor &tensor);

#endif
