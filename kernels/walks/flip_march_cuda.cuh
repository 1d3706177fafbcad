// What FLIP's marches share, the walk's and its gradient's: filters, applied along a row at once and down a column
// value by value, and what becomes of rows that are done.
#pragma once

#include "kernels/metrics/flip/flip_filters.h"
#include "kernels/ops/cuda_rows.cuh"
#include "kernels/walks/march_grid.h"

LIKENESS_BEGIN_TARGET

// How far filters reach to each side: blue and yellow, the other colours, features.
inline constexpr int kFlipReach = 10;
inline constexpr int kFlipColorReach = 7;
inline constexpr int kFlipFeatureReach = 9;
// Opponent colours, and what is made of them: those filtered, edges along x and y, points along x and y.
inline constexpr int kFlipColors = 3;
inline constexpr int kFlipChannels = 7;

// One side of a filter along an axis, from its middle on, in whole fours.
constexpr int FlipRoomFor(int reach) { return (reach + 4) / 4 * 4; }
struct FlipSides {
  float vertical[FlipRoomFor(kFlipReach)];
  float horizontal[FlipRoomFor(kFlipReach)];
};
struct alignas(16) FlipTaps {
  FlipSides achromatic;
  FlipSides red_green;
  FlipSides blue_yellow[2];
  float across[FlipRoomFor(kFlipFeatureReach)];
  float edge[FlipRoomFor(kFlipFeatureReach)];  // odd; all others are even
  float point[FlipRoomFor(kFlipFeatureReach)];
};

// False where the filter reaches further.
inline bool TakeFlipSide(const Taps& taps, int reach, float* side) {
  const int middle = static_cast<int>(taps.size()) / 2;
  for (int k = 0; k <= middle; ++k) {
    if (k <= reach) {
      side[k] = static_cast<float>(taps[middle + k]);
    } else if (taps[middle + k] != 0.0) {
      return false;
    }
  }
  return true;
}

inline bool TakeFlipFilters(const KernelBank& bank, FlipTaps* taps) {
  const auto sides = [&](int filter, int term, int reach, FlipSides* to) {
    const Kernel& kernel = bank.filters[filter].kernel;
    if (term >= static_cast<int>(kernel.terms.size())) return true;
    return TakeFlipSide(kernel.terms[term].vertical, reach, to->vertical) &&
           TakeFlipSide(kernel.terms[term].horizontal, reach, to->horizontal);
  };
  const Kernel::Term& edge = bank.filters[3].kernel.terms[0];
  return sides(0, 0, kFlipColorReach, &taps->achromatic) && sides(1, 0, kFlipColorReach, &taps->red_green) &&
         sides(2, 0, kFlipReach, &taps->blue_yellow[0]) && sides(2, 1, kFlipReach, &taps->blue_yellow[1]) &&
         TakeFlipSide(edge.vertical, kFlipFeatureReach, taps->across) &&
         TakeFlipSide(edge.horizontal, kFlipFeatureReach, taps->edge) &&
         TakeFlipSide(bank.filters[5].kernel.terms[0].horizontal, kFlipFeatureReach, taps->point);
}

// Along a row, around x.
template <int reach>
__device__ __forceinline__ Vec EvenSum(const float* x, const float* side) {
  Vec sum = Vec(side[0]) * Vec(x[0]);
#pragma unroll
  for (int k = 1; k <= reach; ++k) sum = MulAdd(Vec(side[k]), Vec(x[k]) + Vec(x[-k]), sum);
  return sum;
}
template <int reach>
__device__ __forceinline__ Vec OddSum(const float* x, const float* side) {
  Vec sum(0.0);
#pragma unroll
  for (int k = 1; k <= reach; ++k) sum = MulAdd(Vec(side[k]), Vec(x[k]) - Vec(x[-k]), sum);
  return sum;
}

// Values that join the sums down a column: at each, times the tap that leads to it.
struct Even {
  Vec x;
  const float* side;
  __device__ __forceinline__ Vec Join(int k, Vec sum) const { return MulAdd(Vec(side[k < 0 ? -k : k]), x, sum); }
};
struct Odd {
  Vec x;
  const float* side;
  __device__ __forceinline__ Vec Join(int k, Vec sum) const {
    return k == 0 ? sum : MulAdd(Vec(side[k < 0 ? -k : k]), k < 0 ? -x : x, sum);
  }
};

// Down a column: the next row's values join the sums that they count for, of which the oldest is then done.
template <int reach, class... Values>
__device__ __forceinline__ Vec NextDown(Vec* pending, const Values&... values) {
  const auto join = [&](int k, Vec sum) {
    ((sum = values.Join(k, sum)), ...);
    return sum;
  };
  const Vec done = join(reach, pending[0]);
#pragma unroll
  for (int j = 1; j < 2 * reach; ++j) pending[j - 1] = join(reach - j, pending[j]);
  pending[2 * reach - 1] = join(-reach, Vec(0.0));
  return done;
}

// Rows of a strip that are done, `lines` of them at a step. The shorter the filter, the earlier a row is: it waits in
// another line for those of the longest.
template <int reach, int lines, int strip>
struct FlipLines {
  static constexpr int kWaiting = kFlipReach - reach;
  float at[lines + kWaiting][strip];

  __device__ __forceinline__ void Begin(int column) {
    for (auto& line : at) line[column] = 0.0f;
  }
  __device__ __forceinline__ void Advance(int column) {
#pragma unroll
    for (int i = 0; i < kWaiting; ++i) at[i][column] = at[lines + i][column];
  }
  __device__ __forceinline__ void Put(int line, int column, Vec value) { at[kWaiting + line][column] = Bare(value); }
};

// As many blocks as a large GPU holds at once, of so many columns each.
inline MarchGrid FlipGridOf(const ImageView& image, int columns, int blocks) {
  return MarchGrid::Of(image.width, image.height, columns, blocks, /*marches=*/1, /*least_rows=*/64);
}

LIKENESS_END_TARGET
