#pragma once

#include "kernels/metrics/butteraugli/butteraugli_math.h"
#include "kernels/metrics/settings.h"
#include "kernels/ops/butteraugli/butteraugli.h"
#include "kernels/ops/map/map.h"

LIKENESS_BEGIN_TARGET

struct Butteraugli {
  static MetricInfo Info() {
    MetricInfo info;
    info.id = "butteraugli";
    info.family = "perceptual";
    info.summary = "Distance that an observer would notice at the worst place, by libjxl's model of early vision.";
    info.has_gradient = false;
    // libjxl stretches smaller images to 8x8 and scores them 0.
    info.min_width = info.min_height = 8;
    info.map = "distance, H x W";
    info.color = "linear RGB, then libjxl's opponent colours; gray counts as three equal channels";
    info.good_values = "max: under 1 hard to tell apart, over 2 visible; pnorm3 is a half to two thirds of it";
    info.reference = "Alakuijala et al.; butteraugli_main of libjxl 0.7";
    info.conventions = {{"max", "the largest distance", {}},
                        {"pnorm3", "the 3-norm, softer: mean of the 3, 6 and 12 norms", {{"pnorm", 3.0}}}};
    info.parameters = {{"intensity_target", "luminance of white, in nits", kButteraugliNits, 1.0, 10000.0, false, {}},
                       {"pnorm", "p of the norm over pixels; 0: the largest distance", 0.0, 0.0, 16.0, false, {}}};
    // What float32 before libjxl becomes behind it.
    info.tolerance = 1e-4;
    return info;
  }

  template <class T, bool tracked>
  static Output<tracked> Run(T& t, const Planes<false>& reference, const Planes<tracked>& distorted,
                             const Settings& settings) {
    const ButteraugliViewing viewing{settings.Number("intensity_target"), kButteraugliAsymmetry};
    Output<tracked> output;
    output.map = ButteraugliMap(t, Map(t, ButteraugliLinear{}, reference),
                                Map(t, ButteraugliLinear{}, distorted.Detached()), viewing);
    output.score = ButteraugliNorm<tracked>(t, output.map, settings.Number("pnorm"));
    if (!t.wants_map()) output.map = Planes<false>();
    return output;
  }
};

LIKENESS_END_TARGET
