// libtorch behind src/backend.h: TorchScript graphs without weights, the weights bound in place, and
// the operator citadel::varlen_attention over lib/kernels. Nothing here decides anything.
//
// No C++ exception leaves this file, nothing is printed, and no object of static storage has a
// destructor: libtorch may be gone, or still at work, when a process ends.

extern "C" {
#include "../src/backend.h"
#include "kernels/attention.h"
}

#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/Parallel.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/InferenceMode.h>
#include <caffe2/serialize/read_adapter_interface.h>
#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/jit/frontend/function_schema_parser.h>
#include <torch/csrc/jit/runtime/graph_executor.h>
#include <torch/csrc/jit/serialization/import.h>
#include <torch/headeronly/version.h>
#include <torch/library.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <dlfcn.h>
#include <pthread.h>
#include <unistd.h>

namespace
{

// ---------------------------------------------------------------------------------------- errors

// What comes out of a damaged archive need not be text. Nothing is allocated, because memory may be
// what is missing.
struct Printable {
    char line[sizeof(ce_error::message)];

    explicit Printable(std::string_view text)
    {
        size_t length = text.copy(line, sizeof line - 1);
        line[length] = '\0';
        for (size_t i = 0; i < length; i++)
            if (line[i] < ' ' || line[i] > '~')
                line[i] = '?';
    }
};

// Fill `error` with the line of `text` that names the cause. The interpreter wraps what an operator
// threw, whatever its type, in an account of several lines.
int fail_with(ce_error *error, std::string_view text)
{
    constexpr std::string_view wrapped = "\nRuntimeError: ";
    size_t cause = text.rfind(wrapped);
    if (cause != text.npos)
        text.remove_prefix(cause + wrapped.size());
    bool memory =
        text.find("can't allocate memory") != text.npos || text.find("std::bad_alloc") != text.npos;
    text.remove_prefix(std::min(text.find_first_not_of('\n'), text.size()));
    text = text.substr(0, text.find('\n'));
    return ce_fail(error, memory ? CE_E_NO_MEMORY : CE_E_BACKEND, "libtorch: %s",
                   Printable(text).line);
}

// When a process ends, libtorch's static objects are destroyed while other threads may still be
// inside, or may come in later from an exit handler of the host. So the end of the process closes the
// door and waits for those inside; who comes later is turned away, and what he holds is left as it is.
struct Door {
    std::atomic<int> inside{0};
    std::atomic<bool> closed{false};
    std::atomic<pid_t> owner{0};
};

Door door;

void close_door()
{
    door.closed = true;
    // A forked child has the count, but not the threads. A call should end within seconds; if not, a
    // crash is better than a process that does not end.
    for (int i = 0; i < 10000 && door.inside > 0 && door.owner == getpid(); i++)
        usleep(1000);
}

struct Visit {
    Visit()
    {
        door.inside++;
    }
    ~Visit()
    {
        door.inside--;
    }
};

// Exit handlers run in reverse order, among them the destructors of static objects: to come before
// those that libtorch makes at its first work, this is called again after it.
void close_door_at_exit()
{
    std::atexit(close_door);
}

// Run `body`, which returns a status; whatever it throws becomes one.
template <class Body> int guarded(ce_error *error, const Body &body) noexcept
{
    Visit visit;
    if (door.closed)
        return ce_fail(error, CE_E_BACKEND, "the process is ending");
    try {
        return body();
    } catch (const c10::OutOfMemoryError &) {
        return ce_fail(error, CE_E_NO_MEMORY, "libtorch: out of memory");
    } catch (const std::bad_alloc &) {
        return ce_fail(error, CE_E_NO_MEMORY, "libtorch: out of memory");
    } catch (const c10::Error &thrown) {
        return fail_with(error, thrown.what_without_backtrace());
    } catch (const std::exception &thrown) {
        return fail_with(error, thrown.what());
    } catch (...) {
        return ce_fail(error, CE_E_BACKEND, "libtorch: an exception of unknown type");
    }
}

// --------------------------------------------------------------------------------------- threads

// The OpenMP runtime that libtorch uses, and not another copy that this file might be linked to.
struct Runtime {
    void (*set_threads)(int) = nullptr;
    void (*parallel)(void (*)(void *), void *, unsigned, unsigned) = nullptr;
    int (*set_mkl_threads)(int) = nullptr;

