#include "kernels/ops/pool/pool_cpu.h"

#include "kernels/ops/separable_cpu.h"

LIKENESS_BEGIN_TARGET
namespace {

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

// The first of the steps below, where no border is in the way: weighted sums down the columns and of pairs of them.
// `rows` must not overlap `to`.
void SumColumnPairs(const std::vector<const Real*>& rows, Real weight, int width, Real* to) {
  int x = 0;
#if !LIKENESS_TARGET_SCALAR
  const Vec each(weight);
  for (; x + kLanes <= width; x += kLanes) {
    Vec low(0.0), high(0.0);
    for (const Real* row : rows) {
      low = MulAdd(each, Load(row + 2 * x), low);
      high = MulAdd(each, Load(row + 2 * x + kLanes), high);
    }
    const hn::Vec<Tag> even = hn::ConcatEven(Tag(), high.v, low.v), odd = hn::ConcatOdd(Tag(), high.v, low.v);
    hn::StoreU(hn::Add(even, odd), Tag(), to + x);
  }
#endif
  for (; x < width; ++x) {
    Real even = 0, odd = 0;
    for (const Real* row : rows) {
      even += weight * row[2 * x];
      odd += weight * row[2 * x + 1];
    }
    to[x] = even + odd;
  }
}

// Rows first: sums down the columns are whole vectors, and only one row of them is left to sum along.
void Pool(const PlanesView& x, int factor, int before, Border border, const PlanesView& out) {
  const std::vector<Real> weights(factor, static_cast<Real>(1.0 / (factor * factor)));
  const int covered = out.shape.width * factor;
  const int inside = std::min(x.shape.width, covered - before);
  ForEachRow({covered, out.shape.height, out.shape.channels}, [&](int c, int y) {
    std::vector<const Real*> rows;
    rows.reserve(factor);
    for (int j = 0; j < factor; ++j) {
      const int source = BorderIndex(y * factor + j - before, x.shape.height, border);
      if (source >= 0) rows.push_back(Row(x, c, source));
    }
    int width = covered, left = factor;
    Real* sums = RowScratch(covered);
    if (before == 0 && covered <= x.shape.width && factor % 2 == 0) {
      width /= 2, left /= 2;
      Real* pairs = left == 1 ? Row(out, c, y) : sums;
      SumColumnPairs(rows, weights[0], width, pairs);
      if (left == 1) return;
    } else {
      CombineRows(rows.data(), weights.data(), static_cast<int>(rows.size()), inside, false, sums + before);
      const bool repeat = border == Border::kReplicate;
      std::fill(sums, sums + before, repeat ? sums[before] : Real(0));
      std::fill(sums + before + inside, sums + covered, repeat ? sums[before + inside - 1] : Real(0));
    }
    for (; left % 2 == 0; left /= 2) SumPairs(sums, width /= 2, sums);
    Real* to = Row(out, c, y);
    for (int i = 0; i < out.shape.width; ++i) {
      Real sum = sums[i * left];
      for (int j = 1; j < left; ++j) sum += sums[i * left + j];
      to[i] = sum;
    }
  });
}

template <int factor>
void RepeatEach(const Real* from, int width, Real* to) {
  for (int i = 0; i < width; ++i) {
    for (int j = 0; j < factor; ++j) to[i * factor + j] = from[i];
  }
}
void RepeatSamples(const Real* from, int width, int factor, Real* to) {
  if (factor == 2) return RepeatEach<2>(from, width, to);
  if (factor == 4) return RepeatEach<4>(from, width, to);
  for (int i = 0; i < width; ++i) std::fill(to + i * factor, to + (i + 1) * factor, from[i]);
}

void PoolBackward(const PlanesView& upstream, int factor, int before, Border border, const GradientView& gradient) {
  const Shape& shape = gradient.planes.shape;
  const RowSums sums = MakeRowSums(upstream.shape.height, [&](int y, auto add) {
                         for (int j = 0; j < factor; ++j) {
                           add(BorderIndex(y * factor + j - before, shape.height, border), 1.0 / (factor * factor));
                         }
                       }).Transposed(shape.height);
  const int covered = upstream.shape.width * factor;
  const int inside = std::min(shape.width, covered - before);
  ApplySeparable(upstream, sums, gradient.planes, gradient.accumulate, [&](const Real* from, Real* to) {
    const bool in_place = before == 0 && covered <= shape.width;
    Real* wide = in_place ? to : RowScratch(covered, 1);
    RepeatSamples(from, upstream.shape.width, factor, wide);
    if (!in_place) std::copy(wide + before, wide + before + inside, to);
    std::fill(to + inside, to + shape.width, Real(0));
    if (border != Border::kReplicate) return;
    for (int i = 0; i < before; ++i) to[0] += wide[i];
    for (int i = before + inside; i < covered; ++i) to[shape.width - 1] += wide[i];
  });
}

}  // namespace

void MeanPoolForward(Cpu&, const PlanesView& x, int factor, const PlanesView& out) {
  Pool(x, factor, 0, Border::kValid, out);
}

void MeanPoolBackward(Cpu&, const PlanesView& upstream, int factor, const GradientView& gradient) {
  PoolBackward(upstream, factor, 0, Border::kValid, gradient);
}

void BorderedMeanPoolForward(Cpu&, const PlanesView& x, int factor, int before, Border border, const PlanesView& out) {
  Pool(x, factor, before, border, out);
}

void BorderedMeanPoolBackward(Cpu&, const PlanesView& upstream, int factor, int before, Border border,
                              const GradientView& gradient) {
  PoolBackward(upstream, factor, before, border, gradient);
}

LIKENESS_END_TARGET
