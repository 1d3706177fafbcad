#pragma once

#include "kernels/metrics/imae/imae_math.h"
#include "kernels/metrics/mean_score.h"
#include "kernels/metrics/settings.h"
#include "kernels/ops/map/map.h"
#include "kernels/ops/pixel_means/pixel_means.h"

LIKENESS_BEGIN_TARGET

struct Imae {
  static MetricInfo Info() {
    MetricInfo info;
    info.id = "imae";
    info.family = "pointwise";
    info.summary =
        "Mean absolute error that weighs errors of middle size up; an experiment, ask for imae:pixel_weighted.";
    info.range_high = 1.0;
    info.symmetric = true;
    info.takes_weights = true;
    info.needs_convention = true;
    info.map = "w |e| / mean w, CxHxW";
    info.color = "every channel alike";
    info.good_values = "as mae, but ruled by errors near one half";
    info.reference = "after Wang et al. 2019, who define it for classification; the form for images is ours";
    info.conventions = {{"pixel_weighted", "weights of each sample's own error, constant for the gradient", {}}};
    info.parameters = {{"contrast", "T of exp(T q (1 - q)); 0 is mae", 8.0, 0.0, 64.0, false, {}}};
    return info;
  }

  template <class T, bool tracked>
  static Output<tracked> Run(T& t, const Planes<false>& reference, const Planes<tracked>& distorted,
                             const Settings& settings) {
    const ImaeWeight weight{settings.Number("contrast")};
    const auto means = PixelMeans(t, ImaeMeans{weight}, reference, distorted);
    const int channels = reference.shape().channels;
    std::vector<double> of_weights, of_terms;
    for (int c = 0; c < channels; ++c) {
      of_weights.insert(of_weights.end(), {1.0 / channels, 0.0});
      of_terms.insert(of_terms.end(), {0.0, 1.0 / channels});
    }
    const Scalar<false> mean_weight = WeightedSum(t, means.Detached(), of_weights);
    if (!t.weights().empty()) return MeanScore(t, Map(t, ImaeTerm{weight}, reference, distorted, mean_weight));
    Output<tracked> out;
    out.score = MapScalars(t, Quotient{}, WeightedSum(t, means, of_terms), mean_weight);
    if (t.wants_map()) out.map = Map(t, ImaeTerm{weight}, reference, distorted.Detached(), mean_weight);
    return out;
  }
};

LIKENESS_END_TARGET
