// How SSIM's march divides an image among blocks and its sums among partial ones: from the shape alone.
#pragma once

#include "kernels/ops/correlate/correlate.h"
#include "kernels/ops/cuda_device.h"
#include "kernels/walks/march_grid.h"
#include "kernels/walks/ssim_edges_cuda.cuh"

LIKENESS_BEGIN_TARGET

// How the samples of a pair lie: HWC is one plane whose rows interleave the channels. With a border, of the image
// filled up by it.
struct SsimGrid {
  static constexpr int kTaps = 11;
  // From the first sample of a window to its last.
  static constexpr int kSpan = kTaps - 1;
  // Sums are kept by strips of so many columns and by bands, the same with and without a gradient.
  static constexpr int kStrip = 32;
  // Of a block with gradient.
  static constexpr int kGradientColumns = 160;
  // Two blocks for each multiprocessor of a large GPU, if bands of 32 rows allow it.
  static constexpr int kLeastBlocks = 264;

  Border border;
  int planes;
  int rows;
  int row_samples;
  int map_row_samples;
  int band_rows;
  int bands;
  int strips;
  int apart;  // channels of a row that are summed each for itself; 1: all together

  static SsimGrid Of(const ImageView& image, Border border, bool by_channel) {
    const bool planar = image.layout == Layout::kChw && image.channels > 1;
    SsimGrid grid;
    grid.border = border;
    const int both = border == Border::kValid ? 0 : 2 * kSsimBorder;
    grid.planes = planar ? image.channels : 1;
    grid.rows = image.height + both;
    const int distance = planar ? 1 : image.channels;
    grid.apart = by_channel ? distance : 1;
    grid.row_samples = (image.width + both) * distance;
    grid.map_row_samples = grid.row_samples - kSpan * distance;
    grid.strips = PartsOf(grid.row_samples, kStrip);
    grid.band_rows = 128;
    const auto set_bands = [&] { grid.bands = PartsOf(grid.rows, grid.band_rows); };
    set_bands();
    while (grid.band_rows > 32 &&
           std::int64_t{grid.planes} * grid.bands * PartsOf(grid.row_samples, kGradientColumns) < kLeastBlocks) {
      grid.band_rows /= 2;
      set_bands();
    }
    while (grid.bands > 1 && grid.planes * grid.partials_each() > Cuda::kPartialCount) {
      grid.band_rows *= 2;
      set_bands();
    }
    return grid;
  }

  bool bordered() const { return border != Border::kValid; }
  int groups() const { return planes * apart; }
  std::int64_t partials_each() const { return std::int64_t{bands} * strips; }
};

LIKENESS_END_TARGET
