#include "kernels/ops/cuda_rows.cuh"
#include "kernels/ops/reduce/reduce_cuda.h"

LIKENESS_BEGIN_TARGET
namespace {

double SamplesIn(const Shape& shape, int groups) { return static_cast<double>(shape.count()) / groups; }

struct Itself {
  __device__ Vec operator()(Vec x, int) const { return x; }
};
struct SquaredFrom {
  const double* center;
  __device__ Vec operator()(Vec x, int) const {
    const Vec e = x - Vec(*center);
    return e * e;
  }
};
struct IsMaximum {
  const double* maxima;
  int count;
  __device__ Vec operator()(Vec x, int channel) const {
    return SelectValue(x == Vec(maxima[count == 1 ? 0 : channel]), Vec(1.0), Vec(0.0));
  }
};
struct DividedBy {
  double divisor;
  __device__ double operator()(double x) const { return x / divisor; }
};
struct RootOfQuotient {
  double divisor;
  __device__ double operator()(double x) const { return std::sqrt(x / divisor); }
};

__global__ void SumBackwardKernel(double scale, const double* upstream, int count, GradientView gradient) {
  const Vec value(upstream[count == 1 ? 0 : blockIdx.y] * scale);
  ForEachSample(gradient.planes.shape,
                [&](int channel, int y, int x) { StoreGradient(gradient, channel, y, x, value); });
}

__global__ void MaxBackwardKernel(PlanesView x, const double* maxima, const double* ties, const double* upstream,
                                  int count, GradientView gradient) {
  const int group = count == 1 ? 0 : blockIdx.y;
  const Vec maximum(maxima[group]);
  const Vec share(upstream[group] / ties[group]);
  ForEachSample(x.shape, [&](int channel, int y, int i) {
    StoreGradient(gradient, channel, y, i, SelectValue(Load(Row(x, channel, y) + i) == maximum, share, Vec(0.0)));
  });
}

__global__ void DeviationBackwardKernel(PlanesView x, double divisor, const double* mean, const double* deviation,
                                        const double* upstream, GradientView gradient) {
  const Vec scale(*deviation > 0.0 ? *upstream / (divisor * *deviation) : 0.0);
  const Vec center(*mean);
  ForEachSample(x.shape, [&](int channel, int y, int i) {
    StoreGradient(gradient, channel, y, i, (Load(Row(x, channel, y) + i) - center) * scale);
  });
}

// Scalars are few: one thread does them in order.
__global__ void MeanOfForwardKernel(const double* x, int count, double* out) {
  double sum = 0.0;
  for (int i = 0; i < count; ++i) sum += x[i];
  *out = sum / count;
}

__global__ void MeanOfBackwardKernel(const double* upstream, double* to, int count, bool accumulate) {
  for (int i = 0; i < count; ++i) to[i] = (accumulate ? to[i] : 0.0) + *upstream / count;
}

}  // namespace

void ReduceForward(Cuda& device, const PlanesView& x, Reduction reduction, double* out, int count) {
  if (reduction == Reduction::kMax) {
    CombinePlanes(device, x, count, Itself{}, TakeMax{}, AsIs{}, out);
  } else {
    const double divisor = reduction == Reduction::kMean ? SamplesIn(x.shape, count) : 1.0;
    CombinePlanes(device, x, count, Itself{}, AddUp{}, DividedBy{divisor}, out);
  }
}

void SumBackward(Cuda& device, Reduction reduction, const double* upstream, int count, const GradientView& gradient) {
  const Shape& shape = gradient.planes.shape;
  const double scale = reduction == Reduction::kMean ? 1.0 / SamplesIn(shape, count) : 1.0;
  LIKENESS_CUDA_LAUNCH(device, SumBackwardKernel, RowGrid(shape), kRowThreads, scale, upstream, count, gradient);
}

void MaxBackward(Cuda& device, const PlanesView& x, const double* maxima, const double* upstream, int count,
                 const GradientView& gradient) {
  // How many samples share the maximum; kept in the half of scratch that partial sums leave alone.
  double* ties = device.scratch() + Cuda::kScratchCount / 2;
  CombinePlanes(device, x, count, IsMaximum{maxima, count}, AddUp{}, AsIs{}, ties);
  LIKENESS_CUDA_LAUNCH(device, MaxBackwardKernel, RowGrid(x.shape), kRowThreads, x, maxima, ties, upstream, count,
                       gradient);
}

void DeviationForward(Cuda& device, const PlanesView& x, double divisor, double* mean, double* out) {
  CombinePlanes(device, x, 1, Itself{}, AddUp{}, DividedBy{static_cast<double>(x.shape.count())}, mean);
  CombinePlanes(device, x, 1, SquaredFrom{mean}, AddUp{}, RootOfQuotient{divisor}, out);
}

void DeviationBackward(Cuda& device, const PlanesView& x, double divisor, const double* mean, const double* deviation,
                       const double* upstream, const GradientView& gradient) {
  LIKENESS_CUDA_LAUNCH(device, DeviationBackwardKernel, RowGrid(x.shape), kRowThreads, x, divisor, mean, deviation,
                       upstream, gradient);
}

void MeanOfForward(Cuda& device, const double* x, int count, double* out) {
  LIKENESS_CUDA_LAUNCH(device, MeanOfForwardKernel, 1, 1, x, count, out);
}

void MeanOfBackward(Cuda& device, const double* upstream, const GradientView& gradient) {
  LIKENESS_CUDA_LAUNCH(device, MeanOfBackwardKernel, 1, 1, upstream, static_cast<double*>(gradient.planes.data),
                       gradient.planes.shape.width, gradient.accumulate);
}

LIKENESS_END_TARGET
