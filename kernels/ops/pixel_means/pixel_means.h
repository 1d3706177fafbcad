// PixelMeans: means over the pixels of maths on several channels of several images, which are never stored as planes.
//
//   PixelMeans(t, f, a, b, ...)    one scalar value for each number that f(a, b, ...) returns
//   ChannelMeans(t, f, a, b, ...)  f runs on every channel by itself, as in Map: one scalar value a channel
//   WeightedSum(t, x, weights)     of a scalar's values
//
// f takes from each input one number, or a Pack of them, and returns a number or a Pack:
//
//   static constexpr int kChannels[]   how many channels f takes from each input
//   static constexpr int kOutputs      how many numbers f returns
//
// Inputs that hold several such groups of channels, one after another, are worked through group by group, and result i
// of group g is value g * kOutputs + i.
//
// The adjoint runs f once more on Dual numbers with one partial for each channel of each tracked input.
#pragma once

#include <tuple>
#include <utility>
#include <vector>

#include "kernels/base/target.h"
#include "kernels/ops/map/map.h"

namespace likeness {

namespace pixel_means_internal {

template <class F, class First, class... Rest>
int GroupsOf(const First& first, const Rest&...) {
  return first.shape().channels / F::kChannels[0];
}
template <class First, class... Rest>
Shape PlaneOf(const First& first, const Rest&...) {
  return {first.shape().width, first.shape().height, 1};
}
template <class... In>
Cost CostOf(int bytes_per_sample, const In&... in) {
  const Shape plane = PlaneOf(in...);
  const std::int64_t planes = (0 + ... + in.shape().channels);
  return {planes * plane.count() * bytes_per_sample, 8 * planes * plane.count()};
}

}  // namespace pixel_means_internal

template <class T, class F, class... In>
auto PixelMeans(T& t, F f, const In&... in) {
  constexpr bool kTracked = (In::kTracked || ...);
  static_assert(sizeof...(In) == sizeof(F::kChannels) / sizeof(int));
  const int count = pixel_means_internal::GroupsOf<F>(in...) * F::kOutputs;
  auto out = t.template MakeScalar<kTracked>(count, "PixelMeans", f, in...);
  const Cost cost = pixel_means_internal::CostOf(t.device().bytes_per_sample(), in...);
  t.RunFor(out, cost,
           [&](auto& device) { PixelMeansForward(device, f, t.Values(out), map_internal::Forward(t, in)...); });
  if constexpr (kTracked) {
    t.Record(out, [f, slot = out.slot(), cost, ... in = in](T& t) {
      auto arguments = std::tuple{map_internal::Backward(t, in)...};
      t.Run({2 * cost.bytes, 4 * cost.operations}, [&](auto& device) {
        std::apply([&](auto&... argument) { PixelMeansBackward(device, f, t.UpstreamValues(slot), argument...); },
                   arguments);
      });
    });
  }
  return out;
}

// The weighted sum of a scalar's values.
template <class T, bool tracked>
Scalar<tracked> WeightedSum(T& t, const Scalar<tracked>& x, std::vector<double> weights) {
  auto out = t.template MakeScalar<tracked>(1, "WeightedSum", x, weights);
  t.RunFor(out, {}, [&](auto& device) { WeightedSumForward(device, t.Values(x), weights, t.Values(out)); });
  if constexpr (tracked) {
    t.Record(out, [x = x.slot(), out = out.slot(), weights](T& t) {
      const GradientView gradient = t.Gradient(x);
      t.Run({}, [&](auto& device) { WeightedSumBackward(device, t.UpstreamValues(out), weights, gradient); });
    });
  }
  return out;
}

}  // namespace likeness

LIKENESS_BEGIN_TARGET

// f of one channel of each input.
template <class F, class Index>
struct OfOneChannel;
template <class F, std::size_t... i>
struct OfOneChannel<F, std::index_sequence<i...>> {
  static constexpr int kChannels[] = {(static_cast<void>(i), 1)...};
  static constexpr int kOutputs = 1;
  F f;

  LIKENESS_HD auto operator()(const auto&... x) const { return f(x...); }
};

template <class T, class F, class... In>
auto ChannelMeans(T& t, F f, const In&... in) {
  return PixelMeans(t, OfOneChannel<F, std::index_sequence_for<In...>>{f}, in...);
}

LIKENESS_END_TARGET