    Runtime()
    {
        void *torch = dlopen("libtorch_cpu.so", RTLD_LAZY | RTLD_NOLOAD);
        if (!torch)
            return;
        find(torch, "omp_set_num_threads", set_threads);
        find(torch, "GOMP_parallel", parallel);
        find(torch, "MKL_Set_Num_Threads_Local", set_mkl_threads);
    }

    template <class Function> static void find(void *library, const char *name, Function *&function)
    {
        function = reinterpret_cast<Function *>(dlsym(library, name));
    }
};

const Runtime &runtime()
{
    static const Runtime found;
    return found;
}

// Whether the system lets so many threads be started now.
bool can_start(int threads)
{
    std::mutex until_all_are_there;
    std::unique_lock<std::mutex> lock(until_all_are_there);
    std::vector<pthread_t> started(static_cast<size_t>(threads));
    int count = 0;
    auto wait = [](void *mutex) -> void * {
        std::lock_guard<std::mutex> turn(*static_cast<std::mutex *>(mutex));
        return nullptr;
    };
    while (count < threads && pthread_create(&started[static_cast<size_t>(count)], nullptr, wait,
                                             &until_all_are_there) == 0)
        count++;
    lock.unlock();
    for (int i = 0; i < count; i++)
        pthread_join(started[static_cast<size_t>(i)], nullptr);
    return count == threads;
}

// Let the calling thread, and nothing else in the process, use this many threads from now on.
// at::set_num_threads would also change the default of every thread that has not used libtorch yet.
void use_threads(int threads)
{
    // The OpenMP runtime ends the process when it cannot start its helpers, at the first run that is so
    // wide; they stay for the next ones. So it is tried before, and without them one thread works alone.
    thread_local int widest = 1;
    if (threads > widest && can_start(threads - 1))
        widest = threads;
    threads = std::min(threads, widest);

    at::get_num_threads(); // libtorch sets its default once for each thread: let that be before
    if (runtime().set_threads)
        runtime().set_threads(threads);
    if (runtime().set_mkl_threads) // outranks what the host may have set for the process
        runtime().set_mkl_threads(threads);
}

// ------------------------------------------------------------------------------------- attention

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
            ce_attention_text(&call, static_cast<size_t>(ends[text]),
                              static_cast<size_t>(ends[text + 1]), head, head + 1, scratch);
        }
    }
};

ce_heads heads_of(const at::Tensor &tensor)
{
    return {tensor.const_data_ptr<float>(), tensor.stride(2), tensor.stride(1)};
}

at::Tensor with_whole_heads(const at::Tensor &tensor, const char *name)
{
    TORCH_CHECK(tensor.dim() == 4 && tensor.size(0) == 1, operator_name, ": ", name,
                " must be [1, heads, tokens, head_dim], but is ", tensor.sizes());
    TORCH_CHECK(tensor.scalar_type() == at::kFloat, operator_name, ": ", name,
                " must be float32, but is ", tensor.scalar_type());
    return tensor.stride(3) == 1 || tensor.size(3) == 1 ? tensor : tensor.contiguous();
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
    work.call = {heads_of(q),
                 heads_of(k),
                 heads_of(v),
                 static_cast<size_t>(heads),
                 static_cast<size_t>(kv_heads),
                 static_cast<size_t>(dim),
                 static_cast<float>(scale),
                 window_left,
                 window_right,
                 out.mutable_data_ptr<float>(),
                 ce_isa_best()};
    work.ends = ends;
    work.texts = texts;

    // A thread's share begins and ends on a cache line, which is also what the kernel asks for.
    size_t share = ce_attention_scratch(work.call.head_dim, static_cast<size_t>(longest));
    share = (share + 63) / 64 * 64;
    int threads = multiplications < worth_threads || at::in_parallel_region() || !runtime().parallel
                      ? 1
                      : at::get_num_threads();
    c10::DataPtr scratch =
        c10::GetCPUAllocator()->allocate(share * static_cast<size_t>(std::max(threads, 1)));
    if (threads <= 1) {
        work.run(scratch.get());
        return out;
    }

    struct Team {
        AttentionWork &work;
        char *scratch;
        size_t share;
        std::atomic<size_t> members{0};
    } team{work, static_cast<char *>(scratch.get()), share};
    runtime().parallel(
        [](void *of_team) {
            Team &team = *static_cast<Team *>(of_team);
            team.work.run(team.scratch + team.share * team.members++);
        },
        &team, static_cast<unsigned>(threads), 0);
    return out;
}

// Register the operator, unless this process has it already: Python's exporter, on the same
// libtorch, may have defined it. Its kernel then stays; replacing one warns on stderr.
void register_operator()
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

