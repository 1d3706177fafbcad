// The number that the CPU's loops run on: Vec, kLanes samples of Real at once.
//
// With Highway a Vec is a vector register of float. For the oracle it is one double, and every loop written on it is
// then the plain loop. Under nvcc it is one float in a class of its own: a bare float times a literal would be a
// double. Arithmetic reads like arithmetic: operators, literals, Select.
#pragma once

#include "kernels/base/target.h"

LIKENESS_BEGIN_TARGET

// x^(-1/n) for normal x > 0, to 3 units in the last place and far cheaper than exp(log(x) / n). The bits of a float are
// nearly its logarithm: a first guess is a line through them. With e = 1 - x t^n, two terms of t (1 - e)^(-1/n) take
// the guess from 5 percent to 4e-4 to beyond float.
template <int n>
inline constexpr double kInverseRootLine = (1.0 + 1.0 / n) * 8388608.0 * (127.0 - 0.0450466);
template <int n, class V>
LIKENESS_HD V RefineInverseRoot(V x, V t) {
  for (int step = 0; step < 2; ++step) {
    V power = x * t;
    for (int i = 1; i < n; ++i) power = power * t;
    const V e = V(1.0) - power;
    t = MulAdd(t * e, MulAdd(e, V((n + 1.0) / (2.0 * n * n)), V(1.0 / n)), t);
  }
  return t;
}

#if LIKENESS_TARGET_SCALAR

#if defined(LIKENESS_TARGET_CUDA)
using Real = float;

struct Vec {
  Real v;

  Vec() = default;
  template <class Number>
  requires std::is_arithmetic_v<Number> LIKENESS_HD Vec(Number x)
      : v(static_cast<Real>(x)) {}  // NOLINT: so is a literal
  LIKENESS_HD explicit operator Real() const { return v; }

  friend LIKENESS_HD Vec operator+(Vec a, Vec b) { return a.v + b.v; }
  friend LIKENESS_HD Vec operator-(Vec a, Vec b) { return a.v - b.v; }
  friend LIKENESS_HD Vec operator*(Vec a, Vec b) { return a.v * b.v; }
  friend LIKENESS_HD Vec operator/(Vec a, Vec b) { return a.v / b.v; }
  friend LIKENESS_HD Vec operator-(Vec a) { return -a.v; }
  friend LIKENESS_HD bool operator<(Vec a, Vec b) { return a.v < b.v; }
  friend LIKENESS_HD bool operator<=(Vec a, Vec b) { return a.v <= b.v; }
  friend LIKENESS_HD bool operator>(Vec a, Vec b) { return a.v > b.v; }
  friend LIKENESS_HD bool operator>=(Vec a, Vec b) { return a.v >= b.v; }
  friend LIKENESS_HD bool operator==(Vec a, Vec b) { return a.v == b.v; }
};

LIKENESS_HD Real Bare(Vec x) { return x.v; }
#else
using Real = double;
using Vec = Real;

LIKENESS_HD Real Bare(Vec x) { return x; }
#endif
using Mask = bool;
inline constexpr int kLanes = 1;

