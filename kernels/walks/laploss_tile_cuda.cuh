// What the kernels of the Laplacian pyramid share: tiles of its levels, the filter, and how often samples count.
//
// A tile is 64 columns of 96 rows, or of 32 rows of three channels. A thread has four columns of eight rows of one
// channel: it filters along a row from two reads of four samples, and down its columns in registers.
#pragma once

#include <cstdint>

#include "kernels/metrics/laploss/laploss_math.h"
#include "kernels/ops/border.h"
#include "kernels/ops/cuda_device.h"
#include "kernels/walks/march_grid.h"
#include "kernels/walks/pair_samples.cuh"

LIKENESS_BEGIN_TARGET

inline constexpr int kLapColumns = 64;  // of a tile
inline constexpr int kLapQuads = kLapColumns / 4;
inline constexpr int kLapRun = 8;    // rows of a thread
inline constexpr int kLapRuns = 12;  // of all channels of a tile
inline constexpr int kLapThreads = kLapQuads * kLapRuns;
inline constexpr int kLapReach = kLapLossTaps / 2;
// A row of a tile with its border, and the groups of four columns that have a part in it: they begin four columns left
// of the tile.
inline constexpr int kLapAcross = kLapColumns + 2 * kLapReach;
inline constexpr int kLapGroups = kLapQuads + 2;
inline constexpr int kLapMostRows = kLapRun * kLapRuns;
// Three channels have three borders.
inline constexpr int kLapTileSamples = (kLapMostRows + 3 * 2 * kLapReach) * kLapAcross;

// Planes of one level, of 1 channel or 3. Rows begin at multiples of four samples.
struct LapLevel {
  int width;
  int height;
  int channels;

  LIKENESS_HD int pitch() const { return (width + 3) / 4 * 4; }
  LIKENESS_HD LapLevel Coarser() const { return {width / 2, height / 2, channels}; }
  LIKENESS_HD std::int64_t RowAt(int channel, int y) const { return (std::int64_t{channel} * height + y) * pitch(); }
  std::int64_t count() const { return RowAt(channels, 0); }

  // Tiles.
  LIKENESS_HD int tile_rows() const { return kLapMostRows / channels; }
  Grid tiles() const { return {PartsOf(width, kLapColumns), PartsOf(height, tile_rows())}; }

  // Signs of four columns of four rows are one word, two bits each, row by row.
  LIKENESS_HD int sign_rows() const { return (height + 3) / 4; }
  LIKENESS_HD std::int64_t SignsAt(int channel, int row, int group) const {
    return (std::int64_t{channel} * sign_rows() + row) * (pitch() / 4) + group;
  }
  std::int64_t sign_count() const { return SignsAt(channels, 0, 0); }
};

// A tile and a thread's part of it.
struct LapPlace {
  int x0, y0;   // of the tile
  int rows;     // of a channel
  int channel;  // of the thread
  int quad;
  int line;  // the first row, within the tile

  // A thread has `run` rows of a whole plane, of up to 64 rows.
  __device__ explicit LapPlace(int run) : x0(0), y0(0), rows(kLapColumns), channel(0) {
    quad = static_cast<int>(threadIdx.x) % kLapQuads;
    line = static_cast<int>(threadIdx.x) / kLapQuads * run;
  }
  __device__ LapPlace(const Block& block, const LapLevel& level) {
    const int id = static_cast<int>(threadIdx.x), runs = kLapRuns / level.channels;
    x0 = block.x * kLapColumns;
    rows = level.tile_rows();
    y0 = block.y * rows;
    quad = id % kLapQuads;
    channel = id / kLapQuads / runs;
    line = id / kLapQuads % runs * kLapRun;
  }
  __device__ int x() const { return x0 + 4 * quad; }
  __device__ int y() const { return y0 + line; }
  __device__ bool inside(const LapLevel& level) const { return x() < level.width && y() < level.height; }
  // In a tile, where a channel's row `line` of those with the border begins.
  __device__ int RowAt(int of_channel, int of_line) const {
    return (of_channel * (rows + 2 * kLapReach) + of_line) * kLapAcross;
  }
  // Of rows and of groups with the border, how many any thread looks at.
  __device__ int lines_used(const LapLevel& level) const {
    const int left = PartsOf(level.height - y0, kLapRun) * kLapRun;
    return (left < rows ? left : rows) + 2 * kLapReach;
  }
  __device__ int groups_used(const LapLevel& level) const {
    const int left = PartsOf(level.width - x0, 4);
    return (left < kLapQuads ? left : kLapQuads) + 2;
  }
};

__device__ __forceinline__ int LapInside(int i, int side) { return BorderIndex(i, side, Border::kReplicate); }

// Four columns of a group in a row with its border.
__device__ __forceinline__ void LapPut(float* row, int group, float a, float b, float c, float d) {
  if (group > 0) *reinterpret_cast<Two<float>*>(row + 4 * group - kLapReach) = {a, b};
  if (group < kLapGroups - 1) *reinterpret_cast<Two<float>*>(row + 4 * group) = {c, d};
}

