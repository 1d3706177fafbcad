// VIFp, visual information fidelity in the pixel domain: H. R. Sheikh, A. C. Bovik, "Image Information and Visual
// Quality", IEEE TIP 2006, in the multi-scale pixel form that the authors published later. Default convention: piq's
// vif.py. Steps, x255:
//
//   1. Luma of BT.601. Four scales with Gaussian windows of n = 17, 9, 5 and 3 taps, sigma n / 5, valid parts only;
//      from the second scale on the images are filtered with the scale's own window and every second sample is kept.
//   2. Window variances and covariance of both images. The distorted image is modelled as g r + noise:
//      g = sigma_rd / sigma_r^2, sigma_v^2 = sigma_d^2 - g sigma_rd. Flat windows (variance under eps): of r: g = 0,
//      all of sigma_d^2 is noise and there was no information; of d: nothing is left. Negative g counts as 0.
//   3. Score: sum log10(1 + g^2 sigma_r^2 / (sigma_v^2 + 2)) / sum log10(1 + sigma_r^2 / 2), over windows and scales,
//      with 1e-8 added to both sums. 2 is the variance of what the eye itself adds.
//
// Above 1 when contrast was enhanced; not at rest at equal images: more contrast still raises it.
//
//   piq            as above, eps 1e-8
//   torchmetrics   each channel by itself, then their mean; on the [0, 1] scale, so that 2 is far more noise; eps
//                  1e-10, nothing added to the sums; where there is no information at all the score is 1 and not NaN
//
// Departures: g is divided by sigma_r^2 and not by sigma_r^2 + eps, and sigma_v^2 is at least 0 and not eps. Both are
// below 1e-8 of a variance of 1, and equal images score exactly 1 and not 0.999999999. The images' means are taken off
// first, which changes no variance: float would lose a flat window in the square of its brightness.
#pragma once

#include "kernels/base/number.h"
#include "kernels/ops/map/map.h"

LIKENESS_BEGIN_TARGET

inline constexpr double kVifNoise = 2.0;

struct VifCentered {
  double scale;
  LIKENESS_HD auto operator()(auto mean, auto x) const { return (x - mean) * scale; }
};

// Of window means of r, d, r^2, d^2 and r d: information that is left and that there was.
struct VifTerms {
  static constexpr int kChannels[] = {1, 1, 1, 1, 1};
  static constexpr int kOutputs = 2;
  double eps;

  LIKENESS_HD auto operator()(auto mean_r, auto mean_d, auto rr, auto dd, auto rd) const {
    const auto variance_r = Relu(rr - mean_r * mean_r);
    const auto variance_d = Relu(dd - mean_d * mean_d);
    const auto covariance = rd - mean_r * mean_d;
    const auto some_r = variance_r >= eps;
    const auto some_d = Value(variance_d) >= eps;
    using V = std::remove_cvref_t<decltype(covariance)>;
    const V slope = Select(some_r, covariance / Select(some_r, variance_r, 1.0), 0.0);
    const V g = Relu(Select(some_d, slope, 0.0));
    const V rest = Select(some_r, variance_d - slope * covariance, variance_d);
    const V noise = Relu(Select(Value(slope) >= 0.0, Select(some_d, rest, 0.0), variance_d));
    const auto there = Select(some_r, variance_r, 0.0);
    constexpr double kLog10 = 0.43429448190325183;
    return Pack<V, 2>{
        {Log(g * g * there / (noise + kVifNoise) + 1.0) * kLog10, V(Log(there / kVifNoise + 1.0) * kLog10)}};
  }
};

struct VifRatio {
  double eps;
  LIKENESS_HD auto operator()(auto left, auto there) const {
    const auto some = Value(there) + eps > 0.0;
    return Select(some, (left + eps) / Select(some, there + eps, 1.0), 1.0);
  }
};

LIKENESS_END_TARGET