LIKENESS_HD Vec Load(const Real* from) { return *from; }
LIKENESS_HD void Store(Vec value, Real* to) { *to = Bare(value); }
LIKENESS_HD Vec SelectValue(Mask mask, Vec yes, Vec no) { return mask ? yes : no; }
LIKENESS_HD bool AnyOf(Mask mask) { return mask; }
LIKENESS_HD Vec AbsValue(Vec x) { return std::abs(Bare(x)); }
LIKENESS_HD Vec SqrtValue(Vec x) { return std::sqrt(Bare(x)); }
LIKENESS_HD Vec MaxValue(Vec a, Vec b) { return a > b ? a : b; }
LIKENESS_HD Vec MinValue(Vec a, Vec b) { return a < b ? a : b; }
LIKENESS_HD Vec ExpValue(Vec x) { return std::exp(Bare(x)); }
LIKENESS_HD Vec Expm1Value(Vec x) { return std::expm1(Bare(x)); }
LIKENESS_HD Vec LogValue(Vec x) { return std::log(Bare(x)); }
LIKENESS_HD Vec Log1pValue(Vec x) { return std::log1p(Bare(x)); }
LIKENESS_HD Vec RoundValue(Vec x) { return std::nearbyint(Bare(x)); }
// For x >= 0.
LIKENESS_HD Vec CbrtValue(Vec x) { return std::cbrt(Bare(x)); }
// a * b + c with one rounding where the processor has it.
#if defined(LIKENESS_TARGET_CUDA)
LIKENESS_HD Vec MulAdd(Vec a, Vec b, Vec c) { return std::fma(a.v, b.v, c.v); }
// As RefineInverseRoot says: a third of what pow takes.
template <int n>
LIKENESS_HD Vec InverseRootValue(Vec x) {
  const Vec bits(std::bit_cast<std::int32_t>(x.v));
  const Vec t(std::bit_cast<Real>(static_cast<std::int32_t>(MulAdd(bits, Vec(-1.0 / n), Vec(kInverseRootLine<n>)).v)));
  return RefineInverseRoot<n>(x, t);
}
#else
LIKENESS_HD Vec MulAdd(Vec a, Vec b, Vec c) { return a * b + c; }
// x^(-1/n) for x > 0.
template <int n>
LIKENESS_HD Vec InverseRootValue(Vec x) {
  return std::pow(x, -1.0 / n);
}
#endif

// Sums a row in double, in an order that depends on kLanes alone.
class RowSum {
 public:
  LIKENESS_HD void Add(Vec x) { sum_ += static_cast<double>(Bare(x)); }
  LIKENESS_HD void AddFirst(Vec x, int count) {
    if (count > 0) Add(x);
  }
  LIKENESS_HD double Total() const { return sum_; }

 private:
  double sum_ = 0.0;
};

LIKENESS_HD double MaxLane(Vec x) { return Bare(x); }
// The first `count` lanes of x, `fill` in the others.
LIKENESS_HD Vec FirstLanes(Vec x, int count, Vec fill) { return count > 0 ? x : fill; }

#else  // Highway

namespace hn = hwy::HWY_NAMESPACE;
using Real = float;
using Tag = hn::ScalableTag<float>;
inline constexpr int kLanes = static_cast<int>(hn::MaxLanes(Tag()));

using Mask = hn::Mask<Tag>;

struct Vec {
  hn::Vec<Tag> v;

  Vec() = default;
  HWY_INLINE Vec(hn::Vec<Tag> x) : v(x) {}                                // NOLINT: a vector is a number
  HWY_INLINE Vec(double x) : v(hn::Set(Tag(), static_cast<float>(x))) {}  // NOLINT: so is a literal

  friend HWY_INLINE Vec operator+(Vec a, Vec b) { return hn::Add(a.v, b.v); }
  friend HWY_INLINE Vec operator-(Vec a, Vec b) { return hn::Sub(a.v, b.v); }
  friend HWY_INLINE Vec operator*(Vec a, Vec b) { return hn::Mul(a.v, b.v); }
  friend HWY_INLINE Vec operator/(Vec a, Vec b) { return hn::Div(a.v, b.v); }
  friend HWY_INLINE Vec operator-(Vec a) { return hn::Neg(a.v); }
  friend HWY_INLINE Mask operator<(Vec a, Vec b) { return hn::Lt(a.v, b.v); }
  friend HWY_INLINE Mask operator<=(Vec a, Vec b) { return hn::Le(a.v, b.v); }
  friend HWY_INLINE Mask operator>(Vec a, Vec b) { return hn::Gt(a.v, b.v); }
  friend HWY_INLINE Mask operator>=(Vec a, Vec b) { return hn::Ge(a.v, b.v); }
  friend HWY_INLINE Mask operator==(Vec a, Vec b) { return hn::Eq(a.v, b.v); }
};

