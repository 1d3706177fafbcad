// The pointwise family on one row of values: sums of f(e), the map f(e) and the gradient f'(e).

#if defined(LIKENESS_KERNELS_WALKS_POINTWISE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LIKENESS_KERNELS_WALKS_POINTWISE_INL_H_
#undef LIKENESS_KERNELS_WALKS_POINTWISE_INL_H_
#else
#define LIKENESS_KERNELS_WALKS_POINTWISE_INL_H_
#endif

#include <cstring>

#include "hwy/contrib/math/math-inl.h"
#include "hwy/highway.h"
#include "kernels/walks/rows-inl.h"
#include "kernels/walks/tile.h"

HWY_BEFORE_NAMESPACE();
namespace likeness::walks {
namespace HWY_NAMESPACE {

// Each term has Value(e) and Slope(e), its derivative. `p` is the walk's parameter.
struct AbsoluteTerm {
  explicit AbsoluteTerm(float) {}
  HWY_INLINE Vf Value(Vf e) const { return hn::Abs(e); }
  HWY_INLINE Vf Slope(Vf e) const {
    const Df d;
    const Vf one_with_sign = hn::CopySign(hn::Set(d, 1.0f), e);
    return hn::IfThenElse(hn::Eq(e, hn::Zero(d)), hn::Zero(d), one_with_sign);
  }
};

struct SquareTerm {
  explicit SquareTerm(float) {}
  HWY_INLINE Vf Value(Vf e) const { return hn::Mul(e, e); }
  HWY_INLINE Vf Slope(Vf e) const { return hn::Add(e, e); }
};

struct SignedTerm {
  explicit SignedTerm(float) {}
  HWY_INLINE Vf Value(Vf e) const { return e; }
  HWY_INLINE Vf Slope(Vf) const { return hn::Set(Df(), 1.0f); }
};

// The gradient of a maximum is known only when the maximum is: until then the slope keeps e for the driver.
struct MaximumTerm {
  explicit MaximumTerm(float) {}
  HWY_INLINE Vf Value(Vf e) const { return hn::Abs(e); }
  HWY_INLINE Vf Slope(Vf e) const { return e; }
};

struct HuberTerm {
  explicit HuberTerm(float p) : delta(hn::Set(Df(), p)) {}
  // With m = min(|e|, delta): m (|e| - m / 2) is e^2 / 2 inside and delta (|e| - delta / 2) outside.
  HWY_INLINE Vf Value(Vf e) const {
    const Vf magnitude = hn::Abs(e);
    const Vf m = hn::Min(magnitude, delta);
    return hn::Mul(m, hn::NegMulAdd(hn::Set(Df(), 0.5f), m, magnitude));
  }
  HWY_INLINE Vf Slope(Vf e) const { return hn::Max(hn::Min(e, delta), hn::Neg(delta)); }
  Vf delta;
};

// With m = exp(-2|e|) - 1: tanh |e| = -m / (2 + m), and log cosh e is log1p(-tanh^2 e) / -2 for small |e|, where it
// keeps its relative accuracy, and |e| - ln 2 + log1p(exp(-2|e|)) for large ones, where tanh has reached 1.
struct LogCoshTerm {
  explicit LogCoshTerm(float) {}
  static HWY_INLINE Vf TanhMagnitude(Vf m) { return hn::Neg(hn::Div(m, hn::Add(hn::Set(Df(), 2.0f), m))); }
  HWY_INLINE Vf Value(Vf e) const {
    const Df d;
    const Vf magnitude = hn::Abs(e);
    const Vf m = hn::Expm1(d, hn::Mul(hn::Set(d, -2.0f), magnitude));
    const Vf tanh = TanhMagnitude(m);
    const auto small = hn::Lt(magnitude, hn::Set(d, 1.0f));
    const Vf logarithm =
        hn::Log1p(d, hn::IfThenElse(small, hn::Neg(hn::Mul(tanh, tanh)), hn::Add(hn::Set(d, 1.0f), m)));
    const Vf ln2 = hn::Set(d, 0.693147180559945f);
    return hn::IfThenElse(small, hn::Mul(hn::Set(d, -0.5f), logarithm), hn::Add(hn::Sub(magnitude, ln2), logarithm));
  }
  HWY_INLINE Vf Slope(Vf e) const {
    const Df d;
    const Vf m = hn::Expm1(d, hn::Mul(hn::Set(d, -2.0f), hn::Abs(e)));
    return hn::CopySign(TanhMagnitude(m), e);
  }
};

struct CharbonnierTerm {
  explicit CharbonnierTerm(float p) : square(hn::Set(Df(), p * p)) {}
  HWY_INLINE Vf Value(Vf e) const { return hn::Sqrt(hn::MulAdd(e, e, square)); }
  HWY_INLINE Vf Slope(Vf e) const {
    const Vf root = Value(e);
    return hn::IfThenElseZero(hn::Gt(root, hn::Zero(Df())), hn::Div(e, root));
  }
  Vf square;
};

// sqrt(e^2 + p^2) - p without the cancellation, and 0 at 0 even when p is 0.
struct ShiftedCharbonnierTerm {
  explicit ShiftedCharbonnierTerm(float p) : root(p), parameter(hn::Set(Df(), p)) {}
  HWY_INLINE Vf Value(Vf e) const {
    const Vf denominator = hn::Add(root.Value(e), parameter);
    return hn::IfThenElseZero(hn::Gt(denominator, hn::Zero(Df())), hn::Div(hn::Mul(e, e), denominator));
  }
  HWY_INLINE Vf Slope(Vf e) const { return root.Slope(e); }
  CharbonnierTerm root;
  Vf parameter;
};

HWY_INLINE void StoreFirst(Vf values, int count, float* to) {
  const Df d;
  if (count >= kLanes) {
    hn::StoreU(values, d, to);
    return;
  }
  float lane[kLanes];
  hn::StoreU(values, d, lane);
  std::memcpy(to, lane, static_cast<std::size_t>(count) * sizeof(float));
}

// A row's sum: four float lanes' worth of chains, joined in a fixed order, then in double.
HWY_INLINE double SumInDouble(Vf values) {
  float lane[kLanes];
  hn::StoreU(values, Df(), lane);
  double sum = 0.0;
  for (int i = 0; i < kLanes; ++i) sum += static_cast<double>(lane[i]);
  return sum;
}

template <class Term, bool kIsMaximum>
HWY_NOINLINE double SumRow(const float* reference, const float* distorted, int count, float parameter) {
  const Df d;
  const Term term(parameter);
  const auto join = [](Vf sum, Vf value) HWY_ATTR { return kIsMaximum ? hn::Max(sum, value) : hn::Add(sum, value); };
  const auto value_at = [&](int i) HWY_ATTR {
    return term.Value(hn::Sub(hn::LoadU(d, distorted + i), hn::LoadU(d, reference + i)));
  };
  Vf sum0 = hn::Zero(d), sum1 = sum0, sum2 = sum0, sum3 = sum0;
  int i = 0;
  for (; i + 4 * kLanes <= count; i += 4 * kLanes) {
    sum0 = join(sum0, value_at(i));
    sum1 = join(sum1, value_at(i + kLanes));
    sum2 = join(sum2, value_at(i + 2 * kLanes));
    sum3 = join(sum3, value_at(i + 3 * kLanes));
  }
  for (; i + kLanes <= count; i += kLanes) sum0 = join(sum0, value_at(i));
  if (i < count) {
    const auto inside = hn::FirstN(d, static_cast<std::size_t>(count - i));
    sum1 = join(sum1, hn::IfThenElseZero(inside, value_at(i)));
  }
  if constexpr (kIsMaximum) {
    return static_cast<double>(hn::GetLane(hn::MaxOfLanes(d, hn::Max(hn::Max(sum0, sum1), hn::Max(sum2, sum3)))));
  }
  return SumInDouble(hn::Add(hn::Add(sum0, sum1), hn::Add(sum2, sum3)));
}

template <class Term>
HWY_NOINLINE void WriteRow(const float* reference, const float* distorted, int count, const PreparedWalk& walk,
                           std::int64_t at) {
  const Df d;
  const Term term(walk.parameter);
  const Vf map_scale = hn::Set(d, walk.map_scale);
  const Vf gradient_scale = hn::Set(d, walk.gradient_scale);
  for (int i = 0; i < count; i += kLanes) {
    const Vf e = hn::Sub(hn::LoadU(d, distorted + i), hn::LoadU(d, reference + i));
    if (walk.map != nullptr) StoreFirst(hn::Mul(term.Value(e), map_scale), count - i, walk.map + at + i);
    if (walk.gradient != nullptr) {
      StoreFirst(hn::Mul(term.Slope(e), gradient_scale), count - i, walk.gradient + at + i);
    }
  }
}

template <class Term, bool kIsMaximum = false>
HWY_INLINE void PointwiseTerm(const PreparedWalk& walk, const float* reference, const float* distorted, int count,
                              std::int64_t at, double* partial) {
  if (!walk.integer_score) {
    const double row = SumRow<Term, kIsMaximum>(reference, distorted, count, walk.parameter);
    *partial = kIsMaximum ? (row > *partial ? row : *partial) : *partial + row;
  }
  if (walk.map != nullptr || walk.gradient != nullptr) WriteRow<Term>(reference, distorted, count, walk, at);
}

// One row of a tile; `at` is its first sample's place in a whole image of floats.
HWY_INLINE void PointwiseRow(const PreparedWalk& walk, const float* reference, const float* distorted, int count,
                             std::int64_t at, double* partial) {
  switch (walk.term) {
    case PointwiseLoss::kMeanSquare:
      return PointwiseTerm<SquareTerm>(walk, reference, distorted, count, at, partial);
    case PointwiseLoss::kMeanSigned:
      return PointwiseTerm<SignedTerm>(walk, reference, distorted, count, at, partial);
    case PointwiseLoss::kMaximum:
      return PointwiseTerm<MaximumTerm, true>(walk, reference, distorted, count, at, partial);
    case PointwiseLoss::kHuber:
      return PointwiseTerm<HuberTerm>(walk, reference, distorted, count, at, partial);
    case PointwiseLoss::kLogCosh:
      return PointwiseTerm<LogCoshTerm>(walk, reference, distorted, count, at, partial);
    case PointwiseLoss::kCharbonnier:
      // The mean is of the shifted loss; the driver adds the parameter in double, so that equal images score it
      // exactly.
      *partial += SumRow<ShiftedCharbonnierTerm, false>(reference, distorted, count, walk.parameter);
      if (walk.map != nullptr || walk.gradient != nullptr) {
        WriteRow<CharbonnierTerm>(reference, distorted, count, walk, at);
      }
      return;
    case PointwiseLoss::kShiftedCharbonnier:
      return PointwiseTerm<ShiftedCharbonnierTerm>(walk, reference, distorted, count, at, partial);
    default:  // the driver has reduced every other loss to one of these
      return PointwiseTerm<AbsoluteTerm>(walk, reference, distorted, count, at, partial);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace likeness::walks
HWY_AFTER_NAMESPACE();

#endif
