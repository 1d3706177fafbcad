// What every metric that looks through a trunk does alike: two images go through it tap after tap, large ones in
// windows.
#pragma once

#include <algorithm>
#include <vector>

#include "kernels/ops/conv_trunk/conv_trunk.h"
#include "kernels/ops/conv_trunk/trunk_windows.h"
#include "kernels/ops/resample/resample.h"

namespace likeness::trunk_internal {

// The image as it is.
inline constexpr ColorNormalization kImageTap = {{0.0, 0.0, 0.0}, {1.0, 1.0, 1.0}};

// The first convolution of the value whose features, read and written, take most room.
inline int WidestLayer(const TrunkSpec& spec, const Shape& image) {
  Shape shape = PackedShape(spec.convs[0], image);
  std::int64_t most = 0;
  int widest = 0;
  for (int layer = 0; layer < static_cast<int>(spec.convs.size()); layer += spec.Parts(layer)) {
    const ConvSpec& conv = spec.convs[layer];
    const Shape in = conv.pool_kernel > 0 ? PoolOutput(spec.pooling, conv, shape) : shape;
    shape = LayerOutput(spec, layer, shape);
    if (in.count() + shape.count() <= most) continue;
    most = in.count() + shape.count();
    widest = layer;
  }
  return widest;
}

// body(tap, reference's features, distorted's features), tap after tap; `color` is of what the network sees.
template <class T, bool tracked, class Body>
void ForEachTap(T& t, const TrunkUse& trunk, const ColorNormalization& color, bool linear,
                const Planes<false>& reference, const Planes<tracked>& distorted, Body body) {
  int tap = 0;
  if (trunk.spec->image_tap) {
    body(tap++, ImageFeatures(t, trunk, reference, kImageTap), ImageFeatures(t, trunk, distorted, kImageTap));
  }
  Features<false> r;
  Features<tracked> d;
  t.Beside([&] { r = ImageFeatures(t, trunk, reference, color); },
           [&] { d = ImageFeatures(t, trunk, distorted, color); });
  // Where both images' features would take more room than anywhere else, they go one after the other: there one image
  // has enough to do for a GPU.
  const int widest = WidestLayer(*trunk.spec, distorted.shape());
  for (int layer = 0; layer < static_cast<int>(trunk.spec->convs.size()); layer += trunk.spec->Parts(layer)) {
    const ConvSpec& conv = trunk.conv(layer);
    if (conv.pool_kernel > 0) {
      t.Beside([&] { r = PoolBefore(t, trunk, layer, r); }, [&] { d = PoolBefore(t, trunk, layer, d); });
    }
    const bool relu = !(linear && conv.linear);
    const auto step_r = [&] { r = ConvRelu(t, trunk, layer, r, relu); };
    const auto step_d = [&] { d = ConvRelu(t, trunk, layer, d, relu); };
    if (layer == widest) {
      step_r();
      step_d();
    } else {
      t.Beside(step_r, step_d);
    }
    if (conv.tap) body(tap++, r, d);
  }
}

// Of all taps of an image; channels as in features.
inline std::vector<Shape> TapShapes(const TrunkSpec& spec, const Shape& image) {
  std::vector<Shape> shapes;
  if (spec.image_tap) shapes.push_back({image.width, image.height, 3});
  Shape shape = PackedShape(spec.convs[0], image);
  for (int layer = 0; layer < static_cast<int>(spec.convs.size()); layer += spec.Parts(layer)) {
    shape = LayerOutput(spec, layer, shape);
    if (spec.convs[layer].tap) shapes.push_back(shape);
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

// Both images in windows: put(tape, tap, core, reference's features, distorted's features) for every tap of which a
// window has a part. Each window's features live on a tape of their own. The windows are those of a score, so that it
// does not depend on whether a gradient is wanted.
template <class T, bool tracked, class Put>
void PassWindows(T& t, const TrunkUse& trunk, const ColorNormalization& color, bool linear,
                 const Planes<false>& reference, const Planes<tracked>& distorted, Put put) {
  const auto pass = [&](const Shape&, const Margins& margins, const std::vector<TapCore>& cores) {
    T inner(t.device(), t.workspace(), false);
    ForEachTap(inner, trunk, color, linear, Pad(inner, reference, margins, Border::kZero),
               Pad(inner, distorted.Detached(), margins, Border::kZero),
               [&](int tap, const Features<false>& r, const Features<false>& d) {
                 if (!cores[tap].empty()) put(inner, tap, cores[tap], r, d);
               });
  };
  ForEachWindow(trunk, t.device().feature_layout(), distorted.shape(), /*gradient=*/false, pass);
}

// The way back, on which each window's features are computed again: seed(tape, tap, core, ...), called as put is, sends
// a gradient to the distorted image's features or to what it makes of them.
template <class T, class Seed>
void PassWindowsBack(T& t, const TrunkUse& trunk, const ColorNormalization& color, bool linear,
                     const Planes<false>& reference, const Planes<true>& distorted, Seed seed) {
  GradientView gradient = t.Gradient(distorted.slot());
  const auto pass = [&](const Shape& shape, const Margins& margins, const std::vector<TapCore>& cores) {
    T inner(t.device(), t.workspace(), false);
    const auto window = inner.template MakeOwn<true>(shape);
    NeedSamples(t, distorted);
    inner.Run({},
              [&](auto& device) { PadForward(device, t.View(distorted), margins, Border::kZero, inner.View(window)); });
    ForEachTap(inner, trunk, color, linear, Pad(inner, reference, margins, Border::kZero), window,
               [&](int tap, const Features<false>& r, const Features<true>& d) {
                 if (!cores[tap].empty()) seed(inner, tap, cores[tap], r, d);
               });
    inner.BackwardFromSeeds();
    const PlanesView of_window = inner.LeafGradient(window);
    inner.Run({}, [&](auto& device) { PadBackward(device, of_window, margins, Border::kZero, gradient); });
    gradient.accumulate = true;
  };
  ForEachWindow(trunk, t.device().feature_layout(), distorted.shape(), /*gradient=*/true, pass);
}

}  // namespace likeness::trunk_internal
