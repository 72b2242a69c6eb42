// Graphs that AOTInductor has compiled into a shared object: torch.compile for C++.
#include "graph.h"
#include "guard.h"

#include <torch/csrc/inductor/aoti_runner/model_container_runner_cpu.h>

#include <cstring>
#include <filesystem>
#include <string>
#include <unordered_map>

#include <link.h>
#include <sys/mman.h>
#include <unistd.h>

namespace
{

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
        for (const auto &[constant, name] : runner_.getConstantNamesToOriginalFQNs()) {
            auto at = tensors.find(name);
            if (at == tensors.end())
                return ce_fail(error, CE_E_BAD_MODEL,
                               "the graph needs tensor '%s', which is missing",
                               Printable(name).line);
            constants.emplace(constant, in_place(*at->second));
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
    mutable torch::inductor::AOTIModelContainerRunnerCpu runner_; // its method is not const
    size_t bytes_;
};

} // namespace

int load_compiled(const ce_backend_model &given, std::unique_ptr<Graph> *out, ce_error *error)
{
    auto compiled = std::make_unique<Compiled>(given);
    if (!given.tensors_inside)
        if (int status = compiled->bind(given, error))
            return status;
    *out = std::move(compiled);
    return CE_OK;
}
