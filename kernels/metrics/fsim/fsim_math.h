// FSIM and FSIMc, feature similarity: L. Zhang, L. Zhang, X. Mou, D. Zhang, "FSIM: A Feature Similarity Index for Image
// Quality Assessment", IEEE TIP 2011. Convention: piq's fsim.py, which follows the authors' MATLAB code. Phase
// congruency is P. Kovesi's ("Image Features from Phase Congruency", Videre 1999).
//
//   1. x255; k x k means at stride k with k = max(1, round(shorter side / 256)).
//   2. Y, and for FSIMc I and Q, of YIQ (Y has the weights of BT.601).
//   3. Phase congruency of Y: where the Fourier components are in step, at edges and lines.
//      a. 16 filters in the frequency plane, log-Gabor along the radius times Gaussian along the angle: wavelengths 6,
//      12,
//         24 and 48 pixels, angles 0, 45, 90 and 135 degrees. Each answer is complex: even and odd part.
//      b. For an angle, with e and o the sums of its four even and odd parts and X = sqrt(e^2 + o^2):
//         energy = sum (even e + odd o - |even o - odd e|) / X, which is written here as (e^2 + o^2 - sum |...|) / X.
//      c. A threshold for noise, proportional to the lower median of the amplitude at the shortest wavelength. The
//      factor
//         (FsimNoiseFactor) supposes that white noise through the filters has Rayleigh distributed energy.
//      d. PC = sum over angles of max(energy - threshold, 0) / sum of all 16 amplitudes.
//   4. Gradient magnitude G of Y: Scharr / 16, zero border.
//   5. S = similarity of PC (c = 0.85) x similarity of G (c = 160); FSIMc: x |similarity of I x similarity of Q|^0.03
//      (c = 200 both).
//   6. Score: the mean of S weighted by the larger PC of the two images. 1 for identical images.
//
// noise_grad: whether the gradient goes through the median (to one sample, as torch has it) or takes the threshold for
// a constant.
//
// Before the transform 127.5 comes off: no filter passes the mean, and float keeps more of the rest. piq adds the
// machine epsilon of its type in three places; here it is double's everywhere. piq takes the distorted image's PC where
// the two are equal; here the gradient is split. A gray image has no I and Q: FSIMc is then FSIM.
#pragma once

#include <numbers>

#include "kernels/metrics/functors.h"
#include "kernels/ops/filter_bank/bank.h"
#include "kernels/ops/map/map.h"

LIKENESS_BEGIN_TARGET

inline constexpr double kFsimEps = 0x1p-52;
inline constexpr double kFsimPhaseC = 0.85;
inline constexpr double kFsimGradientC = 160.0;
inline constexpr double kFsimChromaC = 200.0;
inline constexpr double kFsimChromaPower = 0.03;
inline constexpr int kFsimScales = 4;
inline constexpr int kFsimAngles = 4;

// Cycles a sample of the frequency at index i of n. The grid of an odd side is the authors': it reaches +-0.5.
inline double FsimFrequency(int i, int n) {
  if (n == 1) return 0.0;
  return (i < (n + 1) / 2 ? i : i - n) / static_cast<double>(n % 2 == 0 ? n : n - 1);
}

// The threshold of an angle over the median amplitude at its shortest wavelength. With F_s the filters of the angle and
// h_s their even parts, both in the frequency plane: the power of the noise is median^2 / ln 2 / sum F_0^2, its energy
// squared is that times 2 sum_s sum h_s^2 + 4 sum_{s<t} sum h_s h_t = 2 sum (sum_s h_s)^2, tau is the root of half of
// it, and the threshold lies two deviations above the mean of the Rayleigh distribution, over 1.7 by experience.
inline double FsimNoiseFactor(double shortest_energy, double even_energy) {
  if (!(shortest_energy > 0.0)) return 0.0;
  const double tau = std::sqrt(even_energy / std::numbers::ln2 / shortest_energy);
  return tau * (std::sqrt(std::numbers::pi / 2) + 2.0 * std::sqrt(2.0 - std::numbers::pi / 2)) / 1.7;
}

