#include "kernels/ops/correlate/correlate_cuda.h"
#include "kernels/ops/cuda_border.cuh"

LIKENESS_BEGIN_TARGET
namespace {

constexpr int kMaxTaps = 64;
// A block makes a tile of the output, one sample a thread.
constexpr int kTileWidth = 32;
constexpr int kTileHeight = 8;

// The taps are in the memory of the GPU: of each term first the vertical ones, then the horizontal ones.
struct TapTable {
  const Real* taps;
  int terms;
  int height;
  int width;

  __device__ const Real* vertical(int term) const { return taps + term * (height + width); }
  __device__ const Real* horizontal(int term) const { return vertical(term) + height; }
};

// One axis of a correlation: `n` input samples, taps that begin `before` samples ahead of the output.
struct Axis {
  int n;
  int before;
  int after;
  Border border;
};

Axis AxisOf(int n, int taps, Border border) {
  if (border == Border::kValid) return {n, 0, 0, border};
  return {n, (taps - 1) / 2, taps - 1 - (taps - 1) / 2, border};
}

// Sum of taps over a row of the input, for output column x. `row`: -1 for a row of zeros.
__device__ Real FilterRow(const PlanesView& in, int channel, int row, const Axis& axis, const Real* taps, int count,
                          int x) {
  if (row < 0) return Real(0);
  const Real* from = Row(in, channel, row);
  Vec sum(0.0);
  for (int j = 0; j < count; ++j) {
    const int at = BorderIndex(x + j - axis.before, axis.n, axis.border);
    if (at >= 0) sum = MulAdd(Vec(taps[j]), Load(from + at), sum);
  }
  return Bare(sum);
}

// A block's tile and a thread's sample in it.
struct TilePlace {
  int channel;
  int column;  // within the tile
  int line;
  int x;
  int y0;  // of the tile
  int y;

  __device__ TilePlace(const Block& block, int width) {
    const int tiles_across = (width + kTileWidth - 1) / kTileWidth;
    channel = block.y;
    column = static_cast<int>(threadIdx.x) % kTileWidth;
    line = static_cast<int>(threadIdx.x) / kTileWidth;
    x = block.x % tiles_across * kTileWidth + column;
    y0 = block.x / tiles_across * kTileHeight;
    y = y0 + line;
  }
};

Grid TileGrid(const Shape& shape) {
  const auto tiles = [](int side, int tile) { return (side + tile - 1) / tile; };
  return {tiles(shape.width, kTileWidth) * tiles(shape.height, kTileHeight), shape.channels};
}

// Rows are filtered once a tile, into shared memory, and then summed down the columns.
struct CorrelateForwardKernel {
  static constexpr int kThreads = kTileWidth * kTileHeight;
  PlanesView in;
  TapTable taps;
  Axis rows;
  Axis columns;
  PlanesView out;

  __device__ void operator()(const Block& block) const {
    __shared__ Real filtered[kTileHeight + kMaxTaps - 1][kTileWidth];
    const TilePlace at(block, out.shape.width);
    const bool inside = at.x < out.shape.width && at.y < out.shape.height;
    Vec sum(0.0);
    for (int term = 0; term < taps.terms; ++term) {
      __syncthreads();
      for (int i = at.line; i < kTileHeight + taps.height - 1; i += kTileHeight) {
        if (at.x >= out.shape.width || at.y0 + i - taps.height + 1 >= out.shape.height) continue;
        const int row = BorderIndex(at.y0 + i - rows.before, rows.n, rows.border);
        filtered[i][at.column] = FilterRow(in, at.channel, row, columns, taps.horizontal(term), taps.width, at.x);
      }
      __syncthreads();
      if (!inside) continue;
      for (int j = 0; j < taps.height; ++j) {
        sum = MulAdd(Vec(taps.vertical(term)[j]), Vec(filtered[at.line + j][at.column]), sum);
      }
    }
    if (inside) Store(sum, Row(out, at.channel, at.y) + at.x);
  }
};

// The transpose along a row: what the outputs of row `row` send to input column x.
__device__ Real SpreadRow(const PlanesView& upstream, int channel, int row, const Axis& axis, const Real* taps,
                          int count, int x) {
  const Real* from = Row(upstream, channel, row);
  Vec sum(0.0);
  ForEachImage(x, axis.n, axis.before, axis.after, axis.border, [&](int p) {
    for (int j = 0; j < count; ++j) {
      const int at = p + axis.before - j;
      if (at >= 0 && at < upstream.shape.width) sum = MulAdd(Vec(taps[j]), Load(from + at), sum);
    }
  });
  return Bare(sum);
}

// Gathers, so that no two threads write one sample. Rows of the upstream that a tile needs are spread once, into shared
// memory; the few that folding at an edge needs beyond those are spread on the spot.
struct CorrelateBackwardKernel {
  static constexpr int kThreads = kTileWidth * kTileHeight;
  PlanesView upstream;
  TapTable taps;
  Axis rows;
  Axis columns;
  GradientView gradient;

