#include "kernels/ops/fft/pocket.h"

// What pocketfft includes: here, outside of the region, and so not there (base/target.h says why).
#include <algorithm>
#include <array>
#include <cmath>
#include <complex>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <vector>

#define POCKETFFT_NO_MULTITHREADING
// Twiddle factors of the last lengths, behind a mutex; without, every call computes them.
#define POCKETFFT_CACHE_SIZE 16
// How wide its vectors are, which it asks the compiler's flags and not the region's.
#if defined(LIKENESS_TARGET_AVX3) && !defined(__AVX512F__)
#define __AVX512F__ 1
#elif defined(LIKENESS_TARGET_AVX2) && !defined(__AVX__)
#define __AVX__ 1
#endif

LIKENESS_BEGIN_TARGET

#include "pocketfft_hdronly.h"

namespace {

using Plan = pocketfft::detail::pocketfft_c<Real>;
#if LIKENESS_TARGET_SCALAR
using Lanes = Real;
#else
typedef Real Lanes __attribute__((vector_size(kLanes * sizeof(Real))));  // NOLINT: an alias cannot have it
#endif

Real Scale(int width, int height) { return static_cast<Real>(1.0 / std::sqrt(static_cast<double>(width) * height)); }

pocketfft::shape_t ShapeOf(int width, int height) {
  return {static_cast<std::size_t>(height), static_cast<std::size_t>(width)};
}

template <class Sample>
pocketfft::stride_t StrideOf(std::ptrdiff_t row) {
  return {row * static_cast<std::ptrdiff_t>(sizeof(Sample)), static_cast<std::ptrdiff_t>(sizeof(Sample))};
}

}  // namespace

void PocketForward(int width, int height, const Real* in, std::ptrdiff_t in_stride, std::complex<Real>* out,
                   std::ptrdiff_t out_stride) {
  pocketfft::r2c(ShapeOf(width, height), StrideOf<Real>(in_stride), StrideOf<std::complex<Real>>(out_stride), {0, 1},
                 pocketfft::FORWARD, in, out, Scale(width, height));
}

void PocketInverse(int width, int height, std::complex<Real>* in, std::ptrdiff_t in_stride, Real* out,
                   std::ptrdiff_t out_stride) {
  // Axis by axis in place: the library's own two-axis inverse allocates a copy of the spectrum.
  const pocketfft::stride_t stride = StrideOf<std::complex<Real>>(in_stride);
  pocketfft::c2c(ShapeOf(width / 2 + 1, height), stride, stride, {0}, pocketfft::BACKWARD, in, in,
                 Scale(width, height));
  pocketfft::c2r(ShapeOf(width, height), stride, StrideOf<Real>(out_stride), 1, pocketfft::BACKWARD, in, out, Real(1));
}

PocketLanes::PocketLanes(int length) : plan_(pocketfft::detail::get_plan<Plan>(static_cast<std::size_t>(length))) {}

void PocketLanes::Run(bool forward, Real scale, Real* data) const {
  static_cast<const Plan*>(plan_.get())->exec(reinterpret_cast<pocketfft::detail::cmplx<Lanes>*>(data), scale, forward);
}

LIKENESS_END_TARGET
