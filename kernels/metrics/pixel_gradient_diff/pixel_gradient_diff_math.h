// Pixel gradient difference: faceswap's pixel_gradient_diff (its class GradientLoss), after the gradient terms of
// total-variation losses. How much the first and second derivatives of the images differ.
//
//   1. Five derivatives of each channel: Dx, Dy (central differences, half the distance of the neighbours), Dxx, Dyy
//      (second differences) and Dxy (central in both directions). Edges are replicated, which turns Dx at an edge into
//      half a one-sided difference, and so on.
//   2. g = beta rho(., 1.9999, beta) with beta = 1/255, the general robust loss (robust_math.h), of the difference of
//      each derivative; about 127 times its square.
//   3. A sample's loss is half of g(Dx) + g(Dy) + g(Dxx) + g(Dyy) + 2 g(Dxy); the score is its mean.
//
// All five are linear, so they are taken of e = distorted - reference once. Channels alike, on the [0, 1] scale.
//
//   spatial        x along a row, y down a column: what the code means, and what it did while channels came last
//   faceswap_head  faceswap's present tensors are channels first, and its axes were left as they were: x runs down a
//                  column and y across the colour channels
#pragma once

#include "kernels/metrics/robust/robust_math.h"
#include "kernels/ops/correlate/correlate.h"

LIKENESS_BEGIN_TARGET

// Along a row; Transposed() is the same down a column.
inline Kernel CentralDifference() { return {{{{1.0}, {-0.5, 0.0, 0.5}}}}; }
inline Kernel SecondDifference() { return {{{{1.0}, {1.0, -2.0, 1.0}}}}; }
inline Kernel CrossDifference() { return {{{{-0.5, 0.0, 0.5}, {-0.5, 0.0, 0.5}}}}; }

// g without its factor beta.
struct GradientPenalty {
  LIKENESS_HD auto operator()(auto x) const { return BarronRho{1.9999}(x * x * (255.0 * 255.0)); }
};

struct PixelGradientLoss {
  LIKENESS_HD auto operator()(auto dx, auto dy, auto dxx, auto dyy, auto dxy) const {
    const GradientPenalty g;
    const auto first = Apply(g, dx) + Apply(g, dy);
    const auto second = Apply(g, dxx) + Apply(g, dyy) + Apply(g, dxy) * 2.0;
    return (first + second) * (0.5 / 255.0);
  }
};

LIKENESS_END_TARGET
