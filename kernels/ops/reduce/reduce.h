// Reductions: planes to scalars. Sums run in double over each row, then over rows in order, so that a score depends
// neither on threads nor on the batch.
//
//   Mean, Sum              over all samples: one scalar
//   ChannelMean            over each channel: one scalar a channel
//   ChannelMax             over each channel; the gradient is split evenly over ties
//   Max                    over all samples, likewise
//   StandardDeviation      of all samples, population (divided by n) or sample (by n - 1); gradient 0 where it is 0
//   MeanOf                 the mean of a scalar's values: one scalar
//
// Scalars reach kernels by pointer: on a GPU the host cannot read them.
#pragma once

#include <algorithm>

#include "kernels/ops/tape.h"

namespace likeness {

enum class Reduction { kSum, kMean, kMax };

// over_channels: one result for all channels; else one for each.
template <class T, bool tracked>
Scalar<tracked> Reduce(T& t, const Planes<tracked>& x, Reduction reduction, bool over_channels) {
  auto out = t.template MakeScalar<tracked>(over_channels ? 1 : x.shape().channels, "Reduce", x, reduction);
  const Cost cost{x.shape().count() * t.device().bytes_per_sample(), x.shape().count()};
  t.RunFor(out, cost, [&](auto& device) { ReduceForward(device, t.View(x), reduction, t.Values(out), out.count()); });
  if constexpr (tracked) {
    if (reduction == Reduction::kMax) {
      // Ties are found by comparing with the maximum again: the data stays.
      t.Record(out, [x, out, cost](T& t) {
        const GradientView gradient = t.Gradient(x.slot());
        t.Run({2 * cost.bytes, cost.operations}, [&](auto& device) {
          MaxBackward(device, t.View(x), t.Values(out), t.UpstreamValues(out.slot()), out.count(), gradient);
        });
      });
    } else {
      t.Record(out, [x = x.slot(), out = out.slot(), reduction, cost](T& t) {
        const GradientView gradient = t.Gradient(x);
        t.Run(cost, [&](auto& device) {
          SumBackward(device, reduction, t.UpstreamValues(out), out.shape().width, gradient);
        });
      });
    }
  }
  return out;
}

template <class T, bool tracked>
Scalar<tracked> Mean(T& t, const Planes<tracked>& x) {
  return Reduce(t, x, Reduction::kMean, true);
}
template <class T, bool tracked>
Scalar<tracked> Sum(T& t, const Planes<tracked>& x) {
  return Reduce(t, x, Reduction::kSum, true);
}
template <class T, bool tracked>
Scalar<tracked> Max(T& t, const Planes<tracked>& x) {
  return Reduce(t, x, Reduction::kMax, true);
}
template <class T, bool tracked>
Scalar<tracked> ChannelMean(T& t, const Planes<tracked>& x) {
  return Reduce(t, x, Reduction::kMean, false);
}
template <class T, bool tracked>
Scalar<tracked> ChannelMax(T& t, const Planes<tracked>& x) {
  return Reduce(t, x, Reduction::kMax, false);
}

template <class T, bool tracked>
Scalar<tracked> StandardDeviation(T& t, const Planes<tracked>& x, bool population = true) {
  auto mean = t.template MakeScalar<false>(1, "MeanOfDeviation", x);
  auto out = t.template MakeScalar<tracked>(1, "StandardDeviation", x, mean, population);
  const Cost cost{2 * x.shape().count() * t.device().bytes_per_sample(), 4 * x.shape().count()};
  const double divisor = population ? static_cast<double>(x.shape().count())
                                    : std::max<double>(static_cast<double>(x.shape().count()) - 1.0, 1.0);
  t.RunFor(out, cost,
           [&](auto& device) { DeviationForward(device, t.View(x), divisor, t.Values(mean), t.Values(out)); });
  if constexpr (tracked) {
    t.Record(out, [x, mean, out, divisor, cost](T& t) {
      const GradientView gradient = t.Gradient(x.slot());
      t.Run(cost, [&](auto& device) {
        DeviationBackward(device, t.View(x), divisor, t.Values(mean), t.Values(out), t.UpstreamValues(out.slot()),
                          gradient);
      });
    });
  }
  return out;
}

template <class T, bool tracked>
Scalar<tracked> MeanOf(T& t, const Scalar<tracked>& x) {
  auto out = t.template MakeScalar<tracked>(1, "MeanOf", x);
  t.RunFor(out, {}, [&](auto& device) { MeanOfForward(device, t.Values(x), x.count(), t.Values(out)); });
  if constexpr (tracked) {
    t.Record(out, [x = x.slot(), out = out.slot()](T& t) {
      const GradientView gradient = t.Gradient(x);
      t.Run({}, [&](auto& device) { MeanOfBackward(device, t.UpstreamValues(out), gradient); });
    });
  }
  return out;
}

}  // namespace likeness
