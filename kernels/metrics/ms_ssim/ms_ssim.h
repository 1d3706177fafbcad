#pragma once

#include "kernels/metrics/ms_ssim/ms_ssim_math.h"
#include "kernels/metrics/program.h"
#include "kernels/metrics/ssim/ssim_steps.h"
#include "kernels/ops/pool/pool.h"
#include "kernels/ops/reduce/reduce.h"
#include "kernels/ops/resample/resample.h"

LIKENESS_BEGIN_TARGET

struct MsSsim {
  static MetricInfo Info() {
    MetricInfo info;
    info.id = "ms_ssim";
    info.family = "pyramid";
    info.summary = "Multi-scale SSIM: contrast and structure over five scales, luminance at the last.";
    info.direction = Direction::kHigherIsBetter;
    info.range_high = 1.0;
    info.identity = 1.0;
    // 11 at the fifth scale, after four halvings.
    info.min_width = info.min_height = 161;
    info.symmetric = true;
    info.color = "each channel, then mean";
    info.good_values = "over 0.99 hard to tell apart, under 0.95 visible";
    info.reference = "Wang et al. 2003; piq multi_scale_ssim";
    info.conventions = {{"piq", "product for each channel, windows inside the image only", {}},
                        {"torchmetrics", "product of means over channels, mirrored borders; needs 176x176", {}}};
    return info;
  }

  static absl::Status Check(const Shape& shape, const Settings& settings) {
    if (settings.convention() != "torchmetrics" || std::min(shape.width, shape.height) >= 176) return absl::OkStatus();
    return absl::InvalidArgumentError(
        "ms_ssim:torchmetrics needs at least 176x176; send larger images or ask for ms_ssim");
  }

  template <class T, bool tracked>
  static Output<tracked> Run(T& t, const Planes<false>& reference, const Planes<tracked>& distorted,
                             const Settings& settings) {
    const bool torchmetrics = settings.convention() == "torchmetrics";
    SsimWindow window;
    window.taps = GaussianTaps(11, 1.5);
    if (torchmetrics) {
      window.border = Border::kReflect101;
      window.clamp = VarianceClamp::kEach;
    }
    auto pool = [&](auto image) {
      const int odd = torchmetrics ? 0 : image.shape().width % 2 | image.shape().height % 2;
      return MeanPool(t, Pad(t, image, {odd, odd, 0, 0}, Border::kReplicate), 2);
    };
    auto mean = [&](const auto& map) { return torchmetrics ? Mean(t, map) : ChannelMean(t, map); };

    Planes<false> r = reference;
    Planes<tracked> d = distorted;
    Scalar<tracked> product;
    for (int scale = 0; scale < 5; ++scale) {
      if (scale > 0) {
        r = pool(r);
        d = pool(d);
      }
      const Moments<tracked> moments = LocalMoments(t, r, d, window);
      auto map = scale == 4 ? SsimMap(t, moments, window) : ContrastStructureMap(t, moments, window);
      if (torchmetrics && scale < 4) map = Crop(t, map, 5);
      auto factor = MapScalars(t, ReluPower{kMsSsimWeights[scale]}, mean(map));
      product = scale == 0 ? factor : MapScalars(t, Product{}, product, factor);
    }
    return {MeanOf(t, product), Planes<false>(), 0};
  }
};

LIKENESS_END_TARGET
