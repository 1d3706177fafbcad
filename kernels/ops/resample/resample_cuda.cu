#include "kernels/ops/cuda_border.cuh"
#include "kernels/ops/cuda_rows.cuh"
#include "kernels/ops/resample/blend_cuda.cuh"
#include "kernels/ops/resample/resample_cuda.h"

LIKENESS_BEGIN_TARGET
namespace {

struct PadForwardKernel {
  static constexpr int kThreads = kRowThreads;
  PlanesView in;
  Margins margins;
  Border border;
  PlanesView out;

  __device__ void operator()(const Block& block) const {
    ForEachSample(block, out.shape, [&](int channel, int y, int x) {
      const int row = BorderIndex(y - margins.top, in.shape.height, border);
      const int column = BorderIndex(x - margins.left, in.shape.width, border);
      Vec value(0.0);
      if (row >= 0 && column >= 0) value = Load(Row(in, channel, row) + column);
      Store(value, Row(out, channel, y) + x);
    });
  }
};

// Gathers, so that no two threads write one sample.
struct PadBackwardKernel {
  static constexpr int kThreads = kRowThreads;
  PlanesView upstream;
  Margins margins;
  Border border;
  GradientView gradient;

  __device__ void operator()(const Block& block) const {
    const Shape& shape = gradient.planes.shape;
    ForEachSample(block, shape, [&](int channel, int y, int x) {
      Vec sum(0.0);
      ForEachImage(y, shape.height, margins.top, margins.bottom, border, [&](int row) {
        const Real* from = Row(upstream, channel, row + margins.top);
        ForEachImage(x, shape.width, margins.left, margins.right, border,
                     [&](int column) { sum = sum + Load(from + column + margins.left); });
      });
      StoreGradient(gradient, channel, y, x, sum);
    });
  }
};

template <class Number>
struct ResizeForwardKernel {
  static constexpr int kThreads = kRowThreads;
  PlanesView in;
  Lattice lattice;
  PlanesView out;

  __device__ void operator()(const Block& block) const {
    ForEachSample(block, out.shape, [&](int channel, int y, int x) {
      const BlendAt<Number> row(y, in.shape.height, out.shape.height, lattice);
      const BlendAt<Number> column(x, in.shape.width, out.shape.width, lattice);
      const Real* low = Row(in, channel, row.low);
      const Real* high = Row(in, channel, row.high);
      const Vec above =
          Load(low + column.low) * Vec(Real(1) - column.weight) + Load(low + column.high) * Vec(column.weight);
      const Vec below =
          Load(high + column.low) * Vec(Real(1) - column.weight) + Load(high + column.high) * Vec(column.weight);
      Store(above * Vec(Real(1) - row.weight) + below * Vec(row.weight), Row(out, channel, y) + x);
    });
  }
};

// Output samples that may read input sample i: [first, last].
template <class Number>
struct ReadersOf {
  int first;
  int last;

  __device__ ReadersOf(int i, int in, int out, Lattice lattice) {
    // With one sample to spare on either side; the edges' samples are read from beyond as well.
    if (lattice == Lattice::kCentres) {
      first = i > 0 ? static_cast<int>((2 * Number{i} - 1) * out / (2 * in)) - 2 : 0;
      last = static_cast<int>((2 * Number{i} + 3) * out / (2 * in)) + 1;
    } else {
      first = i > 0 ? static_cast<int>((Number{i} - 1) * (out - 1) / (in - 1)) - 1 : 0;
      last = i < in - 1 ? static_cast<int>((Number{i} + 1) * (out - 1) / (in - 1)) + 1 : 0;
    }
    if (first < 0) first = 0;
    if (i == in - 1 || last > out - 1) last = out - 1;
  }
};

// Gathers, so that no two threads write one sample.
template <class Number>
struct ResizeBackwardKernel {
  static constexpr int kThreads = kRowThreads;
  PlanesView upstream;
  Lattice lattice;
  GradientView gradient;

