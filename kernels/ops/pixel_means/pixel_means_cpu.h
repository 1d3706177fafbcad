// PixelMeans on the CPU.
#pragma once

#include "kernels/base/number.h"
#include "kernels/ops/map/map_cpu.h"
#include "kernels/ops/pixel_means/pixel_means.h"

LIKENESS_BEGIN_TARGET

// n channels of one input along one row.
template <int n, bool tracked>
struct PixelRow {
  static constexpr bool kTracked = tracked;
  static constexpr int kCount = n;
  const Real* from[n];
  Real* gradient[n];
  bool accumulate;
};

template <int n, bool tracked>
LIKENESS_HD PixelRow<n, tracked> OpenPixelRow(const PlanesArgument<tracked>& in, int group, int y) {
  PixelRow<n, tracked> row;
  for (int c = 0; c < n; ++c) {
    row.from[c] = Row(in.planes, group * n + c, y);
    row.gradient[c] = tracked ? Row(in.gradient.planes, group * n + c, y) : nullptr;
  }
  row.accumulate = in.gradient.accumulate;
  return row;
}

// What f is given of an input at x: its numbers, as variables number `index` and on when it is tracked.
template <int partials, int index, class R>
LIKENESS_HD auto PixelAt(const R& row, int x) {
  if constexpr (R::kTracked && partials > 0) {
    using D = Dual<Vec, partials>;
    if constexpr (R::kCount == 1) {
      return D::Variable(Load(row.from[0] + x), index);
    } else {
      Pack<D, R::kCount> pixel;
      for (int c = 0; c < R::kCount; ++c) pixel.v[c] = D::Variable(Load(row.from[c] + x), index + c);
      return pixel;
    }
  } else if constexpr (R::kCount == 1) {
    return Load(row.from[0] + x);
  } else {
    Pack<Vec, R::kCount> pixel;
    for (int c = 0; c < R::kCount; ++c) pixel.v[c] = Load(row.from[c] + x);
    return pixel;
  }
}

// Of the partials, the first that belongs to the i-th input.
template <int i, class... R>
constexpr int FirstPixelPartial() {
  constexpr int counts[] = {(R::kTracked ? R::kCount : 0)...};
  int index = 0;
  for (int j = 0; j < i; ++j) index += counts[j];
  return index;
}

// Result k of what f returned.
template <class Y>
LIKENESS_HD const auto& ResultOf(const Y& y, int k) {
  if constexpr (requires { y.v[0]; } && !DualNumber<Y>) {
    return y.v[k];
  } else {
    return y;
  }
}

// Adds to the gradient of one input at x the sum over results of upstream(k) * (partial of result k).
template <int index, int outputs, class R, class Y, class Upstream>
LIKENESS_HD void ScatterPixel(R& row, const Y& y, const Upstream& upstream, int x) {
  if constexpr (R::kTracked) {
    using Result = std::remove_cvref_t<decltype(ResultOf(y, 0))>;
    for (int c = 0; c < R::kCount; ++c) {
      Vec sum(0.0);
      if constexpr (DualNumber<Result>) {
        sum = upstream[0] * ResultOf(y, 0).d[index + c];
        for (int k = 1; k < outputs; ++k) sum = sum + upstream[k] * ResultOf(y, k).d[index + c];
      }
      Real* to = row.gradient[c] + x;
      Store(row.accumulate ? Load(to) + sum : sum, to);
    }
  }
}

template <class F, class Load, std::size_t... i, class... R>
LIKENESS_HD void PixelBackwardRow(std::index_sequence<i...>, const F& f, const Load& load_upstream, int width,
                                  R... rows) {
  constexpr int kPartials = (0 + ... + (R::kTracked ? R::kCount : 0));
  Vec upstream[F::kOutputs];
  for (int x = 0; x < width; x += kLanes) {
    load_upstream(upstream, x);
    const auto y = f(PixelAt<kPartials, FirstPixelPartial<i, R...>()>(rows, x)...);
    (ScatterPixel<FirstPixelPartial<i, R...>(), F::kOutputs>(rows, y, upstream, x), ...);
  }
}

// body(group, y, rows...) for every row of every group, in parallel.
template <class F, class Body, class First, class... Rest>
void ForEachPixelRow(const Body& body, const First& first, const Rest&... rest) {
  const int groups = first.planes.shape.channels / F::kChannels[0];
  ForEachRow({first.planes.shape.width, first.planes.shape.height, groups}, [&](int group, int y) {
    [&]<std::size_t... i>(std::index_sequence<i...>) {
      const auto all = std::tie(first, rest...);
      body(group, y, OpenPixelRow<F::kChannels[i]>(std::get<i>(all), group, y)...);
    }
    (std::make_index_sequence<1 + sizeof...(Rest)>());
  });
}

template <class F, class First, class... Rest>
void PixelMeansForward(Cpu&, const F& f, double* out, const First& first, const Rest&... rest) {
  const Shape shape = first.planes.shape;
  const int groups = shape.channels / F::kChannels[0];
  std::vector<double> totals(std::size_t(groups) * shape.height * F::kOutputs);
  ForEachPixelRow<F>(
      [&](int group, int y, auto... rows) {
        RowSum sums[F::kOutputs];
        for (int x = 0; x < shape.width; x += kLanes) {
          const auto results = f(PixelAt<0, 0>(rows, x)...);
          const int valid = shape.width - x;
          for (int k = 0; k < F::kOutputs; ++k) {
            if (valid >= kLanes) {
              sums[k].Add(ResultOf(results, k));
            } else {
              sums[k].AddFirst(ResultOf(results, k), valid);
            }
          }
        }
        double* total = &totals[(std::size_t(group) * shape.height + y) * F::kOutputs];
        for (int k = 0; k < F::kOutputs; ++k) total[k] = sums[k].Total();
      },
      first, rest...);
  for (int group = 0; group < groups; ++group) {
    for (int k = 0; k < F::kOutputs; ++k) {
      double sum = 0.0;
      for (int y = 0; y < shape.height; ++y) sum += totals[(std::size_t(group) * shape.height + y) * F::kOutputs + k];
      out[group * F::kOutputs + k] = sum / static_cast<double>(shape.plane());
    }
  }
}

template <class F, class First, class... Rest>
void PixelMeansBackward(Cpu&, const F& f, const double* upstream, First& first, Rest&... rest) {
  const Shape shape = first.planes.shape;
  ForEachPixelRow<F>(
      [&](int group, int, auto... rows) {
        const double scale = 1.0 / static_cast<double>(shape.plane());
        PixelBackwardRow(
            std::index_sequence_for<First, Rest...>(), f,
            [&](Vec* to, int) {
              for (int k = 0; k < F::kOutputs; ++k) to[k] = Vec(upstream[group * F::kOutputs + k] * scale);
            },
            shape.width, rows...);
      },
      first, rest...);
}

inline void WeightedSumForward(Cpu&, const double* x, const std::vector<double>& weights, double* out) {
  *out = 0.0;
  for (std::size_t i = 0; i < weights.size(); ++i) *out += weights[i] * x[i];
}

inline void WeightedSumBackward(Cpu&, const double* upstream, const std::vector<double>& weights,
                                const GradientView& gradient) {
  double* to = static_cast<double*>(gradient.planes.data);
  for (std::size_t i = 0; i < weights.size(); ++i) {
    to[i] = (gradient.accumulate ? to[i] : 0.0) + *upstream * weights[i];
  }
}

LIKENESS_END_TARGET
