// VSI, visual saliency-induced index: L. Zhang, Y. Shen, H. Li, "VSI: A Visual Saliency-Induced Index for Perceptual
// Image Quality Assessment", IEEE TIP 2014. Convention: piq's vsi.py. The saliency is SDSP: L. Zhang, Z. Gu, H. Li,
// "SDSP: A Novel Saliency Detection Method by Combining Simple Priors", ICIP 2013.
//
//   1. Saliency of each image, from three priors:
//      a. The image resized to 256x256 (bilinear, centres, no antialiasing), sRGB decoded, to CIE Lab. The matrix to
//         XYZ is sRGB's, whose white is D65, and the white of Lab is D50's: so the authors' code has it.
//      b. Frequency: each of L, a, b through a log-Gabor band pass (centre 0.021 cycles a pixel, bandwidth 1.34,
//         nothing beyond 0.5); the root of the sum of the three squares.
//      c. Place: a Gaussian of deviation 145 / sqrt(2) about the centre, which lies at index 127.
//      d. Colour: a and b each from its least to its largest value on [0, 1]; 1 - exp(-(a^2 + b^2) / 0.001^2).
//      e. Their product, enlarged to the image's size (bilinear, corners), from its least to its largest value on
//         [0, 1].
//   2. x255; to an opponent space L, M, N.
//   3. With k = max(1, round(shorter side / 256)): k x k means at stride k of saliency, L, M and N, after edges are
//      repeated by k / 2 at the top and left and (k - 1) / 2 at the bottom and right.
//   4. Gradient magnitude G of L: Scharr / 16, zero border.
//   5. S = similarity of saliency (c = 1.27) x similarity of G (386)^0.4 x Re (similarity of M x similarity of N)^0.02
//      (130 both). The power is complex: of a negative x it is |x|^0.02 cos(0.02 pi).
//   6. Score: the mean of S weighted by the larger saliency of the two images. 1 for identical images, and for flat
//      ones, which nobody looks at.
//
// Means commute with linear maps, so the images are pooled before they change colour space, and saliency before it is
// stretched to [0, 1]. A gray image is three equal channels. The machine epsilon that piq adds to denominators is
// double's here. The gradient of a minimum or maximum is split over ties; torch gives it to one sample.
#pragma once

#include <numbers>

#include "kernels/metrics/functors.h"
#include "kernels/ops/filter_bank/bank.h"
#include "kernels/ops/map/map.h"

LIKENESS_BEGIN_TARGET

inline constexpr int kVsiSide = 256;
inline constexpr double kVsiEps = 0x1p-52;

// Filter 0 is the band pass, "filter" 1 the prior of place.
inline void FillVsiBank(const BankSpec& spec, double* filters, double*) {
  constexpr int n = kVsiSide;
  const double bandwidth = 2.0 * 1.34 * 1.34;
  for (int y = 0; y < n; ++y) {
    for (int x = 0; x < n; ++x) {
      const double v = (y < n / 2 ? y : y - n) / double{n}, u = (x < n / 2 ? x : x - n) / double{n};
      const double radius = std::sqrt(u * u + v * v);
      const double octave = std::log(radius / 0.021);
      const bool passes = radius > 0.0 && radius <= 0.5;
      filters[y * spec.width + x] = passes ? std::exp(-octave * octave / bandwidth) : 0.0;
      filters[(n + y) * spec.width + x] = std::exp(-((x - 127) * (x - 127) + (y - 127) * (y - 127)) / (145.0 * 145.0));
    }
  }
}

inline BankSpec VsiBank() { return {"vsi", kVsiSide, kVsiSide, kVsiSide, kVsiSide, 2, 0, &FillVsiBank}; }

struct VsiGrayToRgb {
  LIKENESS_HD auto operator()(auto x) const { return Pack{x, x, x}; }
};

// Lab, L less 50: no filter passes the mean, and float keeps more of the rest.
struct VsiLab {
  LIKENESS_HD static auto Decode(auto x) {
    return Select(Value(x) > 0.04045, SafePow((x + 0.055) * (1.0 / 1.055), 2.4), x * (1.0 / 12.92));
  }
  LIKENESS_HD static auto Compress(auto x) {
    return Select(Value(x) > 0.008856, SafePow(x, 1.0 / 3.0), (x * 903.3 + 16.0) * (1.0 / 116.0));
  }
  LIKENESS_HD auto operator()(auto red, auto green, auto blue) const {
    const auto r = Decode(red), g = Decode(green), b = Decode(blue);
    const auto x = Compress((r * 0.4124564 + g * 0.3575761 + b * 0.1804375) * (1.0 / 0.9642119944211994));
    const auto y = Compress(r * 0.2126729 + g * 0.7151522 + b * 0.0721750);
    const auto z = Compress((r * 0.0193339 + g * 0.1191920 + b * 0.9503041) * (1.0 / 0.8251882845188288));
    return Pack{y * 116.0 - 66.0, (x - y) * 500.0, (y - z) * 200.0};
  }
};

struct VsiStretch {
  LIKENESS_HD auto operator()(auto x, auto least, auto largest) const {
    return (x - least) / (largest - least + kVsiEps);
  }
};

struct VsiSaliency {
  LIKENESS_HD auto operator()(const auto& bands, const auto& ab, auto place) const {
    const auto frequency = Sqrt(bands.v[0] * bands.v[0] + bands.v[1] * bands.v[1] + bands.v[2] * bands.v[2]);
    const auto color = 1.0 - Exp((ab.v[0] * ab.v[0] + ab.v[1] * ab.v[1]) * -1e6);
    return frequency * color * place;
  }
};

struct VsiLightness {
  LIKENESS_HD auto operator()(auto r, auto g, auto b) const { return r * 15.3 + g * 160.65 + b * 68.85; }
};
struct VsiOpponent {  // M and N
  LIKENESS_HD auto operator()(auto r, auto g, auto b) const {
    return Pack{r * 76.5 + g * 10.2 - b * 89.25, r * 86.7 - g * 153.0 + b * 43.35};
  }
};

struct VsiIndex {
  LIKENESS_HD auto operator()(auto saliency_r, auto saliency_d, auto gradient_r, auto gradient_d, const auto& mn_r,
                              const auto& mn_d) const {
    const Similarity similarity{130.0};
    const auto chroma = similarity(mn_r.v[0], mn_d.v[0]) * similarity(mn_r.v[1], mn_d.v[1]);
    const auto power = SafePow(Abs(chroma), 0.02);
    return Similarity{1.27}(saliency_r, saliency_d) * SafePow(Similarity{386.0}(gradient_r, gradient_d), 0.4) *
           Select(Value(chroma) < 0.0, power * std::cos(0.02 * std::numbers::pi), power);
  }
};

struct VsiLarger {
  LIKENESS_HD auto operator()(auto a, auto b) const { return Max(a, b); }
};

struct VsiQuotient {
  LIKENESS_HD auto operator()(auto a, auto b) const { return (a + kVsiEps) / (b + kVsiEps); }
};

LIKENESS_END_TARGET
