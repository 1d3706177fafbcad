// HaarPSI, Haar wavelet-based perceptual similarity: R. Reisenhofer, S. Bosse, G. Kutyniok, T. Wiegand, "A Haar
// Wavelet-Based Perceptual Similarity Index for Image Quality Assessment", Signal Processing: Image Communication 2018.
// Default convention: piq's haarpsi.py. Steps:
//
//   1. 2x2 means at stride 2 (as soon as one side is odd, both are zero-padded by one at the bottom and the right),
//      then YIQ on the 0..255 scale. A gray image is its own Y and has no chroma.
//   2. Haar responses of Y of sizes 2, 4 and 8 in both orientations: sums of one half of a window less the other, over
//      the size. Zero border.
//   3. Similarity s of each orientation: the mean over sizes 2 and 4 of (2 a b + c) / (a^2 + b^2 + c), a and b the
//      magnitudes of both images, c = 30. Its weight W: the larger magnitude of size 8.
//   4. Similarity of chroma: the mean of that of |I| and |Q|, each averaged over 2x2; its weight is the mean of the
//      two.
//   5. t = 1 / (1 + exp(-4.2 s)); q = sum(W t) / sum(W) over the pixels of all three; score (logit(q) / 4.2)^2.
//
// Means at stride 2 come before YIQ here and after it in piq: both are linear. What is averaged is t - t(1), and the
// score is (1 + (logit(q) - logit(t(1))) / 4.2)^2: the same number, exactly 1 for equal images, and with no loss where
// images are nearly equal. Where all weights are 0 (two black images) the score is 1; piq has infinity.
#pragma once

#include "kernels/base/number.h"
#include "kernels/ops/map/map.h"

LIKENESS_BEGIN_TARGET

inline constexpr double kHaarSlope = 4.2;
inline constexpr double kHaarC = 30.0;

struct HaarYiq {
  static constexpr int kOutputs = 3;
  template <class V>
  LIKENESS_HD Pack<V, 3> operator()(const V& r, const V& g, const V& b) const {
    const V red = r * 255.0, green = g * 255.0, blue = b * 255.0;
    return {{red * 0.299 + green * 0.587 + blue * 0.114, red * 0.5959 - green * 0.2746 - blue * 0.3213,
             red * 0.2115 - green * 0.5227 + blue * 0.3112}};
  }
};

// Similarities of both orientations and, with chroma, of it. From each image the responses at sizes 2, 4, 8, first
// all of one orientation, then the other; then I and Q.
template <bool color>
struct HaarMaps {
  LIKENESS_HD auto operator()(const auto& r, const auto& d) const {
    const auto similarity = [&](int i) {
      const auto a = Abs(r.v[i]);
      const auto b = Abs(d.v[i]);
      return (a * b * 2.0 + kHaarC) / (a * a + b * b + kHaarC);
    };
    using V = decltype(similarity(0));
    Pack<V, color ? 3 : 2> out;
    out.v[0] = (similarity(0) + similarity(1)) * 0.5;
    out.v[1] = (similarity(3) + similarity(4)) * 0.5;
    if constexpr (color) out.v[2] = (similarity(6) + similarity(7)) * 0.5;
    return out;
  }
};

// Of a pixel: the sums of W (t - t(1)) and of W.
template <bool color>
struct HaarWeighted {
  static constexpr int kChannels[] = {color ? 8 : 6, color ? 8 : 6};
  static constexpr int kOutputs = 2;

  template <class V>
  static LIKENESS_HD V Sigmoid(const V& x) {
    return 1.0 / (Exp(-x) + 1.0);
  }

  LIKENESS_HD auto operator()(const auto& r, const auto& d) const {
    const auto maps = HaarMaps<color>{}(r, d);
    const auto first = Max(Abs(r.v[2]), Abs(d.v[2]));
    const auto second = Max(Abs(r.v[5]), Abs(d.v[5]));
    using V = std::remove_cvref_t<decltype(maps.v[0])>;
    const auto top = Sigmoid(Vec(kHaarSlope));
    const auto below = [&](int i) { return Sigmoid(maps.v[i] * kHaarSlope) - top; };
    V sum = first * below(0) + second * below(1);
    V weights = first + second;
    if constexpr (color) {
      sum = sum + weights * 0.5 * below(2);
      weights = weights * 1.5;
    }
    return Pack<V, 2>{{sum, weights}};
  }
};

// Of the means of those two.
struct HaarScore {
  LIKENESS_HD auto operator()(auto sum, auto weights) const {
    const double top = 1.0 / (1.0 + std::exp(-kHaarSlope));
    const auto logit = [](auto q) { return Log(q / (1.0 - q)); };
    const auto some = Value(weights) > 0.0;
    const auto q = Select(some, sum / Select(some, weights, 1.0), 0.0) + top;
    const auto root = (logit(q) - logit(top)) * (1.0 / kHaarSlope) + 1.0;
    return root * root;
  }
};

LIKENESS_END_TARGET
