// FFL, focal frequency loss: L. Jiang, B. Dai, W. Wu, C. C. Loy, "Focal Frequency Loss for Image Reconstruction and
// Synthesis", ICCV 2021; reference code focal-frequency-loss.
//
//   1. The orthonormal 2-D Fourier transform of e = distorted - reference, each channel, each patch of a p x p grid.
//   2. D = |F(e)|^2, and a weight w = D^(alpha / 2), or log(1 + that).
//   3. w divided by its maximum over the spectrum of the patch and channel, clamped to [0, 1]; 0/0 is 0.
//   4. Score: the mean of w D over channels, frequencies and patches, times loss_weight.
//
// detached (default) is the authors' gradient: the weight is a constant. faceswap differentiates through the weight and
// its maximum, and does not divide by less than 1e-6.
#pragma once

#include "kernels/metrics/functors.h"

LIKENESS_BEGIN_TARGET

struct SquaredNorm {
  LIKENESS_HD auto operator()(auto re, auto im) const { return re * re + im * im; }
};

struct SpectrumWeight {
  double alpha;
  bool log_matrix;
  LIKENESS_HD auto operator()(auto d) const {
    const auto w = alpha == 1.0 ? Sqrt(d) : SafePow(d, 0.5 * alpha);
    return log_matrix ? Log1p(w) : w;
  }
};

struct NormalizedTimes {
  double floor;
  LIKENESS_HD auto operator()(auto w, auto maximum, auto d) const {
    const auto scale = Max(maximum, floor);
    // Where the maximum is 0 so is every weight.
    const auto safe = Select(Value(scale) > 0.0, scale, 1.0);
    return Clamp(w / safe, 0.0, 1.0) * d;
  }
};

LIKENESS_END_TARGET
