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

// The transform of one length, of kLanes sequences at once and in place. Number i of them is kLanes real parts at
// data + 2 i kLanes and then kLanes imaginary parts; data is aligned to kAlignment bytes.
class PocketLanes {
 public:
  static constexpr int kAlignment = 64;

  explicit PocketLanes(int length);
  void Run(bool forward, Real scale, Real* data) const;

 private:
  std::shared_ptr<const void> plan_;
};

LIKENESS_END_TARGET
