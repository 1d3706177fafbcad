#pragma once

#include "kernels/metrics/functors.h"
#include "kernels/metrics/haarpsi/haarpsi_math.h"
#include "kernels/metrics/settings.h"
#include "kernels/ops/correlate_bank/correlate_bank.h"
#include "kernels/ops/map_channels/map_channels.h"
#include "kernels/ops/pixel_means/pixel_means.h"
#include "kernels/ops/pool/pool.h"
#include "kernels/ops/resample/resample.h"

LIKENESS_BEGIN_TARGET

struct HaarPsi {
  static MetricInfo Info() {
    MetricInfo info;
    info.id = "haarpsi";
    info.family = "perceptual";
    info.summary = "Similarity of Haar wavelet responses, weighted by the coarser ones.";
    info.direction = Direction::kHigherIsBetter;
    info.range_high = info.identity = 1.0;
    info.symmetric = true;
    info.min_width = info.min_height = 16;
    info.map =
        "similarity of horizontal edges, vertical edges and, of colour images, chroma, 3 x ceil(H/2) x ceil(W/2)";
    info.color = "YIQ; a gray image has Y alone";
    info.good_values = "over 0.9 good, under 0.5 bad";
    info.reference = "Reisenhofer et al. 2018; piq haarpsi.py";
    info.conventions = {{"piq", "three sizes, images halved first", {}}};
    return info;
  }

  template <class T, bool tracked>
  static Output<tracked> Run(T& t, const Planes<false>& reference, const Planes<tracked>& distorted, const Settings&) {
    const auto halve = [&](const auto& image) {
      return MeanPool(t, Pad(t, image, OddMargins(image.shape(), true), Border::kZero), 2);
    };
    if (reference.shape().channels == 1) {
      return Compare<false>(t, Map(t, Linear{255.0, 0.0}, halve(reference)),
                            Map(t, Linear{255.0, 0.0}, halve(distorted)));
    }
    return Compare<true>(t, MapColor(t, HaarYiq{}, halve(reference), 3), MapColor(t, HaarYiq{}, halve(distorted), 3));
  }

 private:
  static KernelBank Filters(bool color) {
    KernelBank bank;
    std::vector<Kernel> horizontal, vertical;
    for (const int size : {2, 4, 8}) {
      Taps sum(size, 1.0), difference(size, 1.0 / size);
      for (int i = size / 2; i < size; ++i) difference[i] = -1.0 / size;
      horizontal.push_back({{{difference, sum}}});
      vertical.push_back({{{sum, difference}}});
    }
    for (const Kernel& kernel : horizontal) bank.filters.push_back({0, kernel});
    for (const Kernel& kernel : vertical) bank.filters.push_back({0, kernel});
    if (color) {
      for (const int channel : {1, 2}) bank.filters.push_back({channel, Separable({0.5, 0.5})});
    }
    return bank;
  }

  template <bool color, class T, bool tracked>
  static Output<tracked> Compare(T& t, const Planes<false>& reference, const Planes<tracked>& distorted) {
    constexpr int kResponses = color ? 8 : 6;
    const auto r = CorrelateBank(t, reference, Filters(color));
    const auto d = CorrelateBank(t, distorted, Filters(color));
    const auto means = PixelMeans(t, HaarWeighted<color>{}, r, d);
    Output<tracked> out;
    out.score = MapScalars(t, HaarScore{}, WeightedSum(t, means, {1.0, 0.0}), WeightedSum(t, means, {0.0, 1.0}));
    if (t.wants_map()) {
      out.map =
          MapChannels(t, HaarMaps<color>{}, color ? 3 : 2, Channels<kResponses>(r), Channels<kResponses>(d.Detached()));
    }
    return out;
  }
};

LIKENESS_END_TARGET
