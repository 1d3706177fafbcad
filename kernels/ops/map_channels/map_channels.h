// MapChannels: per-pixel maths that sees several channels of a plane at once, where Map sees one.
//
//   MapChannels(t, f, m, in...)   f of all inputs at each pixel; returns a number or a Pack of m numbers, which become
//                                 the channels of the result. An input is
//                                   Channels<n>(x)  the n channels of x: f gets a Pack of n numbers
//                                   x               planes of one channel: f gets a number
//                                   s               a scalar: f gets a number
//
// The adjoint runs f once more on Dual numbers with one partial for each tracked number.
#pragma once

#include "kernels/ops/map/map.h"

namespace likeness {

template <int n, bool tracked>
struct ChannelsOf {
  static constexpr bool kTracked = tracked;
  static constexpr bool kScalar = false;
  Planes<tracked> planes;
  const Shape& shape() const { return planes.shape(); }
  void AddTo(StepKey& key) const { key.Add(planes); }
};

template <int n, bool tracked>
ChannelsOf<n, tracked> Channels(const Planes<tracked>& x) {
  return {x};
}

template <int n, bool tracked>
struct ChannelsArgument {
  static constexpr bool kTracked = tracked;
  static constexpr bool kScalar = false;
  PlanesView planes;
  GradientView gradient;
};

namespace map_internal {

template <class T, int n, bool tracked>
ChannelsArgument<n, false> Forward(const T& t, const ChannelsOf<n, tracked>& x) {
  return {t.View(x.planes), {}};
}
template <class T, int n, bool tracked>
ChannelsArgument<n, tracked> Backward(T& t, const ChannelsOf<n, tracked>& x) {
  ChannelsArgument<n, tracked> argument{t.View(x.planes), {}};
  if constexpr (tracked) argument.gradient = t.Gradient(x.planes.slot());
  return argument;
}

template <class In>
std::int64_t PlaneCount(const In& in, bool tracked_only) {
  if constexpr (In::kScalar) {
    return 0;
  } else {
    return tracked_only && !In::kTracked ? 0 : in.shape().channels;
  }
}

}  // namespace map_internal

template <class T, class F, class... In>
auto MapChannels(T& t, F f, int outputs, const In&... in) {
  constexpr bool kTracked = (In::kTracked || ...);
  Shape shape;
  (map_internal::Widen(shape, in), ...);
  shape.channels = outputs;
  auto out = t.template Make<kTracked>(shape, "MapChannels", f, in...);
  const std::int64_t plane_bytes = shape.plane() * t.device().bytes_per_sample();
  const std::int64_t planes = (outputs + ... + map_internal::PlaneCount(in, false));
  t.RunFor(out, {planes * plane_bytes, 4 * planes * shape.plane()},
           [&](auto& device) { MapChannelsForward(device, f, t.View(out), map_internal::Forward(t, in)...); });
  if constexpr (kTracked) {
    const std::int64_t back = (planes + ... + map_internal::PlaneCount(in, true));
    t.Record(out, [f, slot = out.slot(), cost = Cost{back * plane_bytes, 8 * back * shape.plane()}, ... in = in](T& t) {
      // Braces fix the order in which gradients are allocated: the plan must see the same.
      auto arguments = std::tuple{map_internal::Backward(t, in)...};
      t.Run(cost, [&](auto& device) {
        std::apply([&](auto&... argument) { MapChannelsBackward(device, f, t.Upstream(slot), argument...); },
                   arguments);
      });
    });
  }
  return out;
}

}  // namespace likeness
