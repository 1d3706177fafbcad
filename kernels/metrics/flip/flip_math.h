// LDR-FLIP: P. Andersson, J. Nilsson, T. Akenine-Moller, M. Oskarsson, K. Astrom, M. D. Fairchild, "FLIP: A Difference
// Evaluator for Alternating Images", HPG 2020. What a viewer sees who flips between the two images at a given number of
// pixels per degree of visual angle (ppd). Reference code: NVIDIA's flip, v1.7. Steps:
//
//   1. sRGB, clamped to [0, 1], to linear RGB to XYZ relative to the white of D65; opponent colours
//      Y = 116 y - 16, Cx = 500 (x - y), Cz = 200 (y - z): as Lab, without its cube root.
//   2. Contrast sensitivity: each of the three is blurred by a Gaussian of the squared distance z in degrees, which is
//      what the eye resolves; Cz by the sum of two (kFlipSensitivity). Replicated border, taps normalised to sum 1.
//   3. Back to linear RGB, clamped to [0, 1], to Lab, whose a and b are scaled by L / 100 (Hunt: dim colours look
//      gray). Their distance is HyAB, |dL| + |(da, db)|, to the power 0.7, and that is spread over [0, 1]: 0.4 of the
//      largest distance, between green and blue, becomes 0.95.
//   4. Features: edges (first derivative of a Gaussian) and points (second) of the unfiltered (Y + 16) / 116, positive
//      and negative taps each normalised to sum 1. The larger of the differences of their magnitudes over sqrt(2), to
//      the power 0.5.
//   5. FLIP = colour^(1 - feature) for each pixel; the score is its mean.
//
// Blurs are linear and their taps sum to 1, so y, x - y and y - z are filtered in place of Y, Cx and Cz.
//
// Gradients: the reference keeps bases of powers at 1e-15 at least; here a power of 0 is 0 and has a gradient of 0, so
// that equal images score exactly 0. A feature difference below kFlipFeatureFloor counts as none: float no longer knows
// it from rounding, which the square root would lift to 2e-4.
#pragma once

#include "kernels/metrics/srgb.h"

LIKENESS_BEGIN_TARGET

inline constexpr double kFlipPpd = 67.02064327658226;  // 0.7 m from a 0.7 m wide screen of 3840 pixels
inline constexpr double kFlipFeatureWidth = 0.082;     // degrees
inline constexpr double kFlipFeatureFloor = 5e-7;
inline constexpr double kFlipColorPower = 0.7;
// HyAB between green and blue, to that power.
inline constexpr double kFlipLargest = 41.27609858503064;
// Where the slope of the colour difference changes: to that power, and as a distance.
inline constexpr double kFlipKnee = 0.4 * kFlipLargest;
inline constexpr double kFlipKneeDistance = 54.91047355432345;
// A tap below this share of all is left out: float does not see it.
inline constexpr double kFlipLeastTap = 1e-9;

// a sqrt(pi / b) exp(-pi^2 z / b) of each channel, z in squared degrees.
struct FlipSensitivity {
  double a1, b1, a2, b2;
};
inline constexpr FlipSensitivity kFlipSensitivity[3] = {
    {1.0, 0.0047, 0.0, 1.0}, {1.0, 0.0053, 0.0, 1.0}, {34.1, 0.04, 13.5, 0.025}};
inline constexpr double kFlipWidest = 0.04;

// sRGB's primaries: to XYZ, each row divided by its component of the white of D65, and back. Functions copy the tables
// that they index: nvcc has no address of the host's constants.
inline constexpr std::array kFlipWhite = {0.950428545, 1.0, 1.088900371};
inline constexpr std::array kFlipInverseWhite = {1.052156925, 1.0, 0.918357670};
using FlipMatrix = std::array<std::array<double, 3>, 3>;
inline constexpr FlipMatrix kFlipToXyz = {{{10135552.0 / 24577794.0, 8788810.0 / 24577794.0, 4435075.0 / 24577794.0},
                                           {2613072.0 / 12288897.0, 8788810.0 / 12288897.0, 887015.0 / 12288897.0},
                                           {1425312.0 / 73733382.0, 8788810.0 / 73733382.0, 70074185.0 / 73733382.0}}};
inline constexpr FlipMatrix kFlipFromXyz = {{{3.241003275, -1.537398934, -0.498615861},
                                             {-0.969224334, 1.875930071, 0.041554224},
                                             {0.055639423, -0.204011202, 1.057148933}}};

// Linear RGB to XYZ relative to white.
template <class V>
LIKENESS_HD Pack<V, 3> FlipXyz(const V& r, const V& g, const V& b) {
  constexpr FlipMatrix rows = kFlipToXyz;
  constexpr std::array scales = kFlipInverseWhite;
  Pack<V, 3> out;
  for (int i = 0; i < 3; ++i) {
    const double scale = scales[i];
    const auto& to = rows[i];
    out.v[i] = MulAdd(r, to[0] * scale, MulAdd(g, to[1] * scale, b * (to[2] * scale)));
  }
  return out;
}

