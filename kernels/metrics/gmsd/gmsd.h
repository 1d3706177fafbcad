#pragma once

#include "kernels/metrics/color_math.h"
#include "kernels/metrics/gmsd/gmsd_math.h"
#include "kernels/metrics/settings.h"
#include "kernels/ops/correlate/correlate.h"
#include "kernels/ops/map/map.h"
#include "kernels/ops/pool/pool.h"
#include "kernels/ops/reduce/reduce.h"
#include "kernels/ops/resample/resample.h"

LIKENESS_BEGIN_TARGET

struct Gmsd {
  static MetricInfo Info() {
    MetricInfo info;
    info.id = "gmsd";
    info.family = "gradient";
    info.summary = "Deviation of the similarity of gradient magnitudes.";
    info.range_high = 0.5;
    info.symmetric = true;
    info.min_width = info.min_height = 2;
    info.map = "1 - similarity, ceil(H/2) x ceil(W/2)";
    info.color = "luma (BT.601)";
    info.good_values = "under 0.05 good, over 0.15 bad";
    info.reference = "Xue et al. 2014; piq gmsd.py";
    info.conventions = {{"piq", "luma, zero padding to even, population deviation", {}},
                        {"pyiqa", "luma rounded to 8 bit, odd rows dropped, sample deviation", {}}};
    info.tolerance = 1e-5;
    return info;
  }

  template <class T, bool tracked>
  static Output<tracked> Run(T& t, const Planes<false>& reference, const Planes<tracked>& distorted,
                             const Settings& settings) {
    const bool pyiqa = settings.convention() == "pyiqa";
    auto edges = [&](const auto& image) {
      auto luma = Luma(t, image);
      if (pyiqa) luma = Map(t, RoundTo255{}, luma);
      if (!pyiqa) luma = Pad(t, luma, OddMargins(luma.shape(), true), Border::kZero);
      luma = MeanPool(t, luma, 2);
      return Map(t, Magnitude{pyiqa ? 1e-12 : 0.0}, Correlate(t, luma, PrewittX(), Border::kZero),
                 Correlate(t, luma, Transposed(PrewittX()), Border::kZero));
    };
    auto similarity = Map(t, Similarity{pyiqa ? 170.0 : kGmsdC}, edges(reference), edges(distorted));
    return {StandardDeviation(t, similarity, /*population=*/!pyiqa),
            t.wants_map() ? Map(t, Linear{-1.0, 1.0}, similarity.Detached()) : Planes<false>(), 0};
  }
};

LIKENESS_END_TARGET
