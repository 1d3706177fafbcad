// Map: any per-pixel maths.
//
//   Map(t, f, a, b, ...)    y = f(a, b, ...) sample by sample. Inputs are planes of one shape, and scalars (one for the
//                           pair or one a channel), in any order. A constant of one plane stands for every channel.
//   MapColor(t, f, image, n)
//                           f(r, g, b) on the three channels of each pixel; returns a number (n = 1) or a Pack of n
//                           numbers, which become the channels of the result.
//   MapScalars(t, f, a, ..) the same maths on scalars, in double.
//
// The adjoint runs f once more on Dual numbers with one partial for each tracked input.
#pragma once

#include <algorithm>
#include <tuple>
#include <type_traits>
#include <utility>

#include "kernels/ops/tape.h"

namespace likeness {

// What f may return from MapColor: n numbers.
template <class T, int n>
struct Pack {
  T v[n];
};
template <class... T>
Pack(T...) -> Pack<std::common_type_t<T...>, sizeof...(T)>;

// Inputs as kernels see them. `tracked` says whether f is differentiated with respect to it.
template <bool tracked>
struct PlanesArgument {
  static constexpr bool kTracked = tracked;
  static constexpr bool kScalar = false;
  PlanesView planes;
  GradientView gradient;
};
template <bool tracked>
struct ScalarArgument {
  static constexpr bool kTracked = tracked;
  static constexpr bool kScalar = true;
  const double* values;
  int count;
  GradientView gradient;

  constexpr double Of(int channel) const { return values[count == 1 ? 0 : channel]; }
};

namespace map_internal {

template <class In>
void Widen(Shape& shape, const In& in) {
  if constexpr (!In::kScalar) {
    if (in.shape().channels >= shape.channels) shape = in.shape();
  }
}

template <class T, bool tracked>
PlanesArgument<false> Forward(const T& t, const Planes<tracked>& x) {
  return {t.View(x), {}};
}
template <class T, bool tracked>
ScalarArgument<false> Forward(const T& t, const Scalar<tracked>& x) {
  return {t.Values(x), x.count(), {}};
}
template <class T, bool tracked>
PlanesArgument<tracked> Backward(T& t, const Planes<tracked>& x) {
  PlanesArgument<tracked> argument{t.View(x), {}};
  if constexpr (tracked) argument.gradient = t.Gradient(x.slot());
  return argument;
}
template <class T, bool tracked>
ScalarArgument<tracked> Backward(T& t, const Scalar<tracked>& x) {
  ScalarArgument<tracked> argument{t.Values(x), x.count(), {}};
  if constexpr (tracked) argument.gradient = t.Gradient(x.slot());
  return argument;
}

template <class... In>
Cost CostOf(const Shape& shape, int bytes_per_sample, int outputs) {
  const std::int64_t planes = (0 + ... + (In::kScalar ? 0 : 1)) + outputs;
  return {planes * shape.count() * bytes_per_sample, 4 * shape.count()};
}

}  // namespace map_internal

template <class T, class F, class... In>
auto Map(T& t, F f, const In&... in) {
  constexpr bool kTracked = (In::kTracked || ...);
  Shape shape;
  (map_internal::Widen(shape, in), ...);
  auto out = t.template Make<kTracked>(shape, "Map", f, in...);
  const int bytes = t.device().bytes_per_sample();
  t.RunFor(out, map_internal::CostOf<In...>(shape, bytes, 1),
           [&](auto& device) { MapForward(device, f, t.View(out), map_internal::Forward(t, in)...); });
  if constexpr (kTracked) {
    t.Record(out, [f, slot = out.slot(), bytes, ... in = in](T& t) {
      constexpr int kTrackedCount = (0 + ... + (In::kTracked ? 1 : 0));
      // Braces fix the order in which gradients are allocated: the plan must see the same.
      auto arguments = std::tuple{map_internal::Backward(t, in)...};
      t.Run(map_internal::CostOf<In...>(slot.shape(), bytes, 1 + kTrackedCount), [&](auto& device) {
        std::apply([&](auto&... argument) { MapBackward(device, f, t.Upstream(slot), argument...); }, arguments);
      });
    });
  }
  return out;
}

template <class T, class F, bool tracked>
auto MapColor(T& t, F f, const Planes<tracked>& image, int channels) {
  const Shape in = image.shape();
  auto out = t.template Make<tracked>(Shape{in.width, in.height, channels}, "MapColor", f, image);
  const Cost cost{(in.count() + out.shape().count()) * t.device().bytes_per_sample(), 5 * out.shape().count()};
  t.RunFor(out, cost, [&](auto& device) { MapColorForward(device, f, t.View(out), t.View(image)); });
  if constexpr (tracked) {
    t.Record(out, [f, image, slot = out.slot(), cost](T& t) {
      const GradientView gradient = t.Gradient(image.slot());
      t.Run({2 * cost.bytes, 4 * cost.operations},
            [&](auto& device) { MapColorBackward(device, f, t.Upstream(slot), t.View(image), gradient); });
    });
  }
  return out;
}

template <class T, class F, class... In>
auto MapScalars(T& t, F f, const In&... in) {
  constexpr bool kTracked = (In::kTracked || ...);
  const int count = std::max({in.count()...});
  auto out = t.template MakeScalar<kTracked>(count, "MapScalars", f, in...);
  t.RunFor(out, {},
           [&](auto& device) { MapScalarsForward(device, f, t.Values(out), count, map_internal::Forward(t, in)...); });
  if constexpr (kTracked) {
    t.Record(out, [f, slot = out.slot(), count, ... in = in](T& t) {
      auto arguments = std::tuple{map_internal::Backward(t, in)...};
      t.Run({}, [&](auto& device) {
        std::apply(
            [&](auto&... argument) { MapScalarsBackward(device, f, t.UpstreamValues(slot), count, argument...); },
            arguments);
      });
    });
  }
  return out;
}

}  // namespace likeness
