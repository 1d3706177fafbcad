#include "kernels/ops/pyramid/pyramid_cpu.h"

#include "kernels/ops/separable_cpu.h"

LIKENESS_BEGIN_TARGET
namespace {

// Along one axis of `in` samples.
RowSums PyramidDownSums(const Taps& taps, int in) {
  const int before = static_cast<int>(taps.size()) / 2;
  return MakeRowSums((in + 1) / 2, [&](int y, auto add) {
    for (int j = 0; j < static_cast<int>(taps.size()); ++j) {
      add(BorderIndex(2 * y + j - before, in, Border::kSymmetric), taps[j]);
    }
  });
}

RowSums PyramidUpSums(const Taps& taps, int in, int out) {
  const int before = static_cast<int>(taps.size()) / 2;
  return MakeRowSums(out, [&](int y, auto add) {
    for (int j = 0; j < static_cast<int>(taps.size()); ++j) {
      const int at = y + j - before;  // among samples and zeros in turn
      if (at % 2 == 0) add(BorderIndex(at / 2, in, Border::kReplicate), 2.0 * taps[j]);
    }
  });
}

void ApplySums(const PlanesView& in, const RowSums& vertical, const RowSums& horizontal, const PlanesView& out,
               bool accumulate) {
  ApplySeparable(in, vertical, out, accumulate, [&](const Real* from, Real* to) {
    for (int x = 0; x < out.shape.width; ++x) {
      Real sum = 0;
      for (int i = horizontal.begin[x]; i < horizontal.begin[x + 1]; ++i) {
        sum += from[horizontal.source[i]] * horizontal.weight[i];
      }
      to[x] = sum;
    }
  });
}

}  // namespace

void PyramidDownForward(Cpu&, const PlanesView& x, const Taps& taps, const PlanesView& out) {
  ApplySums(x, PyramidDownSums(taps, x.shape.height), PyramidDownSums(taps, x.shape.width), out, false);
}

void PyramidDownBackward(Cpu&, const PlanesView& upstream, const Taps& taps, const GradientView& gradient) {
  const Shape& shape = gradient.planes.shape;
  ApplySums(upstream, PyramidDownSums(taps, shape.height).Transposed(shape.height),
            PyramidDownSums(taps, shape.width).Transposed(shape.width), gradient.planes, gradient.accumulate);
}

void PyramidUpForward(Cpu&, const PlanesView& x, const Taps& taps, const PlanesView& out) {
  ApplySums(x, PyramidUpSums(taps, x.shape.height, out.shape.height),
            PyramidUpSums(taps, x.shape.width, out.shape.width), out, false);
}

void PyramidUpBackward(Cpu&, const PlanesView& upstream, const Taps& taps, const GradientView& gradient) {
  const Shape& shape = gradient.planes.shape;
  ApplySums(upstream, PyramidUpSums(taps, shape.height, upstream.shape.height).Transposed(shape.height),
            PyramidUpSums(taps, shape.width, upstream.shape.width).Transposed(shape.width), gradient.planes,
            gradient.accumulate);
}

LIKENESS_END_TARGET
