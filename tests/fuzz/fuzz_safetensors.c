/* Any bytes as a safetensors file: what is accepted covers its data, and can be read to the last byte. */
#include "fuzz.h"
#include "safetensors/safetensors.h"

#include <stdlib.h>
#include <string.h>

static unsigned sum;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ce_error error = {0};
    ce_safetensors read;
    uint8_t *file = fuzz_copy(data, size);
    int status = ce_safetensors_read(file, size, &read, &error);
    fuzz_check_error(status, &error);
    const uint8_t *at = file + read.header_bytes;
    for (size_t i = 0; i < read.count; i++) {
        const ce_tensor *tensor = &read.tensors[i];
        MUST(tensor->data == at);
        for (size_t byte = 0; byte < tensor->bytes; byte++)
            sum += *at++;
        MUST(tensor->dims <= CE_TENSOR_MAX_DIMS);
        MUST(ce_safetensors_find(&read, tensor->name) == tensor);
    }
    MUST(status != CE_OK || at == file + size);
    MUST(status == CE_OK || (!read.tensors && read.count == 0));
    ce_safetensors_free(&read);
    free(file);
    return 0;
}
