#pragma once

#include "kernels/metrics/color_math.h"
#include "kernels/metrics/mean_score.h"
#include "kernels/metrics/settings.h"
#include "kernels/metrics/ssim/ssim_steps.h"
#include "kernels/ops/pool/pool.h"
#include "kernels/ops/reduce/reduce.h"

LIKENESS_BEGIN_TARGET

// A convention of SSIM, as the window that it uses and what it does to the images first.
struct SsimConvention {
  SsimWindow window;
  bool pool_to_256 = false;  // mean pool by Factor256 first
  bool luma = false;
  bool round_u8 = false;  // to whole numbers on the 0..255 scale
};

inline SsimConvention ReadSsimConvention(const Settings& settings) {
  const std::string& name = settings.convention();
  const double peak = name == "pyiqa" || name == "pyiqa_color" ? 255.0 : 1.0;
  SsimConvention convention;
  SsimWindow& window = convention.window;
  window.taps = GaussianTaps(11, settings.Number("sigma"));
  window.c1 = std::pow(settings.Number("k1") * peak, 2);
  window.c2 = std::pow(settings.Number("k2") * peak, 2);
  window.offset = 0.5 * peak;
  if (name == "skimage_default") {
    window.taps = Taps(7, 1.0 / 7.0);
    window.covariance_factor = 49.0 / 48.0;
  } else if (name == "piq") {
    convention.pool_to_256 = true;
  } else if (name == "pyiqa" || name == "pyiqa_color") {
    convention.luma = name == "pyiqa";
    convention.round_u8 = true;
    window.relu_cs = true;
  } else if (name == "torchmetrics") {
    window.border = Border::kReflect101;
    window.clamp = VarianceClamp::kEach;
  } else if (name == "fused_ssim") {
    window.border = Border::kZero;
    window.offset = 0.0;
    window.clamp = VarianceClamp::kEach;
    window.clamp_index = true;
  } else if (name == "faceswap") {
    window.border = Border::kReflect101;
    window.clamp = VarianceClamp::kSum;
  } else if (name == "kornia") {
    window.border = Border::kReflect101;
  }
  return convention;
}

// Mean S, and the map of S, in a convention.
template <class T, bool tracked>
Output<tracked> RunSsim(T& t, const Planes<false>& reference, const Planes<tracked>& distorted,
                        const Settings& settings, const Linear& loss = {1.0, 0.0}) {
  const SsimConvention convention = ReadSsimConvention(settings);
  auto prepare = [&](auto image) {
    if (convention.luma) image = Luma(t, image);
    if (convention.round_u8) image = Map(t, RoundTo255{}, image);
    return convention.pool_to_256 ? MeanPool(t, image, Factor256(image.shape())) : image;
  };
  const auto m = LocalMoments(t, prepare(reference), prepare(distorted), convention.window);
  const int offset =
      convention.window.border == Border::kValid ? static_cast<int>(convention.window.taps.size()) / 2 : 0;
  return MappedScore(t, SsimIndexOf(convention.window), offset, loss, m.mean_r, m.mean_d, m.square_r, m.square_d,
                     m.product);
}

// The fused walk has the Gaussian window, on the images as they come, and no clamps: variances fall below 0, and S
// leaves [-1, 1], by rounding alone, so that all a clamp would change is rounding.
inline std::optional<WalkRequest> SsimWalkFor(const Settings& s, const Linear& loss) {
  const SsimConvention convention = ReadSsimConvention(s);
  const SsimWindow& window = convention.window;
  if (convention.pool_to_256 || convention.luma || convention.round_u8) return std::nullopt;
  if (window.taps.size() != 11 || window.relu_cs || window.covariance_factor != 1.0) return std::nullopt;
  WalkRequest request;
  request.walk = SsimWalk{s.Number("sigma"), s.Number("k1"), s.Number("k2"), loss.scale, loss.offset, window.border};
  return request;
}

