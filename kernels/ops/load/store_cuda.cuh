// Samples of a tensor that leaves the GPU.
#pragma once

#include <cuda_fp16.h>

#include "kernels/cuda/tensor_place.h"
#include "kernels/ops/cuda_device.h"
#include "kernels/ops/load/sample_cuda.cuh"

LIKENESS_BEGIN_TARGET

// Rounds to nearest even.
__device__ __forceinline__ void StoreSample(const TensorPlace& to, std::int64_t at, float value) {
  if (to.half) {
    static_cast<__half*>(to.data)[at] = __float2half_rn(value);
  } else {
    static_cast<float*>(to.data)[at] = value;
  }
}

// The first of four samples.
__device__ __forceinline__ void StoreFirst(const TensorPlace& to, std::int64_t at, const Four<float>& values,
                                           int count) {
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    if (k < count) StoreSample(to, at + k, values.v[k]);
  }
}

// All of them; `at` is a multiple of four.
__device__ __forceinline__ void StoreFour(const TensorPlace& to, std::int64_t at, const Four<float>& values) {
  if (to.half) {
    Four<__half> halves;
#pragma unroll
    for (int k = 0; k < 4; ++k) halves.v[k] = __float2half_rn(values.v[k]);
    *reinterpret_cast<Four<__half>*>(static_cast<__half*>(to.data) + at) = halves;
  } else {
    *reinterpret_cast<Four<float>*>(static_cast<float*>(to.data) + at) = values;
  }
}

LIKENESS_END_TARGET
