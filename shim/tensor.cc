#include "graph.h"

#include <ATen/ops/from_blob.h>

namespace
{

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

} // namespace

at::Tensor in_place(const ce_tensor &tensor)
{
    return at::from_blob(const_cast<void *>(tensor.data),
                         at::IntArrayRef(tensor.shape, tensor.dims), scalar_type(tensor.dtype));
}
