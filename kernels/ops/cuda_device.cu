#include "kernels/ops/cuda_device.h"

LIKENESS_BEGIN_TARGET
namespace {

constexpr int kThreads = 128;

__global__ void FillKernel(double* values, int count, double value) {
  const int i = blockIdx.x * kThreads + threadIdx.x;
  if (i < count) values[i] = value;
}

}  // namespace

void Cuda::Fill(double* values, int count, double value) {
  LIKENESS_CUDA_LAUNCH(*this, FillKernel, (count + kThreads - 1) / kThreads, kThreads, values, count, value);
}

LIKENESS_END_TARGET
