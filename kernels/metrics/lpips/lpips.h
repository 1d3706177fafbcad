#pragma once

#include "kernels/metrics/functors.h"
#include "kernels/metrics/lpips/lpips_math.h"
#include "kernels/metrics/settings.h"
#include "kernels/ops/conv_trunk/conv_trunk.h"
#include "kernels/ops/map/map.h"
#include "kernels/ops/reduce/reduce.h"
#include "kernels/ops/resample/resample.h"

LIKENESS_BEGIN_TARGET

inline MetricInfo LpipsInfo(const TrunkSpec& spec, const char* id) {
  MetricInfo info;
  info.id = id;
  info.family = "learned";
  info.summary = std::string("Distance of deep features that people's judgements weight; ") + spec.network + ".";
  info.symmetric = true;
  info.min_width = info.min_height = spec.min_side;
  info.map = "the taps' distances enlarged to HxW and summed; its mean is close to the score, not equal";
  info.color = "RGB; gray counts as three equal channels";
  info.reference = "Zhang et al. 2018; lpips 0.1.4 (v0.1, normalize=True)";
  info.conventions = {{"v0.1", "the authors' package", {}},
                      {"torchmetrics", "feature vectors divided by sqrt(1e-8 + |f|^2)", {}}};
  // Of float32 trunks against double ones: some 2e-7 was seen (docs/lpips.md).
  info.tolerance = 1e-5;
  info.learned = true;
  return info;
}

template <class T, bool tracked>
Output<tracked> RunLpips(T& t, const TrunkSpec& spec, const Planes<false>& reference, const Planes<tracked>& distorted,
                         const Settings& settings) {
  const UnitLength length = settings.convention() == "torchmetrics" ? kTorchmetricsLength : kLpipsLength;
  const PreparedTrunk* trunk = settings.trunk();
  const Shape image = distorted.shape();
  auto r = ImageFeatures(t, reference, kImageNetColor, spec.convs[0]);
  auto d = ImageFeatures(t, distorted, kImageNetColor, spec.convs[0]);
  Output<tracked> output;
  int tap = 0;
  for (int layer = 0; layer < static_cast<int>(spec.convs.size()); ++layer) {
    const ConvSpec& conv = spec.convs[layer];
    if (conv.pool_kernel > 0) {
      r = MaxPool(t, r, conv.pool_kernel, conv.pool_stride);
      d = MaxPool(t, d, conv.pool_kernel, conv.pool_stride);
    }
    r = ConvRelu(t, spec, trunk, layer, r);
    d = ConvRelu(t, spec, trunk, layer, d);
    if (!conv.tap) continue;
    auto distance = TapDistance(t, trunk, tap, length, r, d);
    auto mean = Mean(t, distance);
    output.score = tap == 0 ? mean : MapScalars(t, Plus{}, output.score, mean);
    if (t.wants_map()) {
      Planes<false> enlarged = ResizeBilinear(t, distance.Detached(), image.width, image.height);
      output.map = tap == 0 ? enlarged : Map(t, Plus{}, output.map, enlarged);
    }
    ++tap;
  }
  return output;
}

struct LpipsAlex {
  static const TrunkSpec& Trunk() { return kAlexTrunk; }
  static MetricInfo Info() {
    MetricInfo info = LpipsInfo(Trunk(), "lpips_alex");
    info.good_values = "under 0.05 hard to tell apart, over 0.3 plainly different";
    return info;
  }
  template <class T, bool tracked>
  static Output<tracked> Run(T& t, const Planes<false>& r, const Planes<tracked>& d, const Settings& s) {
    return RunLpips(t, Trunk(), r, d, s);
  }
};

struct LpipsVgg {
  static const TrunkSpec& Trunk() { return kVgg16Trunk; }
  static MetricInfo Info() {
    MetricInfo info = LpipsInfo(Trunk(), "lpips_vgg");
    info.good_values = "under 0.1 hard to tell apart, over 0.4 plainly different; scores more than lpips_alex";
    return info;
  }
  template <class T, bool tracked>
  static Output<tracked> Run(T& t, const Planes<false>& r, const Planes<tracked>& d, const Settings& s) {
    return RunLpips(t, Trunk(), r, d, s);
  }
};

LIKENESS_END_TARGET
