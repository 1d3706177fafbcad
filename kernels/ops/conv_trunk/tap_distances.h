// Every tap's distance of two images, the images large or small.
#pragma once

#include <algorithm>
#include <utility>
#include <vector>

#include "kernels/ops/conv_trunk/conv_trunk.h"
#include "kernels/ops/conv_trunk/trunk_windows.h"
#include "kernels/ops/resample/resample.h"

namespace likeness {

// What is the same for all taps.
struct TapRule {
  ColorNormalization color;
  UnitLength length;
  bool linear = false;  // taps that can be had without their ReLU are
};

namespace trunk_internal {

// body(tap, reference's features, distorted's features), tap after tap.
template <class T, bool tracked, class Body>
void ForEachTap(T& t, const TrunkUse& trunk, const TapRule& rule, const Planes<false>& reference,
                const Planes<tracked>& distorted, Body body) {
  auto r = ImageFeatures(t, trunk, reference, rule.color);
  auto d = ImageFeatures(t, trunk, distorted, rule.color);
  int tap = 0;
  for (int layer = 0; layer < static_cast<int>(trunk.spec->convs.size()); layer += trunk.spec->Parts(layer)) {
    const ConvSpec& conv = trunk.conv(layer);
    if (conv.pool_kernel > 0) {
      r = PoolBefore(t, trunk, layer, r);
      d = PoolBefore(t, trunk, layer, d);
    }
    const bool relu = !(rule.linear && conv.linear);
    r = ConvRelu(t, trunk, layer, r, relu);
    d = ConvRelu(t, trunk, layer, d, relu);
    if (conv.tap) body(tap++, r, d);
  }
}

// Widths and heights of all taps of an image.
inline std::vector<Shape> TapShapes(const TrunkSpec& spec, const Shape& image) {
  std::vector<Shape> shapes;
  Shape shape = PackedShape(spec.convs[0], image);
  for (int layer = 0; layer < static_cast<int>(spec.convs.size()); layer += spec.Parts(layer)) {
    shape = LayerOutput(spec, layer, shape);
    if (spec.convs[layer].tap) shapes.push_back({shape.width, shape.height, 1});
  }
  return shapes;
}

// Where a window, or its core at a tap, lies in a larger plane and in a smaller one: as a cropping Pad.
inline Margins Cropped(const Shape& from, int left, int top, const Shape& to) {
  return {-top, -left, -(from.height - top - to.height), -(from.width - left - to.width)};
}

struct TapCore {
  Shape shape;  // no width or no height where the last core lies beyond the tap
  Margins in_image;
  Margins in_window;

  bool empty() const { return shape.width < 1 || shape.height < 1; }
};

// A window's part of every tap.
inline std::vector<TapCore> CoresOf(const TrunkSpec& spec, const Shape& image, const TrunkWindow& across,
                                    const TrunkWindow& down, const Shape& window) {
  const std::vector<TapGrid> grids = TapGrids(spec);
  const std::vector<Shape> of_image = TapShapes(spec, image), of_window = TapShapes(spec, window);
  std::vector<TapCore> cores(grids.size());
  for (std::size_t tap = 0; tap < grids.size(); ++tap) {
    const int stride = grids[tap].stride;
    const int left = across.core_begin / stride, top = down.core_begin / stride;
    const int right = across.core_end == image.width ? of_image[tap].width : across.core_end / stride;
    const int bottom = down.core_end == image.height ? of_image[tap].height : down.core_end / stride;
    cores[tap].shape = {right - left, bottom - top, 1};
    cores[tap].in_image = Cropped(of_image[tap], left, top, cores[tap].shape);
    cores[tap].in_window =
        Cropped(of_window[tap], left - across.begin / stride, top - down.begin / stride, cores[tap].shape);
  }
  return cores;
}

// body(shape, margins that crop the image to it, cores) for each window of which some tap has a part.
template <class Body>
void ForEachWindow(const TrunkUse& trunk, FeatureLayout layout, const Shape& image, bool gradient, Body body) {
  const TrunkWindows windows(*trunk.spec, layout, trunk.precision, image.width, image.height, gradient);
  for (const TrunkWindow& down : windows.down()) {
    for (const TrunkWindow& across : windows.across()) {
      const Shape shape{across.end - across.begin, down.end - down.begin, image.channels};
      const std::vector<TapCore> cores = CoresOf(*trunk.spec, image, across, down, shape);
      if (std::all_of(cores.begin(), cores.end(), [](const TapCore& core) { return core.empty(); })) continue;
      body(shape, Cropped(image, across.begin, down.begin, shape), cores);
    }
  }
}

// Each window's features live on a tape of their own; on the way back they are computed again.
template <class T, bool tracked>
std::vector<Planes<tracked>> WindowedTapDistances(T& t, const TrunkUse& trunk, const TapRule& rule,
                                                  const Planes<false>& reference, const Planes<tracked>& distorted) {
  const Shape image = distorted.shape();
  std::vector<Planes<tracked>> taps;
  for (const Shape& shape : TapShapes(*trunk.spec, image)) taps.push_back(t.template MakeOwn<tracked>(shape));
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
                  ForEachTap(inner, trunk, rule, Pad(inner, reference, margins, Border::kZero),
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
        ForEachTap(inner, trunk, rule, Pad(inner, reference, margins, Border::kZero), window,
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

// A plane for each tap, the image tap left out. Images that are too large for the trunk to go through whole
// (TrunkSpec::whole_pixels) go through in windows; the taps are the same.
template <class T, bool tracked>
std::vector<Planes<tracked>> TapDistances(T& t, const TrunkUse& trunk, const TapRule& rule,
                                          const Planes<false>& reference, const Planes<tracked>& distorted) {
  const TrunkWindows windows(*trunk.spec, t.device().feature_layout(), trunk.precision, distorted.shape().width,
                             distorted.shape().height, tracked);
  if (!windows.whole()) return trunk_internal::WindowedTapDistances(t, trunk, rule, reference, distorted);
  std::vector<Planes<tracked>> taps;
  trunk_internal::ForEachTap(t, trunk, rule, reference, distorted,
                             [&](int tap, const Features<false>& r, const Features<tracked>& d) {
                               taps.push_back(TapDistance(t, trunk, tap, rule.length, r, d));
                             });
  return taps;
}

}  // namespace likeness
