// Pointwise losses for which the sign of the error matters. With e = distorted - reference, on the [0, 1] scale, every
// channel alike, any size from 1x1:
//
//   mbe       mean e, the mean bias. Some texts take reference - distorted: convention reference_minus_distorted.
//   mpe       100 mean (r - d) / den, den = max(|r|, eps) with the sign of r, that of 0 being plus: the mean percentage
//             error with the sign of the forecasting texts, (actual - forecast) / actual. eps is mape's.
//   quantile  the pinball loss (R. Koenker, G. Bassett, "Regression Quantiles", 1978): with u = r - d, mean of tau u
//             where u > 0 and of (tau - 1) u elsewhere. tau = 0.5 is half the mae; a larger tau punishes a distorted
//             image that is too dark more. At u = 0 the gradient is 0, where torch's maximum would give 0.5 - tau.
//
// In mbe and mpe errors of both signs cancel: 0 is best, and does not mean equal images.
#pragma once

#include "kernels/metrics/functors.h"

LIKENESS_BEGIN_TARGET

struct SignedDifference {
  bool reference_first;
  LIKENESS_HD auto operator()(auto r, auto d) const { return (d - r) * (reference_first ? -1.0 : 1.0); }
};

struct SignedPercentage {
  double eps, scale;
  LIKENESS_HD auto operator()(auto r, auto d) const {
    const auto magnitude = Max(Abs(r), eps);
    return (r - d) * scale / Select(Value(r) < 0.0, -magnitude, magnitude);
  }
};

struct PinballError {
  double tau;
  LIKENESS_HD auto operator()(auto r, auto d) const {
    const auto u = r - d;
    return Select(Value(u) > 0.0, u * tau, Select(Value(u) < 0.0, u * (tau - 1.0), 0.0));
  }
};

LIKENESS_END_TARGET
