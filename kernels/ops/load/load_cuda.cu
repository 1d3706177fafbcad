#include "kernels/ops/cuda_rows.cuh"
#include "kernels/ops/load/load_cuda.h"
#include "kernels/ops/load/sample_cuda.cuh"
#include "kernels/ops/load/store_cuda.cuh"

LIKENESS_BEGIN_TARGET
namespace {

__device__ std::int64_t TensorIndex(const Shape& shape, Layout layout, int channel, int y, int x) {
  return layout == Layout::kHwc ? (std::int64_t{y} * shape.width + x) * shape.channels + channel
                                : (std::int64_t{channel} * shape.height + y) * shape.width + x;
}

struct LoadForwardKernel {
  static constexpr int kThreads = kRowThreads;
  ImageView image;
  double background;
  PlanesView out;

  __device__ void operator()(const Block& block) const {
    const Vec base(background);
    ForEachSample(block, out.shape, [&](int channel, int y, int x) {
      Store(ReadComposited(image, base, channel, y, x), Row(out, channel, y) + x);
    });
  }
};

// One thread a pixel: the gradient of alpha gathers over its colours.
struct UnloadGradientKernel {
  static constexpr int kThreads = kRowThreads;
  PlanesView gradient;
  ImageView image;
  double background;
  TensorPlace out;

  __device__ void operator()(const Block& block) const {
    const Shape shape{image.width, image.height, image.channels};
    const int colors = image.color_channels();
    ForEachSample(block, {image.width, image.height, 1}, [&](int, int y, int x) {
      Vec alpha_gradient(0.0);
      for (int c = 0; c < colors; ++c) {
        Vec sum(0.0);
        if (gradient.data != nullptr) {
          for (int from = c; from < gradient.shape.channels; from += colors) {
            sum = sum + Load(Row(gradient, from, y) + x);
          }
        }
        if (image.has_alpha()) {
          alpha_gradient = alpha_gradient + sum * (ReadSample(image, c, y, x) - Vec(background));
          sum = sum * ReadSample(image, image.channels - 1, y, x);
        }
        StoreSample(out, TensorIndex(shape, image.layout, c, y, x), Bare(sum));
      }
      if (image.has_alpha()) {
        StoreSample(out, TensorIndex(shape, image.layout, image.channels - 1, y, x), Bare(alpha_gradient));
      }
    });
  }
};

struct UnloadPlanesKernel {
  static constexpr int kThreads = kRowThreads;
  PlanesView planes;
  Layout layout;
  TensorPlace out;

  __device__ void operator()(const Block& block) const {
    ForEachSample(block, planes.shape, [&](int channel, int y, int x) {
      StoreSample(out, TensorIndex(planes.shape, layout, channel, y, x), Bare(Load(Row(planes, channel, y) + x)));
    });
  }
};

}  // namespace

void LoadForward(Cuda& device, const ImageView& image, double background, const PlanesView& out) {
  device.Launch(LoadForwardKernel{image, background, out}, RowGrid(out.shape));
}

void UnloadGradient(Cuda& device, const PlanesView& gradient, const ImageView& image, double background,
                    const TensorPlace& out) {
  device.Launch(UnloadGradientKernel{gradient, image, background, out}, PixelGrid({image.width, image.height, 1}));
}

void UnloadPlanes(Cuda& device, const PlanesView& planes, Layout layout, const TensorPlace& out) {
  device.Launch(UnloadPlanesKernel{planes, layout, out}, RowGrid(planes.shape));
}

LIKENESS_END_TARGET
