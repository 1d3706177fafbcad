#include "kernels/ops/cuda_border.cuh"
#include "kernels/ops/cuda_rows.cuh"
#include "kernels/ops/resample/resample_cuda.h"

LIKENESS_BEGIN_TARGET
namespace {

__global__ void PadForwardKernel(PlanesView in, Margins margins, Border border, PlanesView out) {
  ForEachSample(out.shape, [&](int channel, int y, int x) {
    const int row = BorderIndex(y - margins.top, in.shape.height, border);
    const int column = BorderIndex(x - margins.left, in.shape.width, border);
    Vec value(0.0);
    if (row >= 0 && column >= 0) value = Load(Row(in, channel, row) + column);
    Store(value, Row(out, channel, y) + x);
  });
}

// Gathers, so that no two threads write one sample.
__global__ void PadBackwardKernel(PlanesView upstream, Margins margins, Border border, GradientView gradient) {
  const Shape& shape = gradient.planes.shape;
  ForEachSample(shape, [&](int channel, int y, int x) {
    Vec sum(0.0);
    ForEachImage(y, shape.height, margins.top, margins.bottom, border, [&](int row) {
      const Real* from = Row(upstream, channel, row + margins.top);
      ForEachImage(x, shape.width, margins.left, margins.right, border,
                   [&](int column) { sum = sum + Load(from + column + margins.left); });
    });
    StoreGradient(gradient, channel, y, x, sum);
  });
}

}  // namespace

void PadForward(Cuda& device, const PlanesView& x, const Margins& margins, Border border, const PlanesView& out) {
  LIKENESS_CUDA_LAUNCH(device, PadForwardKernel, RowGrid(out.shape), kRowThreads, x, margins, border, out);
}

void PadBackward(Cuda& device, const PlanesView& upstream, const Margins& margins, Border border,
                 const GradientView& gradient) {
  LIKENESS_CUDA_LAUNCH(device, PadBackwardKernel, RowGrid(gradient.planes.shape), kRowThreads, upstream, margins,
                       border, gradient);
}

LIKENESS_END_TARGET