  __device__ void operator()(const Block& block) const {
    __shared__ Real spread[kTileHeight + kMaxTaps - 1][kTileWidth];
    const Shape& shape = gradient.planes.shape;
    const TilePlace at(block, shape.width);
    const int first = at.y0 + rows.before - (taps.height - 1);  // upstream row of spread[0]
    const int held = kTileHeight + taps.height - 1;
    const bool inside = at.x < shape.width && at.y < shape.height;
    Vec sum(0.0);
    for (int term = 0; term < taps.terms; ++term) {
      const Real* across = taps.horizontal(term);
      __syncthreads();
      for (int i = at.line; i < held; i += kTileHeight) {
        const int row = first + i;
        const bool needed = at.x < shape.width && row >= 0 && row < upstream.shape.height;
        if (needed) spread[i][at.column] = SpreadRow(upstream, at.channel, row, columns, across, taps.width, at.x);
      }
      __syncthreads();
      if (!inside) continue;
      ForEachImage(at.y, rows.n, rows.before, rows.after, rows.border, [&](int p) {
        for (int j = 0; j < taps.height; ++j) {
          const int row = p + rows.before - j;
          if (row < 0 || row >= upstream.shape.height) continue;
          const int i = row - first;
          const Real value = i >= 0 && i < held
                                 ? spread[i][at.column]
                                 : SpreadRow(upstream, at.channel, row, columns, across, taps.width, at.x);
          sum = MulAdd(Vec(taps.vertical(term)[j]), Vec(value), sum);
        }
      });
    }
    if (inside) StoreGradient(gradient, at.channel, at.y, at.x, sum);
  }
};

bool MakeTapTable(Cuda& device, const Kernel& kernel, TapTable* table) {
  if (kernel.height() > kMaxTaps || kernel.width() > kMaxTaps) {
    device.Report(Check(cudaErrorInvalidValue, "Correlate: over 64 taps", __FILE__, __LINE__));
    return false;
  }
  std::vector<Real> taps;
  for (const auto& [vertical, horizontal] : kernel.terms) {
    for (const double tap : vertical) taps.push_back(static_cast<Real>(tap));
    for (const double tap : horizontal) taps.push_back(static_cast<Real>(tap));
  }
  *table = {device.Table(taps.data(), static_cast<std::int64_t>(taps.size())), static_cast<int>(kernel.terms.size()),
            kernel.height(), kernel.width()};
  return true;
}

}  // namespace

void CorrelateForward(Cuda& device, const PlanesView& x, const Kernel& kernel, Border border, const PlanesView& out) {
  TapTable table;
  if (!MakeTapTable(device, kernel, &table)) return;
  device.Launch(CorrelateForwardKernel{x, table, AxisOf(x.shape.height, table.height, border),
                                       AxisOf(x.shape.width, table.width, border), out},
                TileGrid(out.shape));
}

void CorrelateBackward(Cuda& device, const PlanesView& upstream, const Kernel& kernel, Border border,
                       const GradientView& gradient) {
  TapTable table;
  if (!MakeTapTable(device, kernel, &table)) return;
  const Shape& shape = gradient.planes.shape;
  device.Launch(CorrelateBackwardKernel{upstream, table, AxisOf(shape.height, table.height, border),
                                        AxisOf(shape.width, table.width, border), gradient},
                TileGrid(shape));
}

LIKENESS_END_TARGET
