#include "kernels/ops/cuda_rows.cuh"
#include "kernels/ops/reduce/reduce_cuda.h"

LIKENESS_BEGIN_TARGET
namespace {

double SamplesIn(const Shape& shape, int groups) { return static_cast<double>(shape.count()) / groups; }

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
struct RootOfQuotient {
  double divisor;
  __device__ double operator()(double x) const { return std::sqrt(x / divisor); }
};

struct SumBackwardKernel {
  static constexpr int kThreads = kRowThreads;
  double scale;
  const double* upstream;
  int count;
  GradientView gradient;

  __device__ void operator()(const Block& block) const {
    const Vec value(upstream[count == 1 ? 0 : block.y] * scale);
    ForEachSample(block, gradient.planes.shape,
                  [&](int channel, int y, int x) { StoreGradient(gradient, channel, y, x, value); });
  }
};

struct MaxBackwardKernel {
  static constexpr int kThreads = kRowThreads;
  PlanesView x;
  const double* maxima;
  const double* ties;
  const double* upstream;
  int count;
  GradientView gradient;

  __device__ void operator()(const Block& block) const {
    const int group = count == 1 ? 0 : block.y;
    const Vec maximum(maxima[group]);
    const Vec share(upstream[group] / ties[group]);
    ForEachSample(block, x.shape, [&](int channel, int y, int i) {
      StoreGradient(gradient, channel, y, i, SelectValue(Load(Row(x, channel, y) + i) == maximum, share, Vec(0.0)));
    });
  }
};

struct DeviationBackwardKernel {
  static constexpr int kThreads = kRowThreads;
  PlanesView x;
  double divisor;
  const double* mean;
  const double* deviation;
  const double* upstream;
  GradientView gradient;

  __device__ void operator()(const Block& block) const {
    const Vec scale(*deviation > 0.0 ? *upstream / (divisor * *deviation) : 0.0);
    const Vec center(*mean);
    ForEachSample(block, x.shape, [&](int channel, int y, int i) {
      StoreGradient(gradient, channel, y, i, (Load(Row(x, channel, y) + i) - center) * scale);
    });
  }
};

// Scalars are few: one thread does them in order.
struct MeanOfForwardKernel {
  static constexpr int kThreads = 1;
  const double* x;
  int count;
  double* out;

  __device__ void operator()(const Block&) const {
    double sum = 0.0;
    for (int i = 0; i < count; ++i) sum += x[i];
    *out = sum / count;
  }
};

struct MeanOfBackwardKernel {
  static constexpr int kThreads = 1;
  const double* upstream;
  double* to;
  int count;
  bool accumulate;

  __device__ void operator()(const Block&) const {
    for (int i = 0; i < count; ++i) to[i] = (accumulate ? to[i] : 0.0) + *upstream / count;
  }
};

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
  device.Launch(SumBackwardKernel{scale, upstream, count, gradient}, RowGrid(shape));
}

void MaxBackward(Cuda& device, const PlanesView& x, const double* maxima, const double* upstream, int count,
                 const GradientView& gradient) {
  // How many samples share the maximum; kept in the half of scratch that partial sums leave alone.
  double* ties = device.scratch() + Cuda::kPartialCount;
  CombinePlanes(device, x, count, IsMaximum{maxima, count}, AddUp{}, AsIs{}, ties);
  device.Launch(MaxBackwardKernel{x, maxima, ties, upstream, count, gradient}, RowGrid(x.shape));
}

void DeviationForward(Cuda& device, const PlanesView& x, double divisor, double* mean, double* out) {
  CombinePlanes(device, x, 1, Itself{}, AddUp{}, DividedBy{static_cast<double>(x.shape.count())}, mean);
  CombinePlanes(device, x, 1, SquaredFrom{mean}, AddUp{}, RootOfQuotient{divisor}, out);
}

void DeviationBackward(Cuda& device, const PlanesView& x, double divisor, const double* mean, const double* deviation,
                       const double* upstream, const GradientView& gradient) {
  device.Launch(DeviationBackwardKernel{x, divisor, mean, deviation, upstream, gradient}, RowGrid(x.shape));
}

void MeanOfForward(Cuda& device, const double* x, int count, double* out) {
  device.Launch(MeanOfForwardKernel{x, count, out}, {});
}

void MeanOfBackward(Cuda& device, const double* upstream, const GradientView& gradient) {
  device.Launch(MeanOfBackwardKernel{upstream, static_cast<double*>(gradient.planes.data), gradient.planes.shape.width,
                                     gradient.accumulate},
                {});
}

LIKENESS_END_TARGET