// Along one axis of a bilinear resize from `in` to `out` samples, how often a sample counts in the sum of what they
// become (ResizeShares, resample.h). Output o lies at n_o / by with n_o = (2 o + 1) in - out and by = 2 out, and gives
// 1 - |n_o / by - i| to each of its neighbours i, all to an edge that it lies beyond: whole numbers of 1 / by.
struct LapShares {
  int in = 0;
  int out = 0;  // 0: every sample counts once
  float ratio = 0.0f;
  float one_by = 0.0f;

  LapShares() = default;
  LapShares(int in, int out) : in(in), out(out) {
    if (out == 0) return;
    ratio = static_cast<float>(out) / static_cast<float>(in);
    one_by = 0.5f / static_cast<float>(out);
  }

  // 0 beyond the edges.
  __device__ __forceinline__ float At(int i) const {
    if (i < 0 || i >= in) return 0.0f;
    if (out == 0) return 1.0f;
    const std::int64_t by = 2 * std::int64_t{out};
    const std::int64_t here = CountTo(i);
    std::int64_t before = by * here, after = by * (out - here);
    if (i > 0) {
      const std::int64_t first = CountTo(i - 1);
      before = SumOf(here) - SumOf(first) - by * (i - 1) * (here - first);
    }
    if (i < in - 1) {
      const std::int64_t end = CountTo(i + 1);
      after = by * (i + 1) * (end - here) - (SumOf(end) - SumOf(here));
    }
    const float n = static_cast<float>(before + after), quotient = n * one_by;
    return std::fma(std::fma(-quotient, static_cast<float>(by), n), one_by, quotient);
  }

 private:
  // How many outputs lie at i or before it: (2 i + 1) out / in, plus 1, by 2. GPUs divide whole numbers slowly, so it
  // is guessed: too high or too low by one at most.
  __device__ __forceinline__ std::int64_t CountTo(int i) const {
    const std::int64_t n = (2 * std::int64_t{i} + 1) * out + in, each = 2 * std::int64_t{in};
    const std::int64_t guess = static_cast<int>(std::fma(static_cast<float>(i) + 0.5f, ratio, 0.5f));
    if (guess * each > n) return guess - 1;
    return guess + ((guess + 1) * each <= n);
  }
  // n_o of the first so many outputs.
  __device__ __forceinline__ std::int64_t SumOf(std::int64_t count) const { return in * count * count - out * count; }
};

// What the samples of a level count in the score: each `factor` times the shares of its row and column.
struct LapWeights {
  double factor;
  LapShares columns, rows;

  // Shares of columns from x0 on, and of rows from y0 on.
  template <int threads, int width, int height>
  __device__ __forceinline__ void Fill(int y0, int x0, float (&by_column)[width], float (&by_row)[height]) const {
#pragma unroll 1
    for (int i = static_cast<int>(threadIdx.x); i < width + height; i += threads) {
      const bool is_row = i >= width;
      const LapShares shares = is_row ? rows : columns;
      const float share = shares.At(is_row ? y0 + i - width : x0 + i);
      *(is_row ? &by_row[i - width] : &by_column[i]) = share;
    }
  }
};

// The outermost tap's first.
struct LapTaps {
  float v[kLapReach + 1];
  float second_by_first;  // v[1] / v[0]
};

// body(step, j, x, filtered) for each of a thread's rows 4 * step + j: its four samples, and what the filter makes of
// them. `from`: the first sample of its border. at_once: steps that the code is unrolled by; registers are few.
template <int steps, int at_once, class Body>
__device__ __forceinline__ void LapFilter(const float* from, const LapTaps& taps, Body body) {
  float sums[4][4] = {};  // of the rows under way, by the row that they began with
  // Row i of those with the border: i % 4 of it, and how many rows are under way.
  const auto add = [&](const float* at, int i, int under_way, float(&filtered)[4]) {
    const auto left = *reinterpret_cast<const Four<float>*>(at);
    const auto right = *reinterpret_cast<const Four<float>*>(at + 4);
    const float row[8] = {left.v[0], left.v[1], left.v[2], left.v[3], right.v[0], right.v[1], right.v[2], right.v[3]};
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      // In the order of the program's sums: bands are its to the bit.
      float along = taps.v[0] * row[k];
      along = std::fma(taps.v[1], row[k + 1], along);
      along = std::fma(taps.v[2], row[k + 2], along);
      along = std::fma(taps.v[1], row[k + 3], along);
      along = std::fma(taps.v[0], row[k + 4], along);
      const auto continue_sum = [&](int began, float tap) {
        float& sum = sums[(i + 4 - began) % 4][k];
        sum = std::fma(tap, along, sum);
      };
      if (under_way > 0) continue_sum(1, taps.v[1]);
      if (under_way > 1) continue_sum(2, taps.v[2]);
      if (under_way > 2) continue_sum(3, taps.v[1]);
      filtered[k] = std::fma(taps.v[0], along, sums[i][k]);  // of the row that began four before
      sums[i][k] = taps.v[0] * along;
    }
  };
  float filtered[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) add(from + i * kLapAcross, i, i, filtered);
