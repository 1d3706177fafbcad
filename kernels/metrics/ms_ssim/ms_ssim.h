#pragma once

#include "kernels/metrics/color_math.h"
#include "kernels/metrics/mean_score.h"
#include "kernels/metrics/ms_ssim/ms_ssim_math.h"
#include "kernels/metrics/settings.h"
#include "kernels/metrics/ssim/ssim_steps.h"
#include "kernels/ops/pixel_means/pixel_means.h"
#include "kernels/ops/pool/pool.h"
#include "kernels/ops/reduce/reduce.h"
#include "kernels/ops/resample/resample.h"

LIKENESS_BEGIN_TARGET

// A convention of MS-SSIM: its windows, and how it comes from one scale to the next.
struct MsSsimConvention {
  SsimWindow window;
  bool rounded_luma = false;
  bool over_channels = false;  // means over all channels, then one product
  bool crop_cs = false;        // cs, but not S, loses what mirrored borders reach
  // What makes odd sides even; kValid drops the last row and column.
  Border odd_border = Border::kReplicate;
  bool odd_at_end = false;    // at the bottom and the right, not at the top and the left
  bool odd_together = false;  // both sides as soon as one is odd
};

inline MsSsimConvention PiqMsSsim() {
  MsSsimConvention convention;
  convention.window.taps = GaussianTaps(11, 1.5);
  convention.odd_together = true;
  return convention;
}

inline MsSsimConvention ReadMsSsimConvention(const std::string& name) {
  MsSsimConvention convention = PiqMsSsim();
  SsimWindow& window = convention.window;
  if (name == "torchmetrics") {
    window.border = Border::kReflect101;
    window.clamp = VarianceClamp::kEach;
    convention.over_channels = convention.crop_cs = true;
    convention.odd_border = Border::kValid;
  } else if (name == "pyiqa") {
    window.c1 = std::pow(0.01 * 255.0, 2);
    window.c2 = std::pow(0.03 * 255.0, 2);
    window.offset = 0.5 * 255.0;
    window.relu_cs = true;
    convention.rounded_luma = true;
    convention.odd_border = Border::kZero;
    convention.odd_together = false;
  }
  return convention;
}

inline MsSsimConvention FaceswapMsSsim(const Shape& shape, bool spatial) {
  MsSsimConvention convention;
  const int smallest = std::min(shape.width, shape.height) >> 4;
  convention.window.taps = GaussianTaps(std::min(11, (smallest - 1) | 1), 1.5);
  convention.window.clamp = VarianceClamp::kSum;
  convention.odd_at_end = true;
  if (spatial) {
    convention.window.border = Border::kReflect101;
    convention.window.relu_cs = true;
  }
  return convention;
}

inline std::optional<WalkRequest> MsSsimWalkFor(double scale, double offset) {
  WalkRequest request;
  request.walk = MsSsimWalk{.scale = scale, .offset = offset};
  return request;
}

// use(scale, f, moments) with f of moments being cs at each scale, S at the last.
template <class T, bool tracked, class Use>
void ForEachScale(T& t, Planes<false> r, Planes<tracked> d, const MsSsimConvention& convention, Use use) {
  const auto pool = [&](auto image) {
    const Shape& shape = image.shape();
    int odd_x = shape.width % 2, odd_y = shape.height % 2;
    if (convention.odd_together) odd_x = odd_y = odd_x | odd_y;
    if (convention.odd_border == Border::kValid) odd_x = odd_y = 0;
    const Margins margins = convention.odd_at_end ? Margins{0, 0, odd_y, odd_x} : Margins{odd_y, odd_x, 0, 0};
    return MeanPool(t, Pad(t, image, margins, convention.odd_border), 2);
  };
  if (convention.rounded_luma) {
    r = Map(t, RoundTo255{}, Luma(t, r));
    d = Map(t, RoundTo255{}, Luma(t, d));
  }
  for (int scale = 0; scale < 5; ++scale) {
    if (scale > 0) {
      r = pool(r);
      d = pool(d);
    }
    const Moments<tracked> moments = LocalMoments(t, r, d, convention.window);
    if (scale == 4) {
      use(scale, SsimIndexOf(convention.window), moments);
    } else {
      use(scale, ContrastStructureOf(convention.window), moments);
    }
  }
}

// P of means.
template <class T, bool tracked>
Scalar<tracked> MsSsimProduct(T& t, const Planes<false>& reference, const Planes<tracked>& distorted,
                              const MsSsimConvention& convention) {
  Scalar<tracked> product;
  ForEachScale(t, reference, distorted, convention, [&](int scale, const auto& f, const Moments<tracked>& m) {
    const bool cropped = convention.crop_cs && scale < 4;
    auto mean = cropped ? ChannelMean(t, Crop(t, MomentsMap(t, f, m), 5))
                        : ChannelMeans(t, f, m.mean_r, m.mean_d, m.square_r, m.square_d, m.product);
    if (convention.over_channels) mean = MeanOf(t, mean);
    const auto factor = MapScalars(t, ReluPower{kMsSsimWeights[scale]}, mean);
    product = scale == 0 ? factor : MapScalars(t, Product{}, product, factor);
  });
  return MeanOf(t, product);
}