// Filter angle * kFsimScales + scale; constant angle is FsimNoiseFactor.
inline void FillFsimBank(const BankSpec& spec, double* filters, double* constants) {
  constexpr double kPi = std::numbers::pi;
  constexpr double kAngleSigma = kPi / (kFsimAngles * 1.2);
  const double radial_scale = 2.0 * std::pow(std::log(0.55), 2);
  const std::int64_t plane = std::int64_t{spec.width} * spec.height;
  for (int y = 0; y < spec.height; ++y) {
    const double v = FsimFrequency(y, spec.height);
    for (int x = 0; x < spec.width; ++x) {
      const double u = FsimFrequency(x, spec.width);
      double* at = filters + std::int64_t{y} * spec.width + x;
      if (x == 0 && y == 0) {
        for (int i = 0; i < spec.filters; ++i) at[i * plane] = 0.0;
        continue;
      }
      const double log_radius = 0.5 * std::log(u * u + v * v);
      // A Butterworth filter of order 15 keeps the corners of the plane out.
      const double low = 1.0 / (1.0 + std::exp(30.0 * (log_radius - std::log(0.45))));
      double radial[kFsimScales];
      for (int s = 0; s < kFsimScales; ++s) {
        const double octave = log_radius + std::log(6.0 * (1 << s));
        radial[s] = std::exp(-octave * octave / radial_scale) * low;
      }
      const double angle = std::atan2(-u, v);
      for (int a = 0; a < kFsimAngles; ++a) {
        double distance = std::abs(angle - a * kPi / kFsimAngles);
        if (distance > kPi) distance = 2.0 * kPi - distance;
        const double angular = std::exp(-distance * distance / (2.0 * kAngleSigma * kAngleSigma));
        for (int s = 0; s < kFsimScales; ++s) at[(a * kFsimScales + s) * plane] = angular * radial[s];
      }
    }
  }
  for (int a = 0; a < kFsimAngles; ++a) {
    const double* filter = filters + a * kFsimScales * plane;
    double shortest = 0.0, even = 0.0;
    for (int y = 0; y < spec.height; ++y) {
      const int mirrored_y = (spec.height - y) % spec.height;
      for (int x = 0; x < spec.width; ++x) {
        const std::int64_t at = std::int64_t{y} * spec.width + x;
        const std::int64_t mirrored = std::int64_t{mirrored_y} * spec.width + (spec.width - x) % spec.width;
        double sum = 0.0;
        for (int s = 0; s < kFsimScales; ++s) sum += filter[s * plane + at] + filter[s * plane + mirrored];
        shortest += filter[at] * filter[at];
        even += 0.25 * sum * sum;
      }
    }
    constants[a] = FsimNoiseFactor(shortest, even);
  }
}

inline BankSpec FsimBank(int width, int height) {
  return {"fsim", width, height, width, height, kFsimScales * kFsimAngles, kFsimAngles, &FillFsimBank};
}

// Of one angle: its energy above the noise, and its amplitudes. `bands` are the even parts, then the odd ones.
struct FsimEnergy {
  LIKENESS_HD auto operator()(const auto& bands, const auto& threshold) const {
    auto even = bands.v[0], odd = bands.v[kFsimScales];
    for (int s = 1; s < kFsimScales; ++s) {
      even = even + bands.v[s];
      odd = odd + bands.v[kFsimScales + s];
    }
    auto amplitude = Sqrt(bands.v[0] * bands.v[0] + bands.v[kFsimScales] * bands.v[kFsimScales]);
    auto across = Abs(bands.v[0] * odd - bands.v[kFsimScales] * even);
    for (int s = 1; s < kFsimScales; ++s) {
      const auto &re = bands.v[s], &im = bands.v[kFsimScales + s];
      amplitude = amplitude + Sqrt(re * re + im * im);
      across = across + Abs(re * odd - im * even);
    }
    const auto squared = even * even + odd * odd;
    const auto energy = (squared - across) / (Sqrt(squared) + kFsimEps);
    return Pack{Max(energy - threshold, 0.0), amplitude};
  }
};

struct FsimPhaseCongruency {
  LIKENESS_HD auto operator()(const auto& a, const auto& b, const auto& c, const auto& d) const {
    return (a.v[0] + b.v[0] + c.v[0] + d.v[0] + kFsimEps) / (a.v[1] + b.v[1] + c.v[1] + d.v[1] + kFsimEps);
  }
};

struct FsimChroma {  // I and Q
  LIKENESS_HD auto operator()(auto r, auto g, auto b) const {
    return Pack{(r * 0.5959 - g * 0.2746 - b * 0.3213) * 255.0, (r * 0.2115 - g * 0.5227 + b * 0.3112) * 255.0};
  }
};

struct FsimIndex {
  LIKENESS_HD auto operator()(auto phase_r, auto phase_d, auto gradient_r, auto gradient_d) const {
    return Similarity{kFsimPhaseC}(phase_r, phase_d) * Similarity{kFsimGradientC}(gradient_r, gradient_d);
  }
};

struct FsimTimesChroma {
  LIKENESS_HD auto operator()(const auto& index, const auto& chroma_r, const auto& chroma_d) const {
    const Similarity similarity{kFsimChromaC};
    const auto product = similarity(chroma_r.v[0], chroma_d.v[0]) * similarity(chroma_r.v[1], chroma_d.v[1]);
    return index * SafePow(Abs(product), kFsimChromaPower);
  }
};

struct FsimLarger {
  LIKENESS_HD auto operator()(auto a, auto b) const { return Max(a, b); }
};

struct FsimQuotient {
  LIKENESS_HD auto operator()(auto a, auto b) const { return a / b; }
};

LIKENESS_END_TARGET
