#pragma once

#include "kernels/metrics/ffl/ffl_math.h"
#include "kernels/metrics/settings.h"
#include "kernels/ops/fft/fft.h"
#include "kernels/ops/map/map.h"
#include "kernels/ops/reduce/reduce.h"
#include "kernels/ops/resample/resample.h"
#include "kernels/walks/walk_request.h"

LIKENESS_BEGIN_TARGET

struct Ffl {
  static MetricInfo Info() {
    MetricInfo info;
    info.id = "ffl";
    info.family = "frequency";
    info.summary = "Focal frequency loss: squared spectrum of the error, weighted to its own peaks.";
    info.symmetric = true;
    info.map = "w |F(e)|^2, the spectrum: frequencies, not pixels; unshifted; (H/p)x(W/p) a channel, mean over patches";
    info.color = "every channel alike";
    info.good_values = "compare images of one size only";
    info.reference = "Jiang et al. 2021; focal-frequency-loss";
    info.conventions = {{"detached", "the weight is a constant for the gradient, as the authors have it", {}},
                        {"faceswap", "the gradient flows through the weight and its maximum", {}}};
    info.aliases = {{"faceswap/ffl", "faceswap"}};
    info.parameters = {
        {"alpha", "exponent of the weight", 1.0, 0.01, 8.0, false, {}},
        {"patch_factor", "patches along a side; both sides must be divisible by it", 1.0, 1.0, 64.0, true, {}},
        {"log_matrix", "weight by log(1 + w)", false, {}, {}, false, {}},
        {"loss_weight", "factor on the score", 1.0, 0.0, 1e9, false, {}}};
    return info;
  }

  static std::optional<WalkRequest> Walk(const Settings& settings) {
    if (settings.convention() != "detached" || settings.Number("patch_factor") != 1.0) return std::nullopt;
    WalkRequest request;
    request.walk = FflWalk{settings.Number("alpha"), settings.Flag("log_matrix"), settings.Number("loss_weight")};
    return request;
  }

  static std::string Check(const Shape& shape, const Settings& settings) {
    const int p = static_cast<int>(settings.Number("patch_factor"));
    if (shape.width % p == 0 && shape.height % p == 0) return "";
    return "ffl.patch_factor is " + std::to_string(p) + " and the images are " + std::to_string(shape.width) + "x" +
           std::to_string(shape.height) + "; it must divide both sides";
  }

  template <class T, bool tracked>
  static Output<tracked> Run(T& t, const Planes<false>& reference, const Planes<tracked>& distorted,
                             const Settings& settings) {
    const int p = static_cast<int>(settings.Number("patch_factor"));
    const SpectrumWeight weight{settings.Number("alpha"), settings.Flag("log_matrix")};
    const bool detached = settings.convention() == "detached";
    auto error = Map(t, Difference{}, reference, distorted);
    const Shape whole = error.shape();
    const int width = whole.width / p, height = whole.height / p;

    Output<tracked> out;
    for (int patch = 0; patch < p * p; ++patch) {
      const int top = patch / p * height, left = patch % p * width;
      const Margins crop{-top, -left, top + height - whole.height, left + width - whole.width};
      auto spectrum = RealFft(t, Pad(t, error, crop, Border::kZero));
      auto squared = Map(t, SquaredNorm{}, SelectChannels(t, spectrum, 0, whole.channels),
                         SelectChannels(t, spectrum, whole.channels, whole.channels));
      auto weigh = [&](const auto& source, double floor) {
        auto w = Map(t, weight, source);
        return Map(t, NormalizedTimes{floor}, w, ChannelMax(t, w), squared);
      };
      auto focal = detached ? weigh(squared.Detached(), 0.0) : weigh(squared, 1e-6);
      auto mean = SpectrumMean(t, focal, width);
      out.score = patch == 0 ? mean : MapScalars(t, Plus{}, out.score, mean);
      if (t.wants_map()) {
        auto map = FullSpectrum(t, focal.Detached(), width);
        out.map = patch == 0 ? map : Map(t, Plus{}, out.map, map);
      }
    }
    out.score = MapScalars(t, Linear{settings.Number("loss_weight") / (p * p), 0.0}, out.score);
    if (t.wants_map()) out.map = Map(t, Linear{1.0 / (p * p), 0.0}, out.map);
    return out;
  }
};

LIKENESS_END_TARGET
