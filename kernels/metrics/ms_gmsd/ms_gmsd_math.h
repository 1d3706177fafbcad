// MS-GMSD and MS-GMSDc: B. Zhang, P. V. Sander, A. Bermak, "Gradient Magnitude Similarity Deviation on Multiple Scales
// for Color Image Quality Assessment", ICASSP 2017; constants and order of steps of piq's gmsd.py.
//
//   1. YIQ. piq works on the 0..255 scale; similarities do not change when c is divided by 255^2 instead.
//   2. Four scales, 2x2 means between them. As soon as one side is odd, both are zero-padded by one at the bottom and
//      the right.
//   3. At each scale s_j: the population deviation of the similarity of Prewitt magnitudes of Y (as gmsd, but from the
//      full size on), with the masking term: ((2 - al) ab + c) / (a^2 + b^2 - al ab + c), al = 0.5, c = 170 / 255^2.
//   4. ms_gmsd: s = sqrt(0.096 s_1^2 + 0.596 s_2^2 + 0.289 s_3^2 + 0.019 s_4^2).
//   5. ms_gmsdc adds colour: q = sqrt(mse_I + mse_Q) at the fourth scale on 0..255, and with
//      g = 2 / (1 + 0.32 exp(-15 s)) - 1 the score is g s + 0.01 (1 - g) q.
//
// piq has no colour part for gray images and refuses; its I and Q are 0, so for us q is 0 and the score g s.
// For identical images score and gradient are 0.
#pragma once

#include "kernels/metrics/functors.h"
#include "kernels/ops/map/map.h"

LIKENESS_BEGIN_TARGET

inline constexpr int kMsGmsdScales = 4;
inline constexpr double kMsGmsdWeights[kMsGmsdScales] = {0.096, 0.596, 0.289, 0.019};

struct MaskedSimilarity {
  LIKENESS_HD auto operator()(auto a, auto b) const {
    constexpr double kMasking = 0.5, kC = 170.0 / (255.0 * 255.0);
    const auto product = a * b;
    return (product * (2.0 - kMasking) + kC) / (a * a + b * b - product * kMasking + kC);
  }
};

struct ChromaIq {
  LIKENESS_HD auto operator()(auto r, auto g, auto b) const {
    return Pack{r * 0.5959 - g * 0.2746 - b * 0.3213, r * 0.2115 - g * 0.5227 + b * 0.3112};
  }
};

// On scalars, as are the next two: weight x^2.
struct WeightedSquare {
  double weight;
  LIKENESS_HD auto operator()(auto x) const { return x * x * weight; }
};
struct AddWeightedSquare {
  double weight;
  LIKENESS_HD auto operator()(auto sum, auto x) const { return sum + x * x * weight; }
};

// `chroma` is the mean square over I and Q together, on [0, 1]: half of their sum.
struct WithChroma {
  LIKENESS_HD auto operator()(auto s, auto chroma) const {
    const auto gamma = 2.0 / (Exp(s * -15.0) * 0.32 + 1.0) - 1.0;
    return gamma * s + (1.0 - gamma) * Sqrt(chroma * (2.0 * 255.0 * 255.0)) * 0.01;
  }
  LIKENESS_HD auto operator()(auto s) const { return (2.0 / (Exp(s * -15.0) * 0.32 + 1.0) - 1.0) * s; }
};

LIKENESS_END_TARGET
