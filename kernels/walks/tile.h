// What the driver (walk.cc) and the code compiled for each instruction set (tiles.cc) say to one another.
#pragma once

#include <cstdint>

#include "absl/types/span.h"
#include "kernels/image.h"
#include "kernels/walks/walk.h"

namespace likeness::walks {

inline constexpr int kTapCount = 11;
inline constexpr int kTapSpan = kTapCount - 1;
// An SSIM tile keeps twelve rows of four blurred quantities; 128 samples wide they take 24 KiB and stay in the first
// level cache.
inline constexpr int kBlockSamples = 128;
// Room for ten pixels of three samples on either side of a block, in whole vectors of 16.
inline constexpr int kHalo = 32;
// Tiles are about this high: a tile repeats ten rows of its upper neighbour's horizontal pass.
inline constexpr int kBandRows = 256;

// How the samples of a pair lie. HWC is one plane whose rows interleave the channels, so that a pixel's horizontal
// neighbour is `tap_distance` samples away; CHW is a plane a channel.
//
// Where windows reach beyond the image, all of this is the image filled up by five pixels on each side, and windows lie
// inside of that.
struct Geometry {
  Border border = Border::kValid;
  int planes = 1;
  int rows = 0;
  int row_samples = 0;
  int tap_distance = 1;
  int band_rows = 0;  // even
  int band_count = 0;
  int block_count = 0;

  int tile_count() const { return planes * band_count * block_count; }
  std::int64_t sample_count() const { return std::int64_t{planes} * rows * row_samples; }
  int map_rows() const { return rows - kTapSpan; }
  int map_row_samples() const { return row_samples - kTapSpan * tap_distance; }
  int border_rows() const { return border == Border::kValid ? 0 : kTapSpan / 2; }
  int border_samples() const { return border_rows() * tap_distance; }  // on each side of a row
  std::int64_t map_sample_count() const { return std::int64_t{planes} * map_rows() * map_row_samples(); }
};

// The samples whose error and map belong to one tile; both ends as in [begin, end).
struct Tile {
  int plane;
  int y_begin, y_end;
  int x_begin, x_end;
};

// One request, made ready for the tiles.
struct PreparedWalk {
  bool is_ssim = false;
  // Both images are uint8 on one scale and the score is a sum, or a maximum, of integers.
  bool integer_score = false;

  // Pointwise. The loss is one of the elementary terms below; constants are in float as the loops use them.
  PointwiseLoss term = PointwiseLoss::kMeanAbsolute;
  float parameter = 0.0f;
  float map_scale = 1.0f;
  float gradient_scale = 1.0f;  // of the term's derivative, as far as it is known before the sum is

  // SSIM.
  float taps[6] = {};  // from the outermost to the middle one
  float c1 = 0.0f;
  float c2 = 0.0f;
  float ssim_scale = 1.0f;
  float ssim_offset = 0.0f;

