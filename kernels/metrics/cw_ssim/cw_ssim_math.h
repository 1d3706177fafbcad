// CW-SSIM, complex wavelet structural similarity: M. P. Sampat, Z. Wang, S. Gupta, A. C. Bovik, M. K. Markey, "Complex
// Wavelet Structural Similarity: A New Image Similarity Index", IEEE TIP 2009. Convention: pyiqa's CW_SSIM, which uses
// the coarsest bands of a steerable pyramid of four levels and eight angles. It forgives small shifts.
//
//   1. Luma of BT.601, x255, rounded to whole numbers (gradient straight through).
//   2. Eight complex bands. Of the Fourier transform only the lowest eighth of the frequencies of either side is left
//      (each of three halvings rounds up); each band is its inverse transform after a filter of
//        along the radius: low passes at octaves 0, -1, -2, -3 and a high pass at -4 from half the sampling rate, with
//        raised cosines of one octave (CwSsimLow, CwSsimHigh)
//        along the angle: 2 sqrt(c) cos^7 of the distance to the band's angle, one half plane only (CwSsimAngular)
//      The authors' code interpolates both from tables, 256 steps an octave and 1024 steps a half turn; so does this.
//   3. For each band 7x7 means, inside the band only, of r conj(d), whose magnitude is m, and of |r|^2 + |d|^2, v.
//      Similarity (2 m + K) / (v + K).
//   4. Their mean under a Gaussian window of the map's size, deviation a quarter of the band's rows; then the mean over
//      the bands. 1 for identical images.
//
// pyiqa has K = 0 and adds 1e-12 in each magnitude, so that equal images do not score 1 and empty bands are dealt with
// by chance; here K = 1e-6 and nothing is added elsewhere. It turns each band by a constant phase, which no magnitude
// sees. Before the transform the image's mean comes off, which no band passes: of a flat image nothing is left, where
// float would put its rounding into the bands, and two flat images score 1. K outweighs most of what float's rounding
// of the rest puts into empty bands: a checkerboard and stripes of one sample, 100x100, score 0.99994 (0.39 at 1e-12).
#pragma once

#include <numbers>

#include "kernels/metrics/functors.h"
#include "kernels/ops/filter_bank/bank.h"
#include "kernels/ops/map/map.h"

LIKENESS_BEGIN_TARGET

inline constexpr int kCwSsimAngles = 8;
inline constexpr double kCwSsimK = 1e-6;

// The side of a band: three halvings, rounded up.
inline int CwSsimSide(int side) {
  for (int halving = 0; halving < 3; ++halving) side = (side + 1) / 2;
  return side;
}

// table(k) at whole k, straight lines between.
template <class Table>
double CwSsimInterpolate(double k, Table table) {
  const double low = std::floor(k);
  const double a = table(low);
  return a + (table(low + 1.0) - a) * (k - low);
}

// In octaves from half the sampling rate: 0 to -1 is the transition.
inline double CwSsimHigh(double octave) {
  return CwSsimInterpolate(256.0 * std::clamp(octave, -1.0, 0.0),
                           [](double k) { return k >= 0.0 ? 1.0 : std::abs(std::cos(std::numbers::pi * k / 512.0)); });
}
inline double CwSsimLow(double octave) {
  return CwSsimInterpolate(256.0 * std::clamp(octave, -1.0, 0.0),
                           [](double k) { return k >= 0.0 ? 0.0 : std::abs(std::sin(std::numbers::pi * k / 512.0)); });
}

// The distance is in (-2 pi, pi].
inline double CwSsimAngular(double distance) {
  // sqrt(c) with c = 2^(2 n) n!^2 / (8 (2 n)!), n = 7: the squares of all angles' filters sum to one.
  static const double scale = 2.0 * std::sqrt(16384.0 * 5040.0 * 5040.0 / (8.0 * 87178291200.0));
  return CwSsimInterpolate(distance * 1024.0 / std::numbers::pi, [](double k) {
    const double cosine = std::cos(std::numbers::pi * k / 1024.0);
    return cosine > 0.0 ? scale * std::pow(cosine, kCwSsimAngles - 1) : 0.0;
  });
}

