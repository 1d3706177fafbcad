// Spectra as cuFFT leaves them, for kernels: interleaved complex numbers, a half spectrum of each channel.
#pragma once

#include "kernels/ops/cuda_rows.cuh"
#include "kernels/ops/fft/fft_cuda.h"
#include "kernels/ops/fft/frequency.h"

LIKENESS_BEGIN_TARGET

struct ComplexVec {
  Vec re;
  Vec im;
};

// Of planes of `full_width` columns: rows of W / 2 + 1 numbers in rows of `numbers`, whose width counts Reals.
struct HalfSpectrum {
  PlanesView numbers;
  int full_width = 0;

  // Planes with room for the half spectrum of `real`.
  static PlanesView PlanesFor(const Shape& real, void* data) {
    return {data, {2 * (real.width / 2 + 1), real.height, real.channels}};
  }
  __host__ __device__ int width() const { return full_width / 2 + 1; }
  __host__ __device__ Shape shape() const { return {width(), numbers.shape.height, numbers.shape.channels}; }
  // From row to row, in complex numbers.
  int stride() const { return static_cast<int>(numbers.stride() / 2); }

  __device__ Real* At(int c, int y, int x) const { return Row(numbers, c, y) + 2 * x; }
  __device__ ComplexVec Read(int c, int y, int x) const {
    // FftPlans leaves these to us.
    const int height = numbers.shape.height;
    const bool mirrored = full_width == 1 && 2 * y > height;
    const Real* number = At(c, mirrored ? height - y : y, x);
    return {Load(number), mirrored ? -Load(number + 1) : Load(number + 1)};
  }
  __device__ void Write(int c, int y, int x, const ComplexVec& value) const {
    Store(value.re, At(c, y, x));
    Store(value.im, At(c, y, x) + 1);
  }
};

// Planes of this shape, rows `stride` samples apart, to their half spectrum and back; not scaled. The way back
// overwrites the spectrum, and may be in place.
void ToSpectrum(Cuda& device, const Shape& real, void* from, std::ptrdiff_t stride, const HalfSpectrum& to);
void FromSpectrum(Cuda& device, const HalfSpectrum& from, const Shape& real, void* to, std::ptrdiff_t stride);

// What makes transforms orthonormal.
inline Real SpectrumScale(const Shape& real) {
  return static_cast<Real>(1.0 / std::sqrt(static_cast<double>(real.width) * real.height));
}

// Of a half spectrum's row, the one that holds the conjugates in columns that stand for one.
__device__ __forceinline__ int OppositeRow(int y, int height) { return (height - y) % height; }

LIKENESS_END_TARGET
