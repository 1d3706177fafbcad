// CUDA errors as absl::Status, for host code.
#pragma once

#include "absl/status/status.h"
#include "kernels/cuda/failure.h"

namespace likeness::cuda {

// RESOURCE_EXHAUSTED for memory, INTERNAL for the rest: the expression, the error's name and meaning, file and line.
absl::Status ToStatus(const Failure& failure);

}  // namespace likeness::cuda

// Returns an absl::Status when `call`, which yields a cudaError_t or a Failure, has failed.
#define LIKENESS_CUDA_RETURN_IF_ERROR(call)                                                      \
  do {                                                                                           \
    if (const ::likeness::cuda::Failure failure_ = LIKENESS_CUDA_CHECK(call); failure_.failed()) \
      return ::likeness::cuda::ToStatus(failure_);                                               \
  } while (false)
