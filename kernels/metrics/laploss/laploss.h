#pragma once

#include <optional>

#include "kernels/metrics/laploss/laploss_math.h"
#include "kernels/metrics/mean_score.h"
#include "kernels/metrics/settings.h"
#include "kernels/ops/correlate/correlate.h"
#include "kernels/ops/map/map.h"
#include "kernels/ops/pool/pool.h"

LIKENESS_BEGIN_TARGET

struct LapLoss {
  static MetricInfo Info() {
    MetricInfo info;
    info.id = "laploss";
    info.family = "pyramid";
    info.summary = "L1 between Laplacian pyramids.";
    info.range_high = 4.0 / 3.0;
    info.min_width = info.min_height = 32;
    info.symmetric = true;
    info.map = "weighted sum of the enlarged |band| differences, CxHxW";
    info.color = "every channel alike";
    info.good_values = "close to mae for broad errors, less for fine ones";
    info.reference = "Bojanowski et al. 2018; faceswap LaplacianPyramidLoss";
    info.conventions = {{"faceswap", "five bands and the residual, enlarged to the image's size", {}},
                        {"faceswap_scalar", "five bands and the residual, each at its own size", {}, false},
                        {"glo", "five bands, each at its own size, no residual", {}, false}};
    info.takes_weights = true;
    info.aliases = {{"faceswap/laploss", "faceswap"}};
    return info;
  }

  static std::optional<WalkRequest> Walk(const Settings& settings) {
    WalkRequest request;
    request.walk = LapLossWalk{settings.convention() == "faceswap", settings.convention() != "glo"};
    return request;
  }

  template <class T, bool tracked>
  static Output<tracked> Run(T& t, const Planes<false>& reference, const Planes<tracked>& distorted,
                             const Settings& settings) {
    const Kernel blur = Separable(GaussianTaps(kLapLossTaps, kLapLossSigma));
    EnlargedSum<T, tracked> sum(t, reference.shape(), settings.convention() != "faceswap");
    auto x = Map(t, Difference{}, reference, distorted);
    for (int level = 0; level < kLapLossLevels; ++level) {
      auto blurred = Correlate(t, x, blur, Border::kReplicate);
      sum.AddMapped(LapLossWeight(level), BandOf{}, x, blurred);
      x = MeanPool(t, blurred, 2);
    }
    if (settings.convention() != "glo") sum.Add(Map(t, AbsoluteValue{}, x), LapLossWeight(kLapLossLevels));
    return sum.Score();
  }
};

LIKENESS_END_TARGET
