#include "kernels/ops/correlate/correlate_cuda.h"
#include "kernels/ops/cuda_separable.cuh"

LIKENESS_BEGIN_TARGET
namespace {

struct CorrelateForwardKernel {
  static constexpr int kThreads = kTileThreads;
  PlanesView in;
  TileFilter filter;
  PlanesView out;

  __device__ void operator()(const Block& block) const {
    __shared__ HeldRows held;
    const TilePlace at(block.x, out.shape.width);
    const Vec value = FilterTile(in, block.y, filter, out.shape, at, held);
    if (at.x < out.shape.width && at.y < out.shape.height) Store(value, Row(out, block.y, at.y) + at.x);
  }
};

struct CorrelateBackwardKernel {
  static constexpr int kThreads = kTileThreads;
  PlanesView upstream;
  TileFilter filter;
  GradientView gradient;

  __device__ void operator()(const Block& block) const {
    __shared__ HeldRows held;
    const Shape& shape = gradient.planes.shape;
    const TilePlace at(block.x, shape.width);
    const Vec sum = SpreadTile(upstream, block.y, filter, shape, at, held, Vec(0.0));
    if (at.x < shape.width && at.y < shape.height) StoreGradient(gradient, block.y, at.y, at.x, sum);
  }
};

}  // namespace

void CorrelateForward(Cuda& device, const PlanesView& x, const Kernel& kernel, Border border, const PlanesView& out) {
  device.Launch(CorrelateForwardKernel{x, MakeTileFilter(device, kernel, x.shape, border), out}, TileGrid(out.shape));
}

void CorrelateBackward(Cuda& device, const PlanesView& upstream, const Kernel& kernel, Border border,
                       const GradientView& gradient) {
  const Shape& shape = gradient.planes.shape;
  device.Launch(CorrelateBackwardKernel{upstream, MakeTileFilter(device, kernel, shape, border), gradient},
                TileGrid(shape));
}

LIKENESS_END_TARGET
