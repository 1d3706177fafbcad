// FLIP's filters as its walk applies them: along a row at once, down a column value by value. For flip_cuda.cu.
#pragma once

#include "kernels/metrics/flip/flip_filters.h"

LIKENESS_BEGIN_TARGET

// How far filters reach to each side: blue and yellow, the other colours, features.
inline constexpr int kFlipReach = 10;
inline constexpr int kFlipColorReach = 7;
inline constexpr int kFlipFeatureReach = 9;

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

// Down a column: each value joins the sums that it counts for, of which the oldest is then done.
template <int reach, bool odd = false>
__device__ __forceinline__ Vec NextDown(Vec* pending, Vec x, const float* side) {
  const Vec done = MulAdd(Vec(side[reach]), x, pending[0]);
#pragma unroll
  for (int j = 1; j < 2 * reach; ++j) {
    const int k = reach - j;
    if (odd && k == 0) {
      pending[j - 1] = pending[j];
    } else {
      pending[j - 1] = MulAdd(Vec(side[k < 0 ? -k : k]), odd && k < 0 ? -x : x, pending[j]);
    }
  }
  pending[2 * reach - 1] = Vec(side[reach]) * (odd ? -x : x);
  return done;
}
// A sum that two values join.
template <int reach>
__device__ __forceinline__ Vec NextDown(Vec* pending, Vec x, const float* side, Vec x2, const float* side2) {
  const Vec done = MulAdd(Vec(side2[reach]), x2, MulAdd(Vec(side[reach]), x, pending[0]));
#pragma unroll
  for (int j = 1; j < 2 * reach; ++j) {
    const int k = reach < j ? j - reach : reach - j;
    pending[j - 1] = MulAdd(Vec(side2[k]), x2, MulAdd(Vec(side[k]), x, pending[j]));
  }
  pending[2 * reach - 1] = MulAdd(Vec(side2[reach]), x2, Vec(side[reach]) * x);
  return done;
}

LIKENESS_END_TARGET
