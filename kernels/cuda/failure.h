// What went wrong in a call of the CUDA runtime, without abseil: everything below the scorer builds with nvcc alone.
//
// check.h turns a Failure into an absl::Status.
#pragma once

#include <cuda_runtime_api.h>

namespace likeness::cuda {

// `code` is cudaSuccess when nothing failed. The strings are literals.
struct [[nodiscard]] Failure {
  cudaError_t code = cudaSuccess;
  const char* expression = "";
  const char* file = "";
  int line = 0;

  bool failed() const { return code != cudaSuccess; }
};

// A call that was refused leaves the GPU as it was. After anything else the context is lost, or its state unknown:
// every later call fails with the same.
inline bool IsForGood(cudaError_t code) {
  return code != cudaSuccess && code != cudaErrorMemoryAllocation && code != cudaErrorInvalidValue &&
         code != cudaErrorInvalidConfiguration && code != cudaErrorNotSupported;
}

// Clears the runtime's last error, so that the next check does not report it again. A sticky error stays: the device's
// context is lost, and only a new process has another.
inline Failure Check(cudaError_t code, const char* expression, const char* file, int line) {
  if (code == cudaSuccess) return {};
  (void)cudaGetLastError();
  return {code, expression, file, line};
}
inline Failure Check(const Failure& failure, const char*, const char*, int) { return failure; }

}  // namespace likeness::cuda

#define LIKENESS_CUDA_CHECK(call) ::likeness::cuda::Check((call), #call, __FILE__, __LINE__)

// Returns the Failure from a function that returns one. `call` yields a cudaError_t or a Failure.
#define LIKENESS_CUDA_RETURN_IF_FAILED(call)                                                                      \
  do {                                                                                                            \
    if (const ::likeness::cuda::Failure failure_ = LIKENESS_CUDA_CHECK(call); failure_.failed()) return failure_; \
  } while (false)
