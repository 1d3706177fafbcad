// Every tap's distance of two images, the images large or small.
#pragma once

#include <utility>
#include <vector>

#include "kernels/ops/conv_trunk/trunk_taps.h"

namespace likeness {

// What is the same for all taps.
struct TapRule {
  ColorNormalization color;
  UnitLength length;
  bool linear = false;  // taps that can be had without their ReLU are
};

namespace trunk_internal {

template <class T, bool tracked>
std::vector<Planes<tracked>> WindowedTapDistances(T& t, const TrunkUse& trunk, const TapRule& rule,
                                                  const Planes<false>& reference, const Planes<tracked>& distorted) {
  std::vector<Planes<tracked>> taps;
  for (const Shape& shape : TapShapes(*trunk.spec, distorted.shape())) {
    taps.push_back(t.template MakeOwn<tracked>(Shape{shape.width, shape.height, 1}));
  }
  std::vector<bool> begun(taps.size(), false);
  PassWindows(
      t, trunk, rule.color, rule.linear, reference, distorted,
      [&](T& inner, int tap, const TapCore& core, const auto& r, const auto& d) {
        const Planes<false> distance = TapDistance(inner, trunk, tap, rule.length, r, d);
        const Planes<false> of_core = Pad(inner, distance, core.in_window, Border::kZero);
        // What crops on the way there pads on the way back: the first core leaves zeros around it.
        inner.Run({}, [&](auto& device) {
          PadBackward(device, inner.View(of_core), core.in_image, Border::kZero, {inner.View(taps[tap]), begun[tap]});
        });
        begun[tap] = true;
      });
  if constexpr (tracked) {
    std::vector<Slot> slots;
    for (const Planes<tracked>& tap : taps) slots.push_back(tap.slot());
    // Whoever reads one tap reads them all.
    t.Record(taps.back(), [trunk, rule, reference, distorted, slots = std::move(slots)](T& t) {
      PassWindowsBack(t, trunk, rule.color, rule.linear, reference, distorted,
                      [&](T& inner, int tap, const TapCore& core, const auto& r, const auto& d) {
                        const Planes<true> distance = TapDistance(inner, trunk, tap, rule.length, r, d);
                        const Planes<false> of_core = inner.Scratch(core.shape);
                        const GradientView seed = inner.Gradient(distance.slot());
                        inner.Run({}, [&](auto& device) {
                          PadForward(device, t.Upstream(slots[tap]), core.in_image, Border::kZero, inner.View(of_core));
                          PadBackward(device, inner.View(of_core), core.in_window, Border::kZero, seed);
                        });
                      });
    });
  }
  return taps;
}

}  // namespace trunk_internal

// A plane for each tap. Images that are too large for the trunk to go through whole
// (TrunkSpec::whole_pixels) go through in windows; the taps are the same.
template <class T, bool tracked>
std::vector<Planes<tracked>> TapDistances(T& t, const TrunkUse& trunk, const TapRule& rule,
                                          const Planes<false>& reference, const Planes<tracked>& distorted) {
  const TrunkWindows windows(*trunk.spec, t.device().feature_layout(), trunk.precision, distorted.shape().width,
                             distorted.shape().height, tracked);
  if (!windows.whole()) return trunk_internal::WindowedTapDistances(t, trunk, rule, reference, distorted);
  std::vector<Planes<tracked>> taps;
  trunk_internal::ForEachTap(t, trunk, rule.color, rule.linear, reference, distorted,
                             [&](int tap, const Features<false>& r, const Features<tracked>& d) {
                               taps.push_back(TapDistance(t, trunk, tap, rule.length, r, d));
                             });
  return taps;
}

}  // namespace likeness
