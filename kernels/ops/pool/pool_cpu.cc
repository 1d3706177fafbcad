#include "kernels/ops/pool/pool_cpu.h"

#include "kernels/ops/separable_cpu.h"

LIKENESS_BEGIN_TARGET
namespace {

RowSums PoolSums(int factor, int out_height) {
  return MakeRowSums(out_height, [&](int y, auto add) {
    for (int j = 0; j < factor; ++j) add(y * factor + j, 1.0 / (factor * factor));
  });
}

// `to` may be `from`.
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

// Rows first: sums down the columns are whole vectors, and only one row of them is left to sum along.
void MeanPoolForward(Cpu&, const PlanesView& x, int factor, const PlanesView& out) {
  const std::vector<Real> weights(factor, static_cast<Real>(1.0 / (factor * factor)));
  ForEachRow({out.shape.width * factor, out.shape.height, out.shape.channels}, [&](int c, int y) {
    std::vector<const Real*> rows(factor);
    for (int j = 0; j < factor; ++j) rows[j] = Row(x, c, y * factor + j);
    int width = out.shape.width * factor;
    Real* sums = RowScratch(width);
    CombineRows(rows.data(), weights.data(), factor, width, false, sums);
    int left = factor;
    for (; left % 2 == 0; left /= 2) SumPairs(sums, width /= 2, sums);
    Real* to = Row(out, c, y);
    for (int i = 0; i < out.shape.width; ++i) {
      Real sum = sums[i * left];
      for (int j = 1; j < left; ++j) sum += sums[i * left + j];
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
