// Map on the CPU: the functor on vectors along rows, its adjoint on Dual vectors.
#pragma once

#include "kernels/base/number.h"
#include "kernels/ops/cpu.h"
#include "kernels/ops/map/map.h"

LIKENESS_BEGIN_TARGET

// One input along one row, as the inner loop sees it.
template <bool tracked>
struct PlanesRow {
  static constexpr bool kTracked = tracked;
  const Real* from;
  Real* gradient;
  bool accumulate;

  LIKENESS_HD Vec At(int x) const { return Load(from + x); }
  LIKENESS_HD void AddGradient(Vec g, int x, int /*valid*/) {
    Store(accumulate ? Load(gradient + x) + g : g, gradient + x);
  }
  LIKENESS_HD void Close() {}
};
template <bool tracked>
struct ScalarRow {
  static constexpr bool kTracked = tracked;
  Vec value;
  RowSum sum;
  double* total;  // of the row's gradient

  LIKENESS_HD ScalarRow(Vec v, double* row_total) : value(v), total(row_total) {}
  LIKENESS_HD Vec At(int) const { return value; }
  LIKENESS_HD void AddGradient(Vec g, int /*x*/, int valid) {
    if (valid >= kLanes) {
      sum.Add(g);
    } else {
      sum.AddFirst(g, valid);
    }
  }
  LIKENESS_HD void Close() {
    if constexpr (tracked) *total = sum.Total();
  }
};

template <bool tracked>
LIKENESS_HD PlanesRow<tracked> OpenRow(const PlanesArgument<tracked>& in, int channel, int y, double*) {
  // A constant of one plane stands for every channel.
  return {Row(in.planes, tracked || in.planes.shape.channels > 1 ? channel : 0, y),
          tracked ? Row(in.gradient.planes, channel, y) : nullptr, in.gradient.accumulate};
}
template <bool tracked>
LIKENESS_HD ScalarRow<tracked> OpenRow(const ScalarArgument<tracked>& in, int channel, int, double* total) {
  return ScalarRow<tracked>(Vec(in.Of(channel)), total);
}

template <class F, class... R>
void MapRow(const F& f, Real* to, int width, R... rows) {
  for (int x = 0; x < width; x += kLanes) Store(Vec(f(rows.At(x)...)), to + x);
}

template <class F, class... Argument>
void MapForward(Cpu&, const F& f, const PlanesView& out, const Argument&... in) {
  ForEachRow(out.shape, [&](int channel, int y) {
    MapRow(f, Row(out, channel, y), out.shape.width, OpenRow(in, channel, y, nullptr)...);
  });
}

// Position of the i-th input among the tracked ones: which partial is its own.
template <int i, class... R>
constexpr int PartialIndex() {
  constexpr bool tracked[] = {R::kTracked...};
  int index = 0;
  for (int j = 0; j < i; ++j) index += tracked[j] ? 1 : 0;
  return index;
}

// The i-th input at x: a variable when it is tracked, else a constant.
template <int partials, int index, class R>
LIKENESS_HD auto NumberAt(const R& row, int x) {
  if constexpr (R::kTracked) {
    return Dual<Vec, partials>::Variable(row.At(x), index);
  } else {
    return row.At(x);
  }
}

template <int index, class R, class Y>
LIKENESS_HD void Scatter(R& row, Vec upstream, const Y& y, int x, int valid) {
  if constexpr (R::kTracked && DualNumber<Y>) {
    row.AddGradient(upstream * y.d[index], x, valid);
  } else if constexpr (R::kTracked) {
    row.AddGradient(Vec(0.0), x, valid);  // f stopped the derivative
  }
}

template <class F, std::size_t... i, class... R>
void MapBackwardRow(std::index_sequence<i...>, const F& f, const Real* upstream, int width, R... rows) {
  constexpr int kPartials = (0 + ... + (R::kTracked ? 1 : 0));
  for (int x = 0; x < width; x += kLanes) {
    const auto y = f(NumberAt<kPartials, PartialIndex<i, R...>()>(rows, x)...);
    const Vec u = Load(upstream + x);
    (Scatter<PartialIndex<i, R...>()>(rows, u, y, x, width - x), ...);
  }
  (rows.Close(), ...);
}

// Sums what the rows of each channel sent to a scalar, in row order.
template <class Argument>
void CollectScalar(Argument& in, const Shape& shape, const double* totals, int step) {
  if constexpr (Argument::kTracked && Argument::kScalar) {
    double* gradient = static_cast<double*>(in.gradient.planes.data);
    if (!in.gradient.accumulate) std::fill(gradient, gradient + in.count, 0.0);
    for (int channel = 0; channel < shape.channels; ++channel) {
      for (int y = 0; y < shape.height; ++y) {
        gradient[in.count == 1 ? 0 : channel] += totals[(channel * shape.height + y) * step];
      }
    }
  }
}