inline void FillCwSsimBank(const BankSpec& spec, double* filters, double*) {
  const double whole = static_cast<double>(spec.image_width) * spec.image_height;
  const double scale = std::sqrt(whole / spec.width / spec.height);
  for (int y = 0; y < spec.height; ++y) {
    const double v = 2.0 * (y < (spec.height + 1) / 2 ? y : y - spec.height) / spec.image_height;
    for (int x = 0; x < spec.width; ++x) {
      const double u = 2.0 * (x < (spec.width + 1) / 2 ? x : x - spec.width) / spec.image_width;
      const bool mean = x == 0 && y == 0;
      const double octave = mean ? 0.0 : std::log2(std::sqrt(u * u + v * v));
      const double radial = mean ? 0.0
                                 : scale * CwSsimLow(octave) * CwSsimLow(octave + 1.0) * CwSsimLow(octave + 2.0) *
                                       CwSsimLow(octave + 3.0) * CwSsimHigh(octave + 4.0);
      const double angle = std::atan2(v, u);
      for (int a = 0; a < kCwSsimAngles; ++a) {
        filters[(std::int64_t{a} * spec.height + y) * spec.width + x] =
            radial > 0.0 ? radial * CwSsimAngular(angle - a * std::numbers::pi / kCwSsimAngles) : 0.0;
      }
    }
  }
}

inline BankSpec CwSsimBank(int image_width, int image_height) {
  return {"cw_ssim",     image_width, image_height,   CwSsimSide(image_width), CwSsimSide(image_height),
          kCwSsimAngles, 0,           &FillCwSsimBank};
}

// The window, not normalised; below the machine epsilon it is 0.
inline void FillCwSsimWindow(const BankSpec& spec, double* window, double*) {
  const double deviation = (spec.height + 6) / 4.0;
  for (int y = 0; y < spec.height; ++y) {
    const double v = y - (spec.height - 1) / 2.0;
    for (int x = 0; x < spec.width; ++x) {
      const double u = x - (spec.width - 1) / 2.0;
      const double g = std::exp(-(u * u + v * v) / (2.0 * deviation * deviation));
      window[std::int64_t{y} * spec.width + x] = g < 0x1p-52 ? 0.0 : g;
    }
  }
}

inline BankSpec CwSsimWindow(int width, int height) {
  return {"cw_ssim window", width, height, width, height, 1, 0, &FillCwSsimWindow};
}

struct CwSsimCentered {
  LIKENESS_HD auto operator()(auto x, auto mean) const { return x - mean; }
};

// Of r conj(d).
struct CwSsimReal {
  LIKENESS_HD auto operator()(auto re_r, auto im_r, auto re_d, auto im_d) const { return re_r * re_d + im_r * im_d; }
};
struct CwSsimImaginary {
  LIKENESS_HD auto operator()(auto re_r, auto im_r, auto re_d, auto im_d) const { return im_r * re_d - re_r * im_d; }
};
struct CwSsimPower {
  LIKENESS_HD auto operator()(auto re_r, auto im_r, auto re_d, auto im_d) const {
    return (re_r * re_r + im_r * im_r) + (re_d * re_d + im_d * im_d);
  }
};

struct CwSsimIndex {
  LIKENESS_HD auto operator()(auto re, auto im, auto power) const {
    return (Sqrt(re * re + im * im) * 2.0 + kCwSsimK) / (power + kCwSsimK);
  }
};

struct CwSsimQuotient {
  LIKENESS_HD auto operator()(auto a, auto b) const { return a / b; }
};

struct CwSsimMeanOfAngles {
  LIKENESS_HD auto operator()(const auto& index) const {
    auto sum = index.v[0];
    for (int a = 1; a < kCwSsimAngles; ++a) sum = sum + index.v[a];
    return sum * (1.0 / kCwSsimAngles);
  }
};

LIKENESS_END_TARGET
