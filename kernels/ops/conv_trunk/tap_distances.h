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

// Each window's features live on a tape of their own; on the way back they are computed again.
template <class T, bool tracked>
std::vector<Planes<tracked>> WindowedTapDistances(T& t, const TrunkUse& trunk, const TapRule& rule,
                                                  const Planes<false>& reference, const Planes<tracked>& distorted) {
  const Shape image = distorted.shape();
  std::vector<Planes<tracked>> taps;
  for (const Shape& shape : TapShapes(*trunk.spec, image)) {
    taps.push_back(t.template MakeOwn<tracked>(Shape{shape.width, shape.height, 1}));
  }
  std::vector<bool> begun(taps.size(), false);
  ForEachWindow(trunk, t.device().feature_layout(), image, tracked,
                [&](const Shape&, const Margins& margins, const std::vector<TapCore>& cores) {
                  T inner(t.device(), t.workspace(), false);
                  const auto put = [&](int tap, const Features<false>& r, const Features<false>& d) {
                    const Planes<false> distance = TapDistance(inner, trunk, tap, rule.length, r, d);
                    if (cores[tap].empty()) return;
                    const Planes<false> core = Pad(inner, distance, cores[tap].in_window, Border::kZero);
                    // What crops on the way there pads on the way back: the first core leaves zeros around it.
                    inner.Run({}, [&](auto& device) {
                      PadBackward(device, inner.View(core), cores[tap].in_image, Border::kZero,
                                  {inner.View(taps[tap]), begun[tap]});
                    });
                    begun[tap] = true;
                  };
                  ForEachTap(inner, trunk, rule.color, rule.linear, Pad(inner, reference, margins, Border::kZero),
                             Pad(inner, distorted.Detached(), margins, Border::kZero), put);
                });
  if constexpr (tracked) {
    std::vector<Slot> slots;
    for (const Planes<tracked>& tap : taps) slots.push_back(tap.slot());
    // Whoever reads one tap reads them all.
    t.Record(taps.back(), [trunk, rule, reference, distorted, slots = std::move(slots)](T& t) {
      GradientView gradient = t.Gradient(distorted.slot());
      const auto back = [&](const Shape& shape, const Margins& margins, const std::vector<TapCore>& cores) {
        T inner(t.device(), t.workspace(), false);
        const auto window = inner.template MakeOwn<true>(shape);
        inner.Run({}, [&](auto& device) {
          PadForward(device, t.View(distorted), margins, Border::kZero, inner.View(window));
        });
        std::vector<Planes<true>> distances;
        ForEachTap(inner, trunk, rule.color, rule.linear, Pad(inner, reference, margins, Border::kZero), window,
                   [&](int tap, const Features<false>& r, const Features<true>& d) {
                     distances.push_back(TapDistance(inner, trunk, tap, rule.length, r, d));
                   });
        for (std::size_t tap = 0; tap < slots.size(); ++tap) {
          if (cores[tap].empty()) continue;
          const Planes<false> core = inner.Scratch(cores[tap].shape);
          const GradientView seed = inner.Gradient(distances[tap].slot());
          inner.Run({}, [&](auto& device) {
            PadForward(device, t.Upstream(slots[tap]), cores[tap].in_image, Border::kZero, inner.View(core));
            PadBackward(device, inner.View(core), cores[tap].in_window, Border::kZero, seed);
          });
        }
        inner.BackwardFromSeeds();
        const PlanesView of_window = inner.LeafGradient(window);
        inner.Run({}, [&](auto& device) { PadBackward(device, of_window, margins, Border::kZero, gradient); });
        gradient.accumulate = true;
      };
      ForEachWindow(trunk, t.device().feature_layout(), distorted.shape(), true, back);
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
