// The steps of SSIM that ms_ssim shares.
#pragma once

#include <cmath>

#include "kernels/metrics/ssim/ssim_math.h"
#include "kernels/ops/correlate/correlate.h"
#include "kernels/ops/map/map.h"

LIKENESS_BEGIN_TARGET

// Window means of both images, less the offset, and of their squares and product.
template <bool tracked>
struct Moments {
  Planes<false> mean_r;
  Planes<tracked> mean_d;
  Planes<false> square_r;
  Planes<tracked> square_d;
  Planes<tracked> product;
};

template <class T, bool tracked>
Moments<tracked> LocalMoments(T& t, const Planes<false>& reference, const Planes<tracked>& distorted,
                              const SsimWindow& window) {
  const Kernel kernel = Separable(window.taps);
  const auto blur = [&](const auto& x) { return Correlate(t, x, kernel, window.border); };
  const auto r = window.offset == 0.0 ? reference : Map(t, Linear{1.0, -window.offset}, reference);
  const auto d = window.offset == 0.0 ? distorted : Map(t, Linear{1.0, -window.offset}, distorted);
  return {blur(r), blur(d), blur(Map(t, Square{}, r)), blur(Map(t, Square{}, d)), blur(Map(t, Product{}, r, d))};
}

inline SsimTerms TermsOf(const SsimWindow& window) {
  return {window.c1, window.c2, window.covariance_factor, window.offset, window.clamp};
}

// Functors of all moments, in their order.
inline SsimIndex SsimIndexOf(const SsimWindow& window) { return {TermsOf(window), window.relu_cs, window.clamp_index}; }
inline ContrastStructure ContrastStructureOf(const SsimWindow& window) { return {TermsOf(window), window.relu_cs}; }

template <class T, class F, bool tracked>
Planes<tracked> MomentsMap(T& t, const F& f, const Moments<tracked>& m) {
  return Map(t, f, m.mean_r, m.mean_d, m.square_r, m.square_d, m.product);
}

// max(1, round(shorter side / 256)), half to even.
inline int Factor256(const Shape& shape) {
  return std::max(1, static_cast<int>(std::nearbyint(std::min(shape.width, shape.height) / 256.0)));
}

LIKENESS_END_TARGET
