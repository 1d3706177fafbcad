// Separable filters, tile by tile: rows are filtered once a tile, into shared memory, and then summed down the columns.
//
// Vertical taps go through shared memory in runs, so that a filter may have any number of them.
#pragma once

#include "kernels/ops/correlate/correlate.h"
#include "kernels/ops/cuda_border.cuh"

LIKENESS_BEGIN_TARGET

// A block makes a tile, one sample a thread.
inline constexpr int kTileWidth = 32;
inline constexpr int kTileHeight = 8;
inline constexpr int kTileThreads = kTileWidth * kTileHeight;
// Filtered rows that a block holds at once.
inline constexpr int kHeldRows = kTileHeight + 63;
using HeldRows = Real[kHeldRows][kTileWidth];

inline int TilesOf(const Shape& shape) {
  const auto tiles = [](int side, int tile) { return (side + tile - 1) / tile; };
  return tiles(shape.width, kTileWidth) * tiles(shape.height, kTileHeight);
}
inline Grid TileGrid(const Shape& shape) { return {TilesOf(shape), shape.channels}; }

// A tile and a thread's sample in it.
struct TilePlace {
  int column;  // within the tile
  int line;
  int x0;  // of the tile
  int x;
  int y0;
  int y;

  __device__ TilePlace(int tile, int width) {
    const int tiles_across = (width + kTileWidth - 1) / kTileWidth;
    column = static_cast<int>(threadIdx.x) % kTileWidth;
    line = static_cast<int>(threadIdx.x) / kTileWidth;
    x0 = tile % tiles_across * kTileWidth;
    x = x0 + column;
    y0 = tile / tiles_across * kTileHeight;
    y = y0 + line;
  }
};

// Taps along one axis, in the memory of the GPU.
struct DeviceTaps {
  const Real* taps;
  int count;
};

inline DeviceTaps Upload(Cuda& device, const Taps& taps) {
  const std::vector<Real> rounded(taps.begin(), taps.end());
  const int count = static_cast<int>(taps.size());
  return {device.Table(rounded.data(), count), count};
}

// One axis of a correlation: `n` input samples, taps that begin `before` samples ahead of the output, outputs at every
// stride-th sample.
struct Axis {
  int n;
  int before;
  int after;
  Border border;
  int stride;
};

inline Axis AxisOf(int n, int taps, Border border, int stride = 1) {
  if (border == Border::kValid) return {n, 0, 0, border, stride};
  return {n, (taps - 1) / 2, taps - 1 - (taps - 1) / 2, border, stride};
}

// A filter along both axes. The taps are in the memory of the GPU: of each term first the vertical ones, then the
// horizontal ones.
struct TileFilter {
  const Real* taps;
  int terms;
  int height;
  int width;
  Axis rows;
  Axis columns;

  __device__ const Real* vertical(int term) const { return taps + term * (height + width); }
  __device__ const Real* horizontal(int term) const { return vertical(term) + height; }
};

// For planes of this shape.
inline TileFilter MakeTileFilter(Cuda& device, const Kernel& kernel, const Shape& shape, Border border,
                                 int stride = 1) {
  std::vector<Real> taps;
  for (const auto& [vertical, horizontal] : kernel.terms) {
    for (const double tap : vertical) taps.push_back(static_cast<Real>(tap));
    for (const double tap : horizontal) taps.push_back(static_cast<Real>(tap));
  }
  return {device.Table(taps.data(), static_cast<std::int64_t>(taps.size())),
          static_cast<int>(kernel.terms.size()),
          kernel.height(),
          kernel.width(),
          AxisOf(shape.height, kernel.height(), border, stride),
          AxisOf(shape.width, kernel.width(), border, stride)};
}

// The sum of taps over a row of the input that begin at column x - before. `row`: -1 for a row of zeros.
__device__ inline Real FilterRow(const PlanesView& in, int channel, int row, const Axis& axis, const Real* taps,
                                 int count, int x) {
  if (row < 0) return Real(0);
  const Real* from = Row(in, channel, row);
  Vec sum(0.0);
  for (int j = 0; j < count; ++j) {
    const int at = BorderIndex(x + j - axis.before, axis.n, axis.border);
    if (at >= 0) sum = MulAdd(Vec(taps[j]), Load(from + at), sum);
  }
  return Bare(sum);
}

