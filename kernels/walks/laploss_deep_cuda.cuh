// The levels of up to 64x64 samples, all in one launch: a block has a channel, and goes through its levels in shared
// memory, and with a gradient back again. A thread has four columns of four rows.
#pragma once

#include "kernels/ops/cuda_rows.cuh"
#include "kernels/walks/laploss_gradient_cuda.cuh"
#include "kernels/walks/laploss_tile_cuda.cuh"

LIKENESS_BEGIN_TARGET

struct LapLossDeepKernel {
  static constexpr int kThreads = kRowThreads;
  static constexpr int kMostSide = kLapColumns;
  static constexpr int kRun = 4;
  static constexpr int kLevels = kLapLossLevels;
  static_assert(kThreads * kRun == kLapQuads * kMostSide);

  static constexpr bool Holds(const LapLevel& level) { return level.width <= kMostSide && level.height <= kMostSide; }

  int first;       // the first level here
  LapLevel level;  // its planes
  LapTaps taps;
  LapWeights weights[kLevels + 1];
  const float* planes;
  float* bands[kLevels + 1];  // null: not asked for; the last one has the residual's magnitudes
  float* gradient;            // of the first level; null: not asked for. May be the planes.
  double* partials;

  // A level with its border, or a level's gradient in its place.
  using Tile = float[(kMostSide + 2 * kLapReach) * kLapAcross];
  struct Shared {
    alignas(16) Tile tiles[2];  // levels take turns; the residual is in the second one
    std::uint32_t words[kLevels][kThreads];
    float by_column[kMostSide], by_row[kMostSide];
    float next_by_column[kMostSide / 2], next_by_row[kMostSide / 2];
    // By the level's number, which registers cannot be asked for.
    LapWeights weights[kLevels + 1];
    float* bands[kLevels + 1];
  };

  // Of one thread.
  struct Sink {
    Shared& shared;
    int number;
    const LapLevel& level;
    int channel;
    bool wants_signs;
    bool wants_bands;

    __device__ __forceinline__ void PutSigns(int, int, std::uint32_t word) const {
      shared.words[number][threadIdx.x] = word;
    }
    __device__ __forceinline__ void PutBands(int y, int x, const float (&sizes)[4]) const {
      LapPutFour(shared.bands[number], level, channel, y, x, sizes);
    }
    __device__ __forceinline__ void PutResidual(int y, int x, const float (&sizes)[2]) const {
      LapPutTwo(shared.bands[number + 1], level.Coarser(), channel, y, x, sizes);
    }
    __device__ __forceinline__ void PutNext(int y, int x, const float (&v)[2]) const {
      *reinterpret_cast<Two<float>*>(shared.tiles[(number + 1) % 2] + PlaceOf(y, x)) = {v[0], v[1]};
    }
  };

  __device__ __forceinline__ static int PlaceOf(int y, int x) { return (y + kLapReach) * kLapAcross + x + kLapReach; }

  // A level of one channel.
  __device__ __forceinline__ static LapLevel PlaneOf(const LapLevel& level) { return {level.width, level.height, 1}; }

  // body(line, column) for what is used of a tile, border and all.
  template <class Body>
  __device__ __forceinline__ static void ForTile(const LapLevel& plane, const LapPlace& at, Body body) {
    const int lines = at.lines_used(plane), columns = 4 * at.groups_used(plane) - 2 * kLapReach;
    for (int i = static_cast<int>(threadIdx.x); i < lines * kLapAcross; i += kThreads) {
      const int line = i / kLapAcross, column = i % kLapAcross;
      if (column < columns) body(line, column);
    }
  }

  __device__ __forceinline__ static void RepeatEdges(const LapLevel& plane, const LapPlace& at, Tile& tile) {
    ForTile(plane, at, [&](int line, int column) {
      const int y = line - kLapReach, x = column - kLapReach;
      const int from_y = LapInside(y, plane.height), from_x = LapInside(x, plane.width);
      if (y != from_y || x != from_x) tile[line * kLapAcross + column] = tile[PlaceOf(from_y, from_x)];
    });
  }

  __device__ __forceinline__ static void Count(Shared& shared, int number) {
    shared.weights[number].Fill<kThreads>(0, 0, shared.by_column, shared.by_row);
    if (number + 1 == kLevels) {
      shared.weights[kLevels].Fill<kThreads>(0, 0, shared.next_by_column, shared.next_by_row);
    }
  }

