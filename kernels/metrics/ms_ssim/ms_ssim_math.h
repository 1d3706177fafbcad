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
//   pyiqa         luma x255 rounded to integers (gradient straight through); what is negative in a map counts as 0; an
//                 odd side gets a row or column of zeros at the top or the left, which count in the means
//
// ms_dssim is 1 - P, the loss:
//
//   one_minus        of piq's P
//   faceswap_scalar  of P for each channel; an odd side repeats its last row or column, and no window is larger than
//                    the fifth scale: the largest odd number of taps that is at most its side and at most 11
//   faceswap         what its training uses: mirrored borders, and each scale's map (cs_j; S_5 at the last), negative
//                    samples counting as 0, is enlarged bilinearly to the image; P is taken for each sample, and 1 - P
//                    averaged. faceswap enlarges to the square of the width; we enlarge to the image, the same for the
//                    squares that it trains on.
#pragma once

#include "kernels/base/number.h"
#include "kernels/metrics/ms_ssim/ms_ssim_score.h"

LIKENESS_BEGIN_TARGET

struct ReluPower {
  double exponent;
  LIKENESS_HD auto operator()(auto x) const { return SafePow(x, exponent); }
};

struct LogOf {
  LIKENESS_HD auto operator()(auto x) const { return Log(x); }
};

// The product of a sample's factors to their powers: 0, and no derivative, as soon as one is not above 0.
struct ScaleProduct {
  LIKENESS_HD auto operator()(auto a, auto b, auto c, auto d, auto e) const {
    constexpr std::array w = kMsSsimWeights;  // a copy: nvcc has no address of the host's constant
    const auto sum =
        LogWhere(a) * w[0] + LogWhere(b) * w[1] + LogWhere(c) * w[2] + LogWhere(d) * w[3] + LogWhere(e) * w[4];
    return Guard(a, Guard(b, Guard(c, Guard(d, Guard(e, Exp(sum))))));
  }

 private:
  template <class X>
  static LIKENESS_HD X LogWhere(const X& x) {
    return Apply(LogOf{}, Select(Value(x) > 0.0, x, 1.0));
  }
  template <class X>
  static LIKENESS_HD X Guard(const X& factor, const X& product) {
    return Select(Value(factor) > 0.0, product, 0.0);
  }
};

LIKENESS_END_TARGET
