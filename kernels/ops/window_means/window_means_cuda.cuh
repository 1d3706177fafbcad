// WindowMeans under CUDA: tile by tile, all that is made of a tile stays in shared memory.
#pragma once

#include "kernels/base/number.h"
#include "kernels/ops/cuda_rows.cuh"
#include "kernels/ops/cuda_separable.cuh"
#include "kernels/ops/window_means/window_means.h"

LIKENESS_BEGIN_TARGET

// Bounds the samples around a tile that its shared memory has room for.
inline constexpr int kMaxWindowTaps = 11;
inline constexpr int kWindowMargin = kMaxWindowTaps - 1;

template <class F>
struct WindowImages {
  static constexpr int kWindows = F::kOfReference + F::kOfPair;
  F f;
  DeviceTaps window;
  PlanesView reference;
  PlanesView distorted;

  // filtered[k][i][j]: what f makes of row y0 + i, summed along it around column x0 + j. Zeros beyond the image.
  template <int height, int width>
  __device__ void FilterRows(int channel, int y0, int rows, int x0, int columns,
                             Real (&filtered)[kWindows][height][width]) const {
    const Shape& shape = distorted.shape;
    for (int n = threadIdx.x; n < rows * columns; n += kTileThreads) {
      const int i = n / columns, j = n % columns;
      const int y = y0 + i, first = x0 + j - window.count / 2;
      Vec sums[kWindows];
#pragma unroll
      for (int k = 0; k < kWindows; ++k) sums[k] = Vec(0.0);
      if (y >= 0 && y < shape.height) {
        const Real* r = Row(reference, channel, y);
        const Real* d = Row(distorted, channel, y);
        for (int t = 0; t < window.count; ++t) {
          const int x = first + t;
          if (x < 0 || x >= shape.width) continue;
          const Vec tap(window.taps[t]);
          const auto of_reference = f.OfReference(Load(r + x));
          const auto of_pair = f.OfPair(Load(r + x), Load(d + x));
#pragma unroll
          for (int k = 0; k < F::kOfReference; ++k) sums[k] = MulAdd(tap, of_reference.v[k], sums[k]);
#pragma unroll
          for (int k = 0; k < F::kOfPair; ++k) {
            sums[F::kOfReference + k] = MulAdd(tap, of_pair.v[k], sums[F::kOfReference + k]);
          }
        }
      }
#pragma unroll
      for (int k = 0; k < kWindows; ++k) filtered[k][i][j] = Bare(sums[k]);
    }
  }

  // The k-th window mean, from the filtered rows that begin with the i-th.
  template <int height, int width>
  __device__ Vec Mean(const Real (&filtered)[kWindows][height][width], int k, int i, int j) const {
    Vec sum(0.0);
    for (int t = 0; t < window.count; ++t) sum = MulAdd(Vec(window.taps[t]), Vec(filtered[k][i + t][j]), sum);
    return sum;
  }
  template <int height, int width>
  __device__ Pack<Vec, F::kOfReference> ReferenceMeans(const Real (&filtered)[kWindows][height][width], int i,
                                                       int j) const {
    Pack<Vec, F::kOfReference> means;
#pragma unroll
    for (int k = 0; k < F::kOfReference; ++k) means.v[k] = Mean(filtered, k, i, j);
    return means;
  }
};

template <class F>
struct WindowMeansForwardKernel {
  static constexpr int kThreads = kTileThreads;
  WindowImages<F> images;
  int tiles;
  double* partials;

  __device__ void operator()(const Block& block) const {
    __shared__ Real filtered[WindowImages<F>::kWindows][kTileHeight + kWindowMargin][kTileWidth];
    const Shape& shape = images.distorted.shape;
    const int taps = images.window.count;
    double sums[F::kOutputs] = {};
    for (int tile = block.x; tile < tiles; tile += block.grid.x) {
      const TilePlace at(tile, shape.width);
      __syncthreads();
      images.FilterRows(block.y, at.y0 - taps / 2, kTileHeight + taps - 1, at.x0, kTileWidth, filtered);
      __syncthreads();
      if (at.x >= shape.width || at.y >= shape.height) continue;
      Pack<Vec, F::kOfPair> of_pair;
#pragma unroll
      for (int k = 0; k < F::kOfPair; ++k) {
        of_pair.v[k] = images.Mean(filtered, F::kOfReference + k, at.line, at.column);
      }
      const auto results =
          images.f(Load(Row(images.reference, block.y, at.y) + at.x), Load(Row(images.distorted, block.y, at.y) + at.x),
                   images.ReferenceMeans(filtered, at.line, at.column), of_pair);
#pragma unroll
      for (int k = 0; k < F::kOutputs; ++k) sums[k] += static_cast<double>(Bare(results.v[k]));
    }
    LeaveSums<F::kOutputs>(sums, block, partials);
  }
};

// Gathers: the derivatives by the window means are made for the tile and all windows that reach into it.
template <class F>
struct WindowMeansBackwardKernel {
  static constexpr int kThreads = kTileThreads;
  static constexpr int kPartials = 1 + F::kOfPair;
  WindowImages<F> images;
  const double* upstream;
  GradientView gradient;

