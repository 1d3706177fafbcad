#pragma once

#include "kernels/metrics/functors.h"
#include "kernels/metrics/lpips/lpips_math.h"
#include "kernels/metrics/mean_score.h"
#include "kernels/metrics/settings.h"
#include "kernels/ops/conv_trunk/tap_distances.h"
#include "kernels/ops/map/map.h"
#include "kernels/ops/reduce/reduce.h"
#include "kernels/ops/resample/resample.h"

LIKENESS_BEGIN_TARGET

inline MetricInfo LpipsInfo(const TrunkSpec& spec, const char* id, const char* faceswap_name) {
  MetricInfo info;
  info.id = id;
  info.family = "learned";
  info.summary = std::string("Distance of deep features that people's judgements weight; ") + spec.network + ".";
  info.symmetric = true;
  info.min_width = info.min_height = spec.min_side;
  info.map = "the taps' distances enlarged to HxW and summed; its mean is close to the score, not equal";
  info.color = "RGB; gray counts as three equal channels";
  info.reference = "Zhang et al. 2018; lpips 0.1.4 (v0.1, normalize=True)";
  info.conventions = {
      {"v0.1", "the authors' package", {}, false},
      {"v0.0",
       "the authors' first version, their version='0.0': images only brought to [-1, 1], heads of its own",
       {},
       false,
       "lpips_v0.0"},
      {"torchmetrics", "feature vectors divided by sqrt(1e-8 + |f|^2)", {}, false},
      {"faceswap", "a tenth of the mean of the map, whose taps lose their padded border", {}}};
  info.aliases = {{faceswap_name, "faceswap"}};
  info.takes_weights = true;
  // Of float32 trunks against double ones: some 2e-7 was seen (docs/lpips.md).
  info.tolerance = 1e-5;
  info.learned = true;
  return info;
}

// Under convention faceswap something must be left of every tap.
inline std::string CheckLpips(const TrunkSpec& spec, const Shape& image, const Settings& settings) {
  if (settings.convention() != "faceswap") return "";
  Shape shape = PackedShape(spec.convs[0], image);
  for (int layer = 0; layer < static_cast<int>(spec.convs.size()); layer += spec.Parts(layer)) {
    const ConvSpec& conv = spec.convs[layer];
    shape = LayerOutput(spec, layer, shape);
    if (!conv.tap || std::min(shape.width, shape.height) > 2 * FaceswapCrop(conv)) continue;
    return "convention faceswap cuts a border off every tap, and of one nothing is left; send larger images or ask "
           "for v0.1";
  }
  return "";
}

template <class T, bool tracked>
Output<tracked> RunLpips(T& t, const TrunkSpec& spec, const Planes<false>& reference, const Planes<tracked>& distorted,
                         const Settings& settings) {
  const bool faceswap = settings.convention() == "faceswap";
  const UnitLength length = settings.convention() == "torchmetrics" ? kTorchmetricsLength : kLpipsLength;
  const Shape image = distorted.shape();
  const ColorNormalization color = settings.convention() == "v0.0" ? kFirstVersionColor : kImageNetColor;
  const auto distances =
      TapDistances(t, settings.Trunk(spec), {color, length, /*linear=*/faceswap}, reference, distorted);
  EnlargedSum<T, tracked> sum(t, image, !faceswap);
  int tap = 0;
  for (const ConvSpec& conv : spec.convs) {
    if (!conv.tap) continue;
    sum.Add(faceswap ? Crop(t, distances[tap], FaceswapCrop(conv)) : distances[tap]);
    ++tap;
  }
  return sum.Score({faceswap ? kFaceswapScale : 1.0, 0.0});
}

struct LpipsAlex {
  static const TrunkSpec& Trunk() { return kAlexTrunk; }
  static MetricInfo Info() {
    MetricInfo info = LpipsInfo(Trunk(), "lpips_alex", "faceswap/lpips_alex");
    info.good_values = "under 0.05 hard to tell apart, over 0.3 plainly different";
    return info;
  }
  static std::string Check(const Shape& image, const Settings& s) { return CheckLpips(Trunk(), image, s); }
  template <class T, bool tracked>
  static Output<tracked> Run(T& t, const Planes<false>& r, const Planes<tracked>& d, const Settings& s) {
    return RunLpips(t, Trunk(), r, d, s);
  }
};

struct LpipsVgg {
  static const TrunkSpec& Trunk() { return kVgg16Trunk; }
  static MetricInfo Info() {
    MetricInfo info = LpipsInfo(Trunk(), "lpips_vgg", "faceswap/lpips_vgg16");
    info.good_values = "under 0.1 hard to tell apart, over 0.4 plainly different; scores more than lpips_alex";
    return info;
  }
  static std::string Check(const Shape& image, const Settings& s) { return CheckLpips(Trunk(), image, s); }
  template <class T, bool tracked>
  static Output<tracked> Run(T& t, const Planes<false>& r, const Planes<tracked>& d, const Settings& s) {
    return RunLpips(t, Trunk(), r, d, s);
  }
};

struct LpipsSqueeze {
  static const TrunkSpec& Trunk() { return kSqueezeNetTrunk; }
  static MetricInfo Info() {
    MetricInfo info = LpipsInfo(Trunk(), "lpips_squeeze", "faceswap/lpips_squeeze");
    info.good_values = "under 0.05 hard to tell apart, over 0.3 plainly different; much like lpips_alex";
    return info;
  }
  static std::string Check(const Shape& image, const Settings& s) { return CheckLpips(Trunk(), image, s); }
  template <class T, bool tracked>
  static Output<tracked> Run(T& t, const Planes<false>& r, const Planes<tracked>& d, const Settings& s) {
    return RunLpips(t, Trunk(), r, d, s);
  }
};

LIKENESS_END_TARGET
