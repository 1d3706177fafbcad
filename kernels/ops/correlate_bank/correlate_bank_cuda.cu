#include "kernels/ops/correlate_bank/correlate_bank_cuda.h"
#include "kernels/ops/cuda_separable.cuh"

LIKENESS_BEGIN_TARGET
namespace {

// The filters of a bank, in the memory of the GPU.
struct BankFilter {
  int source;
  TileFilter filter;
};
struct FilterTable {
  const BankFilter* filters;
  int count;
};

struct CorrelateBankForwardKernel {
  static constexpr int kThreads = kTileThreads;
  PlanesView in;
  FilterTable bank;
  PlanesView out;

  __device__ void operator()(const Block& block) const {
    __shared__ HeldRows held;
    const TilePlace at(block.x, out.shape.width);
    const BankFilter& mine = bank.filters[block.y];
    const Vec value = FilterTile(in, mine.source, mine.filter, out.shape, at, held);
    if (at.x < out.shape.width && at.y < out.shape.height) Store(value, Row(out, block.y, at.y) + at.x);
  }
};

// A channel that no filter reads gets a gradient of zero.
struct CorrelateBankBackwardKernel {
  static constexpr int kThreads = kTileThreads;
  PlanesView upstream;
  FilterTable bank;
  GradientView gradient;

  __device__ void operator()(const Block& block) const {
    __shared__ HeldRows held;
    const Shape& shape = gradient.planes.shape;
    const TilePlace at(block.x, shape.width);
    Vec sum(0.0);
    for (int i = 0; i < bank.count; ++i) {
      if (bank.filters[i].source != block.y) continue;
      sum = SpreadTile(upstream, i, bank.filters[i].filter, shape, at, held, sum);
    }
    if (at.x < shape.width && at.y < shape.height) StoreGradient(gradient, block.y, at.y, at.x, sum);
  }
};

bool MakeFilterTable(Cuda& device, const KernelBank& bank, const Shape& in, FilterTable* table) {
  // A tile's outputs must not be so far apart that their first taps' rows cannot all be held.
  if ((kTileHeight - 1) * bank.stride >= kHeldRows) {
    device.Report(Check(cudaErrorInvalidValue, "CorrelateBank: stride over 10", __FILE__, __LINE__));
    return false;
  }
  std::vector<BankFilter> filters;
  for (const KernelBank::Filter& filter : bank.filters) {
    filters.push_back({filter.source, MakeTileFilter(device, filter.kernel, in, bank.border, bank.stride)});
  }
  const int count = static_cast<int>(filters.size());
  *table = {device.Table(filters.data(), count), count};
  return true;
}

}  // namespace

void CorrelateBankForward(Cuda& device, const PlanesView& x, const KernelBank& bank, const PlanesView& out) {
  FilterTable table;
  if (!MakeFilterTable(device, bank, x.shape, &table)) return;
  device.Launch(CorrelateBankForwardKernel{x, table, out}, TileGrid(out.shape));
}

void CorrelateBankBackward(Cuda& device, const PlanesView& upstream, const KernelBank& bank,
                           const GradientView& gradient) {
  FilterTable table;
  const Shape& shape = gradient.planes.shape;
  if (!MakeFilterTable(device, bank, shape, &table)) return;
  device.Launch(CorrelateBankBackwardKernel{upstream, table, gradient}, TileGrid(shape));
}

LIKENESS_END_TARGET
