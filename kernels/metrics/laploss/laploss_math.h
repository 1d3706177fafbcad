// Laplacian pyramid loss: P. Bojanowski, A. Joulin, D. Lopez-Paz, A. Szlam, "Optimizing the Latent Space of Generative
// Networks", ICML 2018; conventions of faceswap and of the GLO reference code.
//
//   Per level j = 0..4: B = G * x with G(5, sigma 1), edges replicated; band = x - B; the next x is the 2x2 mean of B.
//   Loss: the sum over levels of 4^-j mean|band of distorted - band of reference|.
//
// Everything before the magnitude is linear, so one pyramid of e = distorted - reference is enough.
//
//   faceswap         also the residual level 5; each |band| is enlarged bilinearly to HxW, and the score is the mean of
//                    their weighted sum, which is the map
//   faceswap_scalar  also the residual level 5; means taken at each level's own size
//   glo              five bands, no residual
#pragma once

#include "kernels/metrics/functors.h"

LIKENESS_BEGIN_TARGET

inline constexpr int kLapLossLevels = 5;  // of bands; one more is the residual
inline constexpr int kLapLossTaps = 5;
inline constexpr double kLapLossSigma = 1.0;
// 4^-level
constexpr double LapLossWeight(int level) { return 1.0 / (1 << 2 * level); }

struct BandOf {
  LIKENESS_HD auto operator()(auto x, auto blurred) const { return Abs(x - blurred); }
};

LIKENESS_END_TARGET