  __device__ void operator()(const Block& block) const {
    const Shape& in = gradient.planes.shape;
    const Shape& out = upstream.shape;
    ForEachSample(block, in, [&](int channel, int y, int x) {
      const ReadersOf<Number> rows(y, in.height, out.height, lattice), columns(x, in.width, out.width, lattice);
      Vec sum(0.0);
      for (int row = rows.first; row <= rows.last; ++row) {
        const Vec weight = BlendAt<Number>(row, in.height, out.height, lattice).WeightOf(y);
        const Real* from = Row(upstream, channel, row);
        for (int column = columns.first; column <= columns.last; ++column) {
          sum = sum + Load(from + column) * weight * BlendAt<Number>(column, in.width, out.width, lattice).WeightOf(x);
        }
      }
      StoreGradient(gradient, channel, y, x, sum);
    });
  }
};

// How often the samples of each column and of each row count, in the memory of the GPU.
struct SharesOf {
  const Real* columns;
  const Real* rows;

  SharesOf(Cuda& device, const Shape& in, const Shape& resized)
      : columns(Upload(device, in.width, resized.width)), rows(Upload(device, in.height, resized.height)) {}

  static const Real* Upload(Cuda& device, int in, int out) {
    const std::vector<double> shares = ResizeShares(in, out);
    const std::vector<Real> rounded(shares.begin(), shares.end());
    return device.Table(rounded.data(), in);
  }
  __device__ Vec At(int y, int x) const { return Vec(rows[y]) * Vec(columns[x]); }
};

struct SampleShare {
  PlanesView x;
  SharesOf shares;
  __device__ double operator()(int channel, int y, int i) const {
    return static_cast<double>(Bare(Load(Row(x, channel, y) + i) * shares.At(y, i)));
  }
};

struct MeanOfResizedBackwardKernel {
  static constexpr int kThreads = kRowThreads;
  double count;
  SharesOf shares;
  const double* upstream;
  GradientView gradient;

  __device__ void operator()(const Block& block) const {
    const Vec each(*upstream / count);
    ForEachSample(block, gradient.planes.shape,
                  [&](int channel, int y, int x) { StoreGradient(gradient, channel, y, x, each * shares.At(y, x)); });
  }
};

template <template <class> class Kernel, class To>
void LaunchResize(Cuda& device, const PlanesView& from, Lattice lattice, const To& to, const Shape& a, const Shape& b) {
  if (std::max({a.width, a.height, b.width, b.height}) < kNarrowSide) {
    device.Launch(Kernel<int>{from, lattice, to}, RowGrid(b));
  } else {
    device.Launch(Kernel<std::int64_t>{from, lattice, to}, RowGrid(b));
  }
}

}  // namespace

void ResizeForward(Cuda& device, const PlanesView& x, const PlanesView& out) {
  LaunchResize<ResizeForwardKernel>(device, x, Lattice::kCentres, out, x.shape, out.shape);
}

void ResizeBackward(Cuda& device, const PlanesView& upstream, const GradientView& gradient) {
  LaunchResize<ResizeBackwardKernel>(device, upstream, Lattice::kCentres, gradient, upstream.shape,
                                     gradient.planes.shape);
}

void MeanOfResizedForward(Cuda& device, const PlanesView& x, const Shape& resized, double* out) {
  CombineSamples(device, x.shape, 1, SampleShare{x, SharesOf(device, x.shape, resized)}, AddUp{},
                 DividedBy{static_cast<double>(resized.count())}, out);
}

void MeanOfResizedBackward(Cuda& device, const Shape& resized, const double* upstream, const GradientView& gradient) {
  const Shape& shape = gradient.planes.shape;
  device.Launch(MeanOfResizedBackwardKernel{static_cast<double>(resized.count()), SharesOf(device, shape, resized),
                                            upstream, gradient},
                RowGrid(shape));
}

void ResizeByCornersForward(Cuda& device, const PlanesView& x, const PlanesView& out) {
  LaunchResize<ResizeForwardKernel>(device, x, Lattice::kCorners, out, x.shape, out.shape);
}

void ResizeByCornersBackward(Cuda& device, const PlanesView& upstream, const GradientView& gradient) {
  LaunchResize<ResizeBackwardKernel>(device, upstream, Lattice::kCorners, gradient, upstream.shape,
                                     gradient.planes.shape);
}

void PadForward(Cuda& device, const PlanesView& x, const Margins& margins, Border border, const PlanesView& out) {
  device.Launch(PadForwardKernel{x, margins, border, out}, RowGrid(out.shape));
}

void PadBackward(Cuda& device, const PlanesView& upstream, const Margins& margins, Border border,
                 const GradientView& gradient) {
  device.Launch(PadBackwardKernel{upstream, margins, border, gradient}, RowGrid(gradient.planes.shape));
}

LIKENESS_END_TARGET
