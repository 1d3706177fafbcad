// The CPU as a device: runs each step's kernel at once, its rows spread over the pool that the caller is on.
#pragma once

#include "kernels/base/parallel.h"
#include "kernels/base/target.h"
#include "kernels/base/vec.h"
#include "kernels/ops/conv_trunk/features_layout.h"
#include "kernels/ops/tape.h"

LIKENESS_BEGIN_TARGET

class Cpu {
 public:
  int bytes_per_sample() const { return static_cast<int>(sizeof(Real)); }
  FeatureLayout feature_layout() const { return FeatureLayout::kBlocked; }

  template <class Kernel>
  void Run(const Cost&, Kernel&& kernel) {
    kernel(*this);
  }

  void Fill(double* values, int count, double value) { std::fill(values, values + count, value); }
};

inline Real* Row(const PlanesView& planes, int channel, int y) {
  return static_cast<Real*>(planes.data) + (std::int64_t{channel} * planes.shape.height + y) * planes.stride();
}

// body(channel, y) for every row of `shape`, in parallel.
template <class Body>
void ForEachRow(const Shape& shape, Body body) {
  ParallelFor(shape.channels * shape.height, shape.width, [&](int begin, int end) {
    for (int row = begin; row < end; ++row) body(row / shape.height, row % shape.height);
  });
}

// A row's scratch, reused by the thread. Holds at least `count` samples and a vector to spare; contents are left over.
// `which` keeps buffers that a kernel uses at one time apart.
inline Real* RowScratch(std::int64_t count, int which = 0) {
  thread_local std::array<std::vector<Real>, 4> buffers;
  std::vector<Real>& buffer = buffers[which];
  if (static_cast<std::int64_t>(buffer.size()) < count + 64) buffer.resize(count + 64);
  return buffer.data();
}

LIKENESS_END_TARGET
