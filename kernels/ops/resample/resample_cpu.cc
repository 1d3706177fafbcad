#include "kernels/ops/resample/resample_cpu.h"

#include "kernels/ops/separable_cpu.h"

LIKENESS_BEGIN_TARGET
namespace {

// For each output index the source index that it copies; -1 for a zero.
std::vector<int> Sources(int in, int out, int before, Border border) {
  std::vector<int> sources(out);
  for (int i = 0; i < out; ++i) sources[i] = BorderIndex(i - before, in, border);
  return sources;
}

// The output columns that copy the input from `before` columns to their left; at least one.
std::pair<int, int> CopiedAlike(int in, int out, int before) {
  return {std::max(before, 0), std::min(before + in, out)};
}

RowSums CopyRows(const std::vector<int>& sources) {
  return MakeRowSums(static_cast<int>(sources.size()), [&](int y, auto add) { add(sources[y], 1.0); });
}

// Where the samples of a resized image lie.
enum class Grid { kCentres, kCorners };

// Where an output sample of a bilinear resize lies between two input samples.
struct Blend {
  int low;
  int high;
  Real weight;  // of high
};

std::vector<Blend> Blends(int in, int out, Grid grid) {
  std::vector<Blend> blends(out);
  for (int i = 0; i < out; ++i) {
    const double at = grid == Grid::kCentres ? std::max(0.0, (i + 0.5) * in / out - 0.5)
                      : out == 1             ? 0.0
                                             : 1.0 * i * (in - 1) / (out - 1);
    const int low = std::min(static_cast<int>(at), in - 1);
    blends[i] = {low, std::min(low + 1, in - 1), static_cast<Real>(at - low)};
  }
  return blends;
}

RowSums BlendRows(int in, int out, Grid grid) {
  const std::vector<Blend> blends = Blends(in, out, grid);
  return MakeRowSums(out, [&](int y, auto add) {
    const Blend& b = blends[y];
    add(b.low, 1.0 - double{b.weight});
    add(b.high, b.weight);
  });
}

void BlendForward(const PlanesView& x, Grid grid, const PlanesView& out) {
  const std::vector<Blend> blends = Blends(x.shape.width, out.shape.width, grid);
  ApplySeparable(x, BlendRows(x.shape.height, out.shape.height, grid), out, false, [&](const Real* from, Real* to) {
    for (int i = 0; i < out.shape.width; ++i) {
      const Blend& b = blends[i];
      to[i] = from[b.low] * (Real(1) - b.weight) + from[b.high] * b.weight;
    }
  });
}

void BlendBackward(const PlanesView& upstream, Grid grid, const GradientView& gradient) {
  const Shape& shape = gradient.planes.shape;
  const int wide = upstream.shape.width;
  const std::vector<Blend> blends = Blends(shape.width, wide, grid);
  const RowSums sums = BlendRows(shape.height, upstream.shape.height, grid).Transposed(shape.height);
  const auto scatter = [&](const Real* from, Real* to) {
    for (int i = 0; i < wide; ++i) {
      const Blend& b = blends[i];
      to[b.low] += from[i] * (Real(1) - b.weight);
      to[b.high] += from[i] * b.weight;
    }
  };
  if (upstream.shape.height <= shape.height) {
    ApplySeparable(upstream, sums, gradient.planes, gradient.accumulate, [&](const Real* from, Real* to) {
      std::fill(to, to + shape.width, Real(0));
      scatter(from, to);
    });
    return;
  }
  // Of an enlarged image the columns first: they are sums of whole rows, and leave fewer rows to scatter.
  ForEachRow(shape, [&](int channel, int y) {
    Real* to = Row(gradient.planes, channel, y);
    if (!gradient.accumulate) std::fill(to, to + shape.width, Real(0));
    const int first = sums.begin[y];
    const int count = sums.begin[y + 1] - first;
    std::vector<const Real*> rows(count);
    for (int i = 0; i < count; ++i) rows[i] = Row(upstream, channel, sums.source[first + i]);
    Real* sum = RowScratch(wide);
    CombineRows(rows.data(), sums.weight.data() + first, count, wide, false, sum);
    scatter(sum, to);
  });
}

// The shares of a row's samples, with room for whole vectors.
std::vector<Real> ColumnShares(int in, int out) {
  const std::vector<double> shares = ResizeShares(in, out);
  std::vector<Real> columns(RowStride(in), Real(0));
  std::copy(shares.begin(), shares.end(), columns.begin());
  return columns;
}

}  // namespace

