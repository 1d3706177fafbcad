#include "kernels/cuda/check.h"

#include "absl/strings/str_cat.h"

namespace likeness::cuda {

absl::Status ToStatus(const Failure& failure) {
  if (!failure.failed()) return absl::OkStatus();
  const std::string message =
      absl::StrCat(failure.expression, ": ", cudaGetErrorName(failure.code), ", ", cudaGetErrorString(failure.code),
                   " (", failure.file, ":", failure.line, ")");
  if (failure.code == cudaErrorMemoryAllocation) {
    return absl::ResourceExhaustedError(
        absl::StrCat(message, "; lower slot_bytes, or free memory of the GPU or of the host"));
  }
  return absl::InternalError(message);
}

}  // namespace likeness::cuda
