#include "kernels/ops/cuda_rows.cuh"
#include "kernels/ops/pool/pool_cuda.h"

LIKENESS_BEGIN_TARGET
namespace {

struct MeanPoolForwardKernel {
  static constexpr int kThreads = kRowThreads;
  PlanesView in;
  int factor;
  PlanesView out;

  __device__ void operator()(const Block& block) const {
    const Vec weight(1.0 / (factor * factor));
    ForEachSample(block, out.shape, [&](int channel, int y, int x) {
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
};

struct MeanPoolBackwardKernel {
  static constexpr int kThreads = kRowThreads;
  PlanesView upstream;
  int factor;
  GradientView gradient;

  __device__ void operator()(const Block& block) const {
    const Vec weight(1.0 / (factor * factor));
    ForEachSample(block, gradient.planes.shape, [&](int channel, int y, int x) {
      const bool covered = y / factor < upstream.shape.height && x / factor < upstream.shape.width;
      Vec value(0.0);
      if (covered) value = weight * Load(Row(upstream, channel, y / factor) + x / factor);
      StoreGradient(gradient, channel, y, x, value);
    });
  }
};

}  // namespace

void MeanPoolForward(Cuda& device, const PlanesView& x, int factor, const PlanesView& out) {
  device.Launch(MeanPoolForwardKernel{x, factor, out}, RowGrid(out.shape));
}

void MeanPoolBackward(Cuda& device, const PlanesView& upstream, int factor, const GradientView& gradient) {
  device.Launch(MeanPoolBackwardKernel{upstream, factor, gradient}, RowGrid(gradient.planes.shape));
}

LIKENESS_END_TARGET
