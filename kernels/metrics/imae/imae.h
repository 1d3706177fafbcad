#pragma once

#include "kernels/metrics/imae/imae_math.h"
#include "kernels/metrics/mean_score.h"
#include "kernels/metrics/pointwise/pointwise_math.h"
#include "kernels/metrics/settings.h"
#include "kernels/ops/map/map.h"

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
    auto magnitude = Map(t, AbsoluteError{}, reference, distorted);
    auto weight = Map(t, ImaeWeight{settings.Number("contrast")}, magnitude.Detached());
    return MeanScore(t, Map(t, ImaeTerm{}, magnitude, weight, Mean(t, weight)));
  }
};

LIKENESS_END_TARGET
