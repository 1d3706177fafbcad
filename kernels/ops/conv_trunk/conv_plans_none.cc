// Instead of conv_plans.cc where there is no cuDNN: nothing convolves.
#include "kernels/ops/conv_trunk/conv_plans.h"

namespace likeness::cuda {

struct ConvPlans::Impl {};
ConvPlans::ConvPlans() = default;
ConvPlans::ConvPlans(ConvPlans&&) noexcept = default;
ConvPlans& ConvPlans::operator=(ConvPlans&&) noexcept = default;
ConvPlans::~ConvPlans() = default;
void ConvPlans::set_images_per_call(int) {}
int ConvPlans::images_per_call() const { return 1; }
void ConvPlans::BeginBatch() {}
bool ConvPlans::WantsTrial() const { return false; }
void ConvPlans::PutOffTrial() {}
void ConvPlans::BeginTrial() {}
void ConvPlans::EndTrial(bool) {}
void ConvPlans::BreakOffTrial() {}
ConvTrials ConvPlans::trials() const { return {}; }
std::int64_t ConvPlans::generation() const { return 0; }

Failure ConvPlans::Create(cudaStream_t, std::byte*, std::int64_t, ConvPlans*) {
  return Check(cudaErrorInvalidValue, "this build has no cuDNN", __FILE__, __LINE__);
}

bool HasCudnn() { return false; }
const char* CudnnDescription() { return "no cuDNN"; }

}  // namespace likeness::cuda