  __device__ void operator()(const Block& block) const {
    __shared__ Real filtered[WindowImages<F>::kWindows][kTileHeight + 2 * kWindowMargin][kTileWidth + kWindowMargin];
    __shared__ Real pulled[F::kOfPair][kTileHeight + kWindowMargin][kTileWidth + kWindowMargin];
    __shared__ Real direct[kTileHeight][kTileWidth];
    using D = Dual<Vec, kPartials>;
    const Shape& shape = images.distorted.shape;
    const TilePlace at(block.x, shape.width);
    const int taps = images.window.count, reach = taps / 2;
    const int rows = kTileHeight + taps - 1, columns = kTileWidth + taps - 1;
    images.FilterRows(block.y, at.y0 - 2 * reach, rows + taps - 1, at.x0 - reach, columns, filtered);
    __syncthreads();

    Vec up[F::kOutputs];
#pragma unroll
    for (int k = 0; k < F::kOutputs; ++k) {
      up[k] = Vec(upstream[block.y * F::kOutputs + k] / static_cast<double>(shape.plane()));
    }
    for (int n = threadIdx.x; n < rows * columns; n += kThreads) {
      const int i = n / columns, j = n % columns;
      const int y = at.y0 - reach + i, x = at.x0 - reach + j;
      Vec sums[kPartials];
#pragma unroll
      for (int p = 0; p < kPartials; ++p) sums[p] = Vec(0.0);
      if (y >= 0 && y < shape.height && x >= 0 && x < shape.width) {
        Pack<D, F::kOfPair> of_pair;
#pragma unroll
        for (int k = 0; k < F::kOfPair; ++k) {
          of_pair.v[k] = D::Variable(images.Mean(filtered, F::kOfReference + k, i, j), 1 + k);
        }
        const auto results = images.f(Load(Row(images.reference, block.y, y) + x),
                                      D::Variable(Load(Row(images.distorted, block.y, y) + x), 0),
                                      images.ReferenceMeans(filtered, i, j), of_pair);
#pragma unroll
        for (int p = 0; p < kPartials; ++p) {
          sums[p] = up[0] * results.v[0].d[p];
#pragma unroll
          for (int k = 1; k < F::kOutputs; ++k) sums[p] = MulAdd(up[k], results.v[k].d[p], sums[p]);
        }
      }
#pragma unroll
      for (int k = 0; k < F::kOfPair; ++k) pulled[k][i][j] = Bare(sums[1 + k]);
      const int line = i - reach, column = j - reach;
      if (line >= 0 && line < kTileHeight && column >= 0 && column < kTileWidth) direct[line][column] = Bare(sums[0]);
    }
    __syncthreads();

    if (at.x >= shape.width || at.y >= shape.height) return;
    const auto products = images.f.OfPair(Load(Row(images.reference, block.y, at.y) + at.x),
                                          Dual<Vec, 1>::Variable(Load(Row(images.distorted, block.y, at.y) + at.x), 0));
    Vec sum(direct[at.line][at.column]);
#pragma unroll
    for (int k = 0; k < F::kOfPair; ++k) sum = MulAdd(Gathered(pulled[k], at), products.v[k].d[0], sum);
    StoreGradient(gradient, block.y, at.y, at.x, sum);
  }

  // What the windows around the thread's sample send it: the taps backwards.
  template <int height, int width>
  __device__ Vec Gathered(const Real (&of)[height][width], const TilePlace& at) const {
    const DeviceTaps& window = images.window;
    Vec sum(0.0);
    for (int v = 0; v < window.count; ++v) {
      Vec along(0.0);
      for (int h = 0; h < window.count; ++h) {
        along = MulAdd(Vec(window.taps[window.count - 1 - h]), Vec(of[at.line + v][at.column + h]), along);
      }
      sum = MulAdd(Vec(window.taps[window.count - 1 - v]), along, sum);
    }
    return sum;
  }
};

inline bool MakeWindow(Cuda& device, const Taps& taps, DeviceTaps* window) {
  if (static_cast<int>(taps.size()) > kMaxWindowTaps) {
    device.Report(Check(cudaErrorInvalidValue, "WindowMeans: over 11 taps", __FILE__, __LINE__));
    return false;
  }
  *window = Upload(device, taps);
  return true;
}

template <class F>
void WindowMeansForward(Cuda& device, const F& f, const Taps& taps, const PlanesView& reference,
                        const PlanesView& distorted, double* out) {
  DeviceTaps window;
  if (!MakeWindow(device, taps, &window)) return;
  const Shape& shape = distorted.shape;
  const int tiles = TilesOf(shape);
  Grid grid = SumGrid(shape, F::kOutputs);
  grid.x = std::min(grid.x, tiles);
  device.Launch(WindowMeansForwardKernel<F>{{f, window, reference, distorted}, tiles, device.scratch()}, grid);
  CollectMeans(device, shape, F::kOutputs, grid, out);
}

template <class F>
void WindowMeansBackward(Cuda& device, const F& f, const Taps& taps, const double* upstream,
                         const PlanesView& reference, const PlanesView& distorted, const GradientView& gradient) {
  DeviceTaps window;
  if (!MakeWindow(device, taps, &window)) return;
  device.Launch(WindowMeansBackwardKernel<F>{{f, window, reference, distorted}, upstream, gradient},
                TileGrid(distorted.shape));
}

LIKENESS_END_TARGET
