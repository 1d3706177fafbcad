#pragma once

#include "kernels/metrics/dists/dists_math.h"
#include "kernels/metrics/functors.h"
#include "kernels/metrics/lpips/lpips_math.h"
#include "kernels/metrics/settings.h"
#include "kernels/ops/conv_trunk/tap_moments.h"
#include "kernels/ops/map/map.h"
#include "kernels/ops/reduce/reduce.h"

LIKENESS_BEGIN_TARGET

struct Dists {
  static const TrunkSpec& Trunk() { return kVgg16SmoothTrunk; }

  static MetricInfo Info() {
    MetricInfo info;
    info.id = "dists";
    info.family = "learned";
    info.summary = "Texture and structure of deep features, tolerant of texture that is resampled; VGG16.";
    info.range_high = 2.0;
    info.symmetric = true;
    info.min_width = info.min_height = Trunk().min_side;
    info.color = "RGB; gray counts as three equal channels";
    info.good_values = "under 0.05 hard to tell apart, over 0.3 plainly different; made for images of some 256 pixels";
    info.reference = "Ding et al. 2020; dists-pytorch 0.1";
    info.conventions = {{"dists_pytorch", "the authors' package; torchmetrics, piq and pyiqa agree", {}}};
    // Of float32 trunks against double ones.
    info.tolerance = 1e-5;
    info.learned = true;
    return info;
  }

  template <class T, bool tracked>
  static Output<tracked> Run(T& t, const Planes<false>& reference, const Planes<tracked>& distorted,
                             const Settings& settings) {
    const TrunkUse trunk = settings.Trunk(Trunk());
    Scalar<tracked> sum;
    Scalar<false> weight;
    int tap = 0;
    for (const auto& moments : TapMoments(t, trunk, kImageNetColor, reference, distorted)) {
      const int channels = moments.distorted_mean.count();
      const auto alpha = HeadRow(t, trunk, tap, 0, channels), beta = HeadRow(t, trunk, tap, 1, channels);
      const auto distances =
          MapScalars(t, DistsChannel{}, alpha, beta, moments.reference_mean, moments.reference_variance,
                     moments.distorted_mean, moments.distorted_variance, moments.difference_variance);
      const Linear all{static_cast<double>(channels), 0.0};
      const auto tap_sum = MapScalars(t, all, MeanOf(t, distances));
      const auto tap_weight = MapScalars(t, all, MeanOf(t, MapScalars(t, Plus{}, alpha, beta)));
      sum = tap == 0 ? tap_sum : MapScalars(t, Plus{}, sum, tap_sum);
      weight = tap == 0 ? tap_weight : MapScalars(t, Plus{}, weight, tap_weight);
      ++tap;
    }
    Output<tracked> output;
    output.score = MapScalars(t, DistsQuotient{}, sum, weight);
    return output;
  }
};

LIKENESS_END_TARGET
