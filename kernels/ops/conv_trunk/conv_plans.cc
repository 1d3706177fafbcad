#include "kernels/ops/conv_trunk/conv_plans.h"

#include <cudnn.h>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdio>
#include <limits>
#include <list>
#include <string>
#include <utility>

#include "kernels/cuda/owners.h"

namespace likeness::cuda {
namespace {

// Some hundred bytes of the host each; a trunk has up to 26 shapes, with the adjoints twice as many.
constexpr std::size_t kMostPlans = 1024;
// The one algorithm that cuDNN fuses bias and no ReLU with; its sums have one order.
constexpr cudnnConvolutionFwdAlgo_t kAlgorithm = CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM;

// By the nearest error of the runtime. What cuDNN refuses leaves the GPU as it was.
Failure CheckCudnn(cudnnStatus_t status, const char* expression, const char* file, int line) {
  cudaError_t code = cudaErrorUnknown;
  if (status == CUDNN_STATUS_SUCCESS) code = cudaSuccess;
  if (status >= 2000 && status < 4000) code = cudaErrorInvalidValue;  // bad parameter, not supported
  // A library or a compiler of its own that it does not find, and what is wrong inside of it before anything runs.
  if ((status >= 1000 && status < 2000) || (status >= 4000 && status < 5000)) code = cudaErrorNotSupported;
  if (status == CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED ||
      status == CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED) {
    code = cudaErrorMemoryAllocation;
  }
  return Check(code, expression, file, line);
}

#define LIKENESS_CUDNN_RETURN_IF_FAILED(call)                                                                       \
  do {                                                                                                              \
    if (const Failure failure_ = CheckCudnn((call), #call, __FILE__, __LINE__); failure_.failed()) return failure_; \
  } while (false)

void Report(cudnnStatus_t status) {
  if (status != CUDNN_STATUS_SUCCESS) {
    std::fprintf(stderr, "likeness: cuDNN cannot destroy: %s\n", cudnnGetErrorString(status));
  }
}

// Owner of one of cuDNN's descriptors.
template <class Handle, cudnnStatus_t (*create)(Handle*), cudnnStatus_t (*destroy)(Handle)>
class Owned {
 public:
  Owned() = default;
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;
  ~Owned() {
    if (handle_ != nullptr) Report(destroy(handle_));
  }
  cudnnStatus_t Create() { return create(&handle_); }
  Handle get() const { return handle_; }

 private:
  Handle handle_ = nullptr;
};

using Handle = Owned<cudnnHandle_t, cudnnCreate, cudnnDestroy>;
using TensorDescriptor = Owned<cudnnTensorDescriptor_t, cudnnCreateTensorDescriptor, cudnnDestroyTensorDescriptor>;
using FilterDescriptor = Owned<cudnnFilterDescriptor_t, cudnnCreateFilterDescriptor, cudnnDestroyFilterDescriptor>;
using ConvolutionDescriptor =
    Owned<cudnnConvolutionDescriptor_t, cudnnCreateConvolutionDescriptor, cudnnDestroyConvolutionDescriptor>;
using ActivationDescriptor =
    Owned<cudnnActivationDescriptor_t, cudnnCreateActivationDescriptor, cudnnDestroyActivationDescriptor>;

struct Key {
  ConvShape shape;
  int count = 0;
  std::int64_t in_distance = 0;  // from image to image, in samples
  std::int64_t out_distance = 0;
  bool accumulate = false;

  friend bool operator==(const Key&, const Key&) = default;
};

// Whether a call for several images gives the bits of single ones. kNot: or cuDNN refuses it, or nothing tells.
enum class Proof { kNone, kOnTrial, kGiven, kNot };

// Numbers that have to agree before a call is made. Sums in another order show in most floats, but of those that are
// rounded to half in one of a thousand.
constexpr std::int64_t kEnoughFloats = 1 << 8, kEnoughHalves = 1 << 18;
// Batches that may put off the trial of a call.
constexpr int kMostPutOff = 8;

struct Plan {
  explicit Plan(const Key& k) : key(k) {}

  Key key;
  Proof proof = Proof::kNone;
  std::int64_t last_batch = -1;  // that asked for it
  bool came_again = false;       // in another batch than its first
  std::int64_t agreed = 0;       // numbers
  int put_off = 0;

  bool made = false;
  TensorDescriptor in, out, bias;
  FilterDescriptor filter;
  ConvolutionDescriptor convolution;
  ActivationDescriptor activation;
  std::int64_t workspace_bytes = 0;
  Failure failure;  // why it cannot be run
};

// A pixel's channels together, rows and pixels without gaps.
Failure Describe(const TensorDescriptor& tensor, cudnnDataType_t type, const Shape& shape, int count,
                 std::int64_t distance) {
  // cuDNN counts in int, gaps included.
  if (count * std::max(distance, shape.count()) > std::numeric_limits<int>::max()) {
    return Check(cudaErrorInvalidValue, "features of 2^31 samples", __FILE__, __LINE__);
  }
  LIKENESS_CUDNN_RETURN_IF_FAILED(cudnnSetTensor4dDescriptorEx(tensor.get(), type, count, shape.channels, shape.height,
                                                               shape.width, static_cast<int>(distance), 1,
                                                               shape.width * shape.channels, shape.channels));
  return {};
}

Shape InputOf(const ConvShape& shape) { return {shape.width, shape.height, shape.conv.in}; }
Shape OutputOf(const ConvShape& shape) { return ConvOutput(shape.conv, InputOf(shape)); }

}  // namespace

struct ConvPlans::Impl {
  Handle handle;
  std::byte* work_area = nullptr;
  std::int64_t work_bytes = 0;
  DeviceBuffer larger_area;  // then that is it
  std::list<Plan> plans;     // most recently used first
  std::int64_t generation = 0;
  int images_per_call = kMostImages;
  std::int64_t batch = 0;
  std::size_t most_on_trial = kMostPlans;
  std::size_t on_trial = 0;
  ConvTrials trials;

  Plan& Find(const Key& key);
  Plan& FindAlone(const ConvShape& shape);
  Plan& FindSeveral(const Key& key);
  bool IsCandidate(const Plan& plan) const;
  Failure Make(Plan& plan);
  Failure Run(Plan& plan, const ConvArguments& arguments);
};

ConvPlans::ConvPlans() = default;
ConvPlans::ConvPlans(ConvPlans&&) noexcept = default;
ConvPlans& ConvPlans::operator=(ConvPlans&&) noexcept = default;
ConvPlans::~ConvPlans() = default;

Failure ConvPlans::Create(cudaStream_t stream, std::byte* work_area, std::int64_t bytes, ConvPlans* out) {
  ConvPlans made;
  made.impl_ = std::make_unique<Impl>();
  made.impl_->work_area = work_area;
  made.impl_->work_bytes = bytes;
  LIKENESS_CUDNN_RETURN_IF_FAILED(made.impl_->handle.Create());
  LIKENESS_CUDNN_RETURN_IF_FAILED(cudnnSetStream(made.impl_->handle.get(), stream));
  *out = std::move(made);
  return {};
}

Failure ConvPlans::Impl::Make(Plan& plan) {
  plan.made = true;
  const ConvShape& shape = plan.key.shape;
  const ConvGeometry& conv = shape.conv;
  const bool fast = shape.precision == Precision::kFast;
  const cudnnDataType_t type = fast ? CUDNN_DATA_HALF : CUDNN_DATA_FLOAT;
  LIKENESS_CUDNN_RETURN_IF_FAILED(plan.in.Create());
  LIKENESS_CUDNN_RETURN_IF_FAILED(plan.out.Create());
  LIKENESS_CUDNN_RETURN_IF_FAILED(plan.bias.Create());
  LIKENESS_CUDNN_RETURN_IF_FAILED(plan.filter.Create());
  LIKENESS_CUDNN_RETURN_IF_FAILED(plan.convolution.Create());
  LIKENESS_CUDNN_RETURN_IF_FAILED(plan.activation.Create());
  LIKENESS_CUDA_RETURN_IF_FAILED(Describe(plan.in, type, InputOf(shape), plan.key.count, plan.key.in_distance));
  LIKENESS_CUDA_RETURN_IF_FAILED(Describe(plan.out, type, OutputOf(shape), plan.key.count, plan.key.out_distance));
  LIKENESS_CUDA_RETURN_IF_FAILED(Describe(plan.bias, type, {1, 1, conv.out}, 1, conv.out));
  LIKENESS_CUDNN_RETURN_IF_FAILED(cudnnSetFilter4dDescriptor(plan.filter.get(), type, CUDNN_TENSOR_NHWC, conv.out,
                                                             conv.in, conv.kernel, conv.kernel));
  LIKENESS_CUDNN_RETURN_IF_FAILED(cudnnSetConvolution2dDescriptor(plan.convolution.get(), conv.padding, conv.padding, 1,
                                                                  1, 1, 1, CUDNN_CROSS_CORRELATION, CUDNN_DATA_FLOAT));
  // The default would round float32 to TF32.
  LIKENESS_CUDNN_RETURN_IF_FAILED(
      cudnnSetConvolutionMathType(plan.convolution.get(), fast ? CUDNN_TENSOR_OP_MATH : CUDNN_FMA_MATH));
  LIKENESS_CUDNN_RETURN_IF_FAILED(cudnnSetActivationDescriptor(
      plan.activation.get(), shape.relu ? CUDNN_ACTIVATION_RELU : CUDNN_ACTIVATION_IDENTITY, CUDNN_NOT_PROPAGATE_NAN,
      0.0));
  std::size_t bytes = 0;
  LIKENESS_CUDNN_RETURN_IF_FAILED(cudnnGetConvolutionForwardWorkspaceSize(
      handle.get(), plan.in.get(), plan.filter.get(), plan.convolution.get(), plan.out.get(), kAlgorithm, &bytes));
  plan.workspace_bytes = static_cast<std::int64_t>(bytes);
  if (plan.workspace_bytes > kMostWorkspaceBytes) {
    return Check(cudaErrorInvalidValue, "cuDNN: a convolution's workspace exceeds 256 MiB", __FILE__, __LINE__);
  }
  if (plan.workspace_bytes > work_bytes) {
    // What is enqueued uses the old one until CUDA has waited for it.
    DeviceBuffer larger;
    LIKENESS_CUDA_RETURN_IF_FAILED(DeviceBuffer::Create(plan.workspace_bytes, &larger));
    ++generation;
    larger_area = std::move(larger);
    work_area = larger_area.data();
    work_bytes = larger_area.size_bytes();
  }
  return {};
}

// The plan, made or not.
Plan& ConvPlans::Impl::Find(const Key& key) {
  const auto found = std::find_if(plans.begin(), plans.end(), [&](const Plan& plan) { return plan.key == key; });
  if (found != plans.end()) {
    plans.splice(plans.begin(), plans, found);
  } else {
    plans.emplace_front(key);
  }
  return plans.front();
}

Plan& ConvPlans::Impl::FindAlone(const ConvShape& shape) {
  // Whether it accumulates is no part of its descriptors.
  Plan& plan = Find({shape, 1, InputOf(shape).count(), OutputOf(shape).count()});
  if (!plan.made) plan.failure = Make(plan);
  return plan;
}

// Made only when it is tried: most mixtures of sizes never come again.
Plan& ConvPlans::Impl::FindSeveral(const Key& key) {
  Plan& plan = Find(key);
  if (plan.last_batch >= 0 && plan.last_batch != batch) plan.came_again = true;
  plan.last_batch = batch;
  return plan;
}

bool ConvPlans::Impl::IsCandidate(const Plan& plan) const {
  return plan.proof == Proof::kNone && plan.came_again && plan.last_batch == batch;
}

Failure ConvPlans::Impl::Run(Plan& plan, const ConvArguments& arguments) {
  if (!plan.made) plan.failure = Make(plan);
  LIKENESS_CUDA_RETURN_IF_FAILED(plan.failure);
  const float scale = arguments.scale, before = arguments.accumulate ? 1.0f : 0.0f;
  LIKENESS_CUDNN_RETURN_IF_FAILED(cudnnConvolutionBiasActivationForward(
      handle.get(), &scale, plan.in.get(), arguments.in, plan.filter.get(), arguments.weight, plan.convolution.get(),
      kAlgorithm, work_area, static_cast<std::size_t>(plan.workspace_bytes), &before, plan.out.get(), arguments.out,
      plan.bias.get(), arguments.bias, plan.activation.get(), plan.out.get(), arguments.out));
  return {};
}

Failure ConvPlans::Prepare(const ConvShape& shape) { return impl_->FindAlone(shape).failure; }

Failure ConvPlans::Run(const ConvShape& shape, const ConvArguments& first, int count, std::int64_t in_distance,
                       std::int64_t out_distance) {
  const std::int64_t sample_bytes = shape.precision == Precision::kFast ? 2 : 4;
  ConvArguments at = first;
  Plan* alone = nullptr;
  int most = impl_->images_per_call;
  for (int left = count; left > 0;) {
    while (most > left) most /= 2;
    bool together = false;
    if (most > 1) {
      const Key key{shape, most, in_distance / sample_bytes, out_distance / sample_bytes, first.accumulate};
      Plan& plan = impl_->FindSeveral(key);
      together = plan.proof == Proof::kOnTrial || plan.proof == Proof::kGiven;
      if (together) {
        const Failure failure = impl_->Run(plan, at);
        if (IsForGood(failure.code)) return failure;
        if (failure.failed()) plan.proof = Proof::kNot;
      }
      // What was refused is not enqueued; fewer want less, and one alone is what Prepare asked for.
      if (plan.proof == Proof::kNot) {
        most /= 2;
        continue;
      }
    }
    for (int i = 0; i < most; ++i) {
      if (!together) {
        if (alone == nullptr) alone = &impl_->FindAlone(shape);
        LIKENESS_CUDA_RETURN_IF_FAILED(impl_->Run(*alone, at));
      }
      at.in = static_cast<const std::byte*>(at.in) + in_distance;
      at.out = static_cast<std::byte*>(at.out) + out_distance;
    }
    left -= most;
  }
  return {};
}

void ConvPlans::set_images_per_call(int most) {
  if (impl_ == nullptr) return;
  impl_->images_per_call = std::bit_floor(static_cast<unsigned>(std::clamp(most, 1, kMostImages)));
  ++impl_->generation;
}

int ConvPlans::images_per_call() const { return impl_->images_per_call; }

void ConvPlans::BeginBatch() {
  if (impl_ == nullptr) return;
  ++impl_->batch;
  // There may be memory the next time.
  const std::size_t count = impl_->plans.size();
  impl_->plans.remove_if(
      [](const Plan& plan) { return plan.key.count == 1 && plan.failure.code == cudaErrorMemoryAllocation; });
  if (impl_->plans.size() < count) ++impl_->generation;
  // What was captured holds no descriptor.
  while (impl_->plans.size() > kMostPlans) impl_->plans.pop_back();
}

bool ConvPlans::WantsTrial() const {
  return impl_ != nullptr && std::any_of(impl_->plans.begin(), impl_->plans.end(),
                                         [this](const Plan& plan) { return impl_->IsCandidate(plan); });
}

void ConvPlans::PutOffTrial() {
  for (Plan& plan : impl_->plans) {
    if (impl_->IsCandidate(plan) && ++plan.put_off == kMostPutOff) plan.proof = Proof::kNot;
  }
  ++impl_->generation;
}

void ConvPlans::BeginTrial() {
  std::size_t count = 0;
  for (Plan& plan : impl_->plans) {
    if (count < impl_->most_on_trial && impl_->IsCandidate(plan)) {
      plan.proof = Proof::kOnTrial;
      ++count;
    }
  }
  impl_->on_trial = count;
}

void ConvPlans::EndTrial(bool same_bits) {
  const std::size_t count = impl_->on_trial;
  const bool guilty = !same_bits && count == 1;
  for (Plan& plan : impl_->plans) {
    if (plan.proof != Proof::kOnTrial) continue;
    const ConvShape& shape = plan.key.shape;
    if (same_bits) plan.agreed += plan.key.count * OutputOf(shape).count();
    const bool enough = plan.agreed >= (shape.precision == Precision::kFast ? kEnoughHalves : kEnoughFloats);
    plan.proof = guilty ? Proof::kNot : same_bits && enough ? Proof::kGiven : Proof::kNone;
    if (plan.proof == Proof::kGiven) ++impl_->trials.agreed;
    if (guilty) ++impl_->trials.differed;
  }
  // Half as many after a failure, twice as many after a success, and all once the guilty one is known.
  std::size_t& most = impl_->most_on_trial;
  most = guilty ? kMostPlans : same_bits ? std::max(most, 2 * count) : std::max<std::size_t>(count / 2, 1);
  ++impl_->generation;
}

void ConvPlans::BreakOffTrial() {
  for (Plan& plan : impl_->plans) {
    if (plan.proof == Proof::kOnTrial) plan.proof = Proof::kNone;
  }
  PutOffTrial();
}

ConvTrials ConvPlans::trials() const { return impl_ == nullptr ? ConvTrials{} : impl_->trials; }

std::int64_t ConvPlans::generation() const { return impl_ == nullptr ? 0 : impl_->generation; }

bool HasCudnn() { return true; }

const char* CudnnDescription() {
  static const std::string description = [] {
    const std::size_t version = cudnnGetVersion();
    return "cuDNN " + std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100) + "." +
           std::to_string(version % 100);
  }();
  return description.c_str();
}

}  // namespace likeness::cuda
