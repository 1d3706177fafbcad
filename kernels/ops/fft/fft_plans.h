// Plans of cuFFT, kept from batch to batch.
#pragma once

#include <cufft.h>

#include <list>

#include "kernels/cuda/owners.h"

namespace likeness::cuda {

// cuFFT's result by the nearest error of the runtime.
Failure CheckCufft(cufftResult result, const char* expression, const char* file, int line);

// Transforms of some planes, one behind another. Strides are from row to row, in numbers: a complex one counts once.
struct FftSpec {
  cufftType type = CUFFT_C2C;
  int width = 0;
  int height = 0;
  int in_stride = 0;
  int out_stride = 0;
  int planes = 0;

  friend bool operator==(const FftSpec&, const FftSpec&) = default;
};

// Of one slot: transforms run one after another on its stream, so that all share one work area, which is the slot's. A
// new plan's tables are allocated when a program first asks, and so is a larger area, should that one ever not suffice.
// Movable; not thread safe.
class FftPlans {
 public:
  FftPlans() = default;
  // The work area, at a multiple of 256 bytes; it must outlive the plans.
  FftPlans(std::byte* work_area, std::int64_t bytes) : work_area_(work_area), work_bytes_(bytes) {}

  // Two-dimensional and not scaled. Of a half spectrum with one column, rows above height / 2 are neither written nor
  // read. The plan stays until Trim.
  Failure Find(const FftSpec& spec, cufftHandle* plan);
  // Forgets the plans used longest ago. The stream must be done.
  void Trim();
  // Another number after anything that a plan's transforms may use was released or moved: graphs that hold them must
  // go.
  std::int64_t generation() const { return generation_; }

 private:
  class Plan {
   public:
    Plan(const FftSpec& spec, cufftHandle handle) : spec(spec), handle(handle) {}
    Plan(const Plan&) = delete;
    Plan& operator=(const Plan&) = delete;
    ~Plan();

    const FftSpec spec;
    const cufftHandle handle;
  };

  Failure Make(const Plan& plan);

  std::byte* work_area_ = nullptr;
  std::int64_t work_bytes_ = 0;
  DeviceBuffer larger_area_;  // then that is it
  std::list<Plan> plans_;     // most recently used first
  std::int64_t generation_ = 0;
};

}  // namespace likeness::cuda

#define LIKENESS_CUFFT_CHECK(call) ::likeness::cuda::CheckCufft((call), #call, __FILE__, __LINE__)

// As LIKENESS_CUDA_RETURN_IF_FAILED, for a call that yields a cufftResult.
#define LIKENESS_CUFFT_RETURN_IF_FAILED(call)                                                                      \
  do {                                                                                                             \
    if (const ::likeness::cuda::Failure failure_ = LIKENESS_CUFFT_CHECK(call); failure_.failed()) return failure_; \
  } while (false)