// The filter at the thread's sample of an output of this shape. All threads of a block call it.
__device__ inline Vec FilterTile(const PlanesView& in, int channel, const TileFilter& filter, const Shape& out,
                                 const TilePlace& at, HeldRows& held) {
  const int stride = filter.rows.stride;
  const int most = kHeldRows - (kTileHeight - 1) * stride;
  const bool inside = at.x < out.width && at.y < out.height;
  Vec sum(0.0);
  for (int term = 0; term < filter.terms; ++term) {
    for (int first = 0; first < filter.height; first += most) {
      const int count = first + most < filter.height ? most : filter.height - first;
      __syncthreads();
      for (int i = at.line; i < (kTileHeight - 1) * stride + count; i += kTileHeight) {
        // Rows that only outputs past the end would sum.
        if (at.x >= out.width || i - count + 1 > (out.height - 1 - at.y0) * stride) continue;
        const int row = BorderIndex(at.y0 * stride + first + i - filter.rows.before, filter.rows.n, filter.rows.border);
        held[i][at.column] =
            FilterRow(in, channel, row, filter.columns, filter.horizontal(term), filter.width, at.x * stride);
      }
      __syncthreads();
      if (!inside) continue;
      for (int j = 0; j < count; ++j) {
        sum = MulAdd(Vec(filter.vertical(term)[first + j]), Vec(held[at.line * stride + j][at.column]), sum);
      }
    }
  }
  return sum;
}

// The transpose along a row: what the outputs of row `row` send to input column x.
__device__ inline Real SpreadRow(const PlanesView& upstream, int channel, int row, const Axis& axis, const Real* taps,
                                 int count, int x) {
  const Real* from = Row(upstream, channel, row);
  Vec sum(0.0);
  ForEachImage(x, axis.n, axis.before, axis.after, axis.border, [&](int p) {
    const int reach = p + axis.before;
    int at = reach / axis.stride;
    for (int j = reach % axis.stride; j < count; j += axis.stride, --at) {
      if (at >= 0 && at < upstream.shape.width) sum = MulAdd(Vec(taps[j]), Load(from + at), sum);
    }
  });
  return Bare(sum);
}

// `sum` and what the filter's outputs, channel `channel` of the upstream, send to the thread's sample of an input of
// this shape. All threads of a block call it. Gathers: upstream rows that a tile needs are spread once, into shared
// memory; the few that folding at an edge needs beyond those are spread on the spot.
__device__ inline Vec SpreadTile(const PlanesView& upstream, int channel, const TileFilter& filter, const Shape& in,
                                 const TilePlace& at, HeldRows& held, Vec sum) {
  constexpr int kMost = kHeldRows - kTileHeight + 1;
  const Axis& rows = filter.rows;
  const bool inside = at.x < in.width && at.y < in.height;
  for (int term = 0; term < filter.terms; ++term) {
    const Real* across = filter.horizontal(term);
    for (int first_tap = 0; first_tap < filter.height; first_tap += kMost) {
      const int end_tap = first_tap + kMost < filter.height ? first_tap + kMost : filter.height;
      const int least = at.y0 + rows.before - end_tap + 1;
      const int first = least <= 0 ? 0 : (least + rows.stride - 1) / rows.stride;  // upstream row of held[0]
      const int reached = at.y0 + kTileHeight - 1 + rows.before - first_tap;
      const int end = reached < 0 ? 0 : reached / rows.stride + 1;
      const int count = (end < upstream.shape.height ? end : upstream.shape.height) - first;
      __syncthreads();
      for (int i = at.line; i < count; i += kTileHeight) {
        if (at.x >= in.width) continue;
        held[i][at.column] = SpreadRow(upstream, channel, first + i, filter.columns, across, filter.width, at.x);
      }
      __syncthreads();
      if (!inside) continue;
      ForEachImage(at.y, rows.n, rows.before, rows.after, rows.border, [&](int p) {
        const int reach = p + rows.before;
        int j = reach % rows.stride;
        while (j < first_tap) j += rows.stride;
        for (; j < end_tap; j += rows.stride) {
          if (reach < j) break;
          const int row = (reach - j) / rows.stride;
          if (row >= upstream.shape.height) continue;
          const int i = row - first;
          const Real value = i >= 0 && i < count
                                 ? held[i][at.column]
                                 : SpreadRow(upstream, channel, row, filter.columns, across, filter.width, at.x);
          sum = MulAdd(Vec(filter.vertical(term)[j]), Vec(value), sum);
        }
      });
    }
  }
  return sum;
}

LIKENESS_END_TARGET
