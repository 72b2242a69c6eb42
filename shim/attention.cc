#include "attention.h"

#include "threads.h"

extern "C" {
#include "kernels/attention.h"
}

#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/empty.h>
#include <ATen/Parallel.h>
#include <c10/core/CPUAllocator.h>
#include <torch/csrc/jit/frontend/function_schema_parser.h>
#include <torch/library.h>

#include <algorithm>
#include <atomic>

namespace
{

constexpr const char *operator_name = "citadel::varlen_attention";
constexpr const char *operator_schema =
    "citadel::varlen_attention(Tensor q, Tensor k, Tensor v, Tensor cu_seqlens, float scale, "
    "int window_left, int window_right) -> Tensor";

// Below this many multiplications, some ten microseconds, threads cost more than they bring.
constexpr double worth_threads = 1 << 19;

struct AttentionWork {
    ce_attention call;
    const int64_t *ends; // texts + 1
    size_t texts, scratch_bytes;
    std::atomic<size_t> next{0}; // (text, head)

    // What every thread does: take the next head until none is left.
    void run(void *scratch)
    {
        for (size_t unit; (unit = next++) < texts * call.heads;) {
            size_t text = unit / call.heads, head = unit % call.heads;
            size_t row = static_cast<size_t>(ends[text]);
            size_t tokens = static_cast<size_t>(ends[text + 1]) - row;
            ce_attention_text whole = {row, tokens, row, tokens, 0};
            ce_attention_run(&call, &whole, head, head + 1, scratch);
        }
    }
};

ce_heads heads_of(const at::Tensor &tensor)
{
    return {tensor.const_data_ptr<float>(), tensor.stride(2), tensor.stride(1)};
}

// As the kernel wants it: float32, and the elements of a head side by side.
at::Tensor with_whole_heads(const at::Tensor &tensor, const char *name)
{
    TORCH_CHECK(tensor.dim() == 4 && tensor.size(0) == 1, operator_name, ": ", name,
                " must be [1, heads, tokens, head_dim], but is ", tensor.sizes());
    TORCH_CHECK(at::isReducedFloatingType(tensor.scalar_type()) ||
                    tensor.scalar_type() == at::kFloat,
                operator_name, ": ", name, " must be float32, bfloat16 or float16, but is ",
                tensor.scalar_type());
    at::Tensor widened = tensor.to(at::kFloat);
    return widened.stride(3) == 1 || widened.size(3) == 1 ? widened : widened.contiguous();
}

at::Tensor varlen_attention(const at::Tensor &q_any, const at::Tensor &k_any,
                            const at::Tensor &v_any, const at::Tensor &cu_seqlens, double scale,
                            int64_t window_left, int64_t window_right)
{
    at::Tensor q = with_whole_heads(q_any, "q"), k = with_whole_heads(k_any, "k"),
               v = with_whole_heads(v_any, "v");
    int64_t heads = q.size(1), kv_heads = k.size(1), tokens = q.size(2), dim = q.size(3);
    TORCH_CHECK(k.sizes() == v.sizes() && k.size(2) == tokens && k.size(3) == dim, operator_name,
                ": q ", q.sizes(), ", k ", k.sizes(), " and v ", v.sizes(), " do not fit");
    TORCH_CHECK(kv_heads > 0 && heads % kv_heads == 0 && dim > 0, operator_name, ": ", heads,
                " heads of ", dim, " elements cannot share ", kv_heads);
    TORCH_CHECK(cu_seqlens.dim() == 1 && cu_seqlens.size(0) > 0 &&
                    cu_seqlens.scalar_type() == at::kLong,
                operator_name, ": cu_seqlens must be int64[texts + 1], but is ",
                cu_seqlens.scalar_type(), cu_seqlens.sizes());

    at::Tensor ends_tensor = cu_seqlens.contiguous();
    const int64_t *ends = ends_tensor.const_data_ptr<int64_t>();
    size_t texts = static_cast<size_t>(ends_tensor.size(0)) - 1;
    int64_t longest = 0;
    double multiplications = 0;
    for (size_t i = 0; i < texts; i++) {
        int64_t length = ends[i + 1] - ends[i];
        TORCH_CHECK(length >= 0, operator_name, ": cu_seqlens falls from ", ends[i], " to ",
                    ends[i + 1]);
        longest = std::max(longest, length);
        multiplications += 2.0 * static_cast<double>(length * length * heads * dim);
    }
    TORCH_CHECK(ends[0] == 0 && ends[texts] == tokens, operator_name, ": cu_seqlens goes from ",
                ends[0], " to ", ends[texts], ", but there are ", tokens, " tokens");

    at::Tensor out = at::empty({1, tokens, heads, dim}, q.options());
    AttentionWork work;
    ce_rows out_rows = {};
    out_rows.data = out.mutable_data_ptr<float>();
    out_rows.stride = static_cast<size_t>(heads * dim) * sizeof(float);
    work.call = {CE_NUMBER_FP32,
                 heads_of(q),
                 heads_of(k),
                 heads_of(v),
                 static_cast<size_t>(heads),
                 static_cast<size_t>(kv_heads),
                 static_cast<size_t>(dim),
                 static_cast<float>(scale),
                 window_left,
                 window_right,
                 out_rows,
                 ce_isa_best()};
    work.ends = ends;
    work.texts = texts;

    // A thread's share begins and ends on a cache line, which is also what the kernel asks for.
    size_t share =
        ce_attention_scratch(CE_NUMBER_FP32, work.call.head_dim, static_cast<size_t>(longest));
    share = (share + 63) / 64 * 64;
    int threads =
        multiplications < worth_threads || at::in_parallel_region() ? 1 : at::get_num_threads();
    c10::DataPtr scratch =
        c10::GetCPUAllocator()->allocate(share * static_cast<size_t>(std::max(threads, 1)));
    struct Team {
        AttentionWork &work;
        char *scratch;
        size_t share;
        std::atomic<size_t> members{0};
    } team{work, static_cast<char *>(scratch.get()), share};
    auto member = [](void *of_team) {
        Team &team = *static_cast<Team *>(of_team);
        team.work.run(team.scratch + team.share * team.members++);
    };
    if (threads <= 1 || !run_parallel(threads, member, &team))
        member(&team);
    return out.to(q_any.scalar_type());
}

} // namespace

// Python's exporter, on the same libtorch, may have defined it. Its kernel then stays; replacing one
// warns on stderr.
void register_attention()
{
    static torch::Library *library = nullptr; // never deleted: that would unregister
    auto found = c10::Dispatcher::singleton().findSchema({operator_name, ""});
    TORCH_CHECK(!found || found->schema() == torch::jit::parseSchema(operator_schema),
                "this process defines another operator, ", found->schema(), ", not ",
                operator_schema);
    if (found && found->hasKernelForDispatchKey(c10::DispatchKey::CPU))
        return;
    if (!library)
        library = new torch::Library(torch::Library::FRAGMENT, "citadel", std::nullopt, __FILE__,
                                     __LINE__);
    if (!found)
        library->def(operator_schema);
    library->impl(operator_name,
                  torch::dispatch(c10::DispatchKey::CPU, TORCH_FN(varlen_attention)));
}
