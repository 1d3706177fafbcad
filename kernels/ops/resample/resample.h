// Geometry: padding, cropping, enlarging. All linear, each with its transpose.
#pragma once

#include "kernels/ops/border.h"
#include "kernels/ops/tape.h"

namespace likeness {

struct Margins {
  int top = 0;
  int left = 0;
  int bottom = 0;
  int right = 0;
};

// Pads by `margins`; a negative margin crops.
template <class T, bool tracked>
Planes<tracked> Pad(T& t, const Planes<tracked>& x, const Margins& margins, Border border) {
  if (margins.top == 0 && margins.left == 0 && margins.bottom == 0 && margins.right == 0) return x;
  const Shape in = x.shape();
  auto out = t.template Make<tracked>(
      Shape{in.width + margins.left + margins.right, in.height + margins.top + margins.bottom, in.channels}, "Pad", x,
      margins, border);
  const Cost cost{(in.count() + out.shape().count()) * t.device().bytes_per_sample(), 0};
  t.RunFor(out, cost, [&](auto& device) { PadForward(device, t.View(x), margins, border, t.View(out)); });
  if constexpr (tracked) {
    t.Record(out, [x = x.slot(), out = out.slot(), margins, border, cost](T& t) {
      const GradientView gradient = t.Gradient(x);
      t.Run(cost, [&](auto& device) { PadBackward(device, t.Upstream(out), margins, border, gradient); });
    });
  }
  return out;
}

template <class T, bool tracked>
Planes<tracked> Crop(T& t, const Planes<tracked>& x, int by) {
  return Pad(t, x, {-by, -by, -by, -by}, Border::kZero);
}

// Pads an odd side (or, when `both`, both sides as soon as one is odd) to even.
inline Margins OddMargins(const Shape& shape, bool both) {
  const int odd_x = shape.width % 2, odd_y = shape.height % 2;
  const int any = odd_x | odd_y;
  return {0, 0, both ? any : odd_y, both ? any : odd_x};
}

// Bilinear, sample centres at half integers (torch align_corners=False), clamped at the edges, no antialiasing.
template <class T, bool tracked>
Planes<tracked> ResizeBilinear(T& t, const Planes<tracked>& x, int width, int height) {
  const Shape in = x.shape();
  if (in.width == width && in.height == height) return x;
  auto out = t.template Make<tracked>(Shape{width, height, in.channels}, "ResizeBilinear", x, width, height);
  const Cost cost{(in.count() + out.shape().count()) * t.device().bytes_per_sample(), 6 * out.shape().count()};
  t.RunFor(out, cost, [&](auto& device) { ResizeForward(device, t.View(x), t.View(out)); });
  if constexpr (tracked) {
    t.Record(out, [x = x.slot(), out = out.slot(), cost](T& t) {
      const GradientView gradient = t.Gradient(x);
      t.Run(cost, [&](auto& device) { ResizeBackward(device, t.Upstream(out), gradient); });
    });
  }
  return out;
}

// Bilinear, the outermost samples of both images coinciding (torch align_corners=True), no antialiasing.
template <class T, bool tracked>
Planes<tracked> ResizeByCorners(T& t, const Planes<tracked>& x, int width, int height) {
  const Shape in = x.shape();
  if (in.width == width && in.height == height) return x;
  auto out = t.template Make<tracked>(Shape{width, height, in.channels}, "ResizeByCorners", x, width, height);
  const Cost cost{(in.count() + out.shape().count()) * t.device().bytes_per_sample(), 6 * out.shape().count()};
  t.RunFor(out, cost, [&](auto& device) { ResizeByCornersForward(device, t.View(x), t.View(out)); });
  if constexpr (tracked) {
    t.Record(out, [x = x.slot(), out = out.slot(), cost](T& t) {
      const GradientView gradient = t.Gradient(x);
      t.Run(cost, [&](auto& device) { ResizeByCornersBackward(device, t.Upstream(out), gradient); });
    });
  }
  return out;
}

}  // namespace likeness
