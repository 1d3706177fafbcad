// Order statistics: planes to scalars.
//
//   LowerMedian   of each channel: the value with (n - 1) / 2 values below it; the gradient goes to one sample, the
//                 first that has this value
//   Min           over all samples: one scalar; the gradient is split evenly over ties
//   ChannelMin    over each channel, likewise
#pragma once

#include "kernels/ops/tape.h"

namespace likeness {

template <class T, bool tracked>
Scalar<tracked> LowerMedian(T& t, const Planes<tracked>& x) {
  auto out = t.template MakeScalar<tracked>(x.shape().channels, "LowerMedian", x);
  const Cost cost{4 * x.shape().count() * t.device().bytes_per_sample(), 4 * x.shape().count()};
  if (!t.IsKnown(out)) {
    auto scratch = t.Scratch(x.shape());
    t.Run(cost, [&](auto& device) { LowerMedianForward(device, t.View(x), t.View(scratch), t.Values(out)); });
  }
  if constexpr (tracked) {
    t.Record(out, [x, out, cost](T& t) {
      const GradientView gradient = t.Gradient(x.slot());
      t.Run(cost, [&](auto& device) {
        LowerMedianBackward(device, t.View(x), t.Values(out), t.UpstreamValues(out.slot()), gradient);
      });
    });
  }
  return out;
}

namespace order_internal {

template <class T, bool tracked>
Scalar<tracked> Least(T& t, const Planes<tracked>& x, int count) {
  auto out = t.template MakeScalar<tracked>(count, "Min", x);
  const Cost cost{x.shape().count() * t.device().bytes_per_sample(), x.shape().count()};
  t.RunFor(out, cost, [&](auto& device) { MinForward(device, t.View(x), t.Values(out), count); });
  if constexpr (tracked) {
    t.Record(out, [x, out, cost](T& t) {
      const GradientView gradient = t.Gradient(x.slot());
      t.Run({2 * cost.bytes, cost.operations}, [&](auto& device) {
        MaxBackward(device, t.View(x), t.Values(out), t.UpstreamValues(out.slot()), out.count(), gradient);
      });
    });
  }
  return out;
}

}  // namespace order_internal

template <class T, bool tracked>
Scalar<tracked> Min(T& t, const Planes<tracked>& x) {
  return order_internal::Least(t, x, 1);
}
template <class T, bool tracked>
Scalar<tracked> ChannelMin(T& t, const Planes<tracked>& x) {
  return order_internal::Least(t, x, x.shape().channels);
}

}  // namespace likeness
