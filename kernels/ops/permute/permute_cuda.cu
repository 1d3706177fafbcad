#include "kernels/ops/cuda_rows.cuh"
#include "kernels/ops/permute/permute_cuda.h"

LIKENESS_BEGIN_TARGET
namespace {

// to = or += from with its axes in another order.
struct PermuteKernel {
  static constexpr int kThreads = kRowThreads;
  PlanesView from;
  // How far apart neighbours along the target's axes lie in `from`: channel, row, column.
  std::int64_t channel_step, row_step, column_step;
  GradientView to;

  __device__ void operator()(const Block& block) const {
    const Real* source = Row(from, 0, 0);
    ForEachSample(block, to.planes.shape, [&](int channel, int y, int x) {
      StoreGradient(to, channel, y, x, Load(source + channel * channel_step + y * row_step + x * column_step));
    });
  }
};

void CopyPermuted(Cuda& device, const PlanesView& from, const AxisOrder& order, const GradientView& to) {
  const std::int64_t steps[] = {std::int64_t{from.stride()} * from.shape.height, from.stride(), 1};
  device.Launch(PermuteKernel{from, steps[order[0]], steps[order[1]], steps[order[2]], to}, RowGrid(to.planes.shape));
}

}  // namespace

void PermuteForward(Cuda& device, const PlanesView& x, const AxisOrder& order, const PlanesView& out) {
  CopyPermuted(device, x, order, {out, false});
}

void PermuteBackward(Cuda& device, const PlanesView& upstream, const AxisOrder& order, const GradientView& gradient) {
  CopyPermuted(device, upstream, Inverse(order), gradient);
}

LIKENESS_END_TARGET
