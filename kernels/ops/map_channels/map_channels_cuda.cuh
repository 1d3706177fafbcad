// MapChannels under CUDA: the functor on one pixel a thread, its adjoint on Dual numbers.
#pragma once

#include "kernels/ops/map/map_cuda.cuh"
#include "kernels/ops/map_channels/map_channels.h"

LIKENESS_BEGIN_TARGET

template <class Argument>
inline constexpr int kNumbersOf = 1;
template <int n, bool tracked>
inline constexpr int kNumbersOf<ChannelsArgument<n, tracked>> = n;

// Which partial is the first of the i-th input; for i = sizeof...(Argument), how many there are.
template <int i, class... Argument>
constexpr int FirstPartial() {
  constexpr int numbers[] = {(Argument::kTracked ? kNumbersOf<Argument> : 0)..., 0};
  int index = 0;
  for (int j = 0; j < i; ++j) index += numbers[j];
  return index;
}

template <class Argument>
__device__ __forceinline__ Vec ValuesAt(const Argument& in, int y, int x) {
  return SampleOf(in, 0, y, x);
}
template <int n, bool tracked>
__device__ __forceinline__ Pack<Vec, n> ValuesAt(const ChannelsArgument<n, tracked>& in, int y, int x) {
  Pack<Vec, n> pack;
#pragma unroll
  for (int c = 0; c < n; ++c) pack.v[c] = Load(Row(in.planes, c, y) + x);
  return pack;
}

template <int partials, int index, class Argument>
__device__ __forceinline__ auto VariablesAt(const Argument& in, int y, int x) {
  return NumberOf<partials, index>(in, 0, y, x);
}
template <int partials, int index, int n>
__device__ __forceinline__ auto VariablesAt(const ChannelsArgument<n, true>& in, int y, int x) {
  Pack<Dual<Vec, partials>, n> pack;
#pragma unroll
  for (int c = 0; c < n; ++c) {
    pack.v[c] = Dual<Vec, partials>::Variable(Load(Row(in.planes, c, y) + x), index + c);
  }
  return pack;
}
template <int partials, int index, int n>
__device__ __forceinline__ auto VariablesAt(const ChannelsArgument<n, false>& in, int y, int x) {
  return ValuesAt(in, y, x);
}

// Sends an input its part of a pixel's gradient: to its planes at once, or into the thread's sum of a scalar.
template <int index, class Argument, class Y>
__device__ __forceinline__ void SendPixel(const Argument& in, const PlanesView& upstream, const Y& value, int y, int x,
                                          double& sum) {
  if constexpr (Argument::kTracked) {
    const Vec part = PullPixel(value, upstream, index, y, x);
    if constexpr (Argument::kScalar) {
      sum += static_cast<double>(Bare(part));
    } else {
      StoreGradient(in.gradient, 0, y, x, part);
    }
  }
}
template <int index, int n, class Y>
__device__ __forceinline__ void SendPixel(const ChannelsArgument<n, true>& in, const PlanesView& upstream,
                                          const Y& value, int y, int x, double&) {
#pragma unroll
  for (int c = 0; c < n; ++c) StoreGradient(in.gradient, c, y, x, PullPixel(value, upstream, index + c, y, x));
}

template <class F, class... Argument>
struct MapChannelsForwardKernel {
  static constexpr int kThreads = kRowThreads;
  F f;
  PlanesView out;
  Inputs<Argument...> inputs;

  __device__ void operator()(const Block& block) const {
    inputs.Apply([&](const auto&... in) {
      ForEachSample(block, out.shape, [&](int, int y, int x) { StorePixel(f(ValuesAt(in, y, x)...), out, y, x); });
    });
  }
};

template <class F, class... Argument>
void MapChannelsForward(Cuda& device, const F& f, const PlanesView& out, const Argument&... in) {
  device.Launch(MapChannelsForwardKernel<F, Argument...>{f, out, {{in}...}}, PixelGrid(out.shape));
}

template <class F, class... Argument>
struct MapChannelsBackwardKernel {
  static constexpr int kThreads = kRowThreads;
  static constexpr int kPartials = FirstPartial<sizeof...(Argument), Argument...>();
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
    ForEachSample(block, upstream.shape, [&](int, int y, int x) {
      const auto value = f(VariablesAt<kPartials, FirstPartial<i, Argument...>()>(in, y, x)...);
      (SendPixel<FirstPartial<i, Argument...>()>(in, upstream, value, y, x, sums[i]), ...);
    });
    (WritePartial<TrackedBefore<i, true, Argument...>()>(in, sums[i], block, partials), ...);
  }
};

template <class F, class... Argument>
void MapChannelsBackward(Cuda& device, const F& f, const PlanesView& upstream, Argument&... in) {
  LaunchBackward<MapChannelsBackwardKernel>(device, f, upstream, {upstream.shape.width, upstream.shape.height, 1},
                                            in...);
}

LIKENESS_END_TARGET
