#include "kernels/ops/cuda_rows.cuh"
#include "kernels/ops/fft/fft_cuda.h"
#include "kernels/ops/filter_bank/device_banks.h"
#include "kernels/ops/filter_bank/filter_bank_cuda.h"

LIKENESS_BEGIN_TARGET
namespace {

// Some filters of a bank on the GPU, one below another.
struct FiltersView {
  const Real* numbers;
  int stride;
  int height;

  __device__ Vec At(int index, int y, int x) const {
    return Load(numbers + (std::int64_t{index} * height + y) * stride + x);
  }
};

// A spectrum times some filters, from planes of its parts to complex numbers.
struct FilterKernel {
  static constexpr int kThreads = kRowThreads;
  FiltersView filters;
  PlanesView x;
  PlanesView to;

  __device__ void operator()(const Block& block) const {
    ForEachSample(block, {x.shape.width, x.shape.height, to.shape.channels}, [&](int c, int y, int i) {
      const Vec f = filters.At(c, y, i);
      Real* number = Row(to, c, y) + 2 * i;
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
    ForEachSample(block, real.shape, [&](int c, int y, int x) {
      const Real* number = Row(from, c, y) + 2 * x;
      Store(Vec(scale) * Load(number), Row(real, c, y) + x);
      Store(Vec(scale) * Load(number + 1), Row(imaginary, c, y) + x);
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
    ForEachSample(block, real.shape, [&](int c, int y, int x) {
      Real* number = Row(to, c, y) + 2 * x;
      Store(Vec(scale) * Load(Row(real, c, y) + x), number);
      Store(Vec(scale) * Load(Row(imaginary, c, y) + x), number + 1);
    });
  }
};

struct FilterBackwardKernel {
  static constexpr int kThreads = kRowThreads;
  FiltersView filters;
  PlanesView from;
  GradientView gradient;

  __device__ void operator()(const Block& block) const {
    const Shape& shape = gradient.planes.shape;
    ForEachSample(block, {shape.width, shape.height, 1}, [&](int, int y, int x) {
      Vec real(0.0), imaginary(0.0);
      for (int c = 0; c < from.shape.channels; ++c) {
        const Vec f = filters.At(c, y, x);
        const Real* number = Row(from, c, y) + 2 * x;
        real = real + f * Load(number);
        imaginary = imaginary + f * Load(number + 1);
      }
      StoreGradient(gradient, 0, y, x, real);
      StoreGradient(gradient, 1, y, x, imaginary);
    });
  }
};

// Block y is the channel.
struct BankPlanesKernel {
  static constexpr int kThreads = kRowThreads;
  FiltersView filters;
  PlanesView out;

  __device__ void operator()(const Block& block) const {
    ForEachSample(block, out.shape, [&](int c, int y, int x) { Store(filters.At(c, y, x), Row(out, c, y) + x); });
  }
};

// The filters of a bank, null after a failure, which the device keeps.
const Real* FiltersOf(Cuda& device, const BankSpec& spec) {
  const Real* filters = nullptr;
  const Failure failure = device.caches().banks->Find(spec, device.caches().stream, &filters);
  if (failure.failed()) device.Report(failure);
  return filters;
}

FiltersView FiltersFrom(const Real* filters, const BankSpec& spec, int index) {
  const int stride = spec.width + Bank<Real>::kPad;
  return {filters + std::int64_t{index} * spec.height * stride, stride, spec.height};
}

PlanesView PlanesFrom(const PlanesView& planes, int channel, int count) {
  return {Row(planes, channel, 0), {planes.shape.width, planes.shape.height, count}};
}

// Of the scratch, in place.
FftSpec TransformOf(const BankSpec& spec, const PlanesView& scratch) {
  const int stride = static_cast<int>(scratch.stride() / 2);
  return {CUFFT_C2C, spec.width, spec.height, stride, stride, scratch.shape.channels};
}

Real Scale(const BankSpec& spec) {
  return static_cast<Real>(1.0 / std::sqrt(static_cast<double>(spec.width) * spec.height));
}

Grid GridOf(const BankSpec& spec, int count) { return RowGrid({spec.width, spec.height, count}); }

// body(first, part) for as many of `count` filters at a time as the scratch has planes.
template <class Body>
void ForEachPart(const PlanesView& scratch, int count, Body body) {
  for (int c = 0; c < count; c += scratch.shape.channels) {
    body(c, PlanesFrom(scratch, 0, std::min(scratch.shape.channels, count - c)));
  }
}

}  // namespace

void BandsForward(Cuda& device, const PlanesView& x, const BankSpec& spec, int first, const PlanesView& scratch,
                  const PlanesView& out) {
  const Real* filters = FiltersOf(device, spec);
  if (filters == nullptr) return;
  const int count = out.shape.channels / 2;
  ForEachPart(scratch, count, [&](int c, const PlanesView& part) {
    const int some = part.shape.channels;
    device.Launch(FilterKernel{FiltersFrom(filters, spec, first + c), x, part}, GridOf(spec, some));
    Transform(device, TransformOf(spec, part), /*inverse=*/true, part.data, part.data);
    device.Launch(SplitBandKernel{part, Scale(spec), PlanesFrom(out, c, some), PlanesFrom(out, count + c, some)},
                  GridOf(spec, some));
  });
}

// The inverse transform is unitary: its transpose is the forward one.
void BandsBackward(Cuda& device, const PlanesView& upstream, const BankSpec& spec, int first, const PlanesView& scratch,
                   const GradientView& gradient) {
  const Real* filters = FiltersOf(device, spec);
  if (filters == nullptr) return;
  const int count = upstream.shape.channels / 2;
  ForEachPart(scratch, count, [&](int c, const PlanesView& part) {
    const int some = part.shape.channels;
    device.Launch(
        JoinBandKernel{PlanesFrom(upstream, c, some), PlanesFrom(upstream, count + c, some), Scale(spec), part},
        GridOf(spec, some));
    Transform(device, TransformOf(spec, part), /*inverse=*/false, part.data, part.data);
    const GradientView sum{gradient.planes, gradient.accumulate || c > 0};
    device.Launch(FilterBackwardKernel{FiltersFrom(filters, spec, first + c), part, sum}, GridOf(spec, 1));
  });
}

void BankPlanesForward(Cuda& device, const BankSpec& spec, int first, const PlanesView& out) {
  const Real* filters = FiltersOf(device, spec);
  if (filters == nullptr) return;
  device.Launch(BankPlanesKernel{FiltersFrom(filters, spec, first), out}, RowGrid(out.shape));
}

void BankConstantForward(Cuda& device, const BankSpec& spec, int index, double* out) {
  device.Fill(out, 1, FindBank<Real>(spec)->constants[index]);
}

LIKENESS_END_TARGET
