// Map under CUDA: the functor on one sample a thread, its adjoint on Dual numbers.
//
// Planes are float32 with rows of RowStride(width) samples; scalars are double in device memory.
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

// The inputs of a kernel: std::tuple is not trivially copyable.
template <int i, class Argument>
struct Held {
  Argument argument;
};
template <class Index, class... Argument>
struct HeldAll;
template <std::size_t... i, class... Argument>
struct HeldAll<std::index_sequence<i...>, Argument...> : Held<static_cast<int>(i), Argument>... {
  // use(argument...)
  template <class Use>
  __device__ __forceinline__ void Apply(Use use) const {
    use(static_cast<const Held<static_cast<int>(i), Argument>&>(*this).argument...);
  }
};
template <class... Argument>
using Inputs = HeldAll<std::index_sequence_for<Argument...>, Argument...>;

template <class F, class... Argument>
struct MapForwardKernel {
  static constexpr int kThreads = kRowThreads;
  F f;
  PlanesView out;
  Inputs<Argument...> inputs;

  __device__ void operator()(const Block& block) const {
    inputs.Apply([&](const auto&... in) {
      ForEachSample(block, out.shape, [&](int channel, int y, int x) {
        Store(Vec(f(SampleOf(in, channel, y, x)...)), Row(out, channel, y) + x);
      });
    });
  }
};

