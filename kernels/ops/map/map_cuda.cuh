// Map under CUDA: the functor on one sample a thread, its adjoint on Dual numbers.
//
// Planes are float32 with rows of RowStride(width) samples; scalars are double in device memory. Enqueued on the
// device's stream; does not wait.
#pragma once

#include "kernels/base/number.h"
#include "kernels/ops/cuda_rows.cuh"
#include "kernels/ops/map/map.h"

LIKENESS_BEGIN_TARGET

template <bool tracked>
__device__ __forceinline__ Vec SampleOf(const PlanesArgument<tracked>& in, int channel, int y, int x) {
  // A constant of one plane stands for every channel.
  return Load(Row(in.planes, tracked || in.planes.shape.channels > 1 ? channel : 0, y) + x);
}
template <bool tracked>
__device__ __forceinline__ Vec SampleOf(const ScalarArgument<tracked>& in, int channel, int, int) {
  return Vec(in.Of(channel));
}

template <class F, class... Argument>
__global__ void MapForwardKernel(F f, PlanesView out, Argument... in) {
  ForEachSample(out.shape, [&](int channel, int y, int x) {
    Store(Vec(f(SampleOf(in, channel, y, x)...)), Row(out, channel, y) + x);
  });
}

template <class F, class... Argument>
void MapForward(Cuda& device, const F& f, const PlanesView& out, const Argument&... in) {
  LIKENESS_CUDA_LAUNCH(device, (MapForwardKernel<F, Argument...>), RowGrid(out.shape), kRowThreads, f, out, in...);
}

// How many of the first i inputs are tracked (and scalars): the number of the i-th among those.
template <int i, bool scalars_only, class... Argument>
constexpr int TrackedBefore() {
  constexpr bool counts[] = {Argument::kTracked && (Argument::kScalar || !scalars_only)...};
  int index = 0;
  for (int j = 0; j < i; ++j) index += counts[j] ? 1 : 0;
  return index;
}

// The input at a sample: a variable when it is tracked, else a constant.
template <int partials, int index, class Argument>
__device__ __forceinline__ auto NumberOf(const Argument& in, int channel, int y, int x) {
  if constexpr (Argument::kTracked) {
    return Dual<Vec, partials>::Variable(SampleOf(in, channel, y, x), index);
  } else {
    return SampleOf(in, channel, y, x);
  }
}

// Sends an input its part of a sample's gradient: to the plane at once, or into the thread's sum of a scalar.
template <int index, class Argument, class Y>
__device__ __forceinline__ void SendGradient(const Argument& in, Vec upstream, const Y& y_value, int channel, int y,
                                             int x, double& sum) {
  if constexpr (Argument::kTracked) {
    Vec part(0.0);  // stays where f stopped the derivative
    if constexpr (DualNumber<Y>) part = upstream * y_value.d[index];
    if constexpr (Argument::kScalar) {
      sum += static_cast<double>(Bare(part));
    } else {
      StoreGradient(in.gradient, channel, y, x, part);
    }
  }
}

