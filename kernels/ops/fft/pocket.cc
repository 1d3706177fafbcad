#include "kernels/ops/fft/pocket.h"

#include <cmath>

#define POCKETFFT_NO_MULTITHREADING
// Twiddle factors of the last lengths, behind a mutex; without, every call computes them.
#define POCKETFFT_CACHE_SIZE 16
#include "pocketfft_hdronly.h"

namespace likeness {
namespace {

template <class Real>
Real Scale(int width, int height) {
  return static_cast<Real>(1.0 / std::sqrt(static_cast<double>(width) * height));
}

pocketfft::shape_t ShapeOf(int width, int height) {
  return {static_cast<std::size_t>(height), static_cast<std::size_t>(width)};
}

template <class Sample>
pocketfft::stride_t StrideOf(std::ptrdiff_t row) {
  return {row * static_cast<std::ptrdiff_t>(sizeof(Sample)), static_cast<std::ptrdiff_t>(sizeof(Sample))};
}

template <class Real>
void Forward(int width, int height, const Real* in, std::ptrdiff_t in_stride, std::complex<Real>* out,
             std::ptrdiff_t out_stride) {
  pocketfft::r2c(ShapeOf(width, height), StrideOf<Real>(in_stride), StrideOf<std::complex<Real>>(out_stride), {0, 1},
                 pocketfft::FORWARD, in, out, Scale<Real>(width, height));
}

template <class Real>
void Inverse(int width, int height, std::complex<Real>* in, std::ptrdiff_t in_stride, Real* out,
             std::ptrdiff_t out_stride) {
  // Axis by axis in place: the library's own two-axis inverse allocates a copy of the spectrum.
  const pocketfft::stride_t stride = StrideOf<std::complex<Real>>(in_stride);
  pocketfft::c2c(ShapeOf(width / 2 + 1, height), stride, stride, {0}, pocketfft::BACKWARD, in, in,
                 Scale<Real>(width, height));
  pocketfft::c2r(ShapeOf(width, height), stride, StrideOf<Real>(out_stride), 1, pocketfft::BACKWARD, in, out, Real(1));
}

template <class Real>
void Complex(int width, int height, bool forward, std::complex<Real>* data, std::ptrdiff_t row) {
  const pocketfft::stride_t stride = StrideOf<std::complex<Real>>(row);
  pocketfft::c2c(ShapeOf(width, height), stride, stride, {0, 1}, forward, data, data, Scale<Real>(width, height));
}

}  // namespace

void PocketForward(int width, int height, const float* in, std::ptrdiff_t in_stride, std::complex<float>* out,
                   std::ptrdiff_t out_stride) {
  Forward(width, height, in, in_stride, out, out_stride);
}
void PocketForward(int width, int height, const double* in, std::ptrdiff_t in_stride, std::complex<double>* out,
                   std::ptrdiff_t out_stride) {
  Forward(width, height, in, in_stride, out, out_stride);
}
void PocketInverse(int width, int height, std::complex<float>* in, std::ptrdiff_t in_stride, float* out,
                   std::ptrdiff_t out_stride) {
  Inverse(width, height, in, in_stride, out, out_stride);
}
void PocketInverse(int width, int height, std::complex<double>* in, std::ptrdiff_t in_stride, double* out,
                   std::ptrdiff_t out_stride) {
  Inverse(width, height, in, in_stride, out, out_stride);
}

void PocketComplex(int width, int height, bool forward, std::complex<float>* data, std::ptrdiff_t stride) {
  Complex(width, height, forward, data, stride);
}
void PocketComplex(int width, int height, bool forward, std::complex<double>* data, std::ptrdiff_t stride) {
  Complex(width, height, forward, data, stride);
}

}  // namespace likeness
