#include "kernels/ops/cuda_border.cuh"
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

struct BorderedMeanPoolForwardKernel {
  static constexpr int kThreads = kRowThreads;
  PlanesView in;
  int factor;
  int before;
  Border border;
  PlanesView out;

  __device__ void operator()(const Block& block) const {
    const Vec weight(1.0 / (factor * factor));
    ForEachSample(block, out.shape, [&](int channel, int y, int x) {
      Vec mean(0.0);
      for (int j = 0; j < factor; ++j) {
        const int row = BorderIndex(y * factor + j - before, in.shape.height, border);
        if (row < 0) continue;
        const Real* from = Row(in, channel, row);
        Vec sum(0.0);
        for (int i = 0; i < factor; ++i) {
          const int column = BorderIndex(x * factor + i - before, in.shape.width, border);
          if (column >= 0) sum = sum + Load(from + column);
        }
        mean = MulAdd(weight, sum, mean);
      }
      Store(mean, Row(out, channel, y) + x);
    });
  }
};

// Gathers, so that no two threads write one sample.
struct BorderedMeanPoolBackwardKernel {
  static constexpr int kThreads = kRowThreads;
  PlanesView upstream;
  int factor;
  int before;
  Border border;
  GradientView gradient;

  __device__ void operator()(const Block& block) const {
    const Shape& in = gradient.planes.shape;
    const Vec weight(1.0 / (factor * factor));
    const int below = upstream.shape.height * factor - before - in.height;
    const int right = upstream.shape.width * factor - before - in.width;
    ForEachSample(block, in, [&](int channel, int y, int x) {
      Vec sum(0.0);
      ForEachImage(y, in.height, before, below, border, [&](int row) {
        const Real* from = Row(upstream, channel, (row + before) / factor);
        ForEachImage(x, in.width, before, right, border,
                     [&](int column) { sum = sum + Load(from + (column + before) / factor); });
      });
      StoreGradient(gradient, channel, y, x, weight * sum);
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

void BorderedMeanPoolForward(Cuda& device, const PlanesView& x, int factor, int before, Border border,
                             const PlanesView& out) {
  device.Launch(BorderedMeanPoolForwardKernel{x, factor, before, border, out}, RowGrid(out.shape));
}

void BorderedMeanPoolBackward(Cuda& device, const PlanesView& upstream, int factor, int before, Border border,
                              const GradientView& gradient) {
  device.Launch(BorderedMeanPoolBackwardKernel{upstream, factor, before, border, gradient},
                RowGrid(gradient.planes.shape));
}

LIKENESS_END_TARGET
