// LPIPS, learned perceptual image patch similarity: R. Zhang, P. Isola, A. A. Efros, E. Shechtman, O. Wang, "The
// Unreasonable Effectiveness of Deep Features as a Perceptual Metric", CVPR 2018. Version 0.1 as in the authors'
// lpips/lpips.py with normalize=True; weights: weights.md.
//
//   1. RGB on [0, 1], non-linear sRGB. A gray image is three equal channels.
//   2. Each channel minus the mean, divided by the deviation, of ImageNet's pictures. The authors write it as 2 x - 1
//      and then (x - shift) / scale; the numbers are the same ones.
//   3. A trunk trained on ImageNet, AlexNet, VGG16 or SqueezeNet 1.1, up to its last convolution. Its outputs after
//      ReLU are tapped at five depths, SqueezeNet's at seven.
//   4. At each tap each pixel's feature vector is divided by its length plus 1e-10; the squared differences of the two
//      images' vectors are summed over channels with the learned weights of that tap, none of which is negative.
//   5. Score: the mean over pixels of each tap, summed over taps. 0 for identical images.
//
// The map is each tap's plane enlarged to the image bilinearly, summed over taps: its mean is the score only where
// every tap's size divides the image's.
//
// Gradients at vectors of zeros are 0; torch has NaN there.
//
// Convention v0.0 is the authors' first version (arXiv 1801.03924v1; the package's version='0.0'). It leaves out the
// step to ImageNet's mean and deviation, by mistake as they say, and has heads that were learned so: the trunk sees
// 2 x - 1.
//
// Convention torchmetrics divides by sqrt(1e-8 + |f|^2) instead.
//
// Convention faceswap, after lib/model/losses/feature_loss.py of faceswap (2026) as its trainer calls it: each tap's
// plane loses the border that zero padding reaches (AlexNet 2, 2, 1, 1, 1 samples a side, the others 1), is enlarged to
// the image bilinearly, the planes are summed, and a tenth of the sum's mean is the score. AlexNet's last tap is taken
// before its ReLU: the trunk is cut off right behind that convolution.
#pragma once

#include <algorithm>

#include "kernels/base/target.h"
#include "kernels/ops/conv_trunk/conv_trunk.h"

LIKENESS_BEGIN_TARGET

inline constexpr ColorNormalization kImageNetColor = {{0.485, 0.456, 0.406}, {0.229, 0.224, 0.225}};

// 2 x - 1.
inline constexpr ColorNormalization kFirstVersionColor = {{0.5, 0.5, 0.5}, {0.5, 0.5, 0.5}};

inline constexpr UnitLength kLpipsLength = {.inside = 0.0, .outside = 1e-10};
inline constexpr double kFaceswapScale = 0.1;

// Samples that faceswap cuts off each side of a tap behind this convolution.
inline int FaceswapCrop(const ConvSpec& conv) { return std::max(conv.padding, 1); }

inline constexpr UnitLength kTorchmetricsLength = {.inside = 1e-8, .outside = 0.0};

LIKENESS_END_TARGET
