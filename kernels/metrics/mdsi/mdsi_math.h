// MDSI, mean deviation similarity index: H. Ziaei Nafchi, A. Shahkolaei, R. Hedjam, M. Cheriet, "Mean Deviation
// Similarity Index: Efficient and Reliable Full-Reference Image Quality Evaluator", IEEE Access 2016. Reference code:
// piq's mdsi.py. Steps:
//
//   1. k x k means, k = round(shorter side / 256), the border filled up with zeros on both sides; x255.
//   2. L = .2989 R + .587 G + .114 B and the chroma planes H and M.
//   3. Gradient magnitudes by Prewitt / 3, zero border, of L_r, of L_d and of their mean f. With
//      sim(a, b; c) = (2ab + c) / (a^2 + b^2 + c):
//        GS = sim(g_d, g_r; 140) + sim(g_d, g_f; 55) - sim(g_r, g_f; 55)
//      The sign of the last two makes GS unsymmetric; d comes first.
//   4. CS = (2 (H_r H_d + M_r M_d) + 550) / (H_r^2 + H_d^2 + M_r^2 + M_d^2 + 550)
//   5. GCS = .6 GS + .4 CS (sum), or GS^.2 and CS^.1 multiplied (mult), where piq multiplies real parts and adds
//      imaginary ones: powers of what is below 0 are complex, |x|^p (cos p pi, sin p pi).
//   6. Score: the mean of |z - mean z| to the power 1/4, where z = GCS^(1/4). 0 for equal images.
//
// The last root is steep where images are nearly equal; at equal ones, where torch has NaN, the gradient is 0.
#pragma once

#include "kernels/base/number.h"
#include "kernels/ops/map/map.h"

LIKENESS_BEGIN_TARGET

// L, H and M, x255.
struct MdsiLhm {
  static constexpr int kOutputs = 3;
  template <class V>
  LIKENESS_HD Pack<V, 3> operator()(const V& r, const V& g, const V& b) const {
    const V red = r * 255.0, green = g * 255.0, blue = b * 255.0;
    return {{red * 0.2989 + green * 0.587 + blue * 0.114, red * 0.30 + green * 0.04 - blue * 0.35,
             red * 0.34 - green * 0.6 + blue * 0.17}};
  }
};

// Complex numbers whose parts are not below 0.
template <class V>
struct MdsiComplex {
  V re, im;
};

// The principal square root. 0 at 0, with its derivative.
template <class V>
LIKENESS_HD MdsiComplex<V> MdsiRoot(const MdsiComplex<V>& z) {
  const V norm = Sqrt(z.re * z.re + z.im * z.im);
  const V re = Sqrt((norm + z.re) * 0.5);
  const auto some = Value(re) > 0.0;
  return {re, Select(some, z.im / (Select(some, re, 1.0) * 2.0), 0.0)};
}

// |x|^p, turned where x is below 0 by p pi, whose cosine and sine these are.
template <class V>
LIKENESS_HD MdsiComplex<V> MdsiPower(const V& x, double p, double cosine, double sine) {
  const V size = SafePow(Abs(x), p);
  const auto below = Value(x) < 0.0;
  return {Select(below, size * cosine, size), Select(below, size * sine, 0.0)};
}

// Of L's gradient and of L, H and M of each image: z, real and imaginary.
struct MdsiValue {
  bool product;

  template <class A, class B>
  static LIKENESS_HD auto Sim(const A& a, const B& b, double c) {
    return (a * b * 2.0 + c) / (a * a + b * b + c);
  }
  LIKENESS_HD auto operator()(const auto& gradient_r, const auto& r, const auto& gradient_d, const auto& d) const {
    const auto magnitude = [](const auto& x, const auto& y) { return Sqrt(x * x + y * y); };
    const auto g_r = magnitude(gradient_r.v[0], gradient_r.v[1]);
    const auto g_d = magnitude(gradient_d.v[0], gradient_d.v[1]);
    const auto g_f = magnitude((gradient_r.v[0] + gradient_d.v[0]) * 0.5, (gradient_r.v[1] + gradient_d.v[1]) * 0.5);
    const auto gs = Sim(g_d, g_r, 140.0) + Sim(g_d, g_f, 55.0) - Sim(g_r, g_f, 55.0);
    const auto &h_r = r.v[1], &m_r = r.v[2];
    const auto &h_d = d.v[1], &m_d = d.v[2];
    const auto cs =
        ((h_r * h_d + m_r * m_d) * 2.0 + 550.0) / ((h_r * h_r + h_d * h_d) + (m_r * m_r + m_d * m_d) + 550.0);
    using V = std::remove_cvref_t<decltype(gs + cs)>;
    MdsiComplex<V> z;
    if (product) {
      const auto a = MdsiPower(V(gs), 0.2, 0.80901699437494742, 0.58778525229247313);
      const auto b = MdsiPower(V(cs), 0.1, 0.95105651629515357, 0.30901699437494742);
      z = MdsiRoot(MdsiRoot(MdsiComplex<V>{a.re * b.re, a.im + b.im}));
    } else {
      const V x = gs * 0.6 + cs * 0.4;
      const V size = Sqrt(Sqrt(Abs(x)));
      const auto below = Value(x) < 0.0;
      const V turned = size * 0.70710678118654752;
      z = {Select(below, turned, size), Select(below, turned, 0.0)};
    }
    return Pack<V, 2>{{z.re, z.im}};
  }
};

// |z - mean z|
struct MdsiDeviation {
  LIKENESS_HD auto operator()(const auto& z, const auto& mean_re, const auto& mean_im) const {
    const auto re = z.v[0] - mean_re;
    const auto im = z.v[1] - mean_im;
    return Sqrt(re * re + im * im);
  }
};

struct MdsiScore {
  LIKENESS_HD auto operator()(auto x) const { return SafePow(x, 0.25); }
};

LIKENESS_END_TARGET
