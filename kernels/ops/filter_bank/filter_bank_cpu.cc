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

// Of one filter in scratch, whose rows are interleaved complex numbers.
void Transform(const PlanesView& scratch, int channel, bool forward) {
  PocketComplex(scratch.shape.width / 2, scratch.shape.height, forward,
                reinterpret_cast<std::complex<Real>*>(Row(scratch, channel, 0)), scratch.stride() / 2);
}

void Interleave(const Real* real, const Real* imaginary, int width, Real* to) {
  int i = 0;
  for (; i + kLanes <= width; i += kLanes) StoreComplex(Load(real + i), Load(imaginary + i), to + 2 * i);
  for (; i < width; ++i) {
    to[2 * i] = real[i];
    to[2 * i + 1] = imaginary[i];
  }
}

void Separate(const Real* from, int width, Real* real, Real* imaginary) {
  int i = 0;
  for (; i + kLanes <= width; i += kLanes) {
    Vec re, im;
    LoadComplex(from + 2 * i, re, im);
    Store(re, real + i);
    Store(im, imaginary + i);
  }
  for (; i < width; ++i) {
    real[i] = from[2 * i];
    imaginary[i] = from[2 * i + 1];
  }
}

void FilterSpectrum(const Real* filter, const Real* real, const Real* imaginary, int width, Real* to) {
  int i = 0;
  for (; i + kLanes <= width; i += kLanes) {
    const Vec f = Load(filter + i);
    StoreComplex(f * Load(real + i), f * Load(imaginary + i), to + 2 * i);
  }
  for (; i < width; ++i) {
    to[2 * i] = filter[i] * real[i];
    to[2 * i + 1] = filter[i] * imaginary[i];
  }
}

// body(filter), in parallel; a filter's steps follow one another while its numbers are in cache.
template <class Body>
void ForEachFilter(const PlanesView& scratch, Body body) {
  ParallelFor(scratch.shape.channels, 8 * scratch.shape.plane(), [&](int begin, int end) {
    for (int c = begin; c < end; ++c) body(c);
  });
}

}  // namespace

void BandsForward(Cpu&, const PlanesView& x, const BankSpec& spec, int first, const PlanesView& scratch,
                  const PlanesView& out) {
  const auto bank = FindBank<Real>(spec);
  const int filters = scratch.shape.channels;
  ForEachFilter(scratch, [&](int c) {
    for (int y = 0; y < spec.height; ++y) {
      FilterSpectrum(bank->Row(first + c, y), Row(x, 0, y), Row(x, 1, y), spec.width, Row(scratch, c, y));
    }
    Transform(scratch, c, /*forward=*/false);
    for (int y = 0; y < spec.height; ++y) {
      Separate(Row(scratch, c, y), spec.width, Row(out, c, y), Row(out, filters + c, y));
    }
  });
}

void BandsBackward(Cpu&, const PlanesView& upstream, const BankSpec& spec, int first, const PlanesView& scratch,
                   const GradientView& gradient) {
  const auto bank = FindBank<Real>(spec);
  const int filters = scratch.shape.channels;
  ForEachFilter(scratch, [&](int c) {
    for (int y = 0; y < spec.height; ++y) {
      Interleave(Row(upstream, c, y), Row(upstream, filters + c, y), spec.width, Row(scratch, c, y));
    }
    // The inverse transform is unitary: its transpose is the forward one.
    Transform(scratch, c, /*forward=*/true);
  });
  ForEachRow({spec.width, spec.height, 1}, [&](int, int y) {
    Real* real = Row(gradient.planes, 0, y);
    Real* imaginary = Row(gradient.planes, 1, y);
    if (!gradient.accumulate) {
      std::fill(real, real + spec.width, Real(0));
      std::fill(imaginary, imaginary + spec.width, Real(0));
    }
    for (int c = 0; c < filters; ++c) {
      const Real* from = Row(scratch, c, y);
      const Real* filter = bank->Row(first + c, y);
      int i = 0;
      for (; i + kLanes <= spec.width; i += kLanes) {
        Vec re, im;
        LoadComplex(from + 2 * i, re, im);
        const Vec f = Load(filter + i);
        Store(Load(real + i) + f * re, real + i);
        Store(Load(imaginary + i) + f * im, imaginary + i);
      }
      for (; i < spec.width; ++i) {
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
