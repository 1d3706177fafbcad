#pragma once

#include "kernels/metrics/color_math.h"
#include "kernels/metrics/functors.h"
#include "kernels/metrics/settings.h"
#include "kernels/metrics/vifp/vifp_math.h"
#include "kernels/ops/correlate/correlate.h"
#include "kernels/ops/correlate_bank/correlate_bank.h"
#include "kernels/ops/map_channels/map_channels.h"
#include "kernels/ops/pixel_means/pixel_means.h"
#include "kernels/ops/reduce/reduce.h"

LIKENESS_BEGIN_TARGET

// Of all channels at once: what was left of each, then what there was.
template <int channels>
struct VifAllTerms {
  VifTerms terms;
  LIKENESS_HD auto operator()(const auto& mean_r, const auto& mean_d, const auto& rr, const auto& dd,
                              const auto& rd) const {
    Pack<Vec, 2 * channels> out;
    for (int c = 0; c < channels; ++c) {
      const auto one = terms(mean_r.v[c], mean_d.v[c], rr.v[c], dd.v[c], rd.v[c]);
      out.v[c] = one.v[0];
      out.v[channels + c] = one.v[1];
    }
    return out;
  }
};

struct Vifp {
  static MetricInfo Info() {
    MetricInfo info;
    info.id = "vifp";
    info.family = "perceptual";
    info.summary = "Visual information fidelity in the pixel domain: how much of the reference's information is left.";
    info.direction = Direction::kHigherIsBetter;
    info.identity = 1.0;
    info.min_width = info.min_height = 41;
    info.map = "information left and information there was, of the first scale, each 1 or C x (H-16) x (W-16)";
    info.color = "luma (BT.601) on the 0..255 scale; torchmetrics: every channel by itself on [0, 1]";
    info.good_values = "over 0.6 good, under 0.3 bad; above 1 contrast was enhanced";
    info.reference = "Sheikh and Bovik 2006; piq vif.py";
    info.conventions = {{"piq", "luma, x255", {}}, {"torchmetrics", "mean over channels, not scaled", {}}};
    return info;
  }

  template <class T, bool tracked>
  static Output<tracked> Run(T& t, const Planes<false>& reference, const Planes<tracked>& distorted,
                             const Settings& settings) {
    const bool piq = settings.convention() == "piq";
    const double eps = piq ? 1e-8 : 1e-10;
    const auto centered = [&](const auto& image) {
      const auto x = piq ? Luma(t, image) : image;
      return Map(t, VifCentered{piq ? 255.0 : 1.0}, ChannelMean(t, x.Detached()), x);
    };
    auto r = centered(reference);
    auto d = centered(distorted);
    const int channels = r.shape().channels;

    Output<tracked> out;
    Scalar<tracked> sums;  // for each channel the information left and that there was
    for (int scale = 0; scale < 4; ++scale) {
      const int taps = (16 >> scale) + 1;
      const Kernel window = Separable(GaussianTaps(taps, taps / 5.0));
      if (scale > 0) {
        KernelBank every_second;
        every_second.border = Border::kValid;
        every_second.stride = 2;
        for (int c = 0; c < channels; ++c) every_second.filters.push_back({c, window});
        r = CorrelateBank(t, r, every_second);
        d = CorrelateBank(t, d, every_second);
      }
      const auto blur = [&](const auto& x) { return Correlate(t, x, window, Border::kValid); };
      const auto mean_r = blur(r);
      const auto mean_d = blur(d);
      const auto rr = blur(Map(t, Square{}, r));
      const auto dd = blur(Map(t, Square{}, d));
      const auto rd = blur(Map(t, Product{}, r, d));
      const auto means = PixelMeans(t, VifTerms{eps}, mean_r, mean_d, rr, dd, rd);
      const double count = static_cast<double>(mean_r.shape().plane());
      sums = scale == 0 ? MapScalars(t, Linear{count, 0.0}, means) : MapScalars(t, AddScaled{count}, sums, means);
      if (scale == 0 && t.wants_map()) {
        out.map = MapOf(t, VifTerms{eps}, mean_r, mean_d.Detached(), rr, dd.Detached(), rd.Detached());
        out.map_offset = (taps - 1) / 2;
      }
    }
    for (int c = 0; c < channels; ++c) {
      std::vector<double> left(2 * channels, 0.0), there(2 * channels, 0.0);
      left[2 * c] = there[2 * c + 1] = 1.0;
      const auto ratio =
          MapScalars(t, VifRatio{piq ? 1e-8 : 0.0}, WeightedSum(t, sums, left), WeightedSum(t, sums, there));
      out.score = c == 0 ? ratio : MapScalars(t, Plus{}, out.score, ratio);
    }
    if (channels > 1) out.score = MapScalars(t, Linear{1.0 / channels, 0.0}, out.score);
    return out;
  }

 private:
  template <class T, class... In>
  static Planes<false> MapOf(T& t, const VifTerms& terms, const In&... in) {
    const int channels = std::max({in.shape().channels...});
    if (channels == 1) return MapChannels(t, VifAllTerms<1>{terms}, 2, Channels<1>(in)...);
    return MapChannels(t, VifAllTerms<3>{terms}, 6, Channels<3>(in)...);
  }
};

LIKENESS_END_TARGET
