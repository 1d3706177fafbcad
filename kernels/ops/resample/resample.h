// Geometry: padding, cropping, enlarging. All linear, each with its transpose.
#pragma once

#include <algorithm>
#include <vector>

#include "kernels/ops/border.h"
#include "kernels/ops/load/load.h"
#include "kernels/ops/reduce/reduce.h"
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
  if (!t.IsKnown(out)) NeedSamples(t, x);
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

// Along one axis of ResizeBilinear: how often each sample counts in the sum of what it becomes.
inline std::vector<double> ResizeShares(int in, int out) {
  std::vector<double> shares(in, 0.0);
  for (int i = 0; i < out; ++i) {
    const double at = std::max(0.0, (i + 0.5) * in / out - 0.5);
    const int low = std::min(static_cast<int>(at), in - 1);
    shares[low] += 1.0 - (at - low);
    shares[std::min(low + 1, in - 1)] += at - low;
  }
  return shares;
}

// Whether all samples count alike.
inline bool CountAlike(const Shape& in, int width, int height) {
  return width % in.width == 0 && height % in.height == 0;
}

// Mean(ResizeBilinear(x, width, height)), of which the larger image is not made: a sample counts as often as its column
// does times as often as its row does.
template <class T, bool tracked>
Scalar<tracked> MeanOfResized(T& t, const Planes<tracked>& x, int width, int height) {
  const Shape in = x.shape();
  if (CountAlike(in, width, height)) return Mean(t, x);
  auto out = t.template MakeScalar<tracked>(1, "MeanOfResized", x, width, height);
  const Shape resized{width, height, in.channels};
  const Cost cost{in.count() * t.device().bytes_per_sample(), 2 * in.count()};
  t.RunFor(out, cost, [&](auto& device) { MeanOfResizedForward(device, t.View(x), resized, t.Values(out)); });
  if constexpr (tracked) {
    t.Record(out, [x = x.slot(), out = out.slot(), resized, cost](T& t) {
      const GradientView gradient = t.Gradient(x);
      t.Run(cost, [&](auto& device) { MeanOfResizedBackward(device, resized, t.UpstreamValues(out), gradient); });
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
