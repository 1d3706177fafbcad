// Errors relative to the reference: MAPE, wMAPE, SMAPE and MASE. With e = distorted - reference, on the [0, 1] scale,
// every channel alike, any size from 1x1:
//
//   mape   mean |e| / max(|r|, eps). torchmetrics' eps is 1.17e-6, and so is our default, but a black reference sample
//          that is off by one 8-bit step then counts 3351; convention image takes 1/255, the smallest step.
//   wmape  sum |e| / max(sum |r|, 1.17e-6): the weighted form, which dark samples do not upset; torchmetrics.
//   smape  mean 2 |e| / max(|r| + |d|, 1.17e-6), from 0 to 2; torchmetrics. Convention unit leaves out the 2. Where
//          both samples are 0 it is 0.
//   mase   mean |e| / Q. For time series (R. J. Hyndman, A. B. Koehler, "Another look at measures of forecast
//          accuracy", 2006) Q is the mean absolute error of a forecast that repeats the last value. No library defines
//          it for images; ours, spatial_naive, lets each sample be forecast by its neighbour: Q is the mean of
//          |difference| over all pairs of horizontal and of vertical neighbours of the reference, in one pool.
//          mean_naive forecasts the mean of the reference: Q = mean |r - mean r|. Q is at least 1 / (255 * 256), which
//          keeps flat references finite.
//
// All denominators but smape's depend on the reference only, so the gradient is sign(e) over denominator and count; at
// e = 0 it is 0.
#pragma once

#include "kernels/metrics/functors.h"

LIKENESS_BEGIN_TARGET

// torchmetrics' floor under a denominator. Functors pass a copy, double{...}: nvcc has no address of such a constant.
inline constexpr double kRelativeFloor = 1.17e-6;
inline constexpr double kMaseFloor = 1.0 / (255.0 * 256.0);

struct PercentageError {
  double eps;
  LIKENESS_HD auto operator()(auto r, auto d) const { return Abs(d - r) / Max(Abs(r), eps); }
};

struct SymmetricPercentageError {
  double factor;
  LIKENESS_HD auto operator()(auto r, auto d) const {
    const auto sum = Abs(r) + Abs(d);
    return Abs(d - r) * factor / Select(Value(sum) > kRelativeFloor, sum, double{kRelativeFloor});
  }
};

struct DeviationFrom {
  LIKENESS_HD auto operator()(auto x, auto center) const { return Abs(x - center); }
};

// On scalars.
struct AtLeast {
  double floor;
  LIKENESS_HD auto operator()(auto x) const { return Max(x, floor); }
};

// On scalars: the mean over two sets of terms, of which the first has this share.
struct PooledMean {
  double share;
  LIKENESS_HD auto operator()(auto first, auto second) const { return first * share + second * (1.0 - share); }
};

LIKENESS_END_TARGET
