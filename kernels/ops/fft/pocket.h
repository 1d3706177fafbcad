// pocketfft behind three plain functions, so that one file pays for compiling it.
#pragma once

#include <complex>
#include <cstddef>

namespace likeness {

// Strides are in samples (of Real, of complex Real). Orthonormal.
void PocketForward(int width, int height, const float* in, std::ptrdiff_t in_stride, std::complex<float>* out,
                   std::ptrdiff_t out_stride);
void PocketForward(int width, int height, const double* in, std::ptrdiff_t in_stride, std::complex<double>* out,
                   std::ptrdiff_t out_stride);

// The inverse of a half spectrum; overwrites `in`.
void PocketInverse(int width, int height, std::complex<float>* in, std::ptrdiff_t in_stride, float* out,
                   std::ptrdiff_t out_stride);
void PocketInverse(int width, int height, std::complex<double>* in, std::ptrdiff_t in_stride, double* out,
                   std::ptrdiff_t out_stride);

// The transform of complex numbers, in place; `forward` says which way. Orthonormal.
void PocketComplex(int width, int height, bool forward, std::complex<float>* data, std::ptrdiff_t stride);
void PocketComplex(int width, int height, bool forward, std::complex<double>* data, std::ptrdiff_t stride);

}  // namespace likeness
