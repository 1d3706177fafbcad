// From the means of MS-SSIM's scales to its score, the same on every backend (ms_ssim_math.h).
#pragma once

#include "kernels/base/target.h"

namespace likeness {

inline constexpr int kMsSsimScales = 5;
inline constexpr std::array<double, kMsSsimScales> kMsSsimWeights = {0.0448, 0.2856, 0.3001, 0.2363, 0.1333};

// cs is S with a C1 of 2^56, the square of this: next to it no mean counts, both factors of the luminance are C1, and a
// power of two leaves the quotient's bits alone. A larger one would make denormal numbers on the way to a gradient.
inline constexpr double kNoLuminanceK1 = 268435456.0;  // 2^28

// A scale, and the next coarser one, whose samples are means of 2x2: as soon as one side is odd, the scale begins with
// a copy of its first row and column.
struct MsSsimSize {
  int width, height;

  int before() const { return width % 2 | height % 2; }
  MsSsimSize Coarser() const { return {(width + before()) / 2, (height + before()) / 2}; }
};

// For each scale and channel: a mean of cs, of S at the last scale; or how the score changes with it.
struct MsSsimMeans {
  double of[kMsSsimScales][3];
};

// scale * P + offset, P the mean over channels. `slopes`: null, or d score / d mean.
LIKENESS_HD double MsSsimScore(const MsSsimMeans& means, int channels, double scale, double offset,
                               MsSsimMeans* slopes) {
  constexpr std::array weights = kMsSsimWeights;  // a copy: nvcc has no address of the host's constant
  double total = 0.0;
  for (int c = 0; c < channels; ++c) {
    double factors[kMsSsimScales];
    double product = 1.0;
    for (int s = 0; s < kMsSsimScales; ++s) {
      const double mean = means.of[s][c];
      factors[s] = mean > 0.0 ? std::pow(mean, weights[s]) : 0.0;
      product *= factors[s];
    }
    total += product;
    for (int s = 0; slopes != nullptr && s < kMsSsimScales; ++s) {
      const double mean = means.of[s][c];
      // Where a factor is 0 the product is flat.
      double slope = mean > 0.0 ? scale * weights[s] * factors[s] / mean / channels : 0.0;
      for (int k = 0; k < kMsSsimScales; ++k) slope *= k == s ? 1.0 : factors[k];
      slopes->of[s][c] = slope;
    }
  }
  return scale * (total / channels) + offset;
}

}  // namespace likeness
