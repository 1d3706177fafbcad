#include "kernels/ops/permute/permute_cpu.h"

LIKENESS_BEGIN_TARGET
namespace {

// to = or += from with its axes in `order`. Rows of `to` in turn: neighbours read the same cache lines of `from`.
void CopyPermuted(const PlanesView& from, const AxisOrder& order, const PlanesView& to, bool accumulate) {
  const std::array<std::ptrdiff_t, 3> strides = {from.stride() * from.shape.height, from.stride(), 1};
  const std::ptrdiff_t step = strides[order[2]];
  ForEachRow(to.shape, [&](int channel, int y) {
    const Real* source = Row(from, 0, 0) + channel * strides[order[0]] + y * strides[order[1]];
    Real* target = Row(to, channel, y);
    for (int x = 0; x < to.shape.width; ++x) {
      target[x] = accumulate ? target[x] + source[x * step] : source[x * step];
    }
  });
}

}  // namespace

void PermuteForward(Cpu&, const PlanesView& x, const AxisOrder& order, const PlanesView& out) {
  CopyPermuted(x, order, out, false);
}

void PermuteBackward(Cpu&, const PlanesView& upstream, const AxisOrder& order, const GradientView& gradient) {
  CopyPermuted(upstream, Inverse(order), gradient.planes, gradient.accumulate);
}

LIKENESS_END_TARGET
