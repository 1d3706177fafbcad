// How a large image goes through a trunk: in windows that overlap, so that memory is a window's and not the image's.
//
// Each window has a core, and the cores tile the image. What a tap has at the core's pixels depends on nothing beyond
// the window's edge, for the window reaches as far around the core as the tap looks. Windows begin on multiples of all
// of the trunk's strides, so that its grids are the whole image's; at the image's own edges they end with it, and see
// the same padding. The taps are those of the whole image.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/ops/conv_trunk/features_layout.h"
#include "kernels/ops/conv_trunk/trunk_weights.h"

namespace likeness {

// Along one side of an image, in its pixels.
struct TrunkWindow {
  int begin, end;
  int core_begin, core_end;
};

// Where a tap's samples lie: sample i looks at pixels stride * i - before to stride * i + after.
struct TapGrid {
  int stride = 1;
  int before = 0;
  int after = 0;

  void Through(int kernel, int step, int padding) {
    before += stride * padding;
    after += stride * (kernel - 1 - padding);
    stride *= step;
  }
};

// Of the taps in order.
inline std::vector<TapGrid> TapGrids(const TrunkSpec& spec) {
  std::vector<TapGrid> grids;
  TapGrid grid;
  if (spec.image_tap) grids.push_back(grid);
  for (int layer = 0; layer < static_cast<int>(spec.convs.size()); layer += spec.Parts(layer)) {
    const ConvSpec& first = spec.convs[layer];
    if (first.pool_kernel > 0 && spec.pooling == Pooling::kL2) {
      grid.Through(3, 2, 1);
    } else if (first.pool_kernel > 0) {
      grid.Through(first.pool_kernel, first.pool_stride, 0);
    }
    int widest = layer;
    for (int part = layer; part < layer + spec.Parts(layer); ++part) {
      if (spec.convs[part].kernel > spec.convs[widest].kernel) widest = part;
    }
    grid.Through(spec.convs[widest].kernel, first.stride, spec.convs[widest].padding);
    if (first.tap) grids.push_back(grid);
  }
  return grids;
}

// One window where the image goes through as a whole.
class TrunkWindows {
 public:
  // Decided by the trunk, the layout and precision of its features, the size of the image, and whether a gradient goes
  // back through them.
  TrunkWindows(const TrunkSpec& spec, FeatureLayout layout, Precision precision, int width, int height, bool gradient) {
    const std::int64_t most = gradient ? spec.whole_pixels_gradient : spec.whole_pixels;
    const bool fast = precision == Precision::kFast;
    // Where features are rounded, copies take room beside them. A slot of a GPU has images and results in it as well,
    // but features that are stored as half.
    std::int64_t pixels = fast ? most / 5 * 4 : most;
    if (layout == FeatureLayout::kPixels) pixels = most / 4 * (fast ? 6 : 3);
    if (most == 0 || std::int64_t{width} * height <= pixels) {
      across_ = {{0, width, 0, width}};
      down_ = {{0, height, 0, height}};
      return;
    }
    const TapGrid last = TapGrids(spec).back();
    const int around = RoundUp(std::max(last.before, last.after), last.stride);
    // A little under what would go through whole: the images themselves take room as well.
    const int side = static_cast<int>(std::sqrt(0.9 * static_cast<double>(pixels)));
    across_ = Along(width, side, around, last.stride);
    down_ = Along(height, side, around, last.stride);
  }

  const std::vector<TrunkWindow>& across() const { return across_; }
  const std::vector<TrunkWindow>& down() const { return down_; }
  bool whole() const { return across_.size() * down_.size() == 1; }

 private:
  static int RoundUp(int n, int to) { return (n + to - 1) / to * to; }

  static std::vector<TrunkWindow> Along(int side, int window, int around, int stride) {
    const int most = std::max(stride, (window - 2 * around) / stride * stride);
    const int count = (side + most - 1) / most;
    const int core = RoundUp((side + count - 1) / count, stride);
    std::vector<TrunkWindow> windows;
    for (int begin = 0; begin < side; begin += core) {
      const int end = std::min(side, begin + core);
      windows.push_back({std::max(0, begin - around), std::min(side, end + around), begin, end});
    }
    return windows;
  }

  std::vector<TrunkWindow> across_;
  std::vector<TrunkWindow> down_;
};

}  // namespace likeness
