// FLIP's gradient by the samples of the distorted image, from its gradient by each filtered channel: the transposes of
// the walk's filters, by a march like its own, in one launch.
//
// Under a replicated border a filter's transpose has results beyond the image as well, up to kFlipReach rows and
// columns, which belong to the nearest pixels. Columns are added up when rows are done: a block marches down
// kFlipReach columns more to each side than its own. Rows are added up as they come.
#pragma once

#include "kernels/ops/load/store_cuda.cuh"
#include "kernels/walks/flip_march_cuda.cuh"
#include "kernels/walks/pair_samples.cuh"

LIKENESS_BEGIN_TARGET

struct FlipGradientKernel {
  static constexpr int kThreads = kRowThreads;
  static constexpr int kBlocksWanted = 2;
  static constexpr int kMostBlocks = 264;
  static constexpr int kLines = 2;
  // Columns that a block marches down, and its own among them.
  static constexpr int kStrip = 128;
  static constexpr int kOwn = kStrip - 2 * kFlipReach;
  static constexpr int kAcross = kStrip + 2 * kFlipReach;
  static_assert(kThreads == 2 * kStrip && kThreads == kLines * kStrip);

  ImageView distorted;
  Shape shape;
  SampleSteps steps;
  MarchGrid grid;
  const FlipTaps* taps;
  PlanesView slopes;  // by each filtered channel
  TensorPlace out;

  template <int reach>
  using Lines = FlipLines<reach, kLines, kStrip>;
  using Upstream = float[kFlipChannels][kLines][kAcross];
  struct Shared {
    FlipTaps taps;
    Upstream upstream;
    Lines<kFlipColorReach> colors[2];
    Lines<kFlipReach> blue_yellow;
    Lines<kFlipFeatureReach> features;
  };

  // Zeros beyond the image.
  __device__ __forceinline__ void FetchRows(int y, int first_x, Upstream& to) const {
    for (int i = threadIdx.x; i < kFlipChannels * kLines * kAcross; i += kThreads) {
      const int channel = i / (kLines * kAcross), line = i / kAcross % kLines, across = i % kAcross;
      const int row = y + line, x = first_x + across;
      const bool inside = row >= 0 && row < shape.height && x >= 0 && x < shape.width;
      to[channel][line][across] = inside ? Row(slopes, channel, row)[x] : 0.0f;
    }
  }

  // What has come for a row, and for those beyond the image of which it is the nearest; the last row's is whole when
  // the last of them is there.
  __device__ __forceinline__ Vec Folded(Vec* sum, Vec done, int row) const {
    const Vec value = *sum + done;
    const bool waits = row < 0 || (row >= shape.height - 1 && row < shape.height - 1 + kFlipReach);
    *sum = waits ? value : Vec(0.0);
    return value;
  }

  __device__ __forceinline__ void SpreadColors(Shared& shared, int column, int y, Vec* pending, Vec* sums) const {
    const int middle = kFlipReach + column;
    const auto color = [&](int c, const FlipSides& sides, Vec* waiting) {
      shared.colors[c].Advance(column);
#pragma unroll
      for (int i = 0; i < kLines; ++i) {
        const Vec x = EvenSum<kFlipColorReach>(&shared.upstream[c][i][middle], sides.horizontal);
        const Vec done = NextDown<kFlipColorReach>(waiting, Even{x, sides.vertical});
        shared.colors[c].Put(i, column, Folded(sums + c, done, y + i - kFlipColorReach));
      }
    };
    color(0, shared.taps.achromatic, pending);
    color(1, shared.taps.red_green, pending + 2 * kFlipColorReach);
    const FlipSides(&sides)[2] = shared.taps.blue_yellow;
#pragma unroll
    for (int i = 0; i < kLines; ++i) {
      const float* from = &shared.upstream[2][i][middle];
      const Vec x1 = EvenSum<kFlipReach>(from, sides[0].horizontal),
                x2 = EvenSum<kFlipReach>(from, sides[1].horizontal);
      const Vec done =
          NextDown<kFlipReach>(pending + 4 * kFlipColorReach, Even{x1, sides[0].vertical}, Even{x2, sides[1].vertical});
      shared.blue_yellow.Put(i, column, Folded(sums + 2, done, y + i - kFlipReach));
    }
  }

