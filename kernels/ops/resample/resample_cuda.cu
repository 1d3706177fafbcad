#include "kernels/ops/cuda_border.cuh"
#include "kernels/ops/cuda_rows.cuh"
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

// Where the samples of a resized image lie.
enum class Lattice { kCentres, kCorners };

// Where an output sample of a bilinear resize lies between two input samples.
struct BlendAt {
  int low;
  int high;
  Real weight;  // of high

  __device__ BlendAt(int i, int in, int out, Lattice lattice) {
    double at = 0.0;
    if (lattice == Lattice::kCentres) {
      const double middle = (i + 0.5) * in / out - 0.5;
      at = middle > 0.0 ? middle : 0.0;
    } else if (out > 1) {
      at = 1.0 * i * (in - 1) / (out - 1);
    }
    low = static_cast<int>(at) < in ? static_cast<int>(at) : in - 1;
    high = low + 1 < in ? low + 1 : in - 1;
    weight = static_cast<Real>(at - low);
  }
  // What an input sample contributes to the output sample.
  __device__ Vec WeightOf(int source) const {
    return Vec((source == low ? Real(1) - weight : Real(0)) + (source == high ? weight : Real(0)));
  }
};

struct ResizeForwardKernel {
  static constexpr int kThreads = kRowThreads;
  PlanesView in;
  Lattice lattice;
  PlanesView out;

  __device__ void operator()(const Block& block) const {
    ForEachSample(block, out.shape, [&](int channel, int y, int x) {
      const BlendAt row(y, in.shape.height, out.shape.height, lattice);
      const BlendAt column(x, in.shape.width, out.shape.width, lattice);
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
struct ReadersOf {
  int first;
  int last;

  __device__ ReadersOf(int i, int in, int out, Lattice lattice) {
    // With one sample to spare on either side; the edges' samples are read from beyond as well.
    if (lattice == Lattice::kCentres) {
      const double scale = static_cast<double>(out) / in;
      first = static_cast<int>((i - 0.5) * scale - 0.5) - 1;
      last = static_cast<int>((i + 1.5) * scale - 0.5) + 1;
    } else {
      const double scale = in > 1 ? static_cast<double>(out - 1) / (in - 1) : 0.0;
      first = static_cast<int>((i - 1) * scale) - 1;
      last = static_cast<int>((i + 1) * scale) + 1;
    }
    if (i == 0 || first < 0) first = 0;
    if (i == in - 1 || last > out - 1) last = out - 1;
  }
};

// Gathers, so that no two threads write one sample.
struct ResizeBackwardKernel {
  static constexpr int kThreads = kRowThreads;
  PlanesView upstream;
  Lattice lattice;
  GradientView gradient;

  __device__ void operator()(const Block& block) const {
    const Shape& in = gradient.planes.shape;
    const Shape& out = upstream.shape;
    ForEachSample(block, in, [&](int channel, int y, int x) {
      const ReadersOf rows(y, in.height, out.height, lattice), columns(x, in.width, out.width, lattice);
      Vec sum(0.0);
      for (int row = rows.first; row <= rows.last; ++row) {
        const Vec weight = BlendAt(row, in.height, out.height, lattice).WeightOf(y);
        const Real* from = Row(upstream, channel, row);
        for (int column = columns.first; column <= columns.last; ++column) {
          sum = sum + Load(from + column) * weight * BlendAt(column, in.width, out.width, lattice).WeightOf(x);
        }
      }
      StoreGradient(gradient, channel, y, x, sum);
    });
  }
};

}  // namespace

void ResizeForward(Cuda& device, const PlanesView& x, const PlanesView& out) {
  device.Launch(ResizeForwardKernel{x, Lattice::kCentres, out}, RowGrid(out.shape));
}

void ResizeBackward(Cuda& device, const PlanesView& upstream, const GradientView& gradient) {
  device.Launch(ResizeBackwardKernel{upstream, Lattice::kCentres, gradient}, RowGrid(gradient.planes.shape));
}

void ResizeByCornersForward(Cuda& device, const PlanesView& x, const PlanesView& out) {
  device.Launch(ResizeForwardKernel{x, Lattice::kCorners, out}, RowGrid(out.shape));
}

void ResizeByCornersBackward(Cuda& device, const PlanesView& upstream, const GradientView& gradient) {
  device.Launch(ResizeBackwardKernel{upstream, Lattice::kCorners, gradient}, RowGrid(gradient.planes.shape));
}

void PadForward(Cuda& device, const PlanesView& x, const Margins& margins, Border border, const PlanesView& out) {
  device.Launch(PadForwardKernel{x, margins, border, out}, RowGrid(out.shape));
}

void PadBackward(Cuda& device, const PlanesView& upstream, const Margins& margins, Border border,
                 const GradientView& gradient) {
  device.Launch(PadBackwardKernel{upstream, margins, border, gradient}, RowGrid(gradient.planes.shape));
}

LIKENESS_END_TARGET
