// S and its derivatives, a vector of windows at a time, and the vertical filter that leads to them.
//
// What is blurred are not r and d but their half sum and difference, s = (r + d) / 2 - 1/2 and e = d - r, and the
// squares of both: four blurs. With m = mean s + 1/2, X = var s and Y = var e,
//
//   2 mu_r mu_d + C1 = 2 m^2 - (mean e)^2 / 2 + C1      sig2_r + sig2_d + C2 = 2 X + Y / 2 + C2
//   mu_r^2 + mu_d^2 + C1 = 2 m^2 + (mean e)^2 / 2 + C1  2 cov + C2           = 2 X - Y / 2 + C2
//
// so that the rounding of X, all that is left of E[x^2] - mu^2 on flat ground, is the same in numerator and denominator
// and hurts only as far as the images differ. For equal images e is 0, S exactly 1 and its gradient exactly 0; swapped
// images change the sign of e and no bit of S.

#if defined(LIKENESS_KERNELS_WALKS_SSIM_MATH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef LIKENESS_KERNELS_WALKS_SSIM_MATH_INL_H_
#undef LIKENESS_KERNELS_WALKS_SSIM_MATH_INL_H_
#else
#define LIKENESS_KERNELS_WALKS_SSIM_MATH_INL_H_
#endif

#include "hwy/highway.h"
#include "kernels/walks/rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace likeness::walks {
namespace HWY_NAMESPACE {

struct Taps {
  HWY_INLINE explicit Taps(const float* taps)
      : t0(hn::Set(Df(), taps[0])),
        t1(hn::Set(Df(), taps[1])),
        t2(hn::Set(Df(), taps[2])),
        t3(hn::Set(Df(), taps[3])),
        t4(hn::Set(Df(), taps[4])),
        t5(hn::Set(Df(), taps[5])) {}
  Vf t0, t1, t2, t3, t4, t5;
};

// Short of registers, gcc would rather load a value once for each use than keep it. With the gradient's many values
// about it is right, without them it is not.
HWY_INLINE void KeepInRegister(Vf* value) {
#if HWY_ARCH_X86 && (HWY_COMPILER_GCC || HWY_COMPILER_CLANG)
  asm("" : "+v"(value->raw));
#else
  (void)value;
#endif
}

// Two neighbouring rows of the vertical filter. `rows` is a ring of twelve rows, kStride apart, whose oldest row is
// kOldest. Odd and even taps are summed apart, in the same order for both rows, so that a row's value does not depend
// on which of the two it is.
template <int kOldest, int kStride, bool kKeep>
HWY_INLINE void VerticalPair(const float* rows, const Taps& t, Vf* first, Vf* second) {
  const Df d;
  const auto row = [rows, d](int i) HWY_ATTR {
    Vf value = hn::Load(d, rows + ((kOldest + i) % 12) * kStride);
    if constexpr (kKeep) KeepInRegister(&value);
    return value;
  };
  const Vf x2 = row(2), x10 = row(10);
  Vf even0 = hn::Mul(t.t0, hn::Add(row(0), x10));
  Vf odd1 = hn::Mul(t.t1, hn::Add(x2, x10));
  const Vf x8 = row(8), x4 = row(4);
  even0 = hn::MulAdd(t.t2, hn::Add(x2, x8), even0);
  odd1 = hn::MulAdd(t.t3, hn::Add(x4, x8), odd1);
  const Vf x6 = row(6);
  even0 = hn::MulAdd(t.t4, hn::Add(x4, x6), even0);
  odd1 = hn::MulAdd(t.t5, x6, odd1);
  const Vf x1 = row(1), x9 = row(9);
  Vf even1 = hn::Mul(t.t0, hn::Add(x1, row(11)));
  Vf odd0 = hn::Mul(t.t1, hn::Add(x1, x9));
  const Vf x3 = row(3), x7 = row(7);
  even1 = hn::MulAdd(t.t2, hn::Add(x3, x9), even1);
  odd0 = hn::MulAdd(t.t3, hn::Add(x3, x7), odd0);
  const Vf x5 = row(5);
  even1 = hn::MulAdd(t.t4, hn::Add(x5, x7), even1);
  odd0 = hn::MulAdd(t.t5, x5, odd0);
  *first = hn::Add(even0, odd0);
  *second = hn::Add(even1, odd1);
}

using hn::Add;
using hn::Div;
using hn::Mul;
using hn::MulAdd;
using hn::MulSub;
using hn::Neg;
using hn::NegMulAdd;
using hn::Sub;
#undef LIKENESS_WALK_INLINE
#define LIKENESS_WALK_INLINE HWY_INLINE
#include "kernels/walks/ssim_similarity.inc"

using Moments = MomentsOf<Vf>;
using SsimConstants = SsimConstantsOf<Vf>;
using Partials = PartialsOf<Vf>;

template <bool kPartials>
HWY_INLINE Vf Similarity(const Moments& of, const SsimConstants& c, Partials* partials) {
  const Df d;
  const SsimNumbers<Vf> numbers{hn::Set(d, 0.5f), hn::Set(d, 1.0f), hn::Set(d, 2.0f)};
  return SimilarityOf<kPartials>(of, c, numbers, partials);
}

}  // namespace HWY_NAMESPACE
}  // namespace likeness::walks
HWY_AFTER_NAMESPACE();

#endif
