// Means of k x k samples at stride k. Rows and columns that do not fill a window are dropped, and get no gradient.
//
//   MeanPool           the first window begins at the first sample
//   MeanPoolRepeated   it begins k / 2 before it, and the last may end (k - 1) / 2 behind the last sample; the edges
//   are
//                      repeated there
#pragma once

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
Planes<tracked> MeanPoolRepeated(T& t, const Planes<tracked>& x, int factor) {
  if (factor == 1) return x;
  const Shape in = x.shape();
  const int border = factor - 1;  // k / 2 + (k - 1) / 2
  auto out = t.template Make<tracked>(Shape{(in.width + border) / factor, (in.height + border) / factor, in.channels},
                                      "MeanPoolRepeated", x, factor);
  const Cost cost{(in.count() + out.shape().count()) * t.device().bytes_per_sample(), in.count()};
  t.RunFor(out, cost, [&](auto& device) { MeanPoolRepeatedForward(device, t.View(x), factor, t.View(out)); });
  if constexpr (tracked) {
    t.Record(out, [x = x.slot(), out = out.slot(), factor, cost](T& t) {
      const GradientView gradient = t.Gradient(x);
      t.Run(cost, [&](auto& device) { MeanPoolRepeatedBackward(device, t.Upstream(out), factor, gradient); });
    });
  }
  return out;
}

}  // namespace likeness
