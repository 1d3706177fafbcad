// Every tap's moments of two images, the images large or small.
#pragma once

#include <utility>
#include <vector>

#include "kernels/ops/conv_trunk/moments.h"
#include "kernels/ops/conv_trunk/trunk_taps.h"

namespace likeness {
namespace trunk_internal {

inline Region RegionOf(const TapCore& core) {
  return {-core.in_window.left, -core.in_window.top, core.shape.width, core.shape.height};
}

// What windows say of a tap is merged, window after window.
template <class T, bool tracked>
std::vector<FeatureMoments<tracked>> WindowedTapMoments(T& t, const TrunkUse& trunk, const ColorNormalization& color,
                                                        const Planes<false>& reference,
                                                        const Planes<tracked>& distorted) {
  const std::vector<Shape> shapes = TapShapes(*trunk.spec, distorted.shape());
  std::vector<FeatureMoments<tracked>> taps;
  for (const Shape& shape : shapes) {
    FeatureMoments<tracked>& tap = taps.emplace_back();
    tap.reference_mean = t.template MakeOwnScalar<false>(shape.channels);
    tap.reference_variance = t.template MakeOwnScalar<false>(shape.channels);
    tap.distorted_mean = t.template MakeOwnScalar<tracked>(shape.channels);
    tap.distorted_variance = t.template MakeOwnScalar<tracked>(shape.channels);
    tap.difference_variance = t.template MakeOwnScalar<tracked>(shape.channels);
  }
  std::vector<std::int64_t> pixels(taps.size(), 0);
  PassWindows(t, trunk, color, false, reference, distorted,
              [&](T& inner, int tap, const TapCore& core, const auto& r, const auto& d) {
                const Region region = RegionOf(core);
                const auto part = MomentsOf(inner, r, d, region);
                inner.Run({}, [&](auto& device) {
                  MergeMoments(device, ValuesOf(inner, part), region.count(), d.shape().channels,
                               ValuesOf(t, taps[tap]), pixels[tap]);
                });
                pixels[tap] += region.count();
              });
  if constexpr (tracked) {
    std::vector<MomentsReadBack> moments;
    for (const FeatureMoments<true>& tap : taps) moments.push_back(ReadBack(tap));
    // Whoever reads the moments of one tap reads those of all.
    t.Record(taps.back().distorted_mean,
             [trunk, color, reference, distorted, moments = std::move(moments), pixels = std::move(pixels)](T& t) {
               PassWindowsBack(t, trunk, color, false, reference, distorted,
                               [&](T& inner, int tap, const TapCore& core, const auto& r, const auto& d) {
                                 const GradientView at = inner.Gradient(d.slot());
                                 inner.Run({}, [&](auto& device) {
                                   MomentsBackward(device, View(inner, r), View(inner, d), RegionOf(core), pixels[tap],
                                                   moments[tap].Gradients(t), GradientOf(at, d), at.accumulate);
                                 });
                               });
             });
  }
  return taps;
}

}  // namespace trunk_internal

// Of each tap. Images that are too large for the trunk to go through whole (TrunkSpec::whole_pixels) go through in
// windows; the moments are the same but for rounding.
template <class T, bool tracked>
std::vector<FeatureMoments<tracked>> TapMoments(T& t, const TrunkUse& trunk, const ColorNormalization& color,
                                                const Planes<false>& reference, const Planes<tracked>& distorted) {
  const TrunkWindows windows(*trunk.spec, t.device().feature_layout(), trunk.precision, distorted.shape().width,
                             distorted.shape().height, tracked);
  if (!windows.whole()) return trunk_internal::WindowedTapMoments(t, trunk, color, reference, distorted);
  std::vector<FeatureMoments<tracked>> taps;
  trunk_internal::ForEachTap(t, trunk, color, false, reference, distorted,
                             [&](int, const Features<false>& r, const Features<tracked>& d) {
                               taps.push_back(MomentsOf(t, r, d, {0, 0, d.shape().width, d.shape().height}));
                             });
  return taps;
}

}  // namespace likeness
