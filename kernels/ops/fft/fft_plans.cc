#include "kernels/ops/fft/fft_plans.h"

#include <algorithm>
#include <cstdio>
#include <utility>

namespace likeness::cuda {
namespace {

// Each holds tables of its own in the memory of the GPU.
constexpr std::size_t kMostPlans = 64;

}  // namespace

Failure CheckCufft(cufftResult result, const char* expression, const char* file, int line) {
  cudaError_t code = cudaErrorUnknown;
  if (result == CUFFT_SUCCESS) code = cudaSuccess;
  if (result == CUFFT_ALLOC_FAILED) code = cudaErrorMemoryAllocation;
  if (result == CUFFT_INVALID_SIZE || result == CUFFT_INVALID_VALUE) code = cudaErrorInvalidValue;
  return Check(code, expression, file, line);
}

FftPlans::Plan::~Plan() {
  if (cufftDestroy(handle) != CUFFT_SUCCESS) std::fprintf(stderr, "cufftDestroy failed\n");
}

Failure FftPlans::Make(const Plan& plan) {
  const FftSpec& spec = plan.spec;
  int sides[] = {spec.height, spec.width};
  int in_rows[] = {spec.height, spec.in_stride}, out_rows[] = {spec.height, spec.out_stride};
  // A line is a transform of one dimension: a column's numbers lie a row apart.
  const bool column = spec.width == 1, line = column || spec.height == 1;
  std::size_t work_bytes = 0;
  LIKENESS_CUFFT_RETURN_IF_FAILED(cufftSetAutoAllocation(plan.handle, 0));
  const int from = line && !column ? 1 : 0;
  LIKENESS_CUFFT_RETURN_IF_FAILED(
      cufftMakePlanMany(plan.handle, line ? 1 : 2, sides + from, in_rows + from, column ? spec.in_stride : 1,
                        spec.height * spec.in_stride, out_rows + from, column ? spec.out_stride : 1,
                        spec.height * spec.out_stride, spec.type, spec.planes, &work_bytes));
  if (static_cast<std::int64_t>(work_bytes) <= work_bytes_) {
    return LIKENESS_CUFFT_CHECK(cufftSetWorkArea(plan.handle, work_area_));
  }
  DeviceBuffer larger;
  LIKENESS_CUDA_RETURN_IF_FAILED(DeviceBuffer::Create(static_cast<std::int64_t>(work_bytes), &larger));
  ++generation_;
  for (const Plan& each : plans_) LIKENESS_CUFFT_RETURN_IF_FAILED(cufftSetWorkArea(each.handle, larger.data()));
  larger_area_ = std::move(larger);
  work_area_ = larger_area_.data();
  work_bytes_ = larger_area_.size_bytes();
  return {};
}

Failure FftPlans::Find(const FftSpec& spec, cufftHandle* plan) {
  const auto found = std::find_if(plans_.begin(), plans_.end(), [&](const Plan& made) { return made.spec == spec; });
  if (found != plans_.end()) {
    plans_.splice(plans_.begin(), plans_, found);
  } else {
    cufftHandle handle;
    LIKENESS_CUFFT_RETURN_IF_FAILED(cufftCreate(&handle));
    plans_.emplace_front(spec, handle);
    if (const Failure failure = Make(plans_.front()); failure.failed()) {
      plans_.pop_front();
      return failure;
    }
  }
  *plan = plans_.front().handle;
  return {};
}

void FftPlans::Trim() {
  if (plans_.size() > kMostPlans) ++generation_;
  while (plans_.size() > kMostPlans) plans_.pop_back();
}

}  // namespace likeness::cuda
