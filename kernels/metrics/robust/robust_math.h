// The general robust loss: J. T. Barron, "A General and Adaptive Robust Loss Function", CVPR 2019, and the member of
// its family that faceswap calls smooth_loss. Values on the [0, 1] scale, every channel alike, any size from 1x1.
//
// With s = (e / c)^2 and b = |alpha - 2|:
//
//   rho = (b / alpha) ((s / b + 1)^(alpha / 2) - 1)
//   alpha = 2     s / 2, squared error               alpha = 1     sqrt(s + 1) - 1, Charbonnier
//   alpha = 0     log(s / 2 + 1), Cauchy             alpha = -2    2 s / (s + 4), Geman-McClure
//   alpha = -inf  1 - exp(-s / 2), Welsch
//
// The power is written with log1p and expm1, which keep their digits where s is small and where alpha is near 0 or 2;
// the formula itself is 0/0 at both. alpha and c are given, not learned: the adaptive form is training state.
//
// smooth_loss is beta rho with alpha = 1 and c = beta: sqrt(e^2 + beta^2) - beta. faceswap's beta is 1/255. (Its help
// text calls it Smooth L1, which it is not.)
#pragma once

#include "kernels/metrics/functors.h"

LIKENESS_BEGIN_TARGET

// rho as a function of s. Also the g of pixel_gradient_diff.
struct BarronRho {
  double alpha;

  LIKENESS_HD auto operator()(auto s) const {
    // Nearer to a limit than this the limit is as good.
    constexpr double kNear = 1e-9;
    const double b = std::abs(alpha - 2.0);
    if (b < kNear) return s * 0.5;
    if (alpha == 1.0) return s / (Sqrt(s + 1.0) + 1.0);
    if (std::abs(alpha) < kNear) return Log1p(s * 0.5);
    if (alpha < -1.0 / kNear) return -Expm1(s * -0.5);
    if (b <= 2e-4) return NearlySquared(s, b);
    const auto log = Log1p(s * (1.0 / b));
    if (alpha < 1.5) return Expm1(log * (0.5 * alpha)) * (b / alpha);
    // (s/b + 1)^(alpha/2) is nearly s/b + 1: only what it differs by goes through the exponential.
    return s * (1.0 / alpha) + (s * (1.0 / b) + 1.0) * Expm1(log * (0.5 * (alpha - 2.0))) * (b / alpha);
  }

 private:
  // The last line of the above where b is so small that the exponent stays under 0.01: there four terms are its
  // exponential to the digits of double, and what the logarithm loses near 1 is multiplied by b.
  template <class S>
  LIKENESS_HD S NearlySquared(const S& s, double b) const {
    const S z = s * (1.0 / b) + 1.0;
    const S u = Log(z) * (0.5 * (alpha - 2.0));
    const S less_one = u * (((u * (1.0 / 24.0) + 1.0 / 6.0) * u + 0.5) * u + 1.0);
    return s * (1.0 / alpha) + z * less_one * (b / alpha);
  }
};

struct BarronError {
  BarronRho rho;
  double c;
  LIKENESS_HD auto operator()(auto r, auto d) const {
    const auto e = (d - r) * (1.0 / c);
    return rho(e * e);
  }
};

LIKENESS_END_TARGET
