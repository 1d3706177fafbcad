#include "kernels/ops/pool/pool_cpu.h"

#include "kernels/ops/separable_cpu.h"

LIKENESS_BEGIN_TARGET
namespace {

RowSums PoolSums(int factor, int out_height) {
  return MakeRowSums(out_height, [&](int y, auto add) {
    for (int j = 0; j < factor; ++j) add(y * factor + j, 1.0 / (factor * factor));
  });
}

void SumPairs(const Real* from, int width, Real* to) {
  int x = 0;
#if !LIKENESS_TARGET_SCALAR
  for (; x + kLanes <= width; x += kLanes) {
    hn::Vec<Tag> even, odd;
    hn::LoadInterleaved2(Tag(), from + 2 * x, even, odd);
    hn::StoreU(hn::Add(even, odd), Tag(), to + x);
  }
#endif
  for (; x < width; ++x) to[x] = from[2 * x] + from[2 * x + 1];
}

}  // namespace

void MeanPoolForward(Cpu&, const PlanesView& x, int factor, const PlanesView& out) {
  const int width = out.shape.width;
  ApplySeparable(x, PoolSums(factor, out.shape.height), out, false, [&](const Real* from, Real* to) {
    if (factor == 2) return SumPairs(from, width, to);
    for (int i = 0; i < width; ++i) {
      Real sum = 0;
      for (int j = 0; j < factor; ++j) sum += from[i * factor + j];
      to[i] = sum;
    }
  });
}

void MeanPoolBackward(Cpu&, const PlanesView& upstream, int factor, const GradientView& gradient) {
  const Shape& shape = gradient.planes.shape;
  const RowSums sums = PoolSums(factor, upstream.shape.height).Transposed(shape.height);
  const int covered = upstream.shape.width * factor;
  ApplySeparable(upstream, sums, gradient.planes, gradient.accumulate, [&](const Real* from, Real* to) {
    for (int i = 0; i < upstream.shape.width; ++i) {
      for (int j = 0; j < factor; ++j) to[i * factor + j] = from[i];
    }
    std::fill(to + covered, to + shape.width, Real(0));
  });
}

LIKENESS_END_TARGET
