// Butteraugli: J. Alakuijala and others, Google, 2016 on ("Guetzli: Perceptually Guided JPEG Encoder", 2017, describes
// an early version), as libjxl 0.7 computes it. This metric calls that library (jxl/butteraugli.h) and holds none of
// its maths.
//
//   1. sRGB on [0, 1] becomes linear RGB. A gray image is three equal channels.
//   2. libjxl, from there on: what the eye's cones see of the image at `intensity_target` nits for white, in an
//      opponent colour space; bands of frequency by recursive Gaussians; masking by what the reference shows; filters
//      of lines in 16 directions; a distance for every pixel.
//   3. Score: the largest distance (convention max), or for p the mean of the p, 2p and 4p norms over all pixels, each
//      being (mean d^p)^(1/p): what libjxl's own tools print as the p-norm.
//
// Constants: what libjxl's command butteraugli_main has, 80 nits and an asymmetry of 0.8, where new fine detail counts
// less than lost detail. The library's function without settings has 1 there.
//
// libjxl computes in float32 whatever asks, the oracle too, and chooses its instruction set by itself: only step 1 and
// the norm are of the instruction set that a reply names. Other versions of libjxl, and the first butteraugli, give
// other scores. There is no gradient.
#pragma once

#include "kernels/metrics/srgb.h"

LIKENESS_BEGIN_TARGET

inline constexpr double kButteraugliNits = 80.0;
inline constexpr double kButteraugliAsymmetry = 0.8;

struct ButteraugliLinear {
  LIKENESS_HD auto operator()(auto x) const { return LinearFromSrgb(x); }
};

LIKENESS_END_TARGET