template <class F, class... Argument>
void MapBackward(Cpu&, const F& f, const PlanesView& upstream, Argument&... in) {
  constexpr int kInputs = sizeof...(Argument);
  constexpr bool kScalars = ((Argument::kTracked && Argument::kScalar) || ...);
  const Shape& shape = upstream.shape;
  std::vector<double> totals(kScalars ? shape.channels * shape.height * kInputs : 0);
  ForEachRow(shape, [&](int channel, int y) {
    double* total = kScalars ? &totals[(channel * shape.height + y) * kInputs] : nullptr;
    [&]<std::size_t... i>(std::index_sequence<i...> indices) {
      MapBackwardRow(indices, f, Row(upstream, channel, y), shape.width, OpenRow(in, channel, y, total + i)...);
    }
    (std::index_sequence_for<Argument...>());
  });
  int index = 0;
  ((CollectScalar(in, shape, totals.data() + index, kInputs), ++index), ...);
}

template <class Y>
LIKENESS_HD void StorePixel(const Y& y, Real* const* to, int x) {
  if constexpr (requires { y.v[0]; } && !DualNumber<Y>) {
    for (std::size_t k = 0; k < sizeof(y.v) / sizeof(y.v[0]); ++k) Store(y.v[k], to[k] + x);
  } else {
    Store(y, to[0] + x);
  }
}

template <class F>
void MapColorForward(Cpu&, const F& f, const PlanesView& out, const PlanesView& image) {
  ForEachRow({out.shape.width, out.shape.height, 1}, [&](int, int y) {
    const Real* from[3] = {Row(image, 0, y), Row(image, 1, y), Row(image, 2, y)};
    Real* to[3];
    for (int c = 0; c < out.shape.channels; ++c) to[c] = Row(out, c, y);
    for (int x = 0; x < out.shape.width; x += kLanes) {
      StorePixel(f(Load(from[0] + x), Load(from[1] + x), Load(from[2] + x)), to, x);
    }
  });
}

// Adds upstream * (partial c) of every output of a pixel.
template <class Y>
LIKENESS_HD Vec PullPixel(const Y& y, const Real* const* upstream, int c, int x) {
  if constexpr (DualNumber<Y>) {
    return Load(upstream[0] + x) * y.d[c];
  } else {
    Vec sum = Load(upstream[0] + x) * y.v[0].d[c];
    for (std::size_t k = 1; k < sizeof(y.v) / sizeof(y.v[0]); ++k) sum = sum + Load(upstream[k] + x) * y.v[k].d[c];
    return sum;
  }
}

template <class F>
void MapColorBackward(Cpu&, const F& f, const PlanesView& upstream, const PlanesView& image,
                      const GradientView& gradient) {
  ForEachRow({image.shape.width, image.shape.height, 1}, [&](int, int y) {
    const Real* from[3] = {Row(image, 0, y), Row(image, 1, y), Row(image, 2, y)};
    const Real* up[3];
    for (int c = 0; c < upstream.shape.channels; ++c) up[c] = Row(upstream, c, y);
    for (int x = 0; x < image.shape.width; x += kLanes) {
      using D = Dual<Vec, 3>;
      const auto out =
          f(D::Variable(Load(from[0] + x), 0), D::Variable(Load(from[1] + x), 1), D::Variable(Load(from[2] + x), 2));
      for (int c = 0; c < 3; ++c) {
        Real* to = Row(gradient.planes, c, y) + x;
        const Vec g = PullPixel(out, up, c, x);
        Store(gradient.accumulate ? Load(to) + g : g, to);
      }
    }
  });
}

template <class F, class... Argument>
void MapScalarsForward(Cpu&, const F& f, double* out, int count, const Argument&... in) {
  for (int c = 0; c < count; ++c) out[c] = f(in.Of(c)...);
}

template <int partials, int index, class Argument>
auto ScalarNumber(const Argument& in, int c) {
  if constexpr (Argument::kTracked) {
    return Dual<double, partials>::Variable(in.Of(c), index);
  } else {
    return in.Of(c);
  }
}

template <int index, class Argument, class Y>
void ScatterScalar(const Argument& in, double upstream, const Y& y, int c) {
  if constexpr (Argument::kTracked) {
    double* to = static_cast<double*>(in.gradient.planes.data);
    const bool first = in.count > 1 || c == 0;
    double& slot = to[in.count == 1 ? 0 : c];
    if (first && !in.gradient.accumulate) slot = 0.0;
    if constexpr (DualNumber<Y>) slot += upstream * y.d[index];
  }
}

template <class F, class... Argument>
void MapScalarsBackward(Cpu&, const F& f, const double* upstream, int count, Argument&... in) {
  constexpr int kPartials = (0 + ... + (Argument::kTracked ? 1 : 0));
  [&]<std::size_t... i>(std::index_sequence<i...>) {
    for (int c = 0; c < count; ++c) {
      const auto y = f(ScalarNumber<kPartials, PartialIndex<i, Argument...>()>(in, c)...);
      (ScatterScalar<PartialIndex<i, Argument...>()>(in, upstream[c], y, c), ...);
    }
  }
  (std::index_sequence_for<Argument...>());
}

LIKENESS_END_TARGET
