#include "kernels/ops/order/order_cpu.h"

LIKENESS_BEGIN_TARGET

void LowerMedianForward(Cpu&, const PlanesView& x, const PlanesView& scratch, double* out) {
  const Shape& shape = x.shape;
  ParallelFor(shape.channels, 4 * shape.plane(), [&](int begin, int end) {
    for (int c = begin; c < end; ++c) {
      Real* values = Row(scratch, c, 0);
      for (int y = 0; y < shape.height; ++y) {
        const Real* from = Row(x, c, y);
        std::copy(from, from + shape.width, values + std::int64_t{y} * shape.width);
      }
      Real* middle = values + (shape.plane() - 1) / 2;
      std::nth_element(values, middle, values + shape.plane());
      out[c] = *middle;
    }
  });
}

void LowerMedianBackward(Cpu&, const PlanesView& x, const double* medians, const double* upstream,
                         const GradientView& gradient) {
  const Shape& shape = x.shape;
  ParallelFor(shape.channels, shape.plane(), [&](int begin, int end) {
    for (int c = begin; c < end; ++c) {
      const Real median = static_cast<Real>(medians[c]);
      bool found = false;
      for (int y = 0; y < shape.height; ++y) {
        const Real* from = Row(x, c, y);
        Real* to = Row(gradient.planes, c, y);
        if (!gradient.accumulate) std::fill(to, to + shape.width, Real(0));
        if (found) continue;
        const std::ptrdiff_t at = std::find(from, from + shape.width, median) - from;
        found = at < shape.width;
        if (found) to[at] += static_cast<Real>(upstream[c]);
      }
    }
  });
}

void MinForward(Cpu&, const PlanesView& x, double* out, int count) {
  constexpr double kHighest = std::numeric_limits<Real>::max();
  const Shape& shape = x.shape;
  std::vector<double> rows(std::size_t(shape.channels) * shape.height);
  ForEachRow(shape, [&](int channel, int y) {
    const Real* from = Row(x, channel, y);
    // The least of x is the largest of -x.
    Vec best(-kHighest);
    int i = 0;
    for (; i + kLanes <= shape.width; i += kLanes) best = MaxValue(best, -Load(from + i));
    if (i < shape.width) best = MaxValue(best, FirstLanes(-Load(from + i), shape.width - i, Vec(-kHighest)));
    rows[channel * shape.height + y] = -MaxLane(best);
  });
  std::fill(out, out + count, kHighest);
  for (int row = 0; row < shape.channels * shape.height; ++row) {
    double& least = out[count == 1 ? 0 : row / shape.height];
    least = std::min(least, rows[row]);
  }
}

LIKENESS_END_TARGET