  // What the thread's samples of a level add to the score.
  __device__ __forceinline__ double Forth(Shared& shared, int number, const LapLevel& of, const LapPlace& at,
                                          int channel) const {
    if (!at.inside(of)) return 0.0;
    const bool last = number + 1 == kLevels;
    const LapCounts counts{shared.by_column + 4 * at.quad, shared.by_row + at.line, shared.next_by_column + 2 * at.quad,
                           last ? shared.next_by_row + at.line / 2 : nullptr};
    const Sink sink{shared, number, of, channel, gradient != nullptr, bands[0] != nullptr};
    const float* from = shared.tiles[number % 2] + at.RowAt(0, at.line) + 4 * at.quad;
    const LapSums sum = LapBands<kRun / 4>(from, taps, of, at.y(), at.x(), counts, sink);
    return shared.weights[number].factor * static_cast<double>(sum.bands) +
           shared.weights[kLevels].factor * static_cast<double>(sum.residual);
  }

  // From the next level's gradient in the second tile to this level's there, by way of the first.
  __device__ __forceinline__ void Back(Shared& shared, int number, const LapLevel& of, const LapPlace& at,
                                       int channel) const {
    const LapLevel plane = PlaneOf(of), coarser = of.Coarser();
    const float factor = static_cast<float>(shared.weights[number].factor);
    const auto weight = [&](int y, int x) { return factor * shared.by_row[y] * shared.by_column[x]; };
    ForTile(plane, at, [&](int line, int column) {
      const int y = line - kLapReach, x = column - kLapReach;
      float v = 0.0f;
      if (x >= 0 && x < of.width && y >= 0 && y < of.height) {
        if (x / 2 < coarser.width && y / 2 < coarser.height) {
          v = shared.tiles[1][PlaceOf(y / 2, x / 2)];
          if (number + 1 == kLevels) {
            const float share = shared.next_by_row[y / 2] * shared.next_by_column[x / 2];
            v = LapResidualGradient(v, static_cast<float>(shared.weights[kLevels].factor) * share);
          }
          v *= 0.25f;
        }
        const std::uint32_t word = shared.words[number][y / 4 * kLapQuads + x / 4];
        v -= LapSigned(word, 4 * (y % 4) + x % 4, weight(y, x));
      }
      shared.tiles[0][line * kLapAcross + column] = v;
    });
    __syncthreads();
    LapFoldEdges<kThreads>(plane, at, taps, shared.tiles[0]);
    if (!at.inside(of)) return;
    const std::uint32_t word = shared.words[number][threadIdx.x];
    LapFilter<kRun / 4, 1>(shared.tiles[0] + at.RowAt(0, at.line) + 4 * at.quad, taps,
                           [&](int, int j, const float(&)[4], const float(&pulled)[4]) {
                             const int y = at.y() + j;
                             if (y >= of.height) return;
                             float v[4];
#pragma unroll
                             for (int k = 0; k < 4; ++k)
                               v[k] = pulled[k] + LapSigned(word, 4 * j + k, weight(y, at.x() + k));
                             if (number == first) {
                               LapPutFour(gradient, of, channel, y, at.x(), v);
                               return;
                             }
                             float* to = shared.tiles[1] + PlaceOf(y, at.x());
                             *reinterpret_cast<Two<float>*>(to) = {v[0], v[1]};
                             *reinterpret_cast<Two<float>*>(to + 2) = {v[2], v[3]};
                           });
  }

  __device__ __forceinline__ LapLevel LevelAt(int number) const {
    return {level.width >> (number - first), level.height >> (number - first), level.channels};
  }

  __device__ void operator()(const Block& block) const {
    __shared__ Shared shared;
    const int id = static_cast<int>(threadIdx.x), channel = block.y;
    const LapPlace at(kRun);
#pragma unroll
    for (int l = 0; l <= kLevels; ++l) {
      if (id == l) {
        shared.weights[l] = weights[l];
        shared.bands[l] = bands[l];
      }
    }
    LapFill<kThreads>(planes + level.RowAt(channel, 0), PlaneOf(level), at, shared.tiles[first % 2]);
    double sum = 0.0;
#pragma unroll 1
    for (int l = first; l < kLevels; ++l) {
      const LapLevel of = LevelAt(l);
      __syncthreads();
      if (l > first) RepeatEdges(PlaneOf(of), at, shared.tiles[l % 2]);
      Count(shared, l);
      __syncthreads();
      sum += Forth(shared, l, of, at, channel);
    }
    const double total = CombineBlock(sum, AddUp{});
    if (id == 0) partials[channel] = total;
    if (gradient == nullptr) return;
#pragma unroll 1
    for (int l = kLevels - 1; l >= first; --l) {
      __syncthreads();
      if (l + 1 < kLevels) Count(shared, l);
      __syncthreads();
      Back(shared, l, LevelAt(l), at, channel);
    }
  }
};

LIKENESS_END_TARGET
