// Permute: the axes of planes in another order. A permutation, so its adjoint is the inverse order.
//
// Some metrics run over axes that are not rows and columns (faceswap_head conventions): seen through Permute they are
// the usual program.
#pragma once

#include <array>

#include "kernels/ops/tape.h"

namespace likeness {

// order[i] is the axis of the input that becomes axis i of the output; axes are 0 channel, 1 row, 2 column.
using AxisOrder = std::array<int, 3>;

constexpr AxisOrder Inverse(const AxisOrder& order) {
  AxisOrder inverse{};
  for (int i = 0; i < 3; ++i) inverse[order[i]] = i;
  return inverse;
}

template <class T, bool tracked>
Planes<tracked> Permute(T& t, const Planes<tracked>& x, const AxisOrder& order) {
  const std::array<int, 3> sizes = {x.shape().channels, x.shape().height, x.shape().width};
  auto out = t.template Make<tracked>(Shape{sizes[order[2]], sizes[order[1]], sizes[order[0]]}, "Permute", x, order);
  const Cost cost{2 * x.shape().count() * t.device().bytes_per_sample(), 0};
  t.RunFor(out, cost, [&](auto& device) { PermuteForward(device, t.View(x), order, t.View(out)); });
  if constexpr (tracked) {
    t.Record(out, [x = x.slot(), out = out.slot(), order, cost](T& t) {
      const GradientView gradient = t.Gradient(x);
      t.Run(cost, [&](auto& device) { PermuteBackward(device, t.Upstream(out), order, gradient); });
    });
  }
  return out;
}

}  // namespace likeness
