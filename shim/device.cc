// Diagnostics. libtorch_cpu alone is linked, whose generic interfaces say what this process can use; what is
// in the machine the CUDA driver says, where there is one.

#include "device.h"
#include "guard.h"

#include <ATen/Context.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/core/CachingDeviceAllocator.h>

#include <dlfcn.h>

namespace
{

// Of cuda.h: the ABI of the driver does not change.
enum { CAPABILITY_MAJOR = 75, CAPABILITY_MINOR = 76 };

template <typename Function> Function *find(void *driver, const char *name)
{
    return reinterpret_cast<Function *>(dlsym(driver, name));
}

// No context is made, so no device memory is taken.
void ask_driver(ce_backend_device &out)
{
    void *driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!driver)
        return;
    auto init = find<int(unsigned)>(driver, "cuInit");
    auto count = find<int(int *)>(driver, "cuDeviceGetCount");
    auto get = find<int(int *, int)>(driver, "cuDeviceGet");
    auto attribute = find<int(int *, int, int)>(driver, "cuDeviceGetAttribute");
    auto name = find<int(char *, int, int)>(driver, "cuDeviceGetName");
    int devices = 0, device = 0, major = 0, minor = 0;
    if (!init || !count || !get || !attribute || !name || init(0) != 0 || count(&devices) != 0 ||
        devices < 1 || get(&device, 0) != 0)
        return;
    out.cuda_devices = static_cast<unsigned>(devices);
    if (attribute(&major, CAPABILITY_MAJOR, device) == 0 &&
        attribute(&minor, CAPABILITY_MINOR, device) == 0) {
        out.cuda_major = static_cast<unsigned>(major);
        out.cuda_minor = static_cast<unsigned>(minor);
    }
    if (name(out.name, sizeof out.name, device) != 0)
        out.name[0] = '\0';
}

void ask_libtorch(ce_backend_device &out)
{
    out.cuda_available = at::hasCUDA() && at::detail::getCUDAHooks().getNumGPUs() > 0;
    if (!out.cuda_available)
        return;
    c10::DeviceAllocator *allocator = c10::getDeviceAllocator(c10::DeviceType::CUDA);
    if (!allocator->initialized())
        return;
    using c10::CachingAllocator::StatType;
    const auto all = static_cast<size_t>(StatType::AGGREGATE);
    auto stats = allocator->getDeviceStats(0);
    out.allocated = static_cast<uint64_t>(stats.allocated_bytes[all].current);
    out.reserved = static_cast<uint64_t>(stats.reserved_bytes[all].current);
}

} // namespace

int describe_device(ce_backend_device *device, ce_error *error) noexcept
{
    return guarded(error, [device] {
        device->compiled = 1;
        ask_driver(*device);
        ask_libtorch(*device);
        return CE_OK;
    });
}
