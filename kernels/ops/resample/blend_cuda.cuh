// Where the samples of a bilinear resize come from.
#pragma once

#include "kernels/ops/cuda_device.h"

LIKENESS_BEGIN_TARGET

// Where the samples of a resized image lie.
enum class Lattice { kCentres, kCorners };

// Places of a resize are quotients of whole numbers: those of sides below this are small enough for Number = int, which
// GPUs divide faster than std::int64_t, and many faster than double.
inline constexpr int kNarrowSide = 1 << 15;

// Where an output sample of a bilinear resize lies between two input samples.
template <class Number>
struct BlendAt {
  int low;
  int high;
  Real weight;  // of high

  __device__ BlendAt(int i, int in, int out, Lattice lattice) {
    const bool centres = lattice == Lattice::kCentres;
    const Number n = centres ? (2 * Number{i} + 1) * in - out : Number{i} * (in - 1);
    const Number by = centres ? 2 * out : out > 1 ? out - 1 : 1;
    low = n > 0 ? static_cast<int>(n / by) : 0;
    high = low + 1 < in ? low + 1 : in - 1;
    weight = n > 0 ? static_cast<Real>(n - low * by) / static_cast<Real>(by) : Real(0);
  }
  // What an input sample contributes to the output sample.
  __device__ Vec WeightOf(int source) const {
    return Vec((source == low ? Real(1) - weight : Real(0)) + (source == high ? weight : Real(0)));
  }
};

LIKENESS_END_TARGET
