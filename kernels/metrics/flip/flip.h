#pragma once

#include <optional>

#include "kernels/metrics/flip/flip_filters.h"
#include "kernels/metrics/flip/flip_math.h"
#include "kernels/metrics/mean_score.h"
#include "kernels/metrics/settings.h"
#include "kernels/ops/correlate_bank/correlate_bank.h"

LIKENESS_BEGIN_TARGET

struct Flip {
  static MetricInfo Info() {
    MetricInfo info;
    info.id = "flip";
    info.family = "perceptual";
    info.summary = "LDR-FLIP: the difference that is seen when two images are flipped in place.";
    info.range_high = 1.0;
    info.symmetric = true;
    info.takes_weights = true;
    info.map = "FLIP error, HxW";
    info.color = "sRGB to opponent colours as the eye resolves them; gray is R = G = B";
    info.good_values = "0 no difference, under 0.05 hard to see, 1 the largest";
    info.reference = "Andersson et al. 2020; NVIDIA flip v1.7";
    info.conventions = {{"nvidia", "LDR-FLIP, mean of the map", {}}};
    info.aliases = {{"faceswap/flip", "nvidia"}};
    info.parameters = {{"ppd",
                        "pixels per degree of visual angle; the default is 0.7 m from a 0.7 m wide 4K screen",
                        kFlipPpd,
                        1.0,
                        400.0,
                        false,
                        {}}};
    return info;
  }

  static std::optional<WalkRequest> Walk(const Settings& settings) {
    const double ppd = settings.Number("ppd");
    if (ppd > kFlipWalkMostPpd) return std::nullopt;
    WalkRequest request;
    request.walk = FlipWalk{ppd};
    return request;
  }

  template <class T, bool tracked>
  static Output<tracked> Run(T& t, const Planes<false>& reference, const Planes<tracked>& distorted,
                             const Settings& settings) {
    const KernelBank bank = FlipFilters(settings.Number("ppd"));
    const auto seen = [&](const auto& image) {
      return CorrelateBank(t, MapColorOrGray(t, FlipOpponent{}, image), bank);
    };
    return MeanScore(t, MapChannels(t, FlipError{}, 1, Channels<7>(seen(reference)), Channels<7>(seen(distorted))));
  }
};

LIKENESS_END_TARGET
