// See include/cufft.h.
#include <cufft.h>

#include <algorithm>
#include <cmath>
#include <complex>
#include <cstdint>
#include <cstring>
#include <limits>
#include <map>
#include <mutex>
#include <vector>

#define POCKETFFT_NO_MULTITHREADING
#include "pocketfft_hdronly.h"

namespace {

using Complex = std::complex<float>;

struct Plan {
  bool made = false;
  bool allocates = true;
  cufftType type = CUFFT_C2C;
  pocketfft::shape_t shape;                         // of the real side, or of the complex numbers
  std::vector<std::ptrdiff_t> in_steps, out_steps;  // from number to number along each side
  std::ptrdiff_t in_distance = 0, out_distance = 0;
  int batch = 0;
  std::size_t work_bytes = 0;
  void* work_area = nullptr;
  cudaStream_t stream = nullptr;
};

// Any number of host threads; one at a time is in here.
std::mutex mutex;
std::map<cufftHandle, Plan> plans;
cufftHandle next_handle = 1;

Plan* Find(cufftHandle handle) {
  const auto found = plans.find(handle);
  return found == plans.end() ? nullptr : &found->second;
}

std::vector<std::ptrdiff_t> Steps(int rank, const int* sides, int stride) {
  std::vector<std::ptrdiff_t> steps(rank, stride);
  for (int i = rank - 2; i >= 0; --i) steps[i] = steps[i + 1] * sides[i + 1];
  return steps;
}

pocketfft::stride_t Bytes(const std::vector<std::ptrdiff_t>& steps, std::size_t number) {
  pocketfft::stride_t bytes;
  for (const std::ptrdiff_t step : steps) bytes.push_back(step * static_cast<std::ptrdiff_t>(number));
  return bytes;
}

pocketfft::shape_t Axes(const Plan& plan) {
  pocketfft::shape_t axes;
  for (std::size_t i = 0; i < plan.shape.size(); ++i) axes.push_back(i);
  return axes;
}

// body(offset) for every number of the half spectrum.
template <class Body>
void ForEachStored(const Plan& plan, Body body) {
  const bool lines = plan.shape.size() == 2;
  const std::size_t height = lines ? plan.shape[0] : 1, width = plan.shape.back() / 2 + 1;
  for (std::size_t y = 0; y < height; ++y) {
    for (std::size_t x = 0; x < width; ++x) {
      const auto at = [&](std::size_t row) {
        return (lines ? plan.in_steps[0] : 0) * static_cast<std::ptrdiff_t>(row) +
               plan.in_steps.back() * static_cast<std::ptrdiff_t>(x);
      };
      body(at(y), x == 0 || 2 * x == plan.shape.back() ? at((height - y) % height) : -1);
    }
  }
}

bool IsSpectrumOfReal(const Plan& plan, const Complex* in) {
  float largest = 0.0f, odd = 0.0f;
  ForEachStored(plan, [&](std::ptrdiff_t at, std::ptrdiff_t opposite) {
    largest = std::max(largest, std::abs(in[at]));
    if (opposite >= 0) odd = std::max(odd, std::abs(in[at] - std::conj(in[opposite])));
  });
  return odd <= 1e-5f * largest;
}

bool Ready(const Plan* plan, cufftType type) {
  return plan != nullptr && plan->made && plan->type == type && (plan->allocates || plan->work_area != nullptr);
}

}  // namespace

