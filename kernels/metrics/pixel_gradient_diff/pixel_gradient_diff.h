#pragma once

#include "kernels/metrics/mean_score.h"
#include "kernels/metrics/pixel_gradient_diff/pixel_gradient_diff_math.h"
#include "kernels/metrics/settings.h"
#include "kernels/ops/correlate/correlate.h"
#include "kernels/ops/map/map.h"
#include "kernels/ops/permute/permute.h"

LIKENESS_BEGIN_TARGET

struct PixelGradientDiff {
  static MetricInfo Info() {
    MetricInfo info;
    info.id = "pixel_gradient_diff";
    info.family = "gradient";
    info.summary = "Differences of first and second derivatives, squared (nearly) and summed.";
    // The derivatives of an error within [-1, 1] reach 1, 4 and 1.
    info.range_high = 0.5 * 127.5 * (1 + 1 + 16 + 16 + 2);
    info.symmetric = true;
    info.takes_weights = true;
    info.min_width = info.min_height = 2;
    info.map = "the loss of each sample, CxHxW";
    info.color = "every channel alike";
    info.good_values = "0.01 is noise of about one 8-bit step; under 0.1 is hard to see";
    info.reference = "faceswap GradientLoss";
    info.conventions = {{"spatial", "derivatives along rows and columns", {}},
                        {"faceswap_head", "derivatives down columns and across channels, as faceswap now runs it", {}}};
    info.aliases = {{"faceswap/pixel_gradient_diff", "spatial"}};
    return info;
  }

  template <class T, bool tracked>
  static Output<tracked> Run(T& t, const Planes<false>& reference, const Planes<tracked>& distorted,
                             const Settings& settings) {
    // Columns become channels, channels rows and rows columns.
    constexpr AxisOrder kHead = {2, 0, 1};
    const bool head = settings.convention() == "faceswap_head";
    auto error = Map(t, Difference{}, reference, distorted);
    if (head) error = Permute(t, error, kHead);
    const auto derivative = [&](const Kernel& kernel) { return Correlate(t, error, kernel, Border::kReplicate); };
    const auto score = [&](const auto&... derivatives) {
      const PixelGradientLoss loss;
      if (!head) return MappedScore(t, loss, 0, {1.0, 0.0}, derivatives...);
      return MeanScore(t, Permute(t, Map(t, loss, derivatives...), Inverse(kHead)));
    };
    return score(derivative(CentralDifference()), derivative(Transposed(CentralDifference())),
                 derivative(SecondDifference()), derivative(Transposed(SecondDifference())),
                 derivative(CrossDifference()));
  }
};

LIKENESS_END_TARGET
