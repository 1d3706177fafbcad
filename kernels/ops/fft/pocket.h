// pocketfft behind plain functions, so that one file of each instruction set pays for compiling it. It transforms as
// many rows or columns at once as a vector of the instruction set has lanes.
#pragma once

#include <complex>

#include "kernels/base/vec.h"

LIKENESS_BEGIN_TARGET

// Strides are in samples (of Real, of complex Real). Orthonormal.
void PocketForward(int width, int height, const Real* in, std::ptrdiff_t in_stride, std::complex<Real>* out,
                   std::ptrdiff_t out_stride);

// The inverse of a half spectrum; overwrites `in`.
void PocketInverse(int width, int height, std::complex<Real>* in, std::ptrdiff_t in_stride, Real* out,
                   std::ptrdiff_t out_stride);

// The transform of complex numbers, in place; `forward` says which way. Orthonormal.
void PocketComplex(int width, int height, bool forward, std::complex<Real>* data, std::ptrdiff_t stride);

LIKENESS_END_TARGET
