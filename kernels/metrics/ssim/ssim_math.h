// SSIM, structural similarity: Z. Wang, A. C. Bovik, H. R. Sheikh, E. P. Simoncelli, "Image Quality Assessment: From
// Error Visibility to Structural Similarity", IEEE TIP 2004.
//
//   mu, sigma^2, sigma_rd   window means, variances and covariance (Gaussian, 11 taps, sigma 1.5)
//   S  = (2 mu_r mu_d + C1)(2 sigma_rd + C2) / ((mu_r^2 + mu_d^2 + C1)(sigma_r^2 + sigma_d^2 + C2))
//   cs = (2 sigma_rd + C2) / (sigma_r^2 + sigma_d^2 + C2)
//   C1 = (k1 L)^2, C2 = (k2 L)^2, k1 = 0.01, k2 = 0.03, L = 1 on the [0, 1] scale
//   score: the mean of S over windows and channels
//
// What the libraries do differently is in SsimWindow, and the conventions in ssim.h name the combinations.
//
// Variances are E[x^2] - mu^2, which cancels in float; 0.5 is taken off before squaring, which changes no variance and
// leaves numbers of half the size. Numerator and denominator do the same operations, so that equal images give
// exactly 1.
#pragma once

#include "kernels/metrics/functors.h"
#include "kernels/ops/correlate/correlate.h"

LIKENESS_BEGIN_TARGET

enum class VarianceClamp {
  kNone,
  kEach,  // each variance at least 0: torchmetrics, fused-ssim
  kSum,   // their sum at least 0: faceswap
};

struct SsimWindow {
  Taps taps;
  Border border = Border::kValid;
  double c1 = 0.0001;
  double c2 = 0.0009;
  VarianceClamp clamp = VarianceClamp::kNone;
  double covariance_factor = 1.0;  // n / (n - 1) for sample covariance
  bool relu_cs = false;            // pyiqa: cs at least 0
  bool clamp_index = false;        // fused-ssim: S within [-1, 1]
  double offset = 0.5;             // taken off the images before; 0 under a zero border
};

// The two factors of S.
template <class V>
struct SsimFactors {
  V luminance_numerator, luminance_denominator, structure_numerator, structure_denominator;
};

struct SsimTerms {
  double c1, c2, covariance_factor, offset;
  VarianceClamp clamp;

  template <class MuR, class MuD, class RR, class DD, class RD>
  LIKENESS_HD auto Factors(MuR mu_r, MuD mu_d, RR rr, DD dd, RD rd) const {
    auto variance_r = (rr - mu_r * mu_r) * covariance_factor;
    auto variance_d = (dd - mu_d * mu_d) * covariance_factor;
    const auto covariance = (rd - mu_r * mu_d) * covariance_factor;
    if (clamp == VarianceClamp::kEach) {
      variance_r = AtLeast0(variance_r);
      variance_d = AtLeast0(variance_d);
    }
    auto variances = variance_r + variance_d;
    if (clamp == VarianceClamp::kSum) variances = AtLeast0(variances);
    const auto m_r = mu_r + offset;
    const auto m_d = mu_d + offset;
    using V = decltype(variances + covariance + m_d);
    return SsimFactors<V>{V(m_r * m_d * 2.0 + c1), V(m_r * m_r + m_d * m_d + c1), V(covariance * 2.0 + c2),
                          V(variances + c2)};
  }

 private:
  // The derivative passes at 0, as torch's clamp has it.
  template <class V>
  static LIKENESS_HD V AtLeast0(const V& x) {
    return Select(Value(x) >= 0.0, x, 0.0);
  }
};

struct SsimIndex {
  SsimTerms terms;
  bool relu_cs;
  bool clamp_index;
  LIKENESS_HD auto operator()(auto mu_r, auto mu_d, auto rr, auto dd, auto rd) const {
    const auto f = terms.Factors(mu_r, mu_d, rr, dd, rd);
    if (relu_cs) {
      return f.luminance_numerator / f.luminance_denominator * Relu(f.structure_numerator / f.structure_denominator);
    }
    const auto s =
        (f.luminance_numerator * f.structure_numerator) / (f.luminance_denominator * f.structure_denominator);
    return clamp_index ? Clamp(s, -1.0, 1.0) : s;
  }
};

struct ContrastStructure {
  SsimTerms terms;
  bool relu;
  LIKENESS_HD auto operator()(auto mu_r, auto mu_d, auto rr, auto dd, auto rd) const {
    const auto f = terms.Factors(mu_r, mu_d, rr, dd, rd);
    const auto cs = f.structure_numerator / f.structure_denominator;
    return relu ? Relu(cs) : cs;
  }
};

LIKENESS_END_TARGET
