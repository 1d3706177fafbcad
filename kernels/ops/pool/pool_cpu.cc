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

// Windows begin `before` samples outside of the image; its edges are repeated. Rows first: sums down the columns are
// whole vectors, and only one row of them is left to sum along.
void Pool(const PlanesView& x, int factor, int before, const PlanesView& out) {
  const std::vector<Real> weights(factor, static_cast<Real>(1.0 / (factor * factor)));
  const int covered = out.shape.width * factor;
  const int inside = std::min(x.shape.width, covered - before);
  ForEachRow({covered, out.shape.height, out.shape.channels}, [&](int c, int y) {
    std::vector<const Real*> rows(factor);
    for (int j = 0; j < factor; ++j) {
      rows[j] = Row(x, c, std::clamp(y * factor + j - before, 0, x.shape.height - 1));
    }
    Real* sums = RowScratch(covered);
    CombineRows(rows.data(), weights.data(), factor, inside, false, sums + before);
    std::fill(sums, sums + before, sums[before]);
    std::fill(sums + before + inside, sums + covered, sums[before + inside - 1]);
    int width = covered, left = factor;
    for (; left % 2 == 0; left /= 2) SumPairs(sums, width /= 2, sums);
    Real* to = Row(out, c, y);
    for (int i = 0; i < out.shape.width; ++i) {
      Real sum = sums[i * left];
      for (int j = 1; j < left; ++j) sum += sums[i * left + j];
      to[i] = sum;
    }
  });
}

}  // namespace

void MeanPoolForward(Cpu&, const PlanesView& x, int factor, const PlanesView& out) { Pool(x, factor, 0, out); }

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

void MeanPoolRepeatedForward(Cpu&, const PlanesView& x, int factor, const PlanesView& out) {
  Pool(x, factor, factor / 2, out);
}

void MeanPoolRepeatedBackward(Cpu&, const PlanesView& upstream, int factor, const GradientView& gradient) {
  const Shape& shape = gradient.planes.shape;
  const int before = factor / 2;
  const RowSums sums = MakeRowSums(upstream.shape.height, [&](int y, auto add) {
                         for (int j = 0; j < factor; ++j) {
                           add(std::clamp(y * factor + j - before, 0, shape.height - 1), 1.0 / (factor * factor));
                         }
                       }).Transposed(shape.height);
  const int covered = upstream.shape.width * factor;
  ApplySeparable(upstream, sums, gradient.planes, gradient.accumulate, [&](const Real* from, Real* to) {
    Real* wide = RowScratch(covered, 1);
    for (int i = 0; i < upstream.shape.width; ++i) {
      for (int j = 0; j < factor; ++j) wide[i * factor + j] = from[i];
    }
    const int inside = std::min(shape.width, covered - before);
    std::copy(wide + before, wide + before + inside, to);
    std::fill(to + inside, to + shape.width, Real(0));
    for (int i = 0; i < before; ++i) to[0] += wide[i];
    for (int i = before + inside; i < covered; ++i) to[shape.width - 1] += wide[i];
  });
}

LIKENESS_END_TARGET
