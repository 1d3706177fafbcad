// What SSIMULACRA 2's marches down a channel share, the walk's and its gradient's: their rows and window means.
#pragma once

#include "kernels/metrics/ssimulacra2/ssimulacra2_math.h"
#include "kernels/ops/cuda_rows.cuh"
#include "kernels/walks/march_grid.h"

LIKENESS_BEGIN_TARGET

inline constexpr int kSsimulacraSpan = static_cast<int>(std::size(kSsimulacraTaps)) - 1;
inline constexpr int kSsimulacraReach = kSsimulacraSpan / 2;
// Columns of a march, of which a block has two, one below the other.
inline constexpr int kSsimulacraStrip = 128;
inline constexpr int kSsimulacraMarches = kRowThreads / kSsimulacraStrip;

// As many blocks as a large GPU holds at once, each with so many columns of its own.
inline MarchGrid SsimulacraGridOf(const Shape& shape, int columns) {
  return MarchGrid::Of(shape.width, shape.height, columns, 264 / shape.channels, kSsimulacraMarches, /*least_rows=*/32);
}

// A thread's march: its own columns from x0 on, its rows from y0 to y1.
struct SsimulacraPlace {
  int march;
  int id;  // of the thread in it
  int x0;
  int y0;
  int y1;

  __device__ SsimulacraPlace(const Block& block, const MarchGrid& grid, const Shape& shape, int columns) {
    march = static_cast<int>(threadIdx.x) / kSsimulacraStrip;
    id = static_cast<int>(threadIdx.x) % kSsimulacraStrip;
    x0 = block.x % grid.strips * columns;
    y0 = (block.x / grid.strips * kSsimulacraMarches + march) * grid.rows;
    y1 = y0 + grid.rows < shape.height ? y0 + grid.rows : shape.height;
  }
};

// Window means down a column: each row's sum joins the windows that hold it, of which the oldest is then done. It is
// its own transpose.
struct SsimulacraColumn {
  Vec pending[kSsimulacraSpan];

  __device__ SsimulacraColumn() {
#pragma unroll
    for (Vec& sum : pending) sum = Vec(0.0);
  }
  __device__ __forceinline__ Vec Next(Vec x) {
    const Vec done = MulAdd(Tap(0), x, pending[0]);
#pragma unroll
    for (int j = 1; j < kSsimulacraSpan; ++j) pending[j - 1] = MulAdd(Tap(j), x, pending[j]);
    pending[kSsimulacraSpan - 1] = Tap(kSsimulacraSpan) * x;
    return done;
  }
  // For the row that came last alone.
  __device__ __forceinline__ void Add(Vec x) { pending[kSsimulacraReach - 1] = pending[kSsimulacraReach - 1] + x; }

  __device__ __forceinline__ static Vec Tap(int j) {
    constexpr double taps[] = {kSsimulacraTaps[0], kSsimulacraTaps[1], kSsimulacraTaps[2], kSsimulacraTaps[3],
                               kSsimulacraTaps[4]};
    return Vec(taps[j <= kSsimulacraReach ? j : kSsimulacraSpan - j]);
  }
};

// Both images at one scale, as a march reads them.
struct SsimulacraRows {
  PlanesView reference;
  PlanesView distorted;

  __device__ const Shape& shape() const { return distorted.shape; }

  // What a thread brings of a row: its own sample, and one of those beyond the last thread's. Zeros beyond the image.
  struct Fetched {
    float r[2] = {0.0f, 0.0f};
    float d[2] = {0.0f, 0.0f};
  };
  __device__ __forceinline__ Fetched Fetch(int channel, int y, int first_x, int id) const {
    Fetched row;
    if (y < 0 || y >= shape().height) return row;
#pragma unroll
    for (int k = 0; k < 2; ++k) {
      const int x = first_x + id + k * kSsimulacraStrip;
      if (x < 0 || x >= shape().width || (k == 1 && id >= kSsimulacraSpan)) continue;
      row.r[k] = Row(reference, channel, y)[x];
      row.d[k] = Row(distorted, channel, y)[x];
    }
    return row;
  }

  // The last rows in shared memory, of which the i-th is the newest. One barrier a row is enough: rows that are read
  // are not those that the next one takes the place of.
  struct Held {
    static constexpr int kRows = 8;
    static_assert(kRows > kSsimulacraReach + 1);
    float r[kRows][kSsimulacraStrip + kSsimulacraSpan];
    float d[kRows][kSsimulacraStrip + kSsimulacraSpan];

    __device__ __forceinline__ void Put(int i, int id, const Fetched& row) {
#pragma unroll
      for (int k = 0; k < 2; ++k) {
        if (k == 1 && id >= kSsimulacraSpan) continue;
        r[i % kRows][id + k * kSsimulacraStrip] = row.r[k];
        d[i % kRows][id + k * kSsimulacraStrip] = row.d[k];
      }
    }
    // In the middle of the thread's window that the i-th row completes.
    __device__ __forceinline__ Vec Reference(int i, int id) const {
      return Vec(r[(i - kSsimulacraReach) % kRows][id + kSsimulacraReach]);
    }
    __device__ __forceinline__ Vec Distorted(int i, int id) const {
      return Vec(d[(i - kSsimulacraReach) % kRows][id + kSsimulacraReach]);
    }

    // Along the newest row, over the thread's window: the means of r, of d - r, of its square, and of both squares.
    __device__ __forceinline__ void Sum(int i, int id, Vec (&sums)[4]) const {
      constexpr int kReach = kSsimulacraReach;
      const float *r_row = &r[i % kRows][id], *d_row = &d[i % kRows][id];
      const Vec middle = SsimulacraColumn::Tap(kReach), r4(r_row[kReach]), d4(d_row[kReach]);
      const Vec e4 = Difference{}(r4, d4);
      sums[0] = middle * r4;
      sums[1] = middle * e4;
      sums[2] = middle * (e4 * e4);
      sums[3] = middle * MulAdd(r4, r4, d4 * d4);
#pragma unroll
      for (int j = kReach - 1; j >= 0; --j) {
        const Vec tap = SsimulacraColumn::Tap(j);
        const Vec r0(r_row[j]), r1(r_row[kSsimulacraSpan - j]), d0(d_row[j]), d1(d_row[kSsimulacraSpan - j]);
        const Vec e0 = Difference{}(r0, d0), e1 = Difference{}(r1, d1);
        sums[0] = MulAdd(tap, r0 + r1, sums[0]);
        sums[1] = MulAdd(tap, e0 + e1, sums[1]);
        sums[2] = MulAdd(tap, MulAdd(e0, e0, e1 * e1), sums[2]);
        sums[3] = MulAdd(tap, MulAdd(r0, r0, d0 * d0) + MulAdd(r1, r1, d1 * d1), sums[3]);
      }
    }
  };
};

LIKENESS_END_TARGET