#pragma unroll at_once
  for (int step = 0; step < steps; ++step) {
    from += 4 * kLapAcross;
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      add(from + j * kLapAcross, j, 3, filtered);
      const float* own = from + (j - kLapReach) * kLapAcross + kLapReach;
      const auto first = *reinterpret_cast<const Two<float>*>(own);
      const auto second = *reinterpret_cast<const Two<float>*>(own + 2);
      const float x[4] = {first.v[0], first.v[1], second.v[0], second.v[1]};
      body(step, j, x, filtered);
    }
  }
}

// How often a thread's first column and row count, and those of the next level that come of them.
struct LapCounts {
  const float *by_column, *by_row;
  const float *next_by_column, *next_by_row;  // null: the next level is not the residual
};

struct LapSums {
  float bands = 0.0f;
  float residual = 0.0f;
};

// What a thread's samples of a level, from (y, x) on, add to the score. `to`:
//   wants_signs, PutSigns(y, x, word)
//   wants_bands, PutBands(y, x, magnitudes of four), PutResidual(y, x, of two)
//   PutNext(y, x, two samples of the next level)
template <int steps, class To>
__device__ __forceinline__ LapSums LapBands(const float* from, const LapTaps& taps, const LapLevel& level, int y, int x,
                                            const LapCounts& counts, const To& to) {
  const LapLevel coarser = level.Coarser();
  LapSums sums;
  float above[2] = {};     // of the next level's samples, the upper half
  std::uint32_t word = 0;  // of signs
  LapFilter<steps, 1>(from, taps, [&](int step, int j, const float(&own)[4], const float(&blurred)[4]) {
    const int line = 4 * step + j;
    float band[4], row_sum = 0.0f;
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      const Dual<Vec, 1> size = BandOf{}(Dual<Vec, 1>::Variable(Vec(own[k]), 0), Vec(blurred[k]));
      band[k] = Bare(size.v);
      row_sum = std::fma(band[k], counts.by_column[k], row_sum);
      if (to.wants_signs) {
        const std::uint32_t bits = size.d[0] > Vec(0.0) ? 1 : size.d[0] < Vec(0.0) ? 3 : 0;
        word |= bits << 2 * (4 * j + k);
      }
    }
    sums.bands = std::fma(row_sum, counts.by_row[line], sums.bands);
    if (to.wants_signs && j == 3) {
      if (y + line - j < level.height) to.PutSigns(y + line - j, x, word);
      word = 0;
    }
    if (to.wants_bands && y + line < level.height) to.PutBands(y + line, x, band);
    float mean[2];
#pragma unroll
    for (int k = 0; k < 2; ++k) {
      const float pair = blurred[2 * k] + blurred[2 * k + 1];
      mean[k] = j % 2 == 0 ? 0.25f * pair : std::fma(0.25f, pair, above[k]);
      above[k] = mean[k];
    }
    const int next_y = (y + line) / 2, next_x = x / 2;
    if (j % 2 == 0 || next_y >= coarser.height || next_x >= coarser.width) return;
    to.PutNext(next_y, next_x, mean);
    if (counts.next_by_row == nullptr) return;
    float size[2];
#pragma unroll
    for (int k = 0; k < 2; ++k) {
      size[k] = Bare(AbsoluteValue{}(Vec(mean[k])));
      sums.residual = std::fma(size[k], counts.next_by_row[line / 2] * counts.next_by_column[k], sums.residual);
    }
    if (to.wants_bands) to.PutResidual(next_y, next_x, size);
  });
  return sums;
}

__device__ __forceinline__ void LapPutFour(float* planes, const LapLevel& level, int channel, int y, int x,
                                           const float (&v)[4]) {
  *reinterpret_cast<Four<float>*>(planes + level.RowAt(channel, y) + x) = {v[0], v[1], v[2], v[3]};
}
__device__ __forceinline__ void LapPutTwo(float* planes, const LapLevel& level, int channel, int y, int x,
                                          const float (&v)[2]) {
  *reinterpret_cast<Two<float>*>(planes + level.RowAt(channel, y) + x) = {v[0], v[1]};
}

// A tile's samples of planes, the edges' repeated beyond them.
template <int threads>
__device__ __forceinline__ void LapFill(const float* planes, const LapLevel& level, const LapPlace& at, float* tile) {
  const int lines = at.lines_used(level), groups = at.groups_used(level);
  for (int i = static_cast<int>(threadIdx.x); i < level.channels * lines * kLapGroups; i += threads) {
    const int group = i % kLapGroups, line = i / kLapGroups % lines, channel = i / kLapGroups / lines;
    if (group >= groups) continue;
    const int x = at.x0 + 4 * (group - 1), y = LapInside(at.y0 - kLapReach + line, level.height);
    const float* row = planes + level.RowAt(channel, y);
    Four<float> four;
    if (x >= 0 && x + 4 <= level.width) {
      four = *reinterpret_cast<const Four<float>*>(row + x);
    } else {
#pragma unroll
      for (int k = 0; k < 4; ++k) four.v[k] = row[LapInside(x + k, level.width)];
    }
    LapPut(tile + at.RowAt(channel, line), group, four.v[0], four.v[1], four.v[2], four.v[3]);
  }
}

LIKENESS_END_TARGET
