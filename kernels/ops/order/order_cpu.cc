#include "kernels/ops/order/order_cpu.h"

LIKENESS_BEGIN_TARGET
namespace {

// Whole numbers in the order of the values' leading bits: sign, exponent and the first bits of the fraction.
constexpr int kCoarseBits = 12;
int Coarse(Real value) {
  using Bits = std::conditional_t<sizeof(Real) == 4, std::uint32_t, std::uint64_t>;
  Bits bits;
  std::memcpy(&bits, &value, sizeof(bits));
  constexpr Bits kSign = Bits{1} << (8 * sizeof(Bits) - 1);
  bits = (bits & kSign) != 0 ? ~bits : bits | kSign;
  return static_cast<int>(bits >> (8 * sizeof(Bits) - kCoarseBits));
}

}  // namespace

void LowerMedianForward(Cpu&, const PlanesView& x, const PlanesView& scratch, double* out) {
  const Shape& shape = x.shape;
  ParallelFor(shape.channels, 4 * shape.plane(), [&](int begin, int end) {
    for (int c = begin; c < end; ++c) {
      // A histogram tells which few of the values are near the middle; only those are sorted.
      std::vector<std::int64_t> histogram(std::size_t{1} << kCoarseBits);
      for (int y = 0; y < shape.height; ++y) {
        const Real* from = Row(x, c, y);
        for (int i = 0; i < shape.width; ++i) ++histogram[Coarse(from[i])];
      }
      std::int64_t rank = (shape.plane() - 1) / 2;
      int coarse = 0;
      for (; rank >= histogram[coarse]; ++coarse) rank -= histogram[coarse];
      Real* values = Row(scratch, c, 0);
      Real* end = values;
      for (int y = 0; y < shape.height; ++y) {
        const Real* from = Row(x, c, y);
        for (int i = 0; i < shape.width; ++i) {
          *end = from[i];
          end += Coarse(from[i]) == coarse;
        }
      }
      Real* middle = values + rank;
      std::nth_element(values, middle, end);
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
