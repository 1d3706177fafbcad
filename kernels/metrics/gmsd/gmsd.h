#pragma once

#include <optional>

#include "kernels/metrics/color_math.h"
#include "kernels/metrics/gmsd/gmsd_math.h"
#include "kernels/metrics/mean_score.h"
#include "kernels/metrics/settings.h"
#include "kernels/ops/correlate/correlate.h"
#include "kernels/ops/map/map.h"
#include "kernels/ops/pool/pool.h"
#include "kernels/ops/reduce/reduce.h"
#include "kernels/ops/resample/resample.h"

LIKENESS_BEGIN_TARGET

struct Gmsd {
  static MetricInfo Info() {
    MetricInfo info;
    info.id = "gmsd";
    info.family = "gradient";
    info.summary = "Deviation of the similarity of gradient magnitudes.";
    info.range_high = 0.5;
    info.symmetric = true;
    info.takes_weights = true;
    info.min_width = info.min_height = 2;
    info.map =
        "1 - similarity, ceil(H/2) x ceil(W/2), with pyiqa the floor of both; with faceswap and faceswap_deviation its "
        "mean over kernels, HxW";
    info.color = "luma (BT.601); with faceswap and faceswap_deviation every channel";
    info.good_values = "under 0.05 good, over 0.15 bad";
    info.reference = "Xue et al. 2014; piq gmsd.py";
    info.conventions = {{"piq", "luma, zero padding to even, population deviation", {}, false},
                        {"pyiqa", "luma rounded to 8 bit, odd rows dropped, sample deviation", {}, false},
                        {"faceswap", "mean of 1 - similarity of signed 5x5 responses of each channel, up to 2", {}},
                        {"faceswap_deviation", "the same similarities' sample deviation", {}, false}};
    info.aliases = {{"faceswap/gmsd", "faceswap"}};
    info.tolerance = 1e-5;
    return info;
  }

  static std::optional<WalkRequest> Walk(const Settings& settings) {
    const bool pyiqa = settings.convention() == "pyiqa";
    if (!pyiqa && settings.convention() != "piq") return std::nullopt;
    WalkRequest request;
    request.walk = GmsdWalk{pyiqa};
    return request;
  }

  template <class T, bool tracked>
  static Output<tracked> Run(T& t, const Planes<false>& reference, const Planes<tracked>& distorted,
                             const Settings& settings) {
    if (settings.convention() == "faceswap" || settings.convention() == "faceswap_deviation") {
      return RunFaceswap(t, reference, distorted, settings.convention() == "faceswap_deviation");
    }
    const bool pyiqa = settings.convention() == "pyiqa";
    auto edges = [&](const auto& image) {
      auto luma = Luma(t, image);
      if (pyiqa) luma = Map(t, RoundTo255{}, luma);
      if (!pyiqa) luma = Pad(t, luma, OddMargins(luma.shape(), true), Border::kZero);
      luma = MeanPool(t, luma, 2);
      return Map(t, GmsdMagnitude(pyiqa), Correlate(t, luma, PrewittX(), Border::kZero),
                 Correlate(t, luma, Transposed(PrewittX()), Border::kZero));
    };
    auto similarity = Map(t, GmsdSimilarity(pyiqa), edges(reference), edges(distorted));
    return {StandardDeviation(t, similarity, /*population=*/!pyiqa),
            t.wants_map() ? Map(t, Linear{-1.0, 1.0}, similarity.Detached()) : Planes<false>(), 0};
  }

 private:
  // What faceswap's kernels make of an image: of the second channel (the only one of a gray image) both responses.
  template <bool tracked>
  struct Responses {
    Planes<tracked> vertical_first, vertical_second, horizontal_second, horizontal_third;
  };

  template <class T, bool tracked>
  static Responses<tracked> Respond(T& t, const Planes<tracked>& image) {
    const bool gray = image.shape().channels == 1;
    const auto channel = [&](int c) { return gray ? image : MapColor(t, ChannelOf{c}, image, 1); };
    const auto vertical = [&](const auto& x) { return Correlate(t, x, FaceswapScharr(), Border::kReflect101); };
    const auto horizontal = [&](const auto& x) {
      return Correlate(t, x, Transposed(FaceswapScharr()), Border::kReflect101);
    };
    const auto second = channel(1);
    Responses<tracked> out{{}, vertical(second), horizontal(second), {}};
    if (gray) return out;
    out.vertical_first = vertical(channel(0));
    out.horizontal_third = horizontal(channel(2));
    return out;
  }

  template <class T, bool tracked>
  static Output<tracked> RunFaceswap(T& t, const Planes<false>& reference, const Planes<tracked>& distorted,
                                     bool deviation) {
    const auto r = Respond(t, reference);
    const auto d = Respond(t, distorted);
    const auto of_responses = [&](const auto& use) {
      if (reference.shape().channels == 1) {
        return use(r.vertical_second, d.vertical_second, r.horizontal_second, d.horizontal_second);
      }
      return use(r.vertical_first, d.vertical_first, r.vertical_second, d.vertical_second, r.horizontal_second,
                 d.horizontal_second, r.horizontal_third, d.horizontal_third);
    };
    Output<tracked> out = of_responses([&](const auto&... response) {
      return MappedScore(t, MeanDissimilarity{}, 0, {1.0, 0.0}, response...);
    });
    if (!deviation) return out;
    // The distances from the mean add up to 0, and so does what would flow through it.
    const auto spread = of_responses(
        [&](const auto&... response) { return Map(t, SpreadOfDissimilarity{}, out.score.Detached(), response...); });
    const double count = 2.0 * static_cast<double>(reference.shape().count());
    out.score = MapScalars(t, SampleDeviation{count}, Mean(t, spread));
    return out;
  }
};

LIKENESS_END_TARGET
