#include "kernels/ops/cuda_device.h"

LIKENESS_BEGIN_TARGET
namespace {

struct FillKernel {
  static constexpr int kThreads = 128;
  double* values;
  int count;
  double value;

  __device__ void operator()(const Block& block) const {
    const int i = block.x * kThreads + threadIdx.x;
    if (i < count) values[i] = value;
  }
};

}  // namespace

void Cuda::Fill(double* values, int count, double value) {
  Launch(FillKernel{values, count, value}, {(count + FillKernel::kThreads - 1) / FillKernel::kThreads});
}

LIKENESS_END_TARGET
