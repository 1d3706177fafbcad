// MapChannels on the CPU: the functor on vectors along rows, its adjoint on Dual vectors.
#pragma once

#include "kernels/ops/map/map_cpu.h"
#include "kernels/ops/map_channels/map_channels.h"

LIKENESS_BEGIN_TARGET

// One input of n channels along one row.
template <int n, bool tracked>
struct ChannelRows {
  static constexpr bool kTracked = tracked;
  const Real* from[n];
  Real* gradient[n];
  bool accumulate;

  LIKENESS_HD void Close() {}
};

template <int n, bool tracked>
LIKENESS_HD ChannelRows<n, tracked> OpenRow(const ChannelsArgument<n, tracked>& in, int, int y, double*) {
  ChannelRows<n, tracked> rows;
  for (int c = 0; c < n; ++c) {
    rows.from[c] = Row(in.planes, c, y);
    rows.gradient[c] = tracked ? Row(in.gradient.planes, c, y) : nullptr;
  }
  rows.accumulate = in.gradient.accumulate;
  return rows;
}

template <class R>
inline constexpr int kNumbersOf = 1;
template <int n, bool tracked>
inline constexpr int kNumbersOf<ChannelRows<n, tracked>> = n;

// Which partial is the first of the i-th input; for i = sizeof...(R), how many there are.
template <int i, class... R>
constexpr int FirstPartial() {
  constexpr int numbers[] = {(R::kTracked ? kNumbersOf<R> : 0)..., 0};
  int index = 0;
  for (int j = 0; j < i; ++j) index += numbers[j];
  return index;
}

template <class R>
LIKENESS_HD auto ValuesAt(const R& row, int x) {
  return row.At(x);
}
template <int n, bool tracked>
LIKENESS_HD Pack<Vec, n> ValuesAt(const ChannelRows<n, tracked>& rows, int x) {
  Pack<Vec, n> pack;
  for (int c = 0; c < n; ++c) pack.v[c] = Load(rows.from[c] + x);
  return pack;
}

template <int partials, int index, class R>
LIKENESS_HD auto VariablesAt(const R& row, int x) {
  return NumberAt<partials, index>(row, x);
}
template <int partials, int index, int n>
LIKENESS_HD auto VariablesAt(const ChannelRows<n, true>& rows, int x) {
  Pack<Dual<Vec, partials>, n> pack;
  for (int c = 0; c < n; ++c) pack.v[c] = Dual<Vec, partials>::Variable(Load(rows.from[c] + x), index + c);
  return pack;
}
template <int partials, int index, int n>
LIKENESS_HD auto VariablesAt(const ChannelRows<n, false>& rows, int x) {
  return ValuesAt(rows, x);
}

template <int index, class R, class Y>
LIKENESS_HD void ScatterChannels(R& row, const Real* const* upstream, const Y& y, int x, int valid) {
  if constexpr (R::kTracked) row.AddGradient(PullPixel(y, upstream, index, x), x, valid);
}
template <int index, int n, class Y>
LIKENESS_HD void ScatterChannels(ChannelRows<n, true>& rows, const Real* const* upstream, const Y& y, int x, int) {
  for (int c = 0; c < n; ++c) {
    const Vec g = PullPixel(y, upstream, index + c, x);
    Store(rows.accumulate ? Load(rows.gradient[c] + x) + g : g, rows.gradient[c] + x);
  }
}
template <int index, int n, class Y>
LIKENESS_HD void ScatterChannels(ChannelRows<n, false>&, const Real* const*, const Y&, int, int) {}

inline constexpr int kMaxMapOutputs = 8;
struct OutputRows {
  Real* at[kMaxMapOutputs];
};
inline OutputRows RowsOf(const PlanesView& planes, int y) {
  if (planes.shape.channels > kMaxMapOutputs) std::abort();  // a functor with more outputs is our bug
  OutputRows rows;
  for (int c = 0; c < planes.shape.channels; ++c) rows.at[c] = Row(planes, c, y);
  return rows;
}

template <class F, class... R>
void MapChannelsRow(const F& f, const OutputRows& to, int width, R... rows) {
  for (int x = 0; x < width; x += kLanes) StorePixel(f(ValuesAt(rows, x)...), to.at, x);
}

template <class F, class... Argument>
void MapChannelsForward(Cpu&, const F& f, const PlanesView& out, const Argument&... in) {
  ForEachRow({out.shape.width, out.shape.height, 1},
             [&](int, int y) { MapChannelsRow(f, RowsOf(out, y), out.shape.width, OpenRow(in, 0, y, nullptr)...); });
}

template <class F, std::size_t... i, class... R>
void MapChannelsBackwardRow(std::index_sequence<i...>, const F& f, const OutputRows& upstream, int width, R... rows) {
  constexpr int kPartials = FirstPartial<sizeof...(R), R...>();
  for (int x = 0; x < width; x += kLanes) {
    const auto y = f(VariablesAt<kPartials, FirstPartial<i, R...>()>(rows, x)...);
    (ScatterChannels<FirstPartial<i, R...>()>(rows, upstream.at, y, x, width - x), ...);
  }
  (rows.Close(), ...);
}

template <class F, class... Argument>
void MapChannelsBackward(Cpu&, const F& f, const PlanesView& upstream, Argument&... in) {
  constexpr int kInputs = sizeof...(Argument);
  const Shape shape{upstream.shape.width, upstream.shape.height, 1};
  std::vector<double> totals(static_cast<std::size_t>(shape.height) * kInputs);
  ForEachRow(shape, [&](int, int y) {
    double* total = &totals[static_cast<std::size_t>(y) * kInputs];
    [&]<std::size_t... i>(std::index_sequence<i...> indices) {
      MapChannelsBackwardRow(indices, f, RowsOf(upstream, y), shape.width, OpenRow(in, 0, y, total + i)...);
    }
    (std::index_sequence_for<Argument...>());
  });
  int index = 0;
  ((CollectScalar(in, shape, totals.data() + index, kInputs), ++index), ...);
}

LIKENESS_END_TARGET
