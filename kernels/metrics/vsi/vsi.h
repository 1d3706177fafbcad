#pragma once

#include "kernels/metrics/settings.h"
#include "kernels/metrics/ssim/ssim_steps.h"
#include "kernels/metrics/vsi/vsi_math.h"
#include "kernels/ops/correlate/correlate.h"
#include "kernels/ops/fft/fft.h"
#include "kernels/ops/filter_bank/filter_bank.h"
#include "kernels/ops/map_channels/map_channels.h"
#include "kernels/ops/order/order.h"
#include "kernels/ops/pool/pool.h"
#include "kernels/ops/reduce/reduce.h"
#include "kernels/ops/resample/resample.h"

LIKENESS_BEGIN_TARGET

struct Vsi {
  static MetricInfo Info() {
    MetricInfo info;
    info.id = "vsi";
    info.family = "perceptual";
    info.summary = "Visual saliency-induced index: saliency, gradient magnitude and chroma, where the eye is drawn.";
    info.direction = Direction::kHigherIsBetter;
    info.range_high = 1.0;
    info.identity = 1.0;
    info.symmetric = true;
    info.min_width = info.min_height = 2;
    info.map = "similarity of saliency, gradient and chroma, pooled size; the score weights it by saliency";
    info.color =
        "Lab of decoded sRGB (saliency), opponent LMN of encoded values (the rest); gray is three equal channels";
    info.good_values = "over 0.99 hard to tell apart, under 0.97 visible, under 0.93 bad";
    info.reference = "L. Zhang et al. 2014; piq vsi.py";
    info.conventions = {{"piq", "mean pooled by max(1, round(shorter side / 256)), edges repeated", {}}};
    info.tolerance = 1e-4;
    return info;
  }

  template <class T, bool tracked>
  static Output<tracked> Run(T& t, const Planes<false>& reference, const Planes<tracked>& distorted, const Settings&) {
    const int factor = Factor256(reference.shape());
    auto pool = [&](const auto& x) { return MeanPool(t, x, factor, factor / 2, Border::kReplicate); };
    auto edges = [&](const auto& lightness) {
      return Map(t, Magnitude{}, Correlate(t, lightness, ScharrX(), Border::kZero),
                 Correlate(t, lightness, Transposed(ScharrX()), Border::kZero));
    };
    auto saliency = [&](const auto& image) {
      auto whole = ResizeByCorners(t, SmallSaliency(t, image), image.shape().width, image.shape().height);
      return Map(t, VsiStretch{}, pool(whole), Min(t, whole), Max(t, whole));
    };
    auto saliency_r = saliency(reference);
    auto saliency_d = saliency(distorted);
    auto r = Rgb(t, pool(reference));
    auto d = Rgb(t, pool(distorted));
    auto index = MapChannels(t, VsiIndex{}, 1, saliency_r, saliency_d, edges(MapColor(t, VsiLightness{}, r, 1)),
                             edges(MapColor(t, VsiLightness{}, d, 1)), Channels<2>(MapColor(t, VsiOpponent{}, r, 2)),
                             Channels<2>(MapColor(t, VsiOpponent{}, d, 2)));
    auto weight = Map(t, VsiLarger{}, saliency_r, saliency_d);
    return {MapScalars(t, VsiQuotient{}, Sum(t, Map(t, Product{}, index, weight)), Sum(t, weight)),
            t.wants_map() ? index.Detached() : Planes<false>(), 0};
  }

 private:
  template <class T, bool tracked>
  static Planes<tracked> Rgb(T& t, const Planes<tracked>& x) {
    return x.shape().channels == 3 ? x : MapChannels(t, VsiGrayToRgb{}, 3, x);
  }

  // SDSP at 256x256, not yet stretched.
  template <class T, bool tracked>
  static Planes<tracked> SmallSaliency(T& t, const Planes<tracked>& image) {
    const BankSpec bank = VsiBank();
    auto lab = MapColor(t, VsiLab{}, Rgb(t, ResizeBilinear(t, image, kVsiSide, kVsiSide)), 3);
    auto passed = Map(t, Product{}, RealFft(t, lab), BankPlanes(t, bank, 0, 1, kVsiSide / 2 + 1));
    auto ab = SelectChannels(t, lab, 1, 2);
    auto stretched = Map(t, VsiStretch{}, ab, ChannelMin(t, ab), ChannelMax(t, ab));
    return MapChannels(t, VsiSaliency{}, 1, Channels<3>(InverseRealFft(t, passed, kVsiSide)), Channels<2>(stretched),
                       BankPlanes(t, bank, 1, 1, kVsiSide));
  }
};

LIKENESS_END_TARGET
