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
//
// Conventions faceswap and faceswap_deviation share the name, not the steps; they are faceswap's GMSDLoss:
//
//   1. No luma, no reduction: responses of a 5x5 Scharr pair (ky vertical, kx horizontal), mirrored border. They keep
//      their sign; no magnitude is taken.
//   2. 1 - similarity of the responses of both images, c = 0.0025, computed as (a - b)^2 / (a^2 + b^2 + c).
//   3. faceswap, which its training uses: the mean. faceswap_deviation: the sample deviation.
//
// Its bank of six kernels, meant to be (ky, kx) for each channel, is laid out as ky ky ky kx kx kx and handed out two a
// channel: the first channel gets ky twice, the second ky and kx, the third kx twice. We follow, for that is the number
// that faceswap trains with; a gray image gets ky and kx.
#pragma once

#include "kernels/metrics/functors.h"
#include "kernels/ops/correlate/correlate.h"

LIKENESS_BEGIN_TARGET

inline constexpr double kGmsdC = 170.0 / (255.0 * 255.0);

// Of piq and pyiqa.
LIKENESS_HD constexpr Magnitude GmsdMagnitude(bool pyiqa) { return {pyiqa ? 1e-12 : 0.0}; }
LIKENESS_HD constexpr Similarity GmsdSimilarity(bool pyiqa) { return {pyiqa ? 170.0 : kGmsdC}; }

// faceswap's vertical derivative, antisymmetric down a column; Transposed() is the horizontal one.
inline Kernel FaceswapScharr() {
  const Taps outer = {0.0007, 0.0052, 0.0370, 0.0052, 0.0007}, inner = {0.0037, 0.1187, 0.2589, 0.1187, 0.0037};
  return {{{{1.0, 0.0, 0.0, 0.0, -1.0}, outer}, {{0.0, 1.0, 0.0, -1.0, 0.0}, inner}}};
}

struct ChannelOf {
  int index;
  LIKENESS_HD auto operator()(auto r, auto g, auto b) const { return index == 0 ? r : index == 1 ? g : b; }
};

// 1 - similarity to the reference's response a.
template <class A>
struct DissimilarityTo {
  A a;
  LIKENESS_HD auto operator()(auto b) const {
    const auto difference = b - a;
    return difference * difference / (b * b + a * a + 0.0025);
  }
};

// The mean over the kernels of a pixel: responses of reference and distorted in turn, vertical of the first channel,
// vertical and horizontal of the second, horizontal of the third; or both of the only channel.
struct MeanDissimilarity {
  LIKENESS_HD auto operator()(auto ar, auto ad, auto br, auto bd) const { return (Of(ar, ad) + Of(br, bd)) * 0.5; }
  LIKENESS_HD auto operator()(auto ar, auto ad, auto br, auto bd, auto cr, auto cd, auto dr, auto dd) const {
    return (Of(ar, ad) + Of(dr, dd)) * (1.0 / 3.0) + (Of(br, bd) + Of(cr, cd)) * (1.0 / 6.0);
  }

  template <class A, class B>
  static LIKENESS_HD B Of(const A& reference, const B& distorted) {
    return Apply(DissimilarityTo<A>{reference}, distorted);
  }
};

// The same of squared distances from `mean`.
struct SpreadOfDissimilarity {
  LIKENESS_HD auto operator()(auto mean, auto ar, auto ad, auto br, auto bd) const {
    return (Of(ar, ad, mean) + Of(br, bd, mean)) * 0.5;
  }
  LIKENESS_HD auto operator()(auto mean, auto ar, auto ad, auto br, auto bd, auto cr, auto cd, auto dr, auto dd) const {
    return (Of(ar, ad, mean) + Of(dr, dd, mean)) * (1.0 / 3.0) + (Of(br, bd, mean) + Of(cr, cd, mean)) * (1.0 / 6.0);
  }

 private:
  template <class A, class B, class M>
  static LIKENESS_HD B Of(const A& reference, const B& distorted, const M& mean) {
    const B distance = MeanDissimilarity::Of(reference, distorted) - mean;
    return distance * distance;
  }
};

// On scalars: the root of a population variance as that of a sample of `count`.
struct SampleDeviation {
  double count;
  LIKENESS_HD auto operator()(auto variance) const { return Sqrt(variance * (count / (count - 1.0))); }
};

LIKENESS_END_TARGET
