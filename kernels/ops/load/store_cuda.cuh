// Single samples of a tensor that leaves the GPU.
#pragma once

#include <cuda_fp16.h>

#include "kernels/cuda/tensor_place.h"
#include "kernels/ops/cuda_device.h"

LIKENESS_BEGIN_TARGET

// Rounds to nearest even.
__device__ __forceinline__ void StoreSample(const TensorPlace& to, std::int64_t at, float value) {
  if (to.half) {
    static_cast<__half*>(to.data)[at] = __float2half_rn(value);
  } else {
    static_cast<float*>(to.data)[at] = value;
  }
}

LIKENESS_END_TARGET
