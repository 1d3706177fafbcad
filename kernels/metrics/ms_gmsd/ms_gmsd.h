#pragma once

#include "kernels/metrics/color_math.h"
#include "kernels/metrics/ms_gmsd/ms_gmsd_math.h"
#include "kernels/metrics/settings.h"
#include "kernels/ops/correlate/correlate.h"
#include "kernels/ops/map/map.h"
#include "kernels/ops/pixel_means/pixel_means.h"
#include "kernels/ops/pool/pool.h"
#include "kernels/ops/reduce/reduce.h"
#include "kernels/ops/resample/resample.h"

LIKENESS_BEGIN_TARGET

// From one scale to the next.
template <class T, bool tracked>
Planes<tracked> HalveForGmsd(T& t, const Planes<tracked>& image) {
  return MeanPool(t, Pad(t, image, OddMargins(image.shape(), true), Border::kZero), 2);
}

// The weighted root of the scales' squared deviations, on luma.
template <class T, bool tracked>
Scalar<tracked> RunMsGmsd(T& t, const Planes<false>& reference, const Planes<tracked>& distorted) {
  auto r = Luma(t, reference);
  auto d = Luma(t, distorted);
  const auto edges = [&](const auto& luma) {
    return Map(t, Magnitude{}, Correlate(t, luma, PrewittX(), Border::kZero),
               Correlate(t, luma, Transposed(PrewittX()), Border::kZero));
  };
  Scalar<tracked> sum;
  for (int scale = 0; scale < kMsGmsdScales; ++scale) {
    if (scale > 0) {
      r = HalveForGmsd(t, r);
      d = HalveForGmsd(t, d);
    }
    const auto deviation = StandardDeviation(t, Map(t, MaskedSimilarity{}, edges(r), edges(d)));
    const double weight = kMsGmsdWeights[scale];
    sum = scale == 0 ? MapScalars(t, WeightedSquare{weight}, deviation)
                     : MapScalars(t, AddWeightedSquare{weight}, sum, deviation);
  }
  return MapScalars(t, SquareRoot{}, sum);
}

inline MetricInfo MsGmsdInfo() {
  MetricInfo info;
  info.family = "gradient";
  info.symmetric = true;
  info.min_width = info.min_height = 17;
  info.conventions = {{"piq", "four scales from the full size on, zero padding to even", {}}};
  return info;
}

struct MsGmsd {
  static MetricInfo Info() {
    MetricInfo info = MsGmsdInfo();
    info.id = "ms_gmsd";
    info.summary = "Deviation of the similarity of gradient magnitudes over four scales.";
    info.range_high = 0.5;
    info.color = "luma (BT.601)";
    info.good_values = "under 0.05 good, over 0.15 bad";
    info.reference = "Zhang et al. 2017; piq multi_scale_gmsd";
    return info;
  }

  template <class T, bool tracked>
  static Output<tracked> Run(T& t, const Planes<false>& reference, const Planes<tracked>& distorted, const Settings&) {
    return {RunMsGmsd(t, reference, distorted), Planes<false>(), 0};
  }
};

struct MsGmsdc {
  static MetricInfo Info() {
    MetricInfo info = MsGmsdInfo();
    info.id = "ms_gmsdc";
    info.summary = "ms_gmsd with a term for colour differences.";
    info.color = "luma (BT.601) and the chroma of YIQ";
    info.good_values = "under 0.05 good, over 0.15 bad";
    info.reference = "Zhang et al. 2017; piq multi_scale_gmsd(chromatic=True)";
    return info;
  }

  template <class T, bool tracked>
  static Output<tracked> Run(T& t, const Planes<false>& reference, const Planes<tracked>& distorted, const Settings&) {
    const auto s = RunMsGmsd(t, reference, distorted);
    if (reference.shape().channels == 1) return {MapScalars(t, WithChroma{}, s), Planes<false>(), 0};
    // Chroma and means are linear: the chroma of the error is the error of the chroma.
    auto chroma = MapColor(t, ChromaIq{}, Map(t, Difference{}, reference, distorted), 2);
    for (int scale = 1; scale < kMsGmsdScales; ++scale) chroma = HalveForGmsd(t, chroma);
    return {MapScalars(t, WithChroma{}, s, MeanOf(t, ChannelMeans(t, Square{}, chroma))), Planes<false>(), 0};
  }
};

LIKENESS_END_TARGET
