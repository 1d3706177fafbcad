#include "kernels/ops/correlate/correlate_cuda.h"
#include "kernels/ops/cuda_border.cuh"

LIKENESS_BEGIN_TARGET
namespace {

constexpr int kMaxTaps = 64;
constexpr int kMaxTerms = 4;
// A block makes a tile of the output, one sample a thread.
constexpr int kTileWidth = 32;
constexpr int kTileHeight = 8;

// Travels as a kernel's parameter, 2 KiB of its 4.
struct TapTable {
  int terms;
  int height;
  int width;
  Real vertical[kMaxTerms][kMaxTaps];
  Real horizontal[kMaxTerms][kMaxTaps];
};

// One axis of a correlation: `n` input samples, taps that begin `before` samples ahead of the output.
struct Axis {
  int n;
  int before;
  int after;
  Border border;
};

Axis AxisOf(int n, int taps, Border border) {
  if (border == Border::kValid) return {n, 0, 0, border};
  return {n, (taps - 1) / 2, taps - 1 - (taps - 1) / 2, border};
}

// Sum of taps over a row of the input, for output column x. `row`: -1 for a row of zeros.
__device__ Real FilterRow(const PlanesView& in, int channel, int row, const Axis& axis, const Real* taps, int count,
                          int x) {
  if (row < 0) return Real(0);
  const Real* from = Row(in, channel, row);
  Vec sum(0.0);
  for (int j = 0; j < count; ++j) {
    const int at = BorderIndex(x + j - axis.before, axis.n, axis.border);
    if (at >= 0) sum = MulAdd(Vec(taps[j]), Load(from + at), sum);
  }
  return Bare(sum);
}

// Rows are filtered once a tile, into shared memory, and then summed down the columns.
__global__ void CorrelateForwardKernel(PlanesView in, TapTable taps, Axis rows, Axis columns, PlanesView out) {
  __shared__ Real filtered[kTileHeight + kMaxTaps - 1][kTileWidth];
  const int channel = blockIdx.z;
  const int x = blockIdx.x * kTileWidth + threadIdx.x;
  const int y0 = blockIdx.y * kTileHeight;
  const int y = y0 + threadIdx.y;
  const bool inside = x < out.shape.width && y < out.shape.height;
  Vec sum(0.0);
  for (int term = 0; term < taps.terms; ++term) {
    __syncthreads();
    for (int i = threadIdx.y; i < kTileHeight + taps.height - 1; i += kTileHeight) {
      if (x >= out.shape.width || y0 + i - taps.height + 1 >= out.shape.height) continue;
      const int row = BorderIndex(y0 + i - rows.before, rows.n, rows.border);
      filtered[i][threadIdx.x] = FilterRow(in, channel, row, columns, taps.horizontal[term], taps.width, x);
    }
    __syncthreads();
    if (!inside) continue;
    for (int j = 0; j < taps.height; ++j) {
      sum = MulAdd(Vec(taps.vertical[term][j]), Vec(filtered[threadIdx.y + j][threadIdx.x]), sum);
    }
  }
  if (inside) Store(sum, Row(out, channel, y) + x);
}

// The transpose along a row: what the outputs of row `row` send to input column x.
__device__ Real SpreadRow(const PlanesView& upstream, int channel, int row, const Axis& axis, const Real* taps,
                          int count, int x) {
  const Real* from = Row(upstream, channel, row);
  Vec sum(0.0);
  ForEachImage(x, axis.n, axis.before, axis.after, axis.border, [&](int p) {
    for (int j = 0; j < count; ++j) {
      const int at = p + axis.before - j;
      if (at >= 0 && at < upstream.shape.width) sum = MulAdd(Vec(taps[j]), Load(from + at), sum);
    }
  });
  return Bare(sum);
}

// Gathers, so that no two threads write one sample. Rows of the upstream that a tile needs are spread once, into shared
// memory; the few that folding at an edge needs beyond those are spread on the spot.
__global__ void CorrelateBackwardKernel(PlanesView upstream, TapTable taps, Axis rows, Axis columns,
                                        GradientView gradient) {
  __shared__ Real spread[kTileHeight + kMaxTaps - 1][kTileWidth];
  const Shape& shape = gradient.planes.shape;
  const int channel = blockIdx.z;
  const int x = blockIdx.x * kTileWidth + threadIdx.x;
  const int y0 = blockIdx.y * kTileHeight;
  const int y = y0 + threadIdx.y;
  const int first = y0 + rows.before - (taps.height - 1);  // upstream row of spread[0]
  const int held = kTileHeight + taps.height - 1;
  const bool inside = x < shape.width && y < shape.height;
  Vec sum(0.0);
  for (int term = 0; term < taps.terms; ++term) {
    const Real* across = taps.horizontal[term];
    __syncthreads();
    for (int i = threadIdx.y; i < held; i += kTileHeight) {
      const int row = first + i;
      const bool needed = x < shape.width && row >= 0 && row < upstream.shape.height;
      if (needed) spread[i][threadIdx.x] = SpreadRow(upstream, channel, row, columns, across, taps.width, x);
    }
    __syncthreads();
    if (!inside) continue;
    ForEachImage(y, rows.n, rows.before, rows.after, rows.border, [&](int p) {
      for (int j = 0; j < taps.height; ++j) {
        const int row = p + rows.before - j;
        if (row < 0 || row >= upstream.shape.height) continue;
        const int i = row - first;
        const Real value = i >= 0 && i < held ? spread[i][threadIdx.x]
                                              : SpreadRow(upstream, channel, row, columns, across, taps.width, x);
        sum = MulAdd(Vec(taps.vertical[term][j]), Vec(value), sum);
      }
    });
  }
  if (inside) StoreGradient(gradient, channel, y, x, sum);
}

bool MakeTapTable(Cuda& device, const Kernel& kernel, TapTable* table) {
  const int terms = static_cast<int>(kernel.terms.size());
  if (terms > kMaxTerms || kernel.height() > kMaxTaps || kernel.width() > kMaxTaps) {
    device.Report(Check(cudaErrorInvalidValue, "Correlate: over 4 terms or 64 taps", __FILE__, __LINE__));
    return false;
  }
  *table = {};
  table->terms = terms;
  table->height = kernel.height();
  table->width = kernel.width();
  for (int term = 0; term < terms; ++term) {
    const auto& [vertical, horizontal] = kernel.terms[term];
    for (int j = 0; j < table->height; ++j) table->vertical[term][j] = static_cast<Real>(vertical[j]);
    for (int j = 0; j < table->width; ++j) table->horizontal[term][j] = static_cast<Real>(horizontal[j]);
  }
  return true;
}

dim3 Tiles(const Shape& shape) {
  return dim3((shape.width + kTileWidth - 1) / kTileWidth, (shape.height + kTileHeight - 1) / kTileHeight,
              shape.channels);
}

}  // namespace

void CorrelateForward(Cuda& device, const PlanesView& x, const Kernel& kernel, Border border, const PlanesView& out) {
  TapTable table;
  if (!MakeTapTable(device, kernel, &table)) return;
  LIKENESS_CUDA_LAUNCH(device, CorrelateForwardKernel, Tiles(out.shape), dim3(kTileWidth, kTileHeight), x, table,
                       AxisOf(x.shape.height, table.height, border), AxisOf(x.shape.width, table.width, border), out);
}

void CorrelateBackward(Cuda& device, const PlanesView& upstream, const Kernel& kernel, Border border,
                       const GradientView& gradient) {
  TapTable table;
  if (!MakeTapTable(device, kernel, &table)) return;
  const Shape& shape = gradient.planes.shape;
  LIKENESS_CUDA_LAUNCH(device, CorrelateBackwardKernel, Tiles(shape), dim3(kTileWidth, kTileHeight), upstream, table,
                       AxisOf(shape.height, table.height, border), AxisOf(shape.width, table.width, border), gradient);
}

LIKENESS_END_TARGET