inline std::vector<ParameterInfo> SsimParameters() {
  return {{"sigma", "of the Gaussian window, in pixels; 11 taps", 1.5, 0.1, 5.0, false, {}},
          {"k1", "C1 = (k1 L)^2 keeps the luminance term finite", 0.01, 1e-6, 1.0, false, {}},
          {"k2", "C2 = (k2 L)^2 keeps the structure term finite", 0.03, 1e-6, 1.0, false, {}}};
}

inline MetricInfo SsimInfo() {
  MetricInfo info;
  info.family = "structural";
  info.min_width = info.min_height = 11;
  info.symmetric = true;
  info.takes_weights = true;
  info.color = "each channel, then mean";
  info.reference =
      "Wang et al. 2004; skimage structural_similarity(gaussian_weights=True, sigma=1.5, "
      "use_sample_covariance=False, data_range=1)";
  info.parameters = SsimParameters();
  return info;
}

struct Ssim {
  static MetricInfo Info() {
    MetricInfo info = SsimInfo();
    info.id = "ssim";
    info.summary = "Structural similarity: luminance, contrast and structure in an 11x11 Gaussian window.";
    info.direction = Direction::kHigherIsBetter;
    info.range_low = -1.0;
    info.range_high = 1.0;
    info.identity = 1.0;
    info.map = "S, C x (H-10) x (W-10) at (5, 5) where windows lie inside the image";
    info.good_values = "over 0.98 hard to tell apart, under 0.9 visible, under 0.7 bad";
    info.conventions = {
        {"wang", "windows inside the image only; skimage with gaussian_weights=True", {}},
        {"skimage_default", "uniform 7x7 window, sample covariance; sigma is not used", {}},
        {"piq", "first mean pooled by max(1, round(shorter side / 256))", {}},
        {"pyiqa", "luma rounded to 8 bit, cs clamped at 0", {}},
        {"pyiqa_color", "ssimc: every channel rounded to 8 bit, cs clamped at 0", {}},
        {"torchmetrics", "mirrored border, each variance clamped at 0; data_range=1", {}},
        {"fused_ssim", "zero border, each variance clamped at 0, S clamped to [-1, 1]; padding=same", {}},
        {"faceswap", "mirrored border, sum of variances clamped at 0; S, not 1 - S", {}},
        {"kornia", "mirrored border", {}}};
    return info;
  }
  static std::optional<WalkRequest> Walk(const Settings& s) { return SsimWalkFor(s, Linear{1.0, 0.0}); }
  template <class T, bool tracked>
  static Output<tracked> Run(T& t, const Planes<false>& r, const Planes<tracked>& d, const Settings& settings) {
    return RunSsim(t, r, d, settings);
  }
};

struct Dssim {
  static MetricInfo Info() {
    MetricInfo info = SsimInfo();
    info.id = "dssim";
    info.summary = "Structural dissimilarity, SSIM as a loss: (1 - S) / 2.";
    info.range_high = 1.0;
    info.map = "(1 - S) / 2, C x (H-10) x (W-10) at (5, 5) where windows lie inside the image";
    info.good_values = "under 0.01 hard to tell apart, over 0.05 visible";
    info.conventions = {{"half", "(1 - S) / 2 of ssim:wang", {}},
                        {"one_minus", "1 - S of ssim:wang; up to 2", {}},
                        {"faceswap", "1 - S of ssim:faceswap; up to 2", {}},
                        {"kornia", "(1 - S) / 2 of ssim:kornia", {}}};
    info.aliases = {{"faceswap/ssim", "faceswap"}};
    return info;
  }
  static std::optional<WalkRequest> Walk(const Settings& s) { return SsimWalkFor(s, LossOf(s)); }
  template <class T, bool tracked>
  static Output<tracked> Run(T& t, const Planes<false>& r, const Planes<tracked>& d, const Settings& settings) {
    return RunSsim(t, r, d, settings, LossOf(settings));
  }

 private:
  static Linear LossOf(const Settings& settings) {
    const bool whole = settings.convention() == "one_minus" || settings.convention() == "faceswap";
    return whole ? Linear{-1.0, 1.0} : Linear{-0.5, 0.5};
  }
};

LIKENESS_END_TARGET
