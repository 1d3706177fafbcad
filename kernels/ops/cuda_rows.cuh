// How kernels go over planes, and the two-step reduction.
//
// A block is kRowThreads threads, kRowWidth side by side and kRowHeight one above another, so that neighbours in memory
// are read together. Block x takes bands of kRowHeight rows: x, x + grid.x, ...; block y is the channel. The grid
// depends on the shape alone, and so does the order of every sum.
#pragma once

#include "kernels/ops/cuda_device.h"

LIKENESS_BEGIN_TARGET

inline constexpr int kRowWidth = 64;
inline constexpr int kRowHeight = 4;
inline constexpr int kRowThreads = kRowWidth * kRowHeight;
// Bounds the partial results of a sum, and with them what its second step reads.
inline constexpr int kMaxSumBlocks = 256;

inline Grid RowGrid(const Shape& shape) { return {(shape.height + kRowHeight - 1) / kRowHeight, shape.channels}; }
// For kernels that see all channels of a pixel at once.
inline Grid PixelGrid(const Shape& shape) { return RowGrid({shape.width, shape.height, 1}); }

// The grid of a sum of which each block writes `values` partial results to scratch: as even as the bound allows.
inline Grid SumGrid(const Shape& shape, int values = 1) {
  const int bands = (shape.height + kRowHeight - 1) / kRowHeight;
  const int most = std::clamp(Cuda::kPartialCount / (values * shape.channels), 1, kMaxSumBlocks);
  const int bands_each = (bands + most - 1) / most;
  return {(bands + bands_each - 1) / bands_each, shape.channels};
}

// body(channel, y, x) for every sample that is this thread's.
template <class Body>
__device__ __forceinline__ void ForEachSample(const Block& block, const Shape& shape, Body body) {
  const int first_x = threadIdx.x % kRowWidth;
  const int first_y = block.x * kRowHeight + static_cast<int>(threadIdx.x) / kRowWidth;
  for (int y = first_y; y < shape.height; y += block.grid.x * kRowHeight) {
    for (int x = first_x; x < shape.width; x += kRowWidth) body(block.y, y, x);
  }
}

struct AddUp {
  static constexpr double kStart = 0.0;
  __device__ double operator()(double a, double b) const { return a + b; }
};
struct TakeMax {
  static constexpr double kStart = std::numeric_limits<Real>::lowest();
  __device__ double operator()(double a, double b) const { return a < b ? b : a; }
};

// One array for all sums of a kernel, whatever they combine by.
__device__ __forceinline__ double* BlockValues() {
  __shared__ double values[kRowThreads];
  return values;
}

// The block's values combined in a fixed tree; only thread 0 has the result. For blocks of kRowThreads.
template <class Combine>
__device__ double CombineBlock(double value, Combine combine) {
  double* values = BlockValues();
  __syncthreads();  // the last round's readers are done
  values[threadIdx.x] = value;
  for (int half = kRowThreads / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) values[threadIdx.x] = combine(values[threadIdx.x], values[threadIdx.x + half]);
  }
  return values[0];
}

// Step two: block x combines partials [x * count, (x + 1) * count) and stores finish(result) at out[x].
template <class Combine, class Finish>
struct CombinePartialsKernel {
  static constexpr int kThreads = kRowThreads;
  const double* partials;
  std::int64_t count;
  Combine combine;
  Finish finish;
  bool accumulate;
  double* out;

  __device__ void operator()(const Block& block) const {
    double value = Combine::kStart;
    const double* from = partials + block.x * count;
    for (std::int64_t i = threadIdx.x; i < count; i += kThreads) value = combine(value, from[i]);
    value = CombineBlock(value, combine);
    if (threadIdx.x == 0) out[block.x] = (accumulate ? out[block.x] : 0.0) + finish(value);
  }
};

struct AsIs {
  __device__ double operator()(double x) const { return x; }
};

// Partials of `grid`, one a block, to one value for each of `groups` groups of channels (1, or one each).
template <class Combine, class Finish>
void CombinePartials(Cuda& device, const double* partials, const Grid& grid, int groups, Combine combine, Finish finish,
                     bool accumulate, double* out) {
  if (partials + grid.count() > device.scratch() + Cuda::kPartialCount) {
    device.Report(Check(cudaErrorInvalidValue, "a sum of over 16384 partial results", __FILE__, __LINE__));
    return;
  }
  device.Launch(
      CombinePartialsKernel<Combine, Finish>{partials, grid.count() / groups, combine, finish, accumulate, out},
      {groups});
}

// Where block (x, y) of a sum leaves its partial result.
__device__ __forceinline__ std::int64_t PartialAt(const Block& block) {
  return std::int64_t{block.y} * block.grid.x + block.x;
}

struct DividedBy {
  double divisor;
  __device__ double operator()(double x) const { return x / divisor; }
};

// Sums of several numbers at once: the block's total of each.
template <int count>
__device__ __forceinline__ void LeaveSums(const double (&sums)[count], const Block& block, double* partials) {
#pragma unroll
  for (int k = 0; k < count; ++k) {
    const double total = CombineBlock(sums[k], AddUp{});
    if (threadIdx.x == 0) partials[(std::int64_t{block.y} * count + k) * block.grid.x + block.x] = total;
  }
}
// Step two of such sums, `count` of them in each channel of `shape`: their means over the plane, channel by channel.
inline void CollectMeans(Cuda& device, const Shape& shape, int count, const Grid& grid, double* out) {
  const int groups = shape.channels * count;
  CombinePartials(device, device.scratch(), {grid.x, groups}, groups, AddUp{},
                  DividedBy{static_cast<double>(shape.plane())}, false, out);
}

// What a reduction combines: the samples as they are.
struct Itself {
  __device__ Vec operator()(Vec x, int) const { return x; }
};

// Step one of a reduction of value(channel, y, x) over `shape`.
template <class Value, class Combine>
struct CombineSamplesKernel {
  static constexpr int kThreads = kRowThreads;
  Shape shape;
  Value value;
  Combine combine;
  double* partials;

  __device__ void operator()(const Block& block) const {
    double result = Combine::kStart;
    ForEachSample(block, shape, [&](int channel, int y, int x) { result = combine(result, value(channel, y, x)); });
    result = CombineBlock(result, combine);
    if (threadIdx.x == 0) partials[PartialAt(block)] = result;
  }
};

// out[group] = finish(value(channel, y, x) of all its samples, combined).
template <class Value, class Combine, class Finish>
void CombineSamples(Cuda& device, const Shape& shape, int groups, Value value, Combine combine, Finish finish,
                    double* out) {
  const Grid grid = SumGrid(shape);
  device.Launch(CombineSamplesKernel<Value, Combine>{shape, value, combine, device.scratch()}, grid);
  CombinePartials(device, device.scratch(), grid, groups, combine, finish, false, out);
}

// value(sample, channel) at a place.
template <class Value>
struct ValueAt {
  PlanesView x;
  Value value;
  __device__ double operator()(int channel, int y, int i) const {
    return static_cast<double>(Bare(value(Load(Row(x, channel, y) + i), channel)));
  }
};

// The same of planes.
template <class Value, class Combine, class Finish>
void CombinePlanes(Cuda& device, const PlanesView& x, int groups, Value value, Combine combine, Finish finish,
                   double* out) {
  CombineSamples(device, x.shape, groups, ValueAt<Value>{x, value}, combine, finish, out);
}

LIKENESS_END_TARGET