template <class F, class... Argument>
void MapForward(Cuda& device, const F& f, const PlanesView& out, const Argument&... in) {
  device.Launch(MapForwardKernel<F, Argument...>{f, out, {{in}...}}, RowGrid(out.shape));
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
__device__ __forceinline__ void WritePartial(const Argument&, double sum, const Block& block, double* partials) {
  if constexpr (Argument::kTracked && Argument::kScalar) {
    const double total = CombineBlock(sum, AddUp{});
    if (threadIdx.x == 0) partials[slot * block.grid.count() + PartialAt(block)] = total;
  }
}

template <class F, class... Argument>
struct MapBackwardKernel {
  static constexpr int kThreads = kRowThreads;
  static constexpr int kPartials = (0 + ... + (Argument::kTracked ? 1 : 0));
  F f;
  PlanesView upstream;
  double* partials;
  Inputs<Argument...> inputs;

  __device__ void operator()(const Block& block) const {
    inputs.Apply([&](const auto&... in) { Go(block, std::index_sequence_for<Argument...>(), in...); });
  }

  template <std::size_t... i>
  __device__ __forceinline__ void Go(const Block& block, std::index_sequence<i...>, const Argument&... in) const {
    double sums[sizeof...(Argument)] = {};
    ForEachSample(block, upstream.shape, [&](int channel, int y, int x) {
      const auto value = f(NumberOf<kPartials, TrackedBefore<i, false, Argument...>()>(in, channel, y, x)...);
      const Vec up = Load(Row(upstream, channel, y) + x);
      (SendGradient<TrackedBefore<i, false, Argument...>()>(in, up, value, channel, y, x, sums[i]), ...);
    });
    (WritePartial<TrackedBefore<i, true, Argument...>()>(in, sums[i], block, partials), ...);
  }
};

template <class Argument>
void CollectScalar(Cuda& device, const Argument& in, const Grid& grid, int& slot) {
  if constexpr (Argument::kTracked && Argument::kScalar) {
    CombinePartials(device, device.scratch() + slot * grid.count(), grid, in.count, AddUp{}, AsIs{},
                    in.gradient.accumulate, static_cast<double*>(in.gradient.planes.data));
    ++slot;
  }
}

// Launches an adjoint over `shape` and adds up what its blocks found for the tracked scalars.
template <template <class...> class Kernel, class F, class... Argument>
void LaunchBackward(Cuda& device, const F& f, const PlanesView& upstream, const Shape& shape, Argument&... in) {
  constexpr int kScalars = (0 + ... + (Argument::kTracked && Argument::kScalar ? 1 : 0));
  const Grid grid = kScalars > 0 ? SumGrid(shape, kScalars) : RowGrid(shape);
  device.Launch(Kernel<F, Argument...>{f, upstream, device.scratch(), {{in}...}}, grid);
  int slot = 0;
  (CollectScalar(device, in, grid, slot), ...);
}

template <class F, class... Argument>
void MapBackward(Cuda& device, const F& f, const PlanesView& upstream, Argument&... in) {
  LaunchBackward<MapBackwardKernel>(device, f, upstream, upstream.shape, in...);
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
struct MapColorForwardKernel {
  static constexpr int kThreads = kRowThreads;
  F f;
  PlanesView out;
  PlanesView image;

  __device__ void operator()(const Block& block) const {
    ForEachSample(block, out.shape, [&](int, int y, int x) {
      StorePixel(f(Load(Row(image, 0, y) + x), Load(Row(image, 1, y) + x), Load(Row(image, 2, y) + x)), out, y, x);
    });
  }
};

template <class F>
void MapColorForward(Cuda& device, const F& f, const PlanesView& out, const PlanesView& image) {
  device.Launch(MapColorForwardKernel<F>{f, out, image}, PixelGrid(out.shape));
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
struct MapColorBackwardKernel {
  static constexpr int kThreads = kRowThreads;
  F f;
  PlanesView upstream;
  PlanesView image;
  GradientView gradient;

  __device__ void operator()(const Block& block) const {
    using D = Dual<Vec, 3>;
    ForEachSample(block, image.shape, [&](int, int y, int x) {
      const auto value = f(D::Variable(Load(Row(image, 0, y) + x), 0), D::Variable(Load(Row(image, 1, y) + x), 1),
                           D::Variable(Load(Row(image, 2, y) + x), 2));
#pragma unroll
      for (int c = 0; c < 3; ++c) StoreGradient(gradient, c, y, x, PullPixel(value, upstream, c, y, x));
    });
  }
};

template <class F>
void MapColorBackward(Cuda& device, const F& f, const PlanesView& upstream, const PlanesView& image,
                      const GradientView& gradient) {
  device.Launch(MapColorBackwardKernel<F>{f, upstream, image, gradient}, PixelGrid(image.shape));
}

// Scalars are few: one thread does them in order.
template <class F, class... Argument>
struct MapScalarsForwardKernel {
  static constexpr int kThreads = 1;
  F f;
  double* out;
  int count;
  Inputs<Argument...> inputs;

  __device__ void operator()(const Block&) const {
    inputs.Apply([&](const auto&... in) {
      for (int c = 0; c < count; ++c) out[c] = f(in.Of(c)...);
    });
  }
};

template <class F, class... Argument>
void MapScalarsForward(Cuda& device, const F& f, double* out, int count, const Argument&... in) {
  device.Launch(MapScalarsForwardKernel<F, Argument...>{f, out, count, {{in}...}}, {});
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

template <class F, class... Argument>
struct MapScalarsBackwardKernel {
  static constexpr int kThreads = 1;
  static constexpr int kPartials = (0 + ... + (Argument::kTracked ? 1 : 0));
  F f;
  const double* upstream;
  int count;
  Inputs<Argument...> inputs;

  __device__ void operator()(const Block&) const {
    inputs.Apply([&](const auto&... in) { Go(std::index_sequence_for<Argument...>(), in...); });
  }

  template <std::size_t... i>
  __device__ __forceinline__ void Go(std::index_sequence<i...>, const Argument&... in) const {
    for (int c = 0; c < count; ++c) {
      const auto value = f(ScalarNumberOf<kPartials, TrackedBefore<i, false, Argument...>()>(in, c)...);
      (SendScalarGradient<TrackedBefore<i, false, Argument...>()>(in, upstream[c], value, c), ...);
    }
  }
};

template <class F, class... Argument>
void MapScalarsBackward(Cuda& device, const F& f, const double* upstream, int count, Argument&... in) {
  device.Launch(MapScalarsBackwardKernel<F, Argument...>{f, upstream, count, {{in}...}}, {});
}

LIKENESS_END_TARGET