template <int slot, class Argument>
__device__ __forceinline__ void WritePartial(const Argument&, double sum, double* partials) {
  if constexpr (Argument::kTracked && Argument::kScalar) {
    const double total = CombineBlock(sum, AddUp{});
    if (threadIdx.x == 0) partials[(slot * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x] = total;
  }
}

template <class F, std::size_t... i, class... Argument>
__device__ __forceinline__ void MapBackwardBody(std::index_sequence<i...>, const F& f, const PlanesView& upstream,
                                                double* partials, const Argument&... in) {
  constexpr int kPartials = (0 + ... + (Argument::kTracked ? 1 : 0));
  double sums[sizeof...(Argument)] = {};
  ForEachSample(upstream.shape, [&](int channel, int y, int x) {
    const auto value = f(NumberOf<kPartials, TrackedBefore<i, false, Argument...>()>(in, channel, y, x)...);
    const Vec up = Load(Row(upstream, channel, y) + x);
    (SendGradient<TrackedBefore<i, false, Argument...>()>(in, up, value, channel, y, x, sums[i]), ...);
  });
  (WritePartial<TrackedBefore<i, true, Argument...>()>(in, sums[i], partials), ...);
}

template <class F, class... Argument>
__global__ void MapBackwardKernel(F f, PlanesView upstream, double* partials, Argument... in) {
  MapBackwardBody(std::index_sequence_for<Argument...>(), f, upstream, partials, in...);
}

template <class Argument>
void CollectScalar(Cuda& device, const Argument& in, dim3 grid, int& slot) {
  if constexpr (Argument::kTracked && Argument::kScalar) {
    const std::int64_t blocks = std::int64_t{grid.x} * grid.y;
    CombinePartials(device, device.scratch() + slot * blocks, grid, in.count, AddUp{}, AsIs{}, in.gradient.accumulate,
                    static_cast<double*>(in.gradient.planes.data));
    ++slot;
  }
}

template <class F, class... Argument>
void MapBackward(Cuda& device, const F& f, const PlanesView& upstream, Argument&... in) {
  constexpr int kScalars = (0 + ... + (Argument::kTracked && Argument::kScalar ? 1 : 0));
  const dim3 grid = RowGrid(upstream.shape, kScalars);
  LIKENESS_CUDA_LAUNCH(device, (MapBackwardKernel<F, Argument...>), grid, kRowThreads, f, upstream, device.scratch(),
                       in...);
  int slot = 0;
  (CollectScalar(device, in, grid, slot), ...);
}

template <class Y>
__device__ __forceinline__ void StorePixel(const Y& value, const PlanesView& out, int y, int x) {
  if constexpr (requires { value.v[0]; } && !DualNumber<Y>) {
#pragma unroll
    for (int k = 0; k < static_cast<int>(sizeof(value.v) / sizeof(value.v[0])); ++k) {
      Store(Vec(value.v[k]), Row(out, k, y) + x);
    }
  } else {
    Store(Vec(value), Row(out, 0, y) + x);
  }
}

template <class F>
__global__ void MapColorForwardKernel(F f, PlanesView out, PlanesView image) {
  ForEachSample(out.shape, [&](int, int y, int x) {
    StorePixel(f(Load(Row(image, 0, y) + x), Load(Row(image, 1, y) + x), Load(Row(image, 2, y) + x)), out, y, x);
  });
}

template <class F>
void MapColorForward(Cuda& device, const F& f, const PlanesView& out, const PlanesView& image) {
  const dim3 grid = RowGrid({out.shape.width, out.shape.height, 1});
  LIKENESS_CUDA_LAUNCH(device, MapColorForwardKernel<F>, grid, kRowThreads, f, out, image);
}

// upstream * (partial c) of every output of a pixel.
template <class Y>
__device__ __forceinline__ Vec PullPixel(const Y& value, const PlanesView& upstream, int c, int y, int x) {
  if constexpr (DualNumber<Y>) {
    return Load(Row(upstream, 0, y) + x) * value.d[c];
  } else {
    Vec sum(0.0);
#pragma unroll
    for (int k = 0; k < static_cast<int>(sizeof(value.v) / sizeof(value.v[0])); ++k) {
      sum = sum + Load(Row(upstream, k, y) + x) * value.v[k].d[c];
    }
    return sum;
  }
}

template <class F>
__global__ void MapColorBackwardKernel(F f, PlanesView upstream, PlanesView image, GradientView gradient) {
  using D = Dual<Vec, 3>;
  ForEachSample(image.shape, [&](int, int y, int x) {
    const auto value = f(D::Variable(Load(Row(image, 0, y) + x), 0), D::Variable(Load(Row(image, 1, y) + x), 1),
                         D::Variable(Load(Row(image, 2, y) + x), 2));
#pragma unroll
    for (int c = 0; c < 3; ++c) StoreGradient(gradient, c, y, x, PullPixel(value, upstream, c, y, x));
  });
}

template <class F>
void MapColorBackward(Cuda& device, const F& f, const PlanesView& upstream, const PlanesView& image,
                      const GradientView& gradient) {
  const dim3 grid = RowGrid({image.shape.width, image.shape.height, 1});
  LIKENESS_CUDA_LAUNCH(device, MapColorBackwardKernel<F>, grid, kRowThreads, f, upstream, image, gradient);
}

// Scalars are few: one thread does them in order.
template <class F, class... Argument>
__global__ void MapScalarsForwardKernel(F f, double* out, int count, Argument... in) {
  for (int c = 0; c < count; ++c) out[c] = f(in.Of(c)...);
}

template <class F, class... Argument>
void MapScalarsForward(Cuda& device, const F& f, double* out, int count, const Argument&... in) {
  LIKENESS_CUDA_LAUNCH(device, (MapScalarsForwardKernel<F, Argument...>), 1, 1, f, out, count, in...);
}

template <int partials, int index, class Argument>
__device__ __forceinline__ auto ScalarNumberOf(const Argument& in, int c) {
  if constexpr (Argument::kTracked) {
    return Dual<double, partials>::Variable(in.Of(c), index);
  } else {
    return in.Of(c);
  }
}

template <int index, class Argument, class Y>
__device__ __forceinline__ void SendScalarGradient(const Argument& in, double upstream, const Y& value, int c) {
  if constexpr (Argument::kTracked) {
    double& to = static_cast<double*>(in.gradient.planes.data)[in.count == 1 ? 0 : c];
    const bool first = in.count > 1 || c == 0;
    if (first && !in.gradient.accumulate) to = 0.0;
    if constexpr (DualNumber<Y>) to += upstream * value.d[index];
  }
}

template <class F, std::size_t... i, class... Argument>
__device__ __forceinline__ void MapScalarsBackwardBody(std::index_sequence<i...>, const F& f, const double* upstream,
                                                       int count, const Argument&... in) {
  constexpr int kPartials = (0 + ... + (Argument::kTracked ? 1 : 0));
  for (int c = 0; c < count; ++c) {
    const auto value = f(ScalarNumberOf<kPartials, TrackedBefore<i, false, Argument...>()>(in, c)...);
    (SendScalarGradient<TrackedBefore<i, false, Argument...>()>(in, upstream[c], value, c), ...);
  }
}

template <class F, class... Argument>
__global__ void MapScalarsBackwardKernel(F f, const double* upstream, int count, Argument... in) {
  MapScalarsBackwardBody(std::index_sequence_for<Argument...>(), f, upstream, count, in...);
}

template <class F, class... Argument>
void MapScalarsBackward(Cuda& device, const F& f, const double* upstream, int count, Argument&... in) {
  LIKENESS_CUDA_LAUNCH(device, (MapScalarsBackwardKernel<F, Argument...>), 1, 1, f, upstream, count, in...);
}

LIKENESS_END_TARGET
