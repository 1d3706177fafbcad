// NLPD, normalized Laplacian pyramid distance: V. Laparra, J. Balle, A. Berardino, E. P. Simoncelli, "Perceptual image
// quality assessment using a normalized Laplacian pyramid", Electronic Imaging 2016; constants of its authors'
// NLP_dist.m and order of steps of pyiqa's nlpd_arch.py.
//
//   1. Luma (BT.601) on the [0, 1] scale, as it is. (The paper first maps display luminance by a power; pyiqa does
//      not.)
//   2. Six levels. Five bands: the image less the enlarged next level, where the next level is filtered with
//      (0.05 0.25 0.4 0.25 0.05) along both axes and halved. The last level is what remains.
//   3. Divisive normalization of each level: band / (sigma + P * |band|), where P weighs the four neighbours and zeros
//      lie outside.
//   4. Score: the mean over levels of the root mean square difference of the normalized levels.
//
// sigma and P are of the level, fitted by the authors to photographs. At 0 the gradient is 0; torch has NaN there.
#pragma once

#include "kernels/metrics/functors.h"
#include "kernels/ops/correlate/correlate.h"

LIKENESS_BEGIN_TARGET

inline constexpr int kNlpdLevels = 6;
inline Taps NlpdTaps() { return {0.05, 0.25, 0.4, 0.25, 0.05}; }

// What the neighbour above, left, right and below contribute.
struct NlpdLevel {
  double sigma, above, left, right, below;
};
inline constexpr NlpdLevel kNlpdConstants[kNlpdLevels] = {
    {0.0248, 0.1015, 0.1460, 0.1493, 0.1011}, {0.0185, 0.0837, 0.1846, 0.1986, 0.0757},
    {0.0179, 0.0467, 0.2243, 0.2138, 0.0477}, {0.0191, 0.0, 0.2616, 0.2503, 0.0},
    {0.0220, 0.0, 0.2552, 0.2598, 0.0},       {0.2782, 0.0, 0.0717, 0.2215, 0.0}};

inline Kernel NlpdNeighbours(const NlpdLevel& level) {
  const Taps here = {0.0, 1.0, 0.0};
  Kernel kernel{{{here, {level.left, 0.0, level.right}}}};
  if (level.above > 0.0) kernel.terms.push_back({{level.above, 0.0, level.below}, here});
  return kernel;
}

struct PlainDifference {
  LIKENESS_HD auto operator()(auto a, auto b) const { return a - b; }
};

// Squared difference of the normalized bands; `around` is P * |band|.
struct NormalizedDifference {
  double sigma;
  LIKENESS_HD auto operator()(auto band_r, auto around_r, auto band_d, auto around_d) const {
    const auto difference = band_d / (around_d + sigma) - band_r / (around_r + sigma);
    return difference * difference;
  }
};

LIKENESS_END_TARGET
