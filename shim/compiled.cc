// Graphs that AOTInductor has compiled into a shared object: torch.compile for C++.
#include "graph.h"
#include "guard.h"

#include <ATen/DynamicLibrary.h>
#include <torch/csrc/inductor/aoti_runner/model_container_runner_cpu.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <unordered_map>
#include <vector>

#include <elf.h>
#include <link.h>
#include <sys/mman.h>
#include <unistd.h>

namespace
{

// The dynamic loader believes a file's header, and a process that touches a page beyond the end gets SIGBUS. What is no
// object at all is left to the loader, which says so.
bool is_cut(const char *path)
{
    std::ifstream file(path, std::ios::binary);
    ElfW(Ehdr) header{};
    file.read(reinterpret_cast<char *>(&header), sizeof header);
    if (!file || std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0)
        return false;
    std::vector<ElfW(Phdr)> segments(header.e_phnum);
    auto table_bytes = static_cast<std::streamsize>(segments.size() * sizeof segments[0]);
    file.seekg(static_cast<std::streamoff>(header.e_phoff));
    file.read(reinterpret_cast<char *>(segments.data()), table_bytes);
    if (!file)
        return true;
    uintmax_t size = std::filesystem::file_size(path);
    for (const auto &segment : segments)
        if (segment.p_offset > size || segment.p_filesz > size - segment.p_offset)
            return true;
    return false;
}

// Of a library that was loaded from `path`, let go of the pages in memory that the file has as well. They
// come back when they are touched.
void drop_file_pages(const char *path)
{
    auto drop = [](dl_phdr_info *info, size_t, void *wanted) {
        if (std::strcmp(info->dlpi_name, static_cast<const char *>(wanted)) != 0)
            return 0;
        uintptr_t page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
        for (int i = 0; i < info->dlpi_phnum; i++) {
            const auto &segment = info->dlpi_phdr[i];
            if (segment.p_type != PT_LOAD || (segment.p_flags & PF_W))
                continue;
            uintptr_t begin = (info->dlpi_addr + segment.p_vaddr) & ~(page - 1);
            uintptr_t end = info->dlpi_addr + segment.p_vaddr + segment.p_memsz;
            madvise(reinterpret_cast<void *>(begin), end - begin, MADV_DONTNEED);
        }
        return 1;
    };
    dl_iterate_phdr(drop, const_cast<char *>(path));
}

// The compiled code reads a constant as it was at export, whatever lies there: it is to be of the same type, and as large.
class Runner final : public torch::inductor::AOTIModelContainerRunnerCpu
{
  public:
    using AOTIModelContainerRunnerCpu::AOTIModelContainerRunnerCpu;

    struct Constant {
        std::string name, tensor;
        at::ScalarType type;
        size_t bytes; // rounded up to `alignment`
    };

    static constexpr size_t alignment = 64;

    std::vector<Constant> constants() const
    {
        auto size_of = reinterpret_cast<decltype(&AOTInductorModelContainerGetConstantDataSize)>(
            model_so_->sym("AOTInductorModelContainerGetConstantDataSize"));
        size_t count = 0;
        check(get_num_constants_func_(container_handle_, &count));
        std::vector<Constant> all;
        for (size_t i = 0; i < count; i++) {
            const char *name = nullptr, *tensor = nullptr;
            int32_t type = 0;
            size_t bytes = 0;
            check(get_constant_name_func_(container_handle_, i, &name));
            check(get_constant_original_fqn_func_(container_handle_, i, &tensor));
            check(get_constant_dtype_func_(container_handle_, i, &type));
            check(size_of(container_handle_, i, &bytes));
            all.push_back({name, tensor, static_cast<at::ScalarType>(type), bytes});
        }
        return all;
    }

  private:
    static void check(AOTIRuntimeError failed)
    {
        TORCH_CHECK(!failed, "the graph does not tell its constants");
    }
};

class Compiled final : public Graph
{
  public:
    // So many runs at once share one copy of the constants.
    explicit Compiled(const ce_backend_model &given)
        : runner_(given.path, given.threads), bytes_(std::filesystem::file_size(given.path))
    {
        drop_file_pages(given.path); // the constants in the file have been copied
    }

    // Let every constant lie where the caller has it.
    int bind(const ce_backend_model &given, ce_error *error)
    {
        std::unordered_map<std::string, const ce_tensor *> tensors;
        for (size_t i = 0; i < given.tensor_count; i++)
            tensors.emplace(given.tensors[i].name, &given.tensors[i]);
        std::unordered_map<std::string, at::Tensor> constants;
        for (const auto &constant : runner_.constants()) {
            auto at = tensors.find(constant.tensor);
            if (at == tensors.end())
                return ce_fail(error, CE_E_BAD_MODEL,
                               "the graph needs tensor '%s', which is missing",
                               Printable(constant.tensor).line);
            if (int status = check_fit(constant, *at->second, error))
                return status;
            constants.emplace(constant.name, in_place(*at->second));
        }
        runner_.update_constant_buffer(constants, false, true, true);
        return CE_OK;
    }

    at::Tensor run(const at::Tensor &ids, const at::Tensor &positions,
                   const at::Tensor &cu_seqlens) const override
    {
        std::vector<at::Tensor> outputs = runner_.run({ids, positions, cu_seqlens});
        TORCH_CHECK(outputs.size() == 1, "the graph gave ", outputs.size(), " tensors, expected 1");
        return outputs[0];
    }

    size_t bytes() const override
    {
        return bytes_;
    }

    size_t fewest_texts() const override
    {
        return 2;
    }

  private:
    static int check_fit(const Runner::Constant &constant, const ce_tensor &tensor, ce_error *error)
    {
        at::ScalarType type = in_place(tensor).scalar_type();
        if (type != constant.type)
            return ce_fail(error, CE_E_BAD_MODEL, "tensor '%s' is %s, but the graph needs %s",
                           tensor.name, c10::toString(type), c10::toString(constant.type));
        if (tensor.bytes + Runner::alignment <= constant.bytes)
            return ce_fail(error, CE_E_BAD_MODEL,
                           "tensor '%s' has %zu bytes, but the graph reads some %zu", tensor.name,
                           tensor.bytes, constant.bytes);
        return CE_OK;
    }

    mutable Runner runner_; // its method is not const
    size_t bytes_;
};

} // namespace

int load_compiled(const ce_backend_model &given, std::unique_ptr<Graph> *out, ce_error *error)
{
    if (is_cut(given.path))
        return ce_fail(error, CE_E_BAD_MODEL, "the graph's file is shorter than its header says");
    auto compiled = std::make_unique<Compiled>(given);
    if (!given.tensors_inside)
        if (int status = compiled->bind(given, error))
            return status;
    *out = std::move(compiled);
    return CE_OK;
}