void PadForward(Cpu&, const PlanesView& x, const Margins& margins, Border border, const PlanesView& out) {
  const std::vector<int> columns = Sources(x.shape.width, out.shape.width, margins.left, border);
  const std::vector<int> rows = Sources(x.shape.height, out.shape.height, margins.top, border);
  const auto [begin, end] = CopiedAlike(x.shape.width, out.shape.width, margins.left);
  ForEachRow(out.shape, [&, begin = begin, end = end](int c, int y) {
    Real* to = Row(out, c, y);
    if (rows[y] < 0) {
      std::fill(to, to + out.shape.width, Real(0));
      return;
    }
    const Real* from = Row(x, c, rows[y]);
    const auto copy = [&](int i) { to[i] = columns[i] < 0 ? Real(0) : from[columns[i]]; };
    for (int i = 0; i < begin; ++i) copy(i);
    std::copy(from + begin - margins.left, from + end - margins.left, to + begin);
    for (int i = end; i < out.shape.width; ++i) copy(i);
  });
}

void PadBackward(Cpu&, const PlanesView& upstream, const Margins& margins, Border border,
                 const GradientView& gradient) {
  const Shape& shape = gradient.planes.shape;
  const std::vector<int> columns = Sources(shape.width, upstream.shape.width, margins.left, border);
  const std::vector<int> rows = Sources(shape.height, upstream.shape.height, margins.top, border);
  const auto [begin, end] = CopiedAlike(shape.width, upstream.shape.width, margins.left);
  ApplySeparable(upstream, CopyRows(rows).Transposed(shape.height), gradient.planes, gradient.accumulate,
                 [&, begin = begin, end = end](const Real* from, Real* to) {
                   std::fill(to, to + begin - margins.left, Real(0));
                   std::copy(from + begin, from + end, to + begin - margins.left);
                   std::fill(to + end - margins.left, to + shape.width, Real(0));
                   const auto fold = [&](int i) {
                     if (columns[i] >= 0) to[columns[i]] += from[i];
                   };
                   for (int i = 0; i < begin; ++i) fold(i);
                   for (int i = end; i < upstream.shape.width; ++i) fold(i);
                 });
}

void ResizeForward(Cpu&, const PlanesView& x, const PlanesView& out) { BlendForward(x, Grid::kCentres, out); }

void ResizeBackward(Cpu&, const PlanesView& upstream, const GradientView& gradient) {
  BlendBackward(upstream, Grid::kCentres, gradient);
}

void MeanOfResizedForward(Cpu&, const PlanesView& x, const Shape& resized, double* out) {
  const Shape& shape = x.shape;
  const std::vector<Real> columns = ColumnShares(shape.width, resized.width);
  const std::vector<double> rows = ResizeShares(shape.height, resized.height);
  std::vector<double> sums(std::size_t(shape.channels) * shape.height);
  ForEachRow(shape, [&](int channel, int y) {
    const Real* from = Row(x, channel, y);
    const auto weighed = [&](int i) { return Load(from + i) * Load(columns.data() + i); };
    RowSum sum;
    int i = 0;
    for (; i + kLanes <= shape.width; i += kLanes) sum.Add(weighed(i));
    if (i < shape.width) sum.AddFirst(weighed(i), shape.width - i);
    sums[channel * shape.height + y] = rows[y] * sum.Total();
  });
  *out = 0.0;
  for (const double sum : sums) *out += sum;
  *out /= static_cast<double>(resized.count());
}

void MeanOfResizedBackward(Cpu&, const Shape& resized, const double* upstream, const GradientView& gradient) {
  const Shape& shape = gradient.planes.shape;
  const std::vector<Real> columns = ColumnShares(shape.width, resized.width);
  const std::vector<double> rows = ResizeShares(shape.height, resized.height);
  const double each = *upstream / static_cast<double>(resized.count());
  ForEachRow(shape, [&](int channel, int y) {
    Real* to = Row(gradient.planes, channel, y);
    const Vec scale(each * rows[y]);
    for (int i = 0; i < shape.width; i += kLanes) {
      const Vec g = scale * Load(columns.data() + i);
      Store(gradient.accumulate ? Load(to + i) + g : g, to + i);
    }
  });
}

void ResizeByCornersForward(Cpu&, const PlanesView& x, const PlanesView& out) { BlendForward(x, Grid::kCorners, out); }

void ResizeByCornersBackward(Cpu&, const PlanesView& upstream, const GradientView& gradient) {
  BlendBackward(upstream, Grid::kCorners, gradient);
}

LIKENESS_END_TARGET
