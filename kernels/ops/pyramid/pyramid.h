// The two steps of a pyramid after P. J. Burt and E. H. Adelson, "The Laplacian Pyramid as a Compact Image Code", 1983.
// Separable, with an odd number of taps along each axis. Both are linear, each with its transpose.
//
//   PyramidDown(t, x, taps)                   correlates under a symmetric border and keeps every second sample, the
//                                             first included: ceil(n / 2) along each axis
//   PyramidUp(t, x, taps, width, height)      repeats the edge samples once, sets zeros between all samples, correlates
//                                             with twice the taps along each axis, and cuts to width x height, which is
//                                             at most twice the input
#pragma once

#include "kernels/ops/correlate/correlate.h"
#include "kernels/ops/tape.h"

namespace likeness {

template <class T, bool tracked>
Planes<tracked> PyramidDown(T& t, const Planes<tracked>& x, Taps taps) {
  const Shape in = x.shape();
  auto out =
      t.template Make<tracked>(Shape{(in.width + 1) / 2, (in.height + 1) / 2, in.channels}, "PyramidDown", x, taps);
  const Cost cost{(in.count() + out.shape().count()) * t.device().bytes_per_sample(),
                  4 * static_cast<std::int64_t>(taps.size()) * out.shape().count()};
  t.RunFor(out, cost, [&](auto& device) { PyramidDownForward(device, t.View(x), taps, t.View(out)); });
  if constexpr (tracked) {
    t.Record(out, [x = x.slot(), out = out.slot(), taps, cost](T& t) {
      const GradientView gradient = t.Gradient(x);
      t.Run(cost, [&](auto& device) { PyramidDownBackward(device, t.Upstream(out), taps, gradient); });
    });
  }
  return out;
}

template <class T, bool tracked>
Planes<tracked> PyramidUp(T& t, const Planes<tracked>& x, Taps taps, int width, int height) {
  const Shape in = x.shape();
  auto out = t.template Make<tracked>(Shape{width, height, in.channels}, "PyramidUp", x, taps, width, height);
  const Cost cost{(in.count() + out.shape().count()) * t.device().bytes_per_sample(),
                  2 * static_cast<std::int64_t>(taps.size()) * out.shape().count()};
  t.RunFor(out, cost, [&](auto& device) { PyramidUpForward(device, t.View(x), taps, t.View(out)); });
  if constexpr (tracked) {
    t.Record(out, [x = x.slot(), out = out.slot(), taps, cost](T& t) {
      const GradientView gradient = t.Gradient(x);
      t.Run(cost, [&](auto& device) { PyramidUpBackward(device, t.Upstream(out), taps, gradient); });
    });
  }
  return out;
}

}  // namespace likeness