cufftResult cufftCreate(cufftHandle* plan) {
  const std::lock_guard<std::mutex> lock(mutex);
  *plan = next_handle++;
  plans[*plan] = {};
  return CUFFT_SUCCESS;
}
cufftResult cufftDestroy(cufftHandle plan) {
  const std::lock_guard<std::mutex> lock(mutex);
  return plans.erase(plan) == 1 ? CUFFT_SUCCESS : CUFFT_INVALID_PLAN;
}
cufftResult cufftSetAutoAllocation(cufftHandle handle, int allocate) {
  const std::lock_guard<std::mutex> lock(mutex);
  Plan* plan = Find(handle);
  if (plan == nullptr || plan->made) return CUFFT_INVALID_PLAN;
  plan->allocates = allocate != 0;
  return CUFFT_SUCCESS;
}
cufftResult cufftMakePlanMany(cufftHandle handle, int rank, int* sides, int* in_sides, int in_stride, int in_distance,
                              int* out_sides, int out_stride, int out_distance, cufftType type, int batch,
                              std::size_t* work_bytes) {
  const std::lock_guard<std::mutex> lock(mutex);
  Plan* plan = Find(handle);
  if (plan == nullptr || plan->made) return CUFFT_INVALID_PLAN;
  if (rank < 1 || rank > 2 || batch < 1 || in_sides == nullptr || out_sides == nullptr) return CUFFT_INVALID_VALUE;
  std::size_t count = sizeof(Complex) * batch;
  for (int i = 0; i < rank; ++i) {
    if (sides[i] < 1) return CUFFT_INVALID_SIZE;
    plan->shape.push_back(sides[i]);
    count *= sides[i];
  }
  plan->made = true;
  plan->type = type;
  plan->in_steps = Steps(rank, in_sides, in_stride);
  plan->out_steps = Steps(rank, out_sides, out_stride);
  plan->in_distance = in_distance;
  plan->out_distance = out_distance;
  plan->batch = batch;
  plan->work_bytes = *work_bytes = count;
  return CUFFT_SUCCESS;
}
cufftResult cufftGetSize(cufftHandle handle, std::size_t* work_bytes) {
  const std::lock_guard<std::mutex> lock(mutex);
  const Plan* plan = Find(handle);
  if (plan == nullptr || !plan->made) return CUFFT_INVALID_PLAN;
  *work_bytes = plan->work_bytes;
  return CUFFT_SUCCESS;
}
cufftResult cufftSetWorkArea(cufftHandle handle, void* work_area) {
  const std::lock_guard<std::mutex> lock(mutex);
  Plan* plan = Find(handle);
  if (plan == nullptr) return CUFFT_INVALID_PLAN;
  plan->work_area = work_area;
  return CUFFT_SUCCESS;
}
cufftResult cufftSetStream(cufftHandle handle, cudaStream_t stream) {
  const std::lock_guard<std::mutex> lock(mutex);
  Plan* plan = Find(handle);
  if (plan == nullptr) return CUFFT_INVALID_PLAN;
  plan->stream = stream;
  return CUFFT_SUCCESS;
}

cufftResult cufftExecR2C(cufftHandle handle, cufftReal* in, cufftComplex* out) {
  const std::lock_guard<std::mutex> lock(mutex);
  const Plan* plan = Find(handle);
  if (!Ready(plan, CUFFT_R2C)) return CUFFT_INVALID_PLAN;
  std::memset(plan->work_area, 0xff, plan->work_bytes);
  for (int i = 0; i < plan->batch; ++i) {
    pocketfft::r2c(plan->shape, Bytes(plan->in_steps, sizeof(float)), Bytes(plan->out_steps, sizeof(Complex)),
                   Axes(*plan), pocketfft::FORWARD, in + i * plan->in_distance,
                   reinterpret_cast<Complex*>(out) + i * plan->out_distance, 1.0f);
  }
  return CUFFT_SUCCESS;
}
cufftResult cufftExecC2R(cufftHandle handle, cufftComplex* in, cufftReal* out) {
  const std::lock_guard<std::mutex> lock(mutex);
  const Plan* plan = Find(handle);
  if (!Ready(plan, CUFFT_C2R)) return CUFFT_INVALID_PLAN;
  std::memset(plan->work_area, 0xff, plan->work_bytes);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (int i = 0; i < plan->batch; ++i) {
    Complex* from = reinterpret_cast<Complex*>(in) + i * plan->in_distance;
    const bool defined = IsSpectrumOfReal(*plan, from);
    std::vector<Complex> spectrum;
    ForEachStored(*plan, [&](std::ptrdiff_t at, std::ptrdiff_t) {
      spectrum.push_back(defined ? from[at] : Complex(nan, nan));
      from[at] = Complex(nan, nan);
    });
    const auto width = static_cast<std::ptrdiff_t>(plan->shape.back() / 2 + 1);
    std::vector<std::ptrdiff_t> steps(plan->shape.size(), 1);
    steps[0] = plan->shape.size() == 2 ? width : 1;
    pocketfft::c2r(plan->shape, Bytes(steps, sizeof(Complex)), Bytes(plan->out_steps, sizeof(float)), Axes(*plan),
                   pocketfft::BACKWARD, spectrum.data(), out + i * plan->out_distance, 1.0f);
  }
  return CUFFT_SUCCESS;
}
cufftResult cufftExecC2C(cufftHandle handle, cufftComplex* in, cufftComplex* out, int direction) {
  const std::lock_guard<std::mutex> lock(mutex);
  const Plan* plan = Find(handle);
  if (!Ready(plan, CUFFT_C2C)) return CUFFT_INVALID_PLAN;
  std::memset(plan->work_area, 0xff, plan->work_bytes);
  for (int i = 0; i < plan->batch; ++i) {
    pocketfft::c2c(plan->shape, Bytes(plan->in_steps, sizeof(Complex)), Bytes(plan->out_steps, sizeof(Complex)),
                   Axes(*plan), direction == CUFFT_FORWARD, reinterpret_cast<Complex*>(in) + i * plan->in_distance,
                   reinterpret_cast<Complex*>(out) + i * plan->out_distance, 1.0f);
  }
  return CUFFT_SUCCESS;
}
