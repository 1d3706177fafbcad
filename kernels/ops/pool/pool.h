// Means of k x k samples at stride k.
//
//   MeanPool(t, x, k)                  windows begin at the first sample; rows and columns that do not fill one are
//                                      dropped, and get no gradient
//   MeanPool(t, x, k, before, border)  windows begin `before` < k samples ahead of it. A side of n samples has
//                                      (n + k - 1) / k of them; what they cover outside is filled as `border` says
#pragma once

#include "kernels/ops/border.h"
#include "kernels/ops/tape.h"

namespace likeness {

template <class T, bool tracked>
Planes<tracked> MeanPool(T& t, const Planes<tracked>& x, int factor) {
  if (factor == 1) return x;
  const Shape in = x.shape();
  auto out = t.template Make<tracked>(Shape{in.width / factor, in.height / factor, in.channels}, "MeanPool", x, factor);
  const Cost cost{(in.count() + out.shape().count()) * t.device().bytes_per_sample(), in.count()};
  t.RunFor(out, cost, [&](auto& device) { MeanPoolForward(device, t.View(x), factor, t.View(out)); });
  if constexpr (tracked) {
    t.Record(out, [x = x.slot(), out = out.slot(), factor, cost](T& t) {
      const GradientView gradient = t.Gradient(x);
      t.Run(cost, [&](auto& device) { MeanPoolBackward(device, t.Upstream(out), factor, gradient); });
    });
  }
  return out;
}

template <class T, bool tracked>
Planes<tracked> MeanPool(T& t, const Planes<tracked>& x, int factor, int before, Border border) {
  if (factor == 1) return x;
  const Shape in = x.shape();
  const auto size = [&](int side) { return (side + factor - 1) / factor; };
  auto out = t.template Make<tracked>(Shape{size(in.width), size(in.height), in.channels}, "BorderedMeanPool", x,
                                      factor, before, border);
  const Cost cost{(in.count() + out.shape().count()) * t.device().bytes_per_sample(), in.count()};
  t.RunFor(out, cost,
           [&](auto& device) { BorderedMeanPoolForward(device, t.View(x), factor, before, border, t.View(out)); });
  if constexpr (tracked) {
    t.Record(out, [x = x.slot(), out = out.slot(), factor, before, border, cost](T& t) {
      const GradientView gradient = t.Gradient(x);
      t.Run(cost,
            [&](auto& device) { BorderedMeanPoolBackward(device, t.Upstream(out), factor, before, border, gradient); });
    });
  }
  return out;
}

}  // namespace likeness
