#include "kernels/ops/filter_bank/filter_bank_cpu.h"

#include <complex>

#include "kernels/ops/fft/pocket.h"

LIKENESS_BEGIN_TARGET
namespace {

#if LIKENESS_TARGET_SCALAR
LIKENESS_HD void LoadComplex(const Real* from, Vec& real, Vec& imaginary) {
  real = from[0];
  imaginary = from[1];
}
LIKENESS_HD void StoreComplex(Vec real, Vec imaginary, Real* to) {
  to[0] = real;
  to[1] = imaginary;
}
#else
LIKENESS_HD void LoadComplex(const Real* from, Vec& real, Vec& imaginary) {
  hn::LoadInterleaved2(Tag(), from, real.v, imaginary.v);
}
LIKENESS_HD void StoreComplex(Vec real, Vec imaginary, Real* to) {
  hn::StoreInterleaved2(real.v, imaginary.v, Tag(), to);
}
#endif

void Transform(const PlanesView& complex, bool forward) {
  const int width = complex.shape.width / 2, height = complex.shape.height;
  ParallelFor(complex.shape.channels, 8 * complex.shape.plane(), [&](int begin, int end) {
    for (int c = begin; c < end; ++c) {
      PocketComplex(width, height, forward, reinterpret_cast<std::complex<Real>*>(Row(complex, c, 0)),
                    complex.stride() / 2);
    }
  });
}

}  // namespace

void BandsForward(Cpu&, const PlanesView& x, const BankSpec& spec, int first, const PlanesView& scratch,
                  const PlanesView& out) {
  const auto bank = FindBank<Real>(spec);
  const Shape rows{spec.width, spec.height, scratch.shape.channels};
  ForEachRow(rows, [&](int c, int y) {
    const Real* real = Row(x, 0, y);
    const Real* imaginary = Row(x, 1, y);
    const Real* filter = bank->Row(first + c, y);
    Real* to = Row(scratch, c, y);
    int i = 0;
    for (; i + kLanes <= rows.width; i += kLanes) {
      const Vec f = Load(filter + i);
      StoreComplex(f * Load(real + i), f * Load(imaginary + i), to + 2 * i);
    }
    for (; i < rows.width; ++i) {
      to[2 * i] = filter[i] * real[i];
      to[2 * i + 1] = filter[i] * imaginary[i];
    }
  });
  Transform(scratch, /*forward=*/false);
  ForEachRow(rows, [&](int c, int y) {
    const Real* from = Row(scratch, c, y);
    Real* real = Row(out, c, y);
    Real* imaginary = Row(out, rows.channels + c, y);
    int i = 0;
    for (; i + kLanes <= rows.width; i += kLanes) {
      Vec re, im;
      LoadComplex(from + 2 * i, re, im);
      Store(re, real + i);
      Store(im, imaginary + i);
    }
    for (; i < rows.width; ++i) {
      real[i] = from[2 * i];
      imaginary[i] = from[2 * i + 1];
    }
  });
}

void BandsBackward(Cpu&, const PlanesView& upstream, const BankSpec& spec, int first, const PlanesView& scratch,
                   const GradientView& gradient) {
  const auto bank = FindBank<Real>(spec);
  const Shape rows{spec.width, spec.height, scratch.shape.channels};
  ForEachRow(rows, [&](int c, int y) {
    const Real* real = Row(upstream, c, y);
    const Real* imaginary = Row(upstream, rows.channels + c, y);
    Real* to = Row(scratch, c, y);
    int i = 0;
    for (; i + kLanes <= rows.width; i += kLanes) StoreComplex(Load(real + i), Load(imaginary + i), to + 2 * i);
    for (; i < rows.width; ++i) {
      to[2 * i] = real[i];
      to[2 * i + 1] = imaginary[i];
    }
  });
  // The inverse transform is unitary: its transpose is the forward one.
  Transform(scratch, /*forward=*/true);
  ForEachRow({rows.width, rows.height, 1}, [&](int, int y) {
    Real* real = Row(gradient.planes, 0, y);
    Real* imaginary = Row(gradient.planes, 1, y);
    if (!gradient.accumulate) {
      std::fill(real, real + rows.width, Real(0));
      std::fill(imaginary, imaginary + rows.width, Real(0));
    }
    for (int c = 0; c < rows.channels; ++c) {
      const Real* from = Row(scratch, c, y);
      const Real* filter = bank->Row(first + c, y);
      int i = 0;
      for (; i + kLanes <= rows.width; i += kLanes) {
        Vec re, im;
        LoadComplex(from + 2 * i, re, im);
        const Vec f = Load(filter + i);
        Store(Load(real + i) + f * re, real + i);
        Store(Load(imaginary + i) + f * im, imaginary + i);
      }
      for (; i < rows.width; ++i) {
        real[i] += filter[i] * from[2 * i];
        imaginary[i] += filter[i] * from[2 * i + 1];
      }
    }
  });
}

void BankPlanesForward(Cpu&, const BankSpec& spec, int first, const PlanesView& out) {
  const auto bank = FindBank<Real>(spec);
  ForEachRow(out.shape, [&](int c, int y) {
    const Real* from = bank->Row(first + c, y);
    std::copy(from, from + out.shape.width, Row(out, c, y));
  });
}

void BankConstantForward(Cpu&, const BankSpec& spec, int index, double* out) {
  *out = FindBank<Real>(spec)->constants[index];
}

LIKENESS_END_TARGET