  float* map = nullptr;  // nullptr: not wanted
  float* gradient = nullptr;
  float* border_gradient = nullptr;  // the border's own (ssim_border.h); nullptr: of no interest
};

struct TileJob {
  const ImageView* reference = nullptr;
  const ImageView* distorted = nullptr;
  Geometry geometry;
  absl::Span<const PreparedWalk> walks;
  // Null, or the only walk is SSIM: the sums of S of each channel go to three numbers a tile.
  double* channel_sums = nullptr;
  // False: every walk is content with the integers.
  bool needs_values = true;
  int ssim_count = 0;
  bool has_ssim_gradient = false;
};

Geometry GeometryOf(const ImageView& image, Border border = Border::kValid);
Tile TileAt(const Geometry& geometry, int index);
void Prepare(const SsimWalk& walk, const Geometry& geometry, PreparedWalk* prepared);
// A tensor of this size in the layout and channels of the image; its old storage if that fits.
float* ShapeLike(const ImageView& image, int width, int height, int offset, Tensor* tensor);
// Every tile of a job with SSIM. One row of partials a tile, one for each walk.
void RunSsimTiles(const WalkTable& table, const TileJob& job, absl::Span<double> partials);

// The working memory of one SSIM walk on one tile. Rows start kHalo samples left of the block where a gradient is
// wanted.
struct alignas(64) SsimScratch {
  static constexpr int kRingRows = 12;
  static constexpr int kWidth = kHalo + kBlockSamples;
  // Twelve rows of the four horizontally filtered quantities.
  float ring[kRingRows * 4 * kWidth];
  // One row of three of the quantities before filtering; the second copy lies 8 samples further right.
  float row[2][3][kHalo + kBlockSamples + kHalo + 16];
  // For the two map rows at hand: S, and its three partial derivatives in two copies.
  float similarity[2][kWidth];
  float partial[2][2][3][kWidth + 16];
  // Twelve rows of horizontally filtered partials.
  float adjoint_ring[kRingRows * 3 * kBlockSamples];
  double sums[16];
  // The same by the places of vectors modulo three, which with the lane tell the channel of interleaved samples.
  double place_sums[3][16];
  // The two rows of the gradient at hand, where they go to several places.
  float gradient[2][kBlockSamples];
};

// A thread's own; grows to what its largest job needed and stays.
struct alignas(64) TileScratch {
  static constexpr int kHistoryRows = 12;  // the gradient of a row is ready ten rows after the row came
  static constexpr int kRowSamples = kHalo + kBlockSamples + kHalo + 16;  // a vector may end beyond
  float reference[kHistoryRows][kRowSamples];
  float distorted[kHistoryRows][kRowSamples];
  absl::Span<SsimScratch> ssim;
};
TileScratch& ThreadScratch(int ssim_count);

// All three fill partials[walk]: the sum of the walk's terms over the part, in units of one sample step where the score
// is an integer; for kMaximum their maximum. A job with SSIM goes tile by tile. One without goes by stretches of a
// band, whole rows of up to kStretchBlocks blocks, which reads memory in its own order; sums are still one a tile and
// walk, at partials[tile * walks + walk] with the stretch's first tile as tile 0, except for sums of integers, of which
// the first tile has all. One that needs no values goes by whole rows [y_begin, y_end) of a plane.
inline constexpr int kStretchBlocks = 16;
using RunTileFunction = void (*)(const TileJob& job, int tile_index, double* partials);
using RunStretchFunction = void (*)(const TileJob& job, int first_tile, int tile_count, double* partials);
using RunIntegerBandFunction = void (*)(const TileJob& job, int plane, int y_begin, int y_end, double* partials);

// From a scale of MS-SSIM to the next coarser one, whose samples are means of 2x2. The finer scale begins with `before`
// copies of its first row and column.
struct ScaleStep {
  int channels;
  int finer_width, finer_height;
  int coarser_width, coarser_height;
  int before;
};
// Rows [y_begin, y_end) of the coarser scale, CHW, of an image.
using PoolRowsFunction = void (*)(const ImageView& finer, const Geometry& geometry, const ScaleStep& step, int y_begin,
                                  int y_end, float* coarser);

// How the score changes with the means of both scales, channel by channel.
struct ScaleSlopes {
  float finer[3];
  float coarser[3];
};
// In rows [y_begin, y_end), samples of the finer scale, which say how its means change with them, become how the score
// changes with them. The coarser scale is CHW, the finer one is so unless it is `interleaved`.
using SpreadRowsFunction = void (*)(const ScaleStep& step, const float* coarser, const ScaleSlopes& slopes,
                                    bool interleaved, int y_begin, int y_end, float* finer);

}  // namespace likeness::walks

namespace likeness {

struct WalkTable {
  const char* instruction_set;
  walks::RunTileFunction run_tile;
  walks::RunStretchFunction run_stretch;
  walks::RunIntegerBandFunction run_integer_band;
  walks::PoolRowsFunction pool_rows;
  walks::SpreadRowsFunction spread_rows;
};

}  // namespace likeness
