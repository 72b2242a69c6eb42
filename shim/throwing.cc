// For the tests: the operator citadel_test::throws(Tensor x, int kind), which throws what it is told to.

#include <torch/library.h>

#include <new>
#include <stdexcept>

namespace
{

at::Tensor throws(const at::Tensor &x, int64_t kind)
{
    switch (kind) {
    case 1:
        TORCH_CHECK(false, "a c10::Error of the test");
    case 2:
        throw std::runtime_error("a std::runtime_error of the test");
    case 3:
        throw std::bad_alloc();
    case 4:
        throw 42;
    default:
        return x;
    }
}

TORCH_LIBRARY(citadel_test, library)
{
    library.def("throws(Tensor x, int kind) -> Tensor", throws);
}

} // namespace