// ---------------------------------------------------------------------------------------- models

struct Model {
    torch::jit::Module module;
    torch::jit::Method forward;
    int64_t dim;
    bool packed;
};

// Loading and unloading touch registries of libtorch that have no lock of their own.
std::mutex &registries()
{
    static std::mutex mutex;
    return mutex;
}

// Whether this process comes here for the first time. A forked child has an engine of its own then,
// and a count of visitors that never leave.
bool begin_process()
{
    std::lock_guard<std::mutex> lock(registries());
    if (door.owner == getpid())
        return false;
    door.owner = getpid();
    door.inside = 0;
    return true;
}

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

at::ScalarType scalar_type(ce_dtype dtype)
{
    switch (dtype) {
    case CE_DTYPE_F32:
        return at::kFloat;
    case CE_DTYPE_F16:
        return at::kHalf;
    case CE_DTYPE_BF16:
        return at::kBFloat16;
    case CE_DTYPE_I64:
        return at::kLong;
    case CE_DTYPE_I32:
        return at::kInt;
    case CE_DTYPE_I8:
        return at::kChar;
    case CE_DTYPE_U8:
        return at::kByte;
    case CE_DTYPE_BOOL:
        return at::kBool;
    case CE_DTYPE_F64:
        return at::kDouble;
    }
    return at::ScalarType::Undefined;
}

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
        if (scalar_type(tensor.dtype) != slot.scalar_type())
            return ce_fail(error, CE_E_BAD_MODEL, "tensor '%s' is %s, but the graph needs %s",
                           name.c_str(), c10::toString(scalar_type(tensor.dtype)),
                           c10::toString(slot.scalar_type()));
        slot.requires_grad_(false);
        slot.set_data(at::from_blob(const_cast<void *>(tensor.data),
                                    at::IntArrayRef(tensor.shape, tensor.dims),
                                    slot.scalar_type()));
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

int model_load(const ce_backend_model *given, void **out, ce_error *error) noexcept
{
    *out = nullptr;
    if (std::strcmp(given->form, "torchscript") != 0)
        return ce_fail(error, CE_E_UNSUPPORTED, "the torch backend does not run form '%s'",
                       given->form);
    int status = guarded(error, [&]() -> int {
        std::lock_guard<std::mutex> lock(registries());
        torch::jit::Module module = torch::jit::load(
            std::make_shared<GraphBytes>(given->graph, given->graph_size), at::kCPU, false);
        module.eval();
        if (int status = bind_tensors(module, *given, error))
            return status;
        torch::jit::Method forward = module.get_method("forward");
        *out = new Model{std::move(module), std::move(forward), given->dim,
                         given->layout == CE_LAYOUT_PACKED};
        return CE_OK;
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

size_t model_bytes(const void *) noexcept
{
    return 0;
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

int run(void *handle, const ce_batch *batch, int threads, float *out, ce_error *error) noexcept
{
    return guarded(error, [&]() -> int {
        const Model &model = *static_cast<const Model *>(handle);
        use_threads(threads);
        c10::InferenceMode inference;
        // On this thread the graph runs as it is: the profiling executor would compile it anew, for
        // seconds, whenever a shape it has not seen comes along.
        torch::jit::GraphOptimizerEnabledGuard unoptimized(false);

        // One more text, whose vector nobody reads, makes up the round number of a packed batch.
        size_t tokens = model.packed ? rounded_up(batch->tokens) : batch->tokens;
        size_t all_texts = batch->texts + (tokens > batch->tokens);
        // Not through the method itself, which makes a new owner each time, and aborts without memory.
        at::Tensor vectors =
            model.forward
                .function()({model.module._ivalue(), as_int64(batch->ids, batch->tokens, tokens, 0),
                             as_int64(batch->positions, batch->tokens, tokens, 0),
                             as_int64(batch->cu_seqlens, batch->texts + 1, all_texts + 1,
                                      static_cast<int64_t>(tokens))})
                .toTensor();
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

#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)

const ce_backend backend = {
    CE_BACKEND_VERSION,
    "torch",
    "libtorch " TEXT(TORCH_VERSION_MAJOR) "." TEXT(TORCH_VERSION_MINOR) "." TEXT(
        TORCH_VERSION_PATCH),
    model_load,
    model_unload,
    model_bytes,
    run,
    nullptr,
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
        register_operator();
        if (first)
            close_door_at_exit();
        return CE_OK;
    });
    return status == CE_OK ? &backend : nullptr;
}
