// What FLIP filters by: steps 2 and 4 of flip_math.h.
#pragma once

#include <cmath>

#include "kernels/metrics/flip/flip_math.h"
#include "kernels/ops/correlate_bank/correlate_bank.h"

LIKENESS_BEGIN_TARGET

// Three colours of contrast sensitivity, then edges and points along x and y of the first.
inline KernelBank FlipFilters(double ppd) {
  constexpr double kPi = 3.14159265358979323846;
  const auto taps = [](int radius, auto value) {
    Taps out(2 * radius + 1);
    for (int i = 0; i <= 2 * radius; ++i) out[i] = value(i - radius);
    return out;
  };
  const auto total = [](const Taps& values) {
    double sum = 0.0;
    for (const double value : values) sum += value;
    return sum;
  };

  KernelBank bank;
  bank.border = Border::kReplicate;
  const int radius = static_cast<int>(std::ceil(3.0 * std::sqrt(kFlipWidest / (2.0 * kPi * kPi)) * ppd));
  for (int channel = 0; channel < 3; ++channel) {
    const FlipSensitivity& s = kFlipSensitivity[channel];
    const auto blur = [&](double b) {
      Taps out = taps(radius, [&](int i) { return std::exp(-kPi * kPi * (i / ppd) * (i / ppd) / b); });
      const double least = kFlipLeastTap * total(out);
      for (double& tap : out) tap = tap < least ? 0.0 : tap;
      return out;
    };
    const Taps first = blur(s.b1), second = blur(s.b2);
    const double weight_1 = s.a1 * std::sqrt(kPi / s.b1), weight_2 = s.a2 * std::sqrt(kPi / s.b2);
    const double sum = weight_1 * total(first) * total(first) + weight_2 * total(second) * total(second);
    const auto scaled = [&](Taps t, double by) {
      for (double& tap : t) tap *= by;
      return t;
    };
    Kernel kernel{{{scaled(first, weight_1 / sum), first}}};
    if (weight_2 > 0.0) kernel.terms.push_back({scaled(second, weight_2 / sum), second});
    bank.filters.push_back({channel, kernel});
  }

  const double width = 0.5 * kFlipFeatureWidth * ppd;
  const int reach = static_cast<int>(std::ceil(3.0 * width));
  Taps across = taps(reach, [&](int i) { return std::exp(-i * i / (2.0 * width * width)); });
  const Taps gaussian = across;
  for (double& tap : across) tap /= total(gaussian);
  // Times the Gaussian across, of which the sign is not: positive and negative taps can be normalised along one axis.
  const auto normalised = [&](Taps t) {
    double positive = 0.0, negative = 0.0;
    for (const double tap : t) (tap > 0.0 ? positive : negative) += tap;
    for (double& tap : t) {
      if (tap != 0.0) tap /= tap > 0.0 ? positive : -negative;
    }
    return t;
  };
  const Taps edge = normalised(taps(reach, [&](int i) { return -i * gaussian[i + reach]; }));
  const Taps point =
      normalised(taps(reach, [&](int i) { return (i * i / (width * width) - 1.0) * gaussian[i + reach]; }));
  for (const Taps& along : {edge, point}) {
    bank.filters.push_back({0, {{{across, along}}}});
    bank.filters.push_back({0, {{{along, across}}}});
  }
  return bank;
}

LIKENESS_END_TARGET