// P of each sample.
template <class T, bool tracked>
Planes<tracked> MsSsimProductMap(T& t, const Planes<false>& reference, const Planes<tracked>& distorted) {
  const Shape whole = reference.shape();
  Planes<tracked> factors[5];
  ForEachScale(t, reference, distorted, FaceswapMsSsim(whole, true),
               [&](int scale, const auto& f, const Moments<tracked>& m) {
                 factors[scale] = ResizeBilinear(t, MomentsMap(t, f, m), whole.width, whole.height);
               });
  return Map(t, ScaleProduct{}, factors[0], factors[1], factors[2], factors[3], factors[4]);
}

inline std::string CheckMsSsimSize(const char* id, const Shape& shape, const Settings& settings, int least) {
  if (std::min(shape.width, shape.height) >= least) return "";
  const auto size = [](int width, int height) { return std::to_string(width) + "x" + std::to_string(height); };
  return id + (":" + settings.convention()) + " needs at least " + size(least, least) + ", the images are " +
         size(shape.width, shape.height) + "; send larger images or ask for another convention";
}

inline MetricInfo MsSsimInfo() {
  MetricInfo info;
  info.family = "pyramid";
  info.range_high = 1.0;
  info.symmetric = true;
  info.color = "each channel, then mean";
  return info;
}

struct MsSsim {
  static MetricInfo Info() {
    MetricInfo info = MsSsimInfo();
    info.id = "ms_ssim";
    info.summary = "Multi-scale SSIM: contrast and structure over five scales, luminance at the last.";
    info.direction = Direction::kHigherIsBetter;
    info.identity = 1.0;
    // 11 at the fifth scale, after four halvings.
    info.min_width = info.min_height = 161;
    info.good_values = "over 0.99 hard to tell apart, under 0.95 visible";
    info.reference = "Wang et al. 2003; piq multi_scale_ssim";
    info.conventions = {{"piq", "product for each channel, windows inside the image only", {}},
                        {"torchmetrics", "product of means over channels, mirrored borders; needs 176x176", {}},
                        {"pyiqa", "luma rounded to 8 bit, cs clamped at 0, odd sides padded with zeros", {}}};
    return info;
  }

  static std::optional<WalkRequest> Walk(const Settings& settings) {
    if (settings.convention() != "piq") return std::nullopt;
    return MsSsimWalkFor(1.0, 0.0);
  }

  static std::string Check(const Shape& shape, const Settings& settings) {
    return CheckMsSsimSize("ms_ssim", shape, settings, settings.convention() == "torchmetrics" ? 176 : 161);
  }

  template <class T, bool tracked>
  static Output<tracked> Run(T& t, const Planes<false>& reference, const Planes<tracked>& distorted,
                             const Settings& settings) {
    return {MsSsimProduct(t, reference, distorted, ReadMsSsimConvention(settings.convention())), Planes<false>(), 0};
  }
};

struct MsDssim {
  static MetricInfo Info() {
    MetricInfo info = MsSsimInfo();
    info.id = "ms_dssim";
    info.summary = "Multi-scale structural dissimilarity, MS-SSIM as a loss: 1 - P.";
    // 3 taps at the fifth scale, after four halvings.
    info.min_width = info.min_height = 48;
    info.takes_weights = true;
    info.map = "1 - P of each sample, scales enlarged to CxHxW; the score is its mean in convention faceswap only";
    info.good_values = "under 0.01 hard to tell apart, over 0.05 visible";
    info.reference = "Wang et al. 2003; piq multi_scale_ssim; faceswap MSSIMLoss";
    info.conventions = {
        {"one_minus", "1 - ms_ssim:piq; needs 161x161", {}, false},
        {"faceswap", "product for each sample of the enlarged scales, mirrored borders, then mean", {}},
        {"faceswap_scalar", "product of means for each channel, windows inside the image only", {}, false}};
    info.aliases = {{"faceswap/ms_ssim", "faceswap"}};
    return info;
  }

  static std::optional<WalkRequest> Walk(const Settings& settings) {
    if (settings.convention() != "one_minus") return std::nullopt;
    return MsSsimWalkFor(kLoss.scale, kLoss.offset);
  }

  static std::string Check(const Shape& shape, const Settings& settings) {
    return CheckMsSsimSize("ms_dssim", shape, settings, settings.convention() == "one_minus" ? 161 : 48);
  }

  template <class T, bool tracked>
  static Output<tracked> Run(T& t, const Planes<false>& reference, const Planes<tracked>& distorted,
                             const Settings& settings) {
    if (settings.convention() == "faceswap") {
      return MeanScore(t, MsSsimProductMap(t, reference, distorted), 0, kLoss);
    }
    const bool piq = settings.convention() == "one_minus";
    const auto convention = piq ? PiqMsSsim() : FaceswapMsSsim(reference.shape(), false);
    Output<tracked> out;
    out.score = MapScalars(t, kLoss, MsSsimProduct(t, reference, distorted, convention));
    if (t.wants_map()) out.map = Map(t, kLoss, MsSsimProductMap(t, reference, distorted.Detached()));
    return out;
  }

 private:
  static constexpr Linear kLoss{-1.0, 1.0};
};

LIKENESS_END_TARGET
