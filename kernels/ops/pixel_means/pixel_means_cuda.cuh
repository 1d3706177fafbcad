// PixelMeans under CUDA.
#pragma once

#include "kernels/ops/map/map_cuda.cuh"
#include "kernels/ops/pixel_means/pixel_means.h"

LIKENESS_BEGIN_TARGET

// The n channels of a group, as f is given them: its numbers, as variables number `index` and on when it is tracked.
template <int n, int partials, int index, bool tracked>
__device__ __forceinline__ auto PixelAt(const PlanesArgument<tracked>& in, int group, int y, int x) {
  const auto number = [&](int c) {
    const Vec value = Load(Row(in.planes, group * n + c, y) + x);
    if constexpr (tracked && partials > 0) {
      return Dual<Vec, partials>::Variable(value, index + c);
    } else {
      return value;
    }
  };
  if constexpr (n == 1) {
    return number(0);
  } else {
    Pack<decltype(number(0)), n> pixel;
#pragma unroll
    for (int c = 0; c < n; ++c) pixel.v[c] = number(c);
    return pixel;
  }
}

// Of the partials, the first that belongs to the i-th input.
template <class F, int i, class... Argument>
constexpr int FirstPixelPartial() {
  constexpr bool tracked[] = {Argument::kTracked..., false};
  int index = 0;
  for (int j = 0; j < i; ++j) index += tracked[j] ? F::kChannels[j] : 0;
  return index;
}

// Result k of what f returned.
template <class Y>
__device__ __forceinline__ const auto& ResultOf(const Y& y, int k) {
  if constexpr (requires { y.v[0]; } && !DualNumber<Y>) {
    return y.v[k];
  } else {
    return y;
  }
}

template <class F, class... Argument>
struct PixelMeansForwardKernel {
  static constexpr int kThreads = kRowThreads;
  F f;
  Shape shape;  // a channel for each group
  double* partials;
  Inputs<Argument...> inputs;

  __device__ void operator()(const Block& block) const {
    inputs.Apply([&](const auto&... in) { Go(block, std::index_sequence_for<Argument...>(), in...); });
  }

  template <std::size_t... i>
  __device__ __forceinline__ void Go(const Block& block, std::index_sequence<i...>, const Argument&... in) const {
    double sums[F::kOutputs] = {};
    ForEachSample(block, shape, [&](int group, int y, int x) {
      const auto results = f(PixelAt<F::kChannels[i], 0, 0>(in, group, y, x)...);
#pragma unroll
      for (int k = 0; k < F::kOutputs; ++k) sums[k] += static_cast<double>(Bare(Vec(ResultOf(results, k))));
    });
    LeaveSums<F::kOutputs>(sums, block, partials);
  }
};

template <class F, class First, class... Rest>
void PixelMeansForward(Cuda& device, const F& f, double* out, const First& first, const Rest&... rest) {
  const Shape& image = first.planes.shape;
  const Shape shape{image.width, image.height, image.channels / F::kChannels[0]};
  const Grid grid = SumGrid(shape, F::kOutputs);
  device.Launch(PixelMeansForwardKernel<F, First, Rest...>{f, shape, device.scratch(), {{first}, {rest}...}}, grid);
  CollectMeans(device, shape, F::kOutputs, grid, out);
}

// Adds to the gradient of an input the sum over results of upstream(k) * (partial of result k).
template <int n, int outputs, int index, class Argument, class Y>
__device__ __forceinline__ void ScatterPixel(const Argument& in, const Y& value, const Vec* upstream, int group, int y,
                                             int x) {
  if constexpr (Argument::kTracked) {
    using Result = std::remove_cvref_t<decltype(ResultOf(value, 0))>;
#pragma unroll
    for (int c = 0; c < n; ++c) {
      Vec sum(0.0);
      if constexpr (DualNumber<Result>) {
        sum = upstream[0] * ResultOf(value, 0).d[index + c];
#pragma unroll
        for (int k = 1; k < outputs; ++k) sum = sum + upstream[k] * ResultOf(value, k).d[index + c];
      }
      StoreGradient(in.gradient, group * n + c, y, x, sum);
    }
  }
}

template <class F, class... Argument>
struct PixelMeansBackwardKernel {
  static constexpr int kThreads = kRowThreads;
  static constexpr int kPartials = FirstPixelPartial<F, sizeof...(Argument), Argument...>();
  F f;
  Shape shape;
  const double* upstream;
  Inputs<Argument...> inputs;

  __device__ void operator()(const Block& block) const {
    inputs.Apply([&](const auto&... in) { Go(block, std::index_sequence_for<Argument...>(), in...); });
  }

  template <std::size_t... i>
  __device__ __forceinline__ void Go(const Block& block, std::index_sequence<i...>, const Argument&... in) const {
    const double scale = 1.0 / static_cast<double>(shape.plane());
    Vec up[F::kOutputs];
#pragma unroll
    for (int k = 0; k < F::kOutputs; ++k) up[k] = Vec(upstream[block.y * F::kOutputs + k] * scale);
    ForEachSample(block, shape, [&](int group, int y, int x) {
      const auto value =
          f(PixelAt<F::kChannels[i], kPartials, FirstPixelPartial<F, i, Argument...>()>(in, group, y, x)...);
      (ScatterPixel<F::kChannels[i], F::kOutputs, FirstPixelPartial<F, i, Argument...>()>(in, value, up, group, y, x),
       ...);
    });
  }
};

template <class F, class First, class... Rest>
void PixelMeansBackward(Cuda& device, const F& f, const double* upstream, First& first, Rest&... rest) {
  const Shape& image = first.planes.shape;
  const Shape shape{image.width, image.height, image.channels / F::kChannels[0]};
  device.Launch(PixelMeansBackwardKernel<F, First, Rest...>{f, shape, upstream, {{first}, {rest}...}}, RowGrid(shape));
}

// Scalars are few: one thread does them in order.
struct WeightedSumForwardKernel {
  static constexpr int kThreads = 1;
  const double* x;
  const double* weights;
  int count;
  double* out;

  __device__ void operator()(const Block&) const {
    double sum = 0.0;
    for (int i = 0; i < count; ++i) sum += weights[i] * x[i];
    *out = sum;
  }
};

struct WeightedSumBackwardKernel {
  static constexpr int kThreads = 1;
  const double* upstream;
  const double* weights;
  int count;
  double* to;
  bool accumulate;

  __device__ void operator()(const Block&) const {
    for (int i = 0; i < count; ++i) to[i] = (accumulate ? to[i] : 0.0) + *upstream * weights[i];
  }
};

inline void WeightedSumForward(Cuda& device, const double* x, const std::vector<double>& weights, double* out) {
  const int count = static_cast<int>(weights.size());
  device.Launch(WeightedSumForwardKernel{x, device.Table(weights.data(), count), count, out}, {});
}

inline void WeightedSumBackward(Cuda& device, const double* upstream, const std::vector<double>& weights,
                                const GradientView& gradient) {
  const int count = static_cast<int>(weights.size());
  device.Launch(WeightedSumBackwardKernel{upstream, device.Table(weights.data(), count), count,
                                          static_cast<double*>(gradient.planes.data), gradient.accumulate},
                {});
}

LIKENESS_END_TARGET