// sRGB to y, x - y, y - z.
struct FlipOpponent {
  static constexpr int kOutputs = 3;
  template <class V>
  LIKENESS_HD Pack<V, 3> operator()(const V& r, const V& g, const V& b) const {
    const auto linear = [](const auto& x) { return LinearFromSrgb(Clamp(x, 0.0, 1.0)); };
    const Pack<V, 3> xyz = FlipXyz(Apply(linear, r), Apply(linear, g), Apply(linear, b));
    return {{xyz.v[1], xyz.v[0] - xyz.v[1], xyz.v[1] - xyz.v[2]}};
  }
};

template <class V>
struct FlipLab {
  V l, a, b;
};

template <class V>
LIKENESS_HD V FlipLabCurve(const V& t) {
  constexpr double kDelta = 6.0 / 29.0;
  return Select(Value(t) > kDelta * kDelta * kDelta, Cbrt(t), t * (1.0 / (3.0 * kDelta * kDelta)) + 4.0 / 29.0);
}

// Lab with Hunt's effect of filtered y, x - y, y - z.
template <class V>
LIKENESS_HD FlipLab<V> FlipHuntLab(const V& y, const V& x_y, const V& y_z) {
  const V x = y + x_y;
  const V z = y - y_z;
  constexpr FlipMatrix rows = kFlipFromXyz;
  constexpr std::array white = kFlipWhite;
  V rgb[3];
  for (int i = 0; i < 3; ++i) {
    const auto& from = rows[i];
    rgb[i] = Clamp(MulAdd(x, from[0] * white[0], MulAdd(y, from[1], z * (from[2] * white[2]))), 0.0, 1.0);
  }
  const Pack<V, 3> xyz = FlipXyz(rgb[0], rgb[1], rgb[2]);
  const V fx = FlipLabCurve(xyz.v[0]);
  const V fy = FlipLabCurve(xyz.v[1]);
  const V fz = FlipLabCurve(xyz.v[2]);
  const V l = fy * 116.0 - 16.0;
  const V hunt = l * 0.01;
  return {l, (fx - fy) * 500.0 * hunt, (fy - fz) * 200.0 * hunt};
}

// From a colour: HyAB of the Hunt-adjusted Lab of three filtered channels.
template <class V>
struct FlipDistanceFrom {
  FlipLab<V> from;
  template <class T>
  LIKENESS_HD T operator()(const T* x) const {
    const FlipLab<T> to = FlipHuntLab(x[0], x[1], x[2]);
    const T da = to.a - from.a;
    const T db = to.b - from.b;
    return Abs(to.l - from.l) + Sqrt(da * da + db * db);
  }
};

// Strengths of edges and of points: each has a component along x and one along y.
template <class V>
struct FlipFeatures {
  V edge, point;
};
template <class V>
LIKENESS_HD FlipFeatures<V> FlipStrengths(const V* x) {
  const auto magnitude = [](const V& along_x, const V& along_y) { return Sqrt(along_x * along_x + along_y * along_y); };
  return {magnitude(x[0], x[1]), magnitude(x[2], x[3])};
}

// From the features of one image: the difference on [0, 1].
template <class V>
struct FlipFeatureFrom {
  FlipFeatures<V> from;
  template <class T>
  LIKENESS_HD T operator()(const T* x) const {
    const FlipFeatures<T> to = FlipStrengths(x);
    const T larger = Max(Abs(to.edge - from.edge), Abs(to.point - from.point));
    return Select(Value(larger) > kFlipFeatureFloor, Sqrt(larger * 0.70710678118654752), 0.0);
  }
};

// Of HyAB and the feature difference: color^(1 - feature), 0 where color is. The logarithm of a colour difference
// before the knee, which nearly all are, is a straight line of the logarithm of HyAB.
struct FlipCombine {
  template <class T>
  LIKENESS_HD T operator()(const T* x) const {
    constexpr double kLogScale = -2.85528616819871;  // log(0.95 / kFlipKnee)
    constexpr double kTail = 0.05 / (kFlipLargest - kFlipKnee);
    const auto positive = Value(x[0]) > 1e-20;
    const T log_distance = Log(Select(positive, x[0], 1.0)) * kFlipColorPower;
    T log_color = log_distance + kLogScale;
    const auto beyond = Value(x[0]) > kFlipKneeDistance;
    if (AnyOf(beyond)) {
      const T color = (Exp(log_distance) - kFlipKnee) * kTail + 0.95;
      log_color = Select(beyond, Log(Select(beyond, color, 1.0)), log_color);
    }
    return Select(positive, Exp(log_color * (1.0 - x[1])), 0.0);
  }
};

// Of seven channels of each image: three colours, edges along x and y, points along x and y.
struct FlipError {
  template <class R, class D>
  LIKENESS_HD D operator()(const Pack<R, 7>& r, const Pack<D, 7>& d) const {
    const D differences[2] = {ApplyTo<3>(FlipDistanceFrom<R>{FlipHuntLab(r.v[0], r.v[1], r.v[2])}, d.v),
                              ApplyTo<4>(FlipFeatureFrom<R>{FlipStrengths(r.v + 3)}, d.v + 3)};
    return ApplyTo<2>(FlipCombine{}, differences);
  }
};

LIKENESS_END_TARGET
