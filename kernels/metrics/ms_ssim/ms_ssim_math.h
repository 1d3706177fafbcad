// MS-SSIM, multi-scale SSIM: Z. Wang, E. P. Simoncelli, A. C. Bovik, "Multi-scale Structural Similarity for Image
// Quality Assessment", Asilomar 2003. Five scales, 2x2 means between them:
//
//   P = cs_1^w1 cs_2^w2 cs_3^w3 cs_4^w4 S_5^w5,   w = 0.0448 0.2856 0.3001 0.2363 0.1333
//
// where cs_j and S_5 are means over the scale's windows, and what is negative counts as 0. The weights are used as
// printed, though they add up to 1.0001. Where P is 0 its gradient is 0.
//
//   piq           P for each channel, then the mean over channels; an odd side pads both sides by one at the top and
//                 the left with the edge sample
//   torchmetrics  cs_j and S_5 over all channels, then P; mirrored borders, of which cs_j (but not S_5) loses 5
//                 samples; odd rows and columns are dropped
#pragma once

#include "kernels/base/number.h"

LIKENESS_BEGIN_TARGET

inline constexpr double kMsSsimWeights[] = {0.0448, 0.2856, 0.3001, 0.2363, 0.1333};

struct ReluPower {
  double exponent;
  LIKENESS_HD auto operator()(auto x) const { return SafePow(x, exponent); }
};

LIKENESS_END_TARGET
