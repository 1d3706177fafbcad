// cuFFT over pocketfft. Samples are gathered into dense arrays and scattered back: this is no place for speed.
#include <cufft.h>

#include <algorithm>
#include <array>
#include <complex>
#include <limits>
#include <map>
#include <optional>
#include <vector>

#include "tests/emulator/runtime.h"

#define POCKETFFT_NO_MULTITHREADING
#define POCKETFFT_CACHE_SIZE 16
#include "pocketfft_hdronly.h"

namespace likeness::emulator {
namespace {

using Complex = std::complex<float>;
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr int kMaxRank = 3;
using Extents = std::array<std::int64_t, kMaxRank>;  // leading ones where there are fewer axes

// Where the samples of one side are.
struct Side {
  Extents n;
  Extents embed;
  std::int64_t stride;
  std::int64_t distance;

  std::int64_t count() const { return n[0] * n[1] * n[2]; }
  // visit(i, place): the i-th sample of transform `batch`, rows first.
  template <class Visit>
  void ForEach(std::int64_t batch, Visit visit) const {
    std::int64_t i = 0;
    for (std::int64_t z = 0; z < n[0]; ++z) {
      for (std::int64_t y = 0; y < n[1]; ++y) {
        for (std::int64_t x = 0; x < n[2]; ++x) {
          visit(i++, batch * distance + ((z * embed[1] + y) * embed[2] + x) * stride);
        }
      }
    }
  }
};

struct Transform {
  cufftType type;
  Extents n;
  Side in, out;
  bool dense;
  int batch;

