#include "kernels/ops/cuda_rows.cuh"
#include "kernels/ops/pool/pool_cuda.h"

LIKENESS_BEGIN_TARGET
namespace {

__global__ void MeanPoolForwardKernel(PlanesView in, int factor, PlanesView out) {
  const Vec weight(1.0 / (factor * factor));
  ForEachSample(out.shape, [&](int channel, int y, int x) {
    Vec mean(0.0);
    for (int j = 0; j < factor; ++j) {
      const Real* from = Row(in, channel, y * factor + j) + x * factor;
      Vec sum(0.0);
      for (int i = 0; i < factor; ++i) sum = sum + Load(from + i);
      mean = MulAdd(weight, sum, mean);
    }
    Store(mean, Row(out, channel, y) + x);
  });
}

__global__ void MeanPoolBackwardKernel(PlanesView upstream, int factor, GradientView gradient) {
  const Vec weight(1.0 / (factor * factor));
  ForEachSample(gradient.planes.shape, [&](int channel, int y, int x) {
    const bool covered = y / factor < upstream.shape.height && x / factor < upstream.shape.width;
    Vec value(0.0);
    if (covered) value = weight * Load(Row(upstream, channel, y / factor) + x / factor);
    StoreGradient(gradient, channel, y, x, value);
  });
}

}  // namespace

void MeanPoolForward(Cuda& device, const PlanesView& x, int factor, const PlanesView& out) {
  LIKENESS_CUDA_LAUNCH(device, MeanPoolForwardKernel, RowGrid(out.shape), kRowThreads, x, factor, out);
}

void MeanPoolBackward(Cuda& device, const PlanesView& upstream, int factor, const GradientView& gradient) {
  LIKENESS_CUDA_LAUNCH(device, MeanPoolBackwardKernel, RowGrid(gradient.planes.shape), kRowThreads, upstream, factor,
                       gradient);
}

LIKENESS_END_TARGET
