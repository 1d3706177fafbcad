// How kernels go over planes, and the two-step reduction.
//
// A block takes rows blockIdx.x, blockIdx.x + gridDim.x, ... of channel blockIdx.y, and its threads the samples of a
// row: neighbours in memory are read together. The grid depends on the shape alone, and so does the order of every sum.
#pragma once

#include "kernels/ops/cuda_device.h"

LIKENESS_BEGIN_TARGET

inline constexpr int kRowThreads = 256;
inline constexpr int kMaxRowBlocks = 1024;

// `values`: partial results that each block writes to scratch.
inline dim3 RowGrid(const Shape& shape, int values = 0) {
  int blocks = std::min(shape.height, kMaxRowBlocks);
  if (values > 0) blocks = std::clamp(Cuda::kScratchCount / 2 / (values * shape.channels), 1, blocks);
  return dim3(blocks, shape.channels);
}

// body(channel, y, x) for every sample that is this thread's.
template <class Body>
__device__ __forceinline__ void ForEachSample(const Shape& shape, Body body) {
  const int channel = blockIdx.y;
  for (int y = blockIdx.x; y < shape.height; y += gridDim.x) {
    for (int x = threadIdx.x; x < shape.width; x += kRowThreads) body(channel, y, x);
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

// The block's values combined in a fixed tree; only thread 0 has the result.
template <class Combine>
__device__ double CombineBlock(double value, Combine combine) {
  __shared__ double values[kRowThreads];
  __syncthreads();  // the last round's readers are done
  values[threadIdx.x] = value;
  for (int half = kRowThreads / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) values[threadIdx.x] = combine(values[threadIdx.x], values[threadIdx.x + half]);
  }
  return values[0];
}

// Step two: block g combines partials [g * count, (g + 1) * count) and stores finish(result) at out[g].
template <class Combine, class Finish>
__global__ void CombinePartialsKernel(const double* partials, std::int64_t count, Combine combine, Finish finish,
                                      bool accumulate, double* out) {
  double value = Combine::kStart;
  const double* from = partials + blockIdx.x * count;
  for (std::int64_t i = threadIdx.x; i < count; i += kRowThreads) value = combine(value, from[i]);
  value = CombineBlock(value, combine);
  if (threadIdx.x == 0) out[blockIdx.x] = (accumulate ? out[blockIdx.x] : 0.0) + finish(value);
}

struct AsIs {
  __device__ double operator()(double x) const { return x; }
};

// Partials of `grid`, one a block, to one value for each of `groups` groups of channels (1, or one each).
template <class Combine, class Finish>
void CombinePartials(Cuda& device, const double* partials, dim3 grid, int groups, Combine combine, Finish finish,
                     bool accumulate, double* out) {
  const std::int64_t count = std::int64_t{grid.x} * grid.y / groups;
  LIKENESS_CUDA_LAUNCH(device, (CombinePartialsKernel<Combine, Finish>), groups, kRowThreads, partials, count, combine,
                       finish, accumulate, out);
}

// Step one of a reduction of planes.
template <class Value, class Combine>
__global__ void CombineRowsKernel(PlanesView x, Value value, Combine combine, double* partials) {
  double result = Combine::kStart;
  ForEachSample(x.shape, [&](int channel, int y, int i) {
    result = combine(result, static_cast<double>(Bare(value(Load(Row(x, channel, y) + i), channel))));
  });
  result = CombineBlock(result, combine);
  if (threadIdx.x == 0) partials[blockIdx.y * gridDim.x + blockIdx.x] = result;
}

// out[group] = finish(value(sample, channel) of all its samples, combined).
template <class Value, class Combine, class Finish>
void CombinePlanes(Cuda& device, const PlanesView& x, int groups, Value value, Combine combine, Finish finish,
                   double* out) {
  const dim3 grid = RowGrid(x.shape, 1);
  LIKENESS_CUDA_LAUNCH(device, (CombineRowsKernel<Value, Combine>), grid, kRowThreads, x, value, combine,
                       device.scratch());
  CombinePartials(device, device.scratch(), grid, groups, combine, finish, false, out);
}

LIKENESS_END_TARGET
