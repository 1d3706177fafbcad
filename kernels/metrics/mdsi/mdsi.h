#pragma once

#include "kernels/metrics/mdsi/mdsi_math.h"
#include "kernels/metrics/settings.h"
#include "kernels/metrics/srgb.h"
#include "kernels/metrics/ssim/ssim_steps.h"
#include "kernels/ops/correlate_bank/correlate_bank.h"
#include "kernels/ops/map_channels/map_channels.h"
#include "kernels/ops/pixel_means/pixel_means.h"
#include "kernels/ops/pool/pool.h"
#include "kernels/ops/reduce/reduce.h"

LIKENESS_BEGIN_TARGET

struct Mdsi {
  static MetricInfo Info() {
    MetricInfo info;
    info.id = "mdsi";
    info.family = "perceptual";
    info.summary = "Mean deviation of the similarity of gradients and chroma.";
    info.range_high = 1.0;
    info.min_width = info.min_height = 2;
    info.map = "|z - mean z|, ceil(H/k) x ceil(W/k), k = round(shorter side / 256)";
    info.color = "L, H and M of the paper; gray is R = G = B";
    info.good_values = "under 0.2 good, over 0.45 bad";
    info.reference = "Ziaei Nafchi et al. 2016; piq mdsi.py";
    info.conventions = {{"sum", "gradients and chroma are added, 0.6 to 0.4", {}},
                        {"mult", "gradients^0.2 times chroma^0.1", {}}};
    return info;
  }

  template <class T, bool tracked>
  static Output<tracked> Run(T& t, const Planes<false>& reference, const Planes<tracked>& distorted,
                             const Settings& settings) {
    const int factor = Factor256(reference.shape());
    const auto lhm = [&](const auto& image) {
      return MapColorOrGray(t, MdsiLhm{}, MeanPool(t, image, factor, (factor - 1) / 2, Border::kZero));
    };
    const KernelBank gradient{{{0, PrewittX()}, {0, Transposed(PrewittX())}}};
    const auto r = lhm(reference);
    const auto d = lhm(distorted);
    const auto z =
        MapChannels(t, MdsiValue{settings.convention() == "mult"}, 2, Channels<2>(CorrelateBank(t, r, gradient)),
                    Channels<3>(r), Channels<2>(CorrelateBank(t, d, gradient)), Channels<3>(d));
    const auto mean = ChannelMean(t, z);
    const auto deviation = MapChannels(t, MdsiDeviation{}, 1, Channels<2>(z), WeightedSum(t, mean, {1.0, 0.0}),
                                       WeightedSum(t, mean, {0.0, 1.0}));
    return {MapScalars(t, MdsiScore{}, Mean(t, deviation)), t.wants_map() ? deviation.Detached() : Planes<false>(), 0};
  }
};

LIKENESS_END_TARGET