  // All four features are of the first colour.
  __device__ __forceinline__ void SpreadFeatures(Shared& shared, int column, int y, Vec* pending, Vec* sum) const {
    const int middle = kFlipReach + column;
    const FlipTaps& taps = shared.taps;
    shared.features.Advance(column);
#pragma unroll
    for (int i = 0; i < kLines; ++i) {
      const auto from = [&](int feature) { return &shared.upstream[kFlipColors + feature][i][middle]; };
      const Vec along_x =
          EvenSum<kFlipFeatureReach>(from(2), taps.point) - OddSum<kFlipFeatureReach>(from(0), taps.edge);
      const Vec edge_y = -EvenSum<kFlipFeatureReach>(from(1), taps.across);
      const Vec point_y = EvenSum<kFlipFeatureReach>(from(3), taps.across);
      const Vec done = NextDown<kFlipFeatureReach>(pending, Even{along_x, taps.across}, Odd{edge_y, taps.edge},
                                                   Even{point_y, taps.point});
      shared.features.Put(i, column, Folded(sum, done, y + i - kFlipFeatureReach));
    }
  }

  // What has come for a pixel, and for the columns beyond the image of which it is the nearest.
  __device__ __forceinline__ void StorePixel(const Shared& shared, int line, int column, int y, int x) const {
    const int first = x == 0 ? column - kFlipReach : column;
    const int last = x == shape.width - 1 ? column + kFlipReach : column;
    Vec by_color[kFlipColors] = {Vec(0.0), Vec(0.0), Vec(0.0)};
    for (int k = first; k <= last; ++k) {
      by_color[0] = by_color[0] + (Vec(shared.colors[0].at[line][k]) + Vec(shared.features.at[line][k]));
      by_color[1] = by_color[1] + Vec(shared.colors[1].at[line][k]);
      by_color[2] = by_color[2] + Vec(shared.blue_yellow.at[line][k]);
    }
    const auto pull = [&](const auto& colors, int c) {
      Vec sum = by_color[0] * colors.v[0].d[c];
#pragma unroll
      for (int k = 1; k < kFlipColors; ++k) sum = MulAdd(by_color[k], colors.v[k].d[c], sum);
      StoreSample(out, steps.At(c, y, x), Bare(sum));
    };
    if (shape.channels == 1) {
      const auto gray = Dual<Vec, 1>::Variable(ReadSample(distorted, 0, y, x), 0);
      return pull(FlipOpponent{}(gray, gray, gray), 0);
    }
    Dual<Vec, 3> rgb[3];
#pragma unroll
    for (int c = 0; c < 3; ++c) rgb[c] = Dual<Vec, 3>::Variable(ReadSample(distorted, c, y, x), c);
    const auto colors = FlipOpponent{}(rgb[0], rgb[1], rgb[2]);
#pragma unroll
    for (int c = 0; c < 3; ++c) pull(colors, c);
  }

  __device__ void operator()(const Block& block) const {
    __shared__ Shared shared;
    const int id = static_cast<int>(threadIdx.x);
    const int x0 = block.x % grid.strips * kOwn - kFlipReach;
    const int y0 = block.x / grid.strips * grid.rows;
    const int y1 = y0 + grid.rows < shape.height ? y0 + grid.rows : shape.height;
    for (int i = id; i < static_cast<int>(sizeof(FlipTaps) / sizeof(float)); i += kThreads) {
      reinterpret_cast<float*>(&shared.taps)[i] = reinterpret_cast<const float*>(taps)[i];
    }

    const int line = id / kStrip, column = id % kStrip, x = x0 + column;
    const bool owns = column >= kFlipReach && column < kFlipReach + kOwn && x < shape.width;
    constexpr int kPending = 4 * kFlipColorReach + 2 * kFlipReach;
    static_assert(kPending >= 2 * kFlipFeatureReach);
    Vec pending[kPending];
#pragma unroll
    for (int j = 0; j < kPending; ++j) pending[j] = Vec(0.0);
    Vec sums[kFlipColors] = {Vec(0.0), Vec(0.0), Vec(0.0)};
    if (line == 0) {
      for (auto& lines : shared.colors) lines.Begin(column);
    } else {
      shared.features.Begin(column);
    }

    const int last_row = shape.height - 1;
    const int end = y1 > last_row ? y1 + 2 * kFlipReach : y1 + kFlipReach;
    for (int y = y0 - kFlipReach; y < end; y += kLines) {
      FetchRows(y, x0 - kFlipReach, shared.upstream);
      __syncthreads();
      if (line == 0) {
        SpreadColors(shared, column, y, pending, sums);
      } else {
        SpreadFeatures(shared, column, y, pending, sums);
      }
      __syncthreads();
      const int done = y + line - kFlipReach;
      const int row = done == last_row + kFlipReach ? last_row : done == last_row ? -1 : done;
      if (owns && row >= y0 && row < y1) StorePixel(shared, line, column, row, x);
    }
  }
};

LIKENESS_END_TARGET