  std::size_t work_bytes() const { return batch * std::min(in.count(), out.count()) * sizeof(Complex); }
};

struct Plan {
  std::optional<Transform> transform;
  bool auto_allocate = true;
  void* own_area = nullptr;
  void* work_area = nullptr;
  cudaStream_t stream = nullptr;
};

std::map<cufftHandle, Plan> plans;

// The lowest that is free: who keeps a handle beyond its plan meets another one's.
cufftHandle NextHandle() {
  cufftHandle next = 1;
  for (const auto& [handle, plan] : plans) {
    if (handle == next) ++next;
  }
  return next;
}

template <class Sample>
std::vector<Sample> Gather(const Side& side, std::int64_t batch, const Sample* from) {
  std::vector<Sample> samples(side.count());
  side.ForEach(batch, [&](std::int64_t i, std::int64_t place) { samples[i] = from[place]; });
  return samples;
}

template <class Sample>
void Scatter(const std::vector<Sample>& samples, const Side& side, std::int64_t batch, Sample* to) {
  side.ForEach(batch, [&](std::int64_t i, std::int64_t place) { to[place] = samples[i]; });
}

template <class Sample>
pocketfft::stride_t DenseStrides(const Extents& n) {
  const auto bytes = static_cast<std::ptrdiff_t>(sizeof(Sample));
  return {n[1] * n[2] * bytes, n[2] * bytes, bytes};
}

pocketfft::shape_t ShapeOf(const Extents& n) { return pocketfft::shape_t(n.begin(), n.end()); }

// Whether samples that a real signal's spectrum has twice are conjugates, but for rounding.
bool IsHermitian(const std::vector<Complex>& half, const Extents& n, std::int64_t width) {
  float largest = 0.0f, error = 0.0f;
  const auto at = [&](std::int64_t z, std::int64_t y, std::int64_t x) { return half[(z * n[1] + y) * width + x]; };
  for (std::int64_t z = 0; z < n[0]; ++z) {
    for (std::int64_t y = 0; y < n[1]; ++y) {
      for (std::int64_t x = 0; x < width; ++x) {
        largest = std::max(largest, std::abs(at(z, y, x)));
        if (x != 0 && 2 * x != n[2]) continue;
        const Complex twin = at((n[0] - z) % n[0], (n[1] - y) % n[1], x);
        error = std::max(error, std::abs(at(z, y, x) - std::conj(twin)));
      }
    }
  }
  return error <= 1e-5f * largest;
}

void Run(const Transform& transform, bool forward, void* in, void* out) {
  const pocketfft::shape_t shape = ShapeOf(transform.n), axes{0, 1, 2};
  const pocketfft::stride_t in_complex = DenseStrides<Complex>(transform.in.n);
  const pocketfft::stride_t out_complex = DenseStrides<Complex>(transform.out.n);
  const pocketfft::stride_t real = DenseStrides<float>(transform.n);
  for (int batch = 0; batch < transform.batch; ++batch) {
    if (transform.type == CUFFT_R2C) {
      const std::vector<float> from = Gather(transform.in, batch, static_cast<float*>(in));
      std::vector<Complex> to(transform.out.count());
      pocketfft::r2c(shape, real, out_complex, axes, pocketfft::FORWARD, from.data(), to.data(), 1.0f);
      Scatter(to, transform.out, batch, static_cast<Complex*>(out));
      continue;
    }
    const std::vector<Complex> from = Gather(transform.in, batch, static_cast<Complex*>(in));
    if (transform.type == CUFFT_C2C) {
      std::vector<Complex> to(transform.out.count());
      pocketfft::c2c(shape, in_complex, out_complex, axes, forward, from.data(), to.data(), 1.0f);
      Scatter(to, transform.out, batch, static_cast<Complex*>(out));
      continue;
    }
    std::vector<float> to(transform.out.count(), kNaN);
    if (IsHermitian(from, transform.n, transform.in.n[2])) {
      pocketfft::c2r(shape, in_complex, real, axes, pocketfft::BACKWARD, from.data(), to.data(), 1.0f);
    }
    if (in != out) {
      Scatter(std::vector<Complex>(from.size(), Complex(kNaN, kNaN)), transform.in, batch, static_cast<Complex*>(in));
    }
    Scatter(to, transform.out, batch, static_cast<float*>(out));
  }
}

// With the padding that a dense real side has in place.
Transform Padded(Transform transform) {
  Side& side = transform.type == CUFFT_R2C ? transform.in : transform.out;
  side.embed[2] = 2 * (side.n[2] / 2 + 1);
  side.distance = side.n[0] * side.n[1] * side.embed[2];
  return transform;
}

Side SideOf(const Extents& n, int rank, const int* embed, int stride, int distance) {
  Side side{n, n, 1, n[0] * n[1] * n[2]};
  if (embed == nullptr) return side;
  std::copy(embed, embed + rank, side.embed.begin() + (kMaxRank - rank));
  side.stride = stride;
  side.distance = distance;
  return side;
}

cufftResult Describe(int rank, const int* n, const int* inembed, int istride, int idist, const int* onembed,
                     int ostride, int odist, cufftType type, int batch, Transform* transform) {
  if (rank < 1 || rank > kMaxRank || n == nullptr) return CUFFT_INVALID_VALUE;
  if (type != CUFFT_C2C && type != CUFFT_R2C && type != CUFFT_C2R) return CUFFT_INVALID_TYPE;
  if (batch < 1 || *std::min_element(n, n + rank) < 1) return CUFFT_INVALID_SIZE;
  Extents full{1, 1, 1};
  std::copy(n, n + rank, full.begin() + (kMaxRank - rank));
  Extents half = full;
  half[2] = full[2] / 2 + 1;
  const bool dense = inembed == nullptr || onembed == nullptr;
  *transform = {type,
                full,
                SideOf(type == CUFFT_C2R ? half : full, rank, dense ? nullptr : inembed, istride, idist),
                SideOf(type == CUFFT_R2C ? half : full, rank, dense ? nullptr : onembed, ostride, odist),
                dense,
                batch};
  for (const Side& side : {transform->in, transform->out}) {
    if (side.stride < 1 || side.distance < 0) return CUFFT_INVALID_VALUE;
    // The outermost extent bounds nothing.
    for (int axis = kMaxRank - rank + 1; axis < kMaxRank; ++axis) {
      if (side.embed[axis] < side.n[axis]) return CUFFT_INVALID_VALUE;
    }
  }
  return CUFFT_SUCCESS;
}

// A call on a plan that exists.
template <class Body>
cufftResult CallPlan(cufftHandle handle, Body body) {
  const std::lock_guard lock(DeviceMutex());
  const auto plan = plans.find(handle);
  if (plan == plans.end()) return CUFFT_INVALID_PLAN;
  if (const cudaError_t broken = Broken(); broken != cudaSuccess) {
    Finish(broken);
    return CUFFT_INTERNAL_ERROR;
  }
  return body(plan->second);
}

bool Aligned(const void* data, std::size_t bytes) { return reinterpret_cast<std::uintptr_t>(data) % bytes == 0; }

cufftResult Execute(cufftHandle handle, cufftType type, bool forward, void* in, void* out) {
  return CallPlan(handle, [&](Plan& plan) {
    if (!plan.transform) return CUFFT_INVALID_PLAN;
    if (plan.transform->type != type) return CUFFT_INVALID_TYPE;
    if (in == nullptr || out == nullptr) return CUFFT_INVALID_VALUE;
    if (!Aligned(in, type == CUFFT_R2C ? sizeof(float) : sizeof(Complex)) ||
        !Aligned(out, type == CUFFT_C2R ? sizeof(float) : sizeof(Complex))) {
      return CUFFT_UNALIGNED_DATA;
    }
    if (plan.work_area == nullptr) return CUFFT_NO_WORKSPACE;
    const bool padded = in == out && plan.transform->dense && type != CUFFT_C2C;
    const bool owned = WhereIs(plan.work_area, 1) == Where::kDevice;  // tests may give any memory
    const auto work = [=, transform = padded ? Padded(*plan.transform) : *plan.transform, area = plan.work_area] {
      if (owned) CheckStillOwned(area, transform.work_bytes());
      std::fill_n(static_cast<float*>(area), transform.work_bytes() / sizeof(float), kNaN);
      Run(transform, forward, in, out);
    };
    const cudaError_t queued = Finish(Enqueue(plan.stream, work));
    return queued == cudaSuccess ? CUFFT_SUCCESS : CUFFT_EXEC_FAILED;
  });
}

}  // namespace
}  // namespace likeness::emulator

