// What GMSD's kernels share, the walk's and its gradient's: tiles of the picture at half size, and the responses to
// Prewitt's filters in them.
#pragma once

#include "kernels/metrics/gmsd/gmsd_math.h"
#include "kernels/ops/cuda_rows.cuh"
#include "kernels/walks/half_luma_cuda.cuh"
#include "kernels/walks/march_grid.h"

LIKENESS_BEGIN_TARGET

// A side of a tile.
inline constexpr int kGmsdTile = 32;
// Columns of luma that a tile holds: two more to each side, an even number.
inline constexpr int kGmsdAcross = kGmsdTile + 4;

inline Grid GmsdTilesOf(const Shape& shape) {
  return {PartsOf(shape.width, kGmsdTile), PartsOf(shape.height, kGmsdTile)};
}

template <bool pyiqa>
struct GmsdPair {
  Shape image;  // of both
  HalfLuma<pyiqa> reference;
  HalfLuma<pyiqa> distorted;

  GmsdPair(const ImageView& reference, const ImageView& distorted)
      : image{distorted.width, distorted.height, distorted.channels}, reference(reference), distorted(distorted) {}

  // At half size.
  LIKENESS_HD Shape shape() const { return HalfLuma<pyiqa>::ShapeOf(image); }
};

struct GmsdResponse {
  Vec x, y;
};

// Across a difference.
__device__ __forceinline__ Vec GmsdSmooth(Vec before, Vec here, Vec after) {
  const Vec third(1.0 / 3);  // the taps of PrewittX
  return MulAdd(third, after, MulAdd(third, here, third * before));
}

// The luma of both images around a tile: of rows that begin `reach` above it, and of columns that begin two left of it.
template <int reach>
struct GmsdLuma {
  static constexpr int kLines = kGmsdTile + 2 * reach;
  float at[2][kLines][kGmsdAcross];

  template <bool pyiqa>
  __device__ __forceinline__ void Fetch(const GmsdPair<pyiqa>& pair, int y0, int x0) {
#pragma unroll 1
    for (int image = 0; image < 2; ++image) {
      const HalfLuma<pyiqa> from = image == 0 ? pair.reference : pair.distorted;
      from.Fetch(pair.image, y0 - reach, x0 - 2, at[image]);
    }
  }

  // body(i, reference's response, distorted's) down a column, from `line` of those held on. The line after the last one
  // held is taken to be the last one.
  template <int lines, class Body>
  __device__ __forceinline__ void DownColumn(int line, int column, Body body) const {
    Along above[2], here[2];
#pragma unroll
    for (int k = 0; k < 2; ++k) {
      above[k] = AlongRow(&at[k][line - 1][column]);
      here[k] = AlongRow(&at[k][line][column]);
    }
#pragma unroll
    for (int i = 0; i < lines; ++i) {
      GmsdResponse responses[2];
#pragma unroll
      for (int k = 0; k < 2; ++k) {
        const int next = line + i + 1;
        const Along below = AlongRow(&at[k][next < kLines ? next : kLines - 1][column]);
        responses[k] = {GmsdSmooth(above[k].change, here[k].change, below.change), below.smooth - above[k].smooth};
        above[k] = here[k];
        here[k] = below;
      }
      body(i, responses[0], responses[1]);
    }
  }

 private:
  struct Along {
    Vec change, smooth;
  };

  __device__ __forceinline__ static Along AlongRow(const float* middle) {
    const Vec left(middle[-1]), here(middle[0]), right(middle[1]);
    return {right - left, GmsdSmooth(left, here, right)};
  }
};

LIKENESS_END_TARGET
