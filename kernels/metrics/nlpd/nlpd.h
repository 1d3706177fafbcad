#pragma once

#include "kernels/metrics/color_math.h"
#include "kernels/metrics/nlpd/nlpd_math.h"
#include "kernels/metrics/settings.h"
#include "kernels/ops/correlate/correlate.h"
#include "kernels/ops/map/map.h"
#include "kernels/ops/pixel_means/pixel_means.h"
#include "kernels/ops/pyramid/pyramid.h"

LIKENESS_BEGIN_TARGET

struct Nlpd {
  static MetricInfo Info() {
    MetricInfo info;
    info.id = "nlpd";
    info.family = "perceptual";
    info.summary = "Distance of Laplacian pyramids whose bands are normalized by what lies around them.";
    info.symmetric = true;
    // One sample at the sixth level, after five halvings.
    info.min_width = info.min_height = 32;
    info.map = "|difference| of the normalized finest bands, HxW";
    info.color = "luma (BT.601)";
    info.good_values = "under 0.1 hard to tell apart, over 0.4 bad";
    info.reference = "Laparra et al. 2016; pyiqa nlpd_arch.py";
    info.conventions = {{"pyiqa", "six levels of luma as it is", {}}};
    return info;
  }

  template <class T, bool tracked>
  static Output<tracked> Run(T& t, const Planes<false>& reference, const Planes<tracked>& distorted, const Settings&) {
    Planes<false> r = Luma(t, reference);
    Planes<tracked> d = Luma(t, distorted);
    Output<tracked> out;
    for (int level = 0; level < kNlpdLevels; ++level) {
      const bool last = level == kNlpdLevels - 1;
      // Takes the level's band out of `image`, which becomes the next level.
      const auto band_of = [&](auto& image) {
        if (last) return image;
        const auto next = PyramidDown(t, image, NlpdTaps());
        const auto enlarged = PyramidUp(t, next, NlpdTaps(), image.shape().width, image.shape().height);
        const auto band = Map(t, PlainDifference{}, image, enlarged);
        image = next;
        return band;
      };
      const auto around = [&](const auto& band) {
        return Correlate(t, Map(t, AbsoluteValue{}, band), NlpdNeighbours(kNlpdConstants[level]), Border::kZero);
      };
      const auto band_r = band_of(r);
      const auto band_d = band_of(d);
      const NormalizedDifference squared{kNlpdConstants[level].sigma};
      const auto around_r = around(band_r);
      const auto around_d = around(band_d);
      const auto mean = ChannelMeans(t, squared, band_r, around_r, band_d, around_d);
      const auto distance = MapScalars(t, SquareRoot{}, mean);
      out.score = level == 0 ? distance : MapScalars(t, Plus{}, out.score, distance);
      if (level == 0 && t.wants_map()) {
        out.map = Map(t, SquareRoot{}, Map(t, squared, band_r, around_r, band_d.Detached(), around_d.Detached()));
      }
    }
    out.score = MapScalars(t, Linear{1.0 / kNlpdLevels, 0.0}, out.score);
    return out;
  }
};

LIKENESS_END_TARGET
