// The part of cuFFT that kernels/ uses, with its names and meanings: float, up to three axes, unnormalised, queued on
// the plan's stream. What cuFFT leaves open is spoilt, so that nobody comes to rely on it:
//
//   the work area, and the input of a C2R that is not in place, are NaN afterwards
//   so is the result of a C2R whose input is not the half of a Hermitian spectrum
#pragma once

#include <cuda_runtime_api.h>

enum cufftResult {
  CUFFT_SUCCESS = 0,
  CUFFT_INVALID_PLAN = 1,
  CUFFT_ALLOC_FAILED = 2,
  CUFFT_INVALID_TYPE = 3,
  CUFFT_INVALID_VALUE = 4,
  CUFFT_INTERNAL_ERROR = 5,
  CUFFT_EXEC_FAILED = 6,
  CUFFT_SETUP_FAILED = 7,
  CUFFT_INVALID_SIZE = 8,
  CUFFT_UNALIGNED_DATA = 9,
  CUFFT_INVALID_DEVICE = 11,
  CUFFT_NO_WORKSPACE = 13,
  CUFFT_NOT_IMPLEMENTED = 14,
  CUFFT_NOT_SUPPORTED = 16,
};
enum cufftType { CUFFT_C2C = 0x29, CUFFT_R2C = 0x2a, CUFFT_C2R = 0x2c };
inline constexpr int CUFFT_FORWARD = -1, CUFFT_INVERSE = 1;

using cufftHandle = int;
using cufftReal = float;
using cufftComplex = float2;

cufftResult cufftCreate(cufftHandle* plan);
cufftResult cufftDestroy(cufftHandle plan);
// Before cufftMakePlanMany: whether the plan has a work area of its own (so at first) or gets one by cufftSetWorkArea.
cufftResult cufftSetAutoAllocation(cufftHandle plan, int auto_allocate);
// Sample (b, i, j) of the input lies at b * idist + (i * inembed[1] + j) * istride, the output likewise, both counted
// in samples of their type. Where inembed or onembed is null both sides are dense, and the rows of the real side of an
// R2C or C2R in place are padded to 2 * (n / 2 + 1).
cufftResult cufftMakePlanMany(cufftHandle plan, int rank, int* n, int* inembed, int istride, int idist, int* onembed,
                              int ostride, int odist, cufftType type, int batch, std::size_t* work_bytes);
cufftResult cufftGetSizeMany(cufftHandle plan, int rank, int* n, int* inembed, int istride, int idist, int* onembed,
                             int ostride, int odist, cufftType type, int batch, std::size_t* work_bytes);
cufftResult cufftGetSize(cufftHandle plan, std::size_t* work_bytes);
cufftResult cufftSetWorkArea(cufftHandle plan, void* work_area);
cufftResult cufftSetStream(cufftHandle plan, cudaStream_t stream);
cufftResult cufftExecC2C(cufftHandle plan, cufftComplex* in, cufftComplex* out, int direction);
cufftResult cufftExecR2C(cufftHandle plan, cufftReal* in, cufftComplex* out);
cufftResult cufftExecC2R(cufftHandle plan, cufftComplex* in, cufftReal* out);
