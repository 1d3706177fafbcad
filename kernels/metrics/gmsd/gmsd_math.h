// GMSD, gradient magnitude similarity deviation: W. Xue, L. Zhang, X. Mou, A. C. Bovik, "Gradient Magnitude Similarity
// Deviation: A Highly Efficient Perceptual Image Quality Index", IEEE TIP 2014. Default convention: piq's gmsd.py.
//
//   1. Luma of BT.601 on the [0, 1] scale.
//   2. 2x2 means at stride 2. As soon as one side is odd, both are zero-padded by one at the bottom and the right.
//   3. Gradient magnitude of both images: Prewitt, divided by 3, zero border.
//   4. Similarity of the magnitudes, c = 170 / 255^2: 170 on the 0..255 scale.
//   5. Score: the population standard deviation of the similarity over the picture. 0 for identical images.
//
// Gradients where 0/0 stands in the formulas (flat patches, identical images) are 0; torch has NaN there.
//
// Convention pyiqa: luma x255 rounded to integers (gradient straight through), floor pooling, 1e-12 inside the root of
// the magnitude, c = 170, sample deviation.
#pragma once

#include "kernels/metrics/functors.h"

LIKENESS_BEGIN_TARGET

inline constexpr double kGmsdC = 170.0 / (255.0 * 255.0);

LIKENESS_END_TARGET