HWY_INLINE Vec Load(const Real* from) { return hn::LoadU(Tag(), from); }
HWY_INLINE void Store(Vec value, Real* to) { hn::StoreU(value.v, Tag(), to); }
HWY_INLINE Vec SelectValue(Mask mask, Vec yes, Vec no) { return hn::IfThenElse(mask, yes.v, no.v); }
HWY_INLINE bool AnyOf(Mask mask) { return !hn::AllFalse(Tag(), mask); }
HWY_INLINE Vec AbsValue(Vec x) { return hn::Abs(x.v); }
HWY_INLINE Vec SqrtValue(Vec x) { return hn::Sqrt(x.v); }
HWY_INLINE Vec MaxValue(Vec a, Vec b) { return hn::Max(a.v, b.v); }
HWY_INLINE Vec MinValue(Vec a, Vec b) { return hn::Min(a.v, b.v); }
HWY_INLINE Vec ExpValue(Vec x) { return hn::Exp(Tag(), x.v); }
HWY_INLINE Vec Expm1Value(Vec x) { return hn::Expm1(Tag(), x.v); }
HWY_INLINE Vec LogValue(Vec x) { return hn::Log(Tag(), x.v); }
HWY_INLINE Vec Log1pValue(Vec x) { return hn::Log1p(Tag(), x.v); }
HWY_INLINE Vec RoundValue(Vec x) { return hn::Round(x.v); }
HWY_INLINE Vec MulAdd(Vec a, Vec b, Vec c) { return hn::MulAdd(a.v, b.v, c.v); }
template <int n>
HWY_INLINE Vec InverseRootValue(Vec x) {
  const hn::RebindToSigned<Tag> ints;
  const Vec bits = hn::ConvertTo(Tag(), hn::BitCast(ints, x.v));
  const Vec t = hn::BitCast(Tag(), hn::ConvertTo(ints, MulAdd(bits, Vec(-1.0 / n), Vec(kInverseRootLine<n>)).v));
  return RefineInverseRoot<n>(x, t);
}
HWY_INLINE Vec CbrtValue(Vec x) {
  const Vec t = InverseRootValue<3>(x);
  return SelectValue(x > Vec(1e-30), x * (t * t), Vec(0.0));
}

class RowSum {
  using Wide = hn::Repartition<double, Tag>;

 public:
  // Written out: a constructor that the compiler makes is not compiled for the target.
  HWY_INLINE RowSum() : low_(hn::Zero(Wide())), high_(hn::Zero(Wide())) {}
  HWY_INLINE void Add(Vec x) {
    const hn::Half<Tag> half;
    low_ = hn::Add(low_, hn::PromoteTo(Wide(), hn::LowerHalf(half, x.v)));
    high_ = hn::Add(high_, hn::PromoteTo(Wide(), hn::UpperHalf(half, x.v)));
  }
  HWY_INLINE void AddFirst(Vec x, int count) { Add(hn::IfThenElseZero(hn::FirstN(Tag(), count), x.v)); }
  HWY_INLINE double Total() const { return hn::GetLane(hn::SumOfLanes(Wide(), hn::Add(low_, high_))); }

 private:
  hn::Vec<Wide> low_;
  hn::Vec<Wide> high_;
};

HWY_INLINE double MaxLane(Vec x) { return hn::GetLane(hn::MaxOfLanes(Tag(), x.v)); }
HWY_INLINE Vec FirstLanes(Vec x, int count, Vec fill) { return hn::IfThenElse(hn::FirstN(Tag(), count), x.v, fill.v); }

#endif

#if !LIKENESS_TARGET_SCALAR || defined(LIKENESS_TARGET_CUDA)
// Scores are scalars, and scalars are double on every target.
LIKENESS_HD double SelectValue(bool mask, double yes, double no) { return mask ? yes : no; }
LIKENESS_HD double AbsValue(double x) { return std::abs(x); }
LIKENESS_HD double SqrtValue(double x) { return std::sqrt(x); }
LIKENESS_HD double MaxValue(double a, double b) { return a > b ? a : b; }
LIKENESS_HD double MinValue(double a, double b) { return a < b ? a : b; }
LIKENESS_HD double ExpValue(double x) { return std::exp(x); }
LIKENESS_HD double Expm1Value(double x) { return std::expm1(x); }
LIKENESS_HD double LogValue(double x) { return std::log(x); }
LIKENESS_HD double Log1pValue(double x) { return std::log1p(x); }
#endif

LIKENESS_END_TARGET
