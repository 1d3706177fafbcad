#include "kernels/ops/cuda_rows.cuh"
#include "kernels/ops/fft/fft_cuda.h"
#include "kernels/ops/filter_bank/device_banks.h"
#include "kernels/ops/filter_bank/filter_bank_cuda.h"

LIKENESS_BEGIN_TARGET
namespace {

// One filter of a bank on the GPU.
struct FilterView {
  const Real* numbers;
  int stride;

  __device__ Vec At(int y, int x) const { return Load(numbers + std::int64_t{y} * stride + x); }
};

// A spectrum times a filter, from planes of its parts to complex numbers.
struct FilterKernel {
  static constexpr int kThreads = kRowThreads;
  FilterView filter;
  PlanesView x;
  PlanesView to;

  __device__ void operator()(const Block& block) const {
    ForEachSample(block, {x.shape.width, x.shape.height, 1}, [&](int, int y, int i) {
      const Vec f = filter.At(y, i);
      Real* number = Row(to, 0, y) + 2 * i;
      Store(f * Load(Row(x, 0, y) + i), number);
      Store(f * Load(Row(x, 1, y) + i), number + 1);
    });
  }
};

// Complex numbers to a plane of each part.
struct SplitBandKernel {
  static constexpr int kThreads = kRowThreads;
  PlanesView from;
  Real scale;
  PlanesView real;
  PlanesView imaginary;

  __device__ void operator()(const Block& block) const {
    ForEachSample(block, real.shape, [&](int, int y, int x) {
      const Real* number = Row(from, 0, y) + 2 * x;
      Store(Vec(scale) * Load(number), Row(real, 0, y) + x);
      Store(Vec(scale) * Load(number + 1), Row(imaginary, 0, y) + x);
    });
  }
};

struct JoinBandKernel {
  static constexpr int kThreads = kRowThreads;
  PlanesView real;
  PlanesView imaginary;
  Real scale;
  PlanesView to;

  __device__ void operator()(const Block& block) const {
    ForEachSample(block, real.shape, [&](int, int y, int x) {
      Real* number = Row(to, 0, y) + 2 * x;
      Store(Vec(scale) * Load(Row(real, 0, y) + x), number);
      Store(Vec(scale) * Load(Row(imaginary, 0, y) + x), number + 1);
    });
  }
};

struct FilterBackwardKernel {
  static constexpr int kThreads = kRowThreads;
  FilterView filter;
  PlanesView from;
  GradientView gradient;

  __device__ void operator()(const Block& block) const {
    const Shape& shape = gradient.planes.shape;
    ForEachSample(block, {shape.width, shape.height, 1}, [&](int, int y, int x) {
      const Vec f = filter.At(y, x);
      const Real* number = Row(from, 0, y) + 2 * x;
      StoreGradient(gradient, 0, y, x, f * Load(number));
      StoreGradient(gradient, 1, y, x, f * Load(number + 1));
    });
  }
};

// Block y is the channel.
struct BankPlanesKernel {
  static constexpr int kThreads = kRowThreads;
  FilterView first;
  PlanesView out;

  __device__ void operator()(const Block& block) const {
    ForEachSample(block, out.shape, [&](int c, int y, int x) {
      // The filters lie one below another.
      Store(first.At(c * out.shape.height + y, x), Row(out, c, y) + x);
    });
  }
};

// The filters of a bank, null after a failure, which the device keeps.
const Real* FiltersOf(Cuda& device, const BankSpec& spec) {
  const Real* filters = nullptr;
  const Failure failure = device.caches().banks->Find(spec, device.caches().stream, &filters);
  if (failure.failed()) device.Report(failure);
  return filters;
}

FilterView FilterOf(const Real* filters, const BankSpec& spec, int index) {
  const int stride = spec.width + Bank<Real>::kPad;
  return {filters + std::int64_t{index} * spec.height * stride, stride};
}

PlanesView PlaneOf(const PlanesView& planes, int channel) {
  return {Row(planes, channel, 0), {planes.shape.width, planes.shape.height, 1}};
}

// Of the scratch, in place.
FftSpec TransformOf(const BankSpec& spec, const PlanesView& scratch) {
  const int stride = static_cast<int>(scratch.stride() / 2);
  return {CUFFT_C2C, spec.width, spec.height, stride, stride, 1};
}

Real Scale(const BankSpec& spec) {
  return static_cast<Real>(1.0 / std::sqrt(static_cast<double>(spec.width) * spec.height));
}

Grid GridOf(const BankSpec& spec) { return RowGrid({spec.width, spec.height, 1}); }

}  // namespace

void BandsForward(Cuda& device, const PlanesView& x, const BankSpec& spec, int first, const PlanesView& scratch,
                  const PlanesView& out) {
  const Real* filters = FiltersOf(device, spec);
  if (filters == nullptr) return;
  const int count = out.shape.channels / 2;
  for (int c = 0; c < count; ++c) {
    device.Launch(FilterKernel{FilterOf(filters, spec, first + c), x, scratch}, GridOf(spec));
    Transform(device, TransformOf(spec, scratch), /*inverse=*/true, scratch.data, scratch.data);
    device.Launch(SplitBandKernel{scratch, Scale(spec), PlaneOf(out, c), PlaneOf(out, count + c)}, GridOf(spec));
  }
}

// The inverse transform is unitary: its transpose is the forward one.
void BandsBackward(Cuda& device, const PlanesView& upstream, const BankSpec& spec, int first, const PlanesView& scratch,
                   const GradientView& gradient) {
  const Real* filters = FiltersOf(device, spec);
  if (filters == nullptr) return;
  const int count = upstream.shape.channels / 2;
  for (int c = 0; c < count; ++c) {
    device.Launch(JoinBandKernel{PlaneOf(upstream, c), PlaneOf(upstream, count + c), Scale(spec), scratch},
                  GridOf(spec));
    Transform(device, TransformOf(spec, scratch), /*inverse=*/false, scratch.data, scratch.data);
    const GradientView sum{gradient.planes, gradient.accumulate || c > 0};
    device.Launch(FilterBackwardKernel{FilterOf(filters, spec, first + c), scratch, sum}, GridOf(spec));
  }
}

void BankPlanesForward(Cuda& device, const BankSpec& spec, int first, const PlanesView& out) {
  const Real* filters = FiltersOf(device, spec);
  if (filters == nullptr) return;
  device.Launch(BankPlanesKernel{FilterOf(filters, spec, first), out}, RowGrid(out.shape));
}

void BankConstantForward(Cuda& device, const BankSpec& spec, int index, double* out) {
  device.Fill(out, 1, FindBank<Real>(spec)->constants[index]);
}

LIKENESS_END_TARGET
