// DISTS, deep image structure and texture similarity: K. Ding, K. Ma, S. Wang, E. P. Simoncelli, "Image Quality
// Assessment: Unifying Structure and Texture Similarity", IEEE TPAMI 2020. As in DISTS_pt.py of the authors' package
// dists-pytorch 0.1; weights: weights.md.
//
//   1. RGB on [0, 1], non-linear sRGB. A gray image is three equal channels.
//   2. VGG16 on the image normalised as in LPIPS, with every max pooling replaced by the square root
//      of the mean of squares under a 3x3 Hann window at stride 2, zeros beyond the edge, plus 1e-12 inside the
//      root.
//   3. Six taps: the image itself, not normalised, and the last ReLU before each pooling and at the end, of 3, 64, 128,
//      256, 512 and 512 channels.
//   4. Of each channel f of the reference and g of the distorted image, over all pixels: means m, n, population
//      variances v, w, covariance c.
//      Texture S1 = (2 m n + 1e-6) / (m^2 + n^2 + 1e-6),
//      structure S2 = (2 c + 1e-6) / (v + w + 1e-6).
//   5. Score: 1 - sum(alpha S1 + beta S2) / sum(alpha + beta) over all 1475 channels, with the learned alpha and beta,
//      none of which is negative. 0 for identical images.
//
// Departure in form, not in value: 1 - S1 = (m - n)^2 / (m^2 + n^2 + 1e-6) and, as v + w - 2 c is the variance of f -
// g, 1 - S2 = var(f - g) / (v + w + 1e-6). Summed in this form nothing cancels: not the covariance of close to equal
// features in float32, and not the score of close to equal images. S2 lies in [-1, 1], so the score can exceed 1,
// though it would take an image whose every feature is turned around.
//
// There is no map: the statistics are of whole images. The authors' command resizes images to a short side of 256
// first; their function does not, and neither is it done here.
#pragma once

#include "kernels/base/number.h"
#include "kernels/ops/conv_trunk/conv_trunk.h"

LIKENESS_BEGIN_TARGET

inline constexpr double kDistsConstant = 1e-6;

// alpha (1 - S1) + beta (1 - S2) of a channel.
struct DistsChannel {
  template <class N>
  LIKENESS_HD auto operator()(auto alpha, auto beta, auto reference_mean, auto reference_variance, const N& mean,
                              const N& variance, const N& difference_variance) const {
    const auto apart = mean - reference_mean;
    const auto texture = apart * apart / (mean * mean + reference_mean * reference_mean + kDistsConstant);
    const auto structure = difference_variance / (variance + reference_variance + kDistsConstant);
    return texture * alpha + structure * beta;
  }
};
struct DistsQuotient {
  LIKENESS_HD auto operator()(auto sum, auto weight) const { return sum / weight; }
};

LIKENESS_END_TARGET
