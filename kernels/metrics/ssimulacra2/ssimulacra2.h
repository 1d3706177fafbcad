#pragma once

#include <algorithm>
#include <limits>
#include <optional>
#include <vector>

#include "kernels/metrics/functors.h"
#include "kernels/metrics/settings.h"
#include "kernels/metrics/ssimulacra2/ssimulacra2_math.h"
#include "kernels/ops/correlate/correlate.h"
#include "kernels/ops/pixel_means/pixel_means.h"
#include "kernels/ops/pool/pool.h"
#include "kernels/ops/resample/resample.h"
#include "kernels/ops/window_means/window_means.h"

LIKENESS_BEGIN_TARGET

struct Ssimulacra2 {
  static MetricInfo Info() {
    MetricInfo info;
    info.id = "ssimulacra2";
    info.family = "perceptual";
    info.summary = "SSIMULACRA 2.1: structure, artifacts and lost detail in XYB at six scales, tuned on opinions.";
    info.direction = Direction::kHigherIsBetter;
    info.range_low = -std::numeric_limits<double>::infinity();
    info.range_high = info.identity = 100.0;
    info.min_width = info.min_height = 8;
    info.map = "1 - structure, artifact, lost detail of XYB's Y at the first scale, 3xHxW";
    info.color =
        "sRGB to XYB; gray is R = G = B; alpha over the request's background, where the reference takes the lower of "
        "the scores over 0.1 and 0.9";
    info.good_values = "90 visually lossless, 70 high quality, 50 medium, 30 low, below 0 broken";
    info.reference = "cloudinary/ssimulacra2 v2.1";
    info.conventions = {{"v2.1", "as the reference", {}}};
    info.tolerance = 1e-4;
    return info;
  }

  static std::optional<WalkRequest> Walk(const Settings&) {
    WalkRequest request;
    request.walk = Ssimulacra2Walk{};
    return request;
  }

  template <class T, bool tracked>
  static Output<tracked> Run(T& t, const Planes<false>& reference, const Planes<tracked>& distorted, const Settings&) {
    const Taps taps(std::begin(kSsimulacraTaps), std::end(kSsimulacraTaps));
    const auto half = [&](const auto& x) {
      return MeanPool(t, Pad(t, x, OddMargins(x.shape(), false), Border::kReplicate), 2);
    };

    Output<tracked> out;
    auto linear_r = Map(t, SsimulacraLinear{}, reference);
    auto linear_d = Map(t, SsimulacraLinear{}, distorted);
    std::vector<Scalar<tracked>> means;  // of each scale: by channel, power and map
    for (int scale = 0; scale < kSsimulacraScales; ++scale) {
      if (scale > 0) {
        if (std::min(linear_r.shape().width, linear_r.shape().height) < 8) break;
        linear_r = half(linear_r);
        linear_d = half(linear_d);
      }
      const auto r = MapColorOrGray(t, SsimulacraXyb{}, linear_r);
      const auto d = MapColorOrGray(t, SsimulacraXyb{}, linear_d);
      means.push_back(WindowMeans(t, SsimulacraNorms{}, taps, r, d));
      if (scale == 0 && t.wants_map()) out.map = LumaMaps(t, Separable(taps), r, d.Detached());
    }

    const int scales = static_cast<int>(means.size());
    Scalar<tracked> sum;
    for (int scale = 0; scale < scales; ++scale) {
      std::vector<double> of_mean(18, 0.0), of_norm(18, 0.0);
      for (const auto& [index, value] : kSsimulacraWeights) {
        const int map = index % 3, norm = index / 3 % 2, level = index / 6 % scales, channel = index / 6 / scales;
        if (level != scale || channel >= 3) continue;
        (norm == 0 ? of_mean : of_norm)[channel * 6 + norm * 3 + map] = value;
      }
      const auto add = [&](const Scalar<tracked>& x) { sum = sum.empty() ? x : MapScalars(t, Plus{}, sum, x); };
      add(WeightedSum(t, means[scale], of_mean));
      add(WeightedSum(t, MapScalars(t, FourthRoot{}, means[scale]), of_norm));
    }
    out.score = MapScalars(t, SsimulacraScore{}, sum);
    return out;
  }

 private:
  template <class T>
  static Planes<false> LumaMaps(T& t, const Kernel& window, const Planes<false>& r, const Planes<false>& d) {
    const auto blur = [&](const Planes<false>& x) { return Channels<3>(Correlate(t, x, window, Border::kZero)); };
    return MapChannels(t, SsimulacraLumaMaps{}, 3, Channels<3>(r), Channels<3>(d), blur(r),
                       blur(Map(t, Difference{}, r, d)), blur(Map(t, SsimulacraSquaredError{}, r, d)),
                       blur(Map(t, SsimulacraSquares{}, r, d)));
  }
};

LIKENESS_END_TARGET
