// The taps are few: a thread sums all that its sample needs by itself.
#include "kernels/ops/cuda_border.cuh"
#include "kernels/ops/cuda_rows.cuh"
#include "kernels/ops/cuda_separable.cuh"
#include "kernels/ops/pyramid/pyramid_cuda.h"

LIKENESS_BEGIN_TARGET
namespace {

// Taps before the sample in the middle, and after it.
__device__ int Before(const DeviceTaps& taps) { return taps.count / 2; }
__device__ int After(const DeviceTaps& taps) { return taps.count - 1 - taps.count / 2; }

// ForEachSource lists what an output index sums along an axis: body(index, weight). ForEachReader lists the outputs
// that sum an input index.
struct Down {
  DeviceTaps taps;

  template <class Body>
  __device__ void ForEachSource(int i, int in, int, Body body) const {
    for (int j = 0; j < taps.count; ++j) {
      body(BorderIndex(2 * i + j - Before(taps), in, Border::kSymmetric), taps.taps[j]);
    }
  }
  template <class Body>
  __device__ void ForEachReader(int source, int in, int out, Body body) const {
    ForEachImage(source, in, Before(taps), After(taps), Border::kSymmetric, [&](int p) {
      // Output i takes it with tap p + before - 2 i.
      for (int j = (p + Before(taps)) % 2; j < taps.count; j += 2) {
        const int i = (p + Before(taps) - j) / 2;
        if (i >= 0 && p + Before(taps) >= j && i < out) body(i, taps.taps[j]);
      }
    });
  }
};

struct Up {
  DeviceTaps taps;

  template <class Body>
  __device__ void ForEachSource(int i, int in, int, Body body) const {
    // Every second of samples and zeros in turn is a sample.
    const int first = i - Before(taps);
    for (int j = first & 1; j < taps.count; j += 2) {
      body(BorderIndex((first + j) / 2, in, Border::kReplicate), Real(2) * taps.taps[j]);
    }
  }
  template <class Body>
  __device__ void ForEachReader(int source, int in, int out, Body body) const {
    const int reach = taps.count / 2 + 1;
    ForEachImage(source, in, reach, reach, Border::kReplicate, [&](int p) {
      for (int j = 0; j < taps.count; ++j) {
        const int i = 2 * p + Before(taps) - j;
        if (i >= 0 && i < out) body(i, Real(2) * taps.taps[j]);
      }
    });
  }
};

template <class Step>
struct PyramidForwardKernel {
  static constexpr int kThreads = kRowThreads;
  PlanesView in;
  Step step;
  PlanesView out;

  __device__ void operator()(const Block& block) const {
    ForEachSample(block, out.shape, [&](int channel, int y, int x) {
      Vec sum(0.0);
      step.ForEachSource(y, in.shape.height, out.shape.height, [&](int row, Real weight) {
        const Real* from = Row(in, channel, row);
        Vec along(0.0);
        step.ForEachSource(x, in.shape.width, out.shape.width,
                           [&](int column, Real tap) { along = MulAdd(Vec(tap), Load(from + column), along); });
        sum = MulAdd(Vec(weight), along, sum);
      });
      Store(sum, Row(out, channel, y) + x);
    });
  }
};

// Gathers, so that no two threads write one sample.
template <class Step>
struct PyramidBackwardKernel {
  static constexpr int kThreads = kRowThreads;
  PlanesView upstream;
  Step step;
  GradientView gradient;

  __device__ void operator()(const Block& block) const {
    const Shape& in = gradient.planes.shape;
    ForEachSample(block, in, [&](int channel, int y, int x) {
      Vec sum(0.0);
      step.ForEachReader(y, in.height, upstream.shape.height, [&](int row, Real weight) {
        const Real* from = Row(upstream, channel, row);
        Vec along(0.0);
        step.ForEachReader(x, in.width, upstream.shape.width,
                           [&](int column, Real tap) { along = MulAdd(Vec(tap), Load(from + column), along); });
        sum = MulAdd(Vec(weight), along, sum);
      });
      StoreGradient(gradient, channel, y, x, sum);
    });
  }
};

}  // namespace

void PyramidDownForward(Cuda& device, const PlanesView& x, const Taps& taps, const PlanesView& out) {
  device.Launch(PyramidForwardKernel<Down>{x, {Upload(device, taps)}, out}, RowGrid(out.shape));
}

void PyramidDownBackward(Cuda& device, const PlanesView& upstream, const Taps& taps, const GradientView& gradient) {
  device.Launch(PyramidBackwardKernel<Down>{upstream, {Upload(device, taps)}, gradient},
                RowGrid(gradient.planes.shape));
}

void PyramidUpForward(Cuda& device, const PlanesView& x, const Taps& taps, const PlanesView& out) {
  device.Launch(PyramidForwardKernel<Up>{x, {Upload(device, taps)}, out}, RowGrid(out.shape));
}

void PyramidUpBackward(Cuda& device, const PlanesView& upstream, const Taps& taps, const GradientView& gradient) {
  device.Launch(PyramidBackwardKernel<Up>{upstream, {Upload(device, taps)}, gradient}, RowGrid(gradient.planes.shape));
}

LIKENESS_END_TARGET