// cuFFT's names are in the global namespace.
using namespace likeness::emulator;  // NOLINT

cufftResult cufftCreate(cufftHandle* plan) {
  const std::lock_guard lock(DeviceMutex());
  if (Finish(Broken()) != cudaSuccess) return CUFFT_SETUP_FAILED;
  *plan = NextHandle();
  plans[*plan];
  CountHandles(1);
  return CUFFT_SUCCESS;
}

cufftResult cufftDestroy(cufftHandle handle) {
  const std::lock_guard lock(DeviceMutex());
  const auto plan = plans.find(handle);
  if (plan == plans.end()) return CUFFT_INVALID_PLAN;
  const cudaError_t released = Finish(Release(plan->second.own_area, Where::kDevice));
  plans.erase(plan);
  CountHandles(-1);
  return released == cudaSuccess ? CUFFT_SUCCESS : CUFFT_INTERNAL_ERROR;
}

cufftResult cufftSetAutoAllocation(cufftHandle handle, int auto_allocate) {
  return CallPlan(handle, [&](Plan& plan) {
    if (plan.transform) return CUFFT_INVALID_PLAN;
    plan.auto_allocate = auto_allocate != 0;
    return CUFFT_SUCCESS;
  });
}

cufftResult cufftMakePlanMany(cufftHandle handle, int rank, int* n, int* inembed, int istride, int idist, int* onembed,
                              int ostride, int odist, cufftType type, int batch, std::size_t* work_bytes) {
  return CallPlan(handle, [&](Plan& plan) {
    if (plan.transform) return CUFFT_INVALID_PLAN;
    // Its tables would be allocated.
    if (Finish(UnsafeWhileCapturing()) != cudaSuccess) return CUFFT_INTERNAL_ERROR;
    Transform transform;
    const cufftResult described =
        Describe(rank, n, inembed, istride, idist, onembed, ostride, odist, type, batch, &transform);
    if (described != CUFFT_SUCCESS) return described;
    if (plan.auto_allocate) {
      if (Finish(Allocate(&plan.own_area, transform.work_bytes(), CurrentDevice())) != cudaSuccess) {
        return CUFFT_ALLOC_FAILED;
      }
      plan.work_area = plan.own_area;
    }
    plan.transform = transform;
    *work_bytes = transform.work_bytes();
    return CUFFT_SUCCESS;
  });
}

cufftResult cufftGetSizeMany(cufftHandle handle, int rank, int* n, int* inembed, int istride, int idist, int* onembed,
                             int ostride, int odist, cufftType type, int batch, std::size_t* work_bytes) {
  return CallPlan(handle, [&](Plan&) {
    Transform transform;
    const cufftResult described =
        Describe(rank, n, inembed, istride, idist, onembed, ostride, odist, type, batch, &transform);
    if (described == CUFFT_SUCCESS) *work_bytes = transform.work_bytes();
    return described;
  });
}

cufftResult cufftGetSize(cufftHandle handle, std::size_t* work_bytes) {
  return CallPlan(handle, [&](Plan& plan) {
    if (!plan.transform) return CUFFT_INVALID_PLAN;
    *work_bytes = plan.transform->work_bytes();
    return CUFFT_SUCCESS;
  });
}

cufftResult cufftSetWorkArea(cufftHandle handle, void* work_area) {
  return CallPlan(handle, [&](Plan& plan) {
    if (!plan.transform) return CUFFT_INVALID_PLAN;
    if (!Aligned(work_area, 16)) return CUFFT_INVALID_VALUE;
    plan.work_area = work_area;
    return CUFFT_SUCCESS;
  });
}

cufftResult cufftSetStream(cufftHandle handle, cudaStream_t stream) {
  return CallPlan(handle, [&](Plan& plan) {
    plan.stream = stream;
    return CUFFT_SUCCESS;
  });
}

cufftResult cufftExecC2C(cufftHandle plan, cufftComplex* in, cufftComplex* out, int direction) {
  if (direction != CUFFT_FORWARD && direction != CUFFT_INVERSE) return CUFFT_INVALID_VALUE;
  return Execute(plan, CUFFT_C2C, direction == CUFFT_FORWARD, in, out);
}
cufftResult cufftExecR2C(cufftHandle plan, cufftReal* in, cufftComplex* out) {
  return Execute(plan, CUFFT_R2C, true, in, out);
}
cufftResult cufftExecC2R(cufftHandle plan, cufftComplex* in, cufftReal* out) {
  return Execute(plan, CUFFT_C2R, false, in, out);
}
