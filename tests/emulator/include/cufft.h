// cuFFT's interface as far as kernels/ use it, over pocketfft: cufft.cc. Names and meanings are cuFFT's.
//
// What cuFFT leaves undefined is NaN here: the input of a transform from complex to real afterwards, and its output
// where the input is not the spectrum of real numbers. A plan runs only with a work area.
#pragma once

#include <cuda_runtime_api.h>

using cufftHandle = int;
using cufftReal = float;
struct cufftComplex {
  float x, y;
};

enum cufftResult {
  CUFFT_SUCCESS = 0,
  CUFFT_INVALID_PLAN = 1,
  CUFFT_ALLOC_FAILED = 2,
  CUFFT_INVALID_VALUE = 4,
  CUFFT_INTERNAL_ERROR = 5,
  CUFFT_EXEC_FAILED = 6,
  CUFFT_INVALID_SIZE = 8,
};
enum cufftType { CUFFT_R2C = 0x2a, CUFFT_C2R = 0x2c, CUFFT_C2C = 0x29 };
inline constexpr int CUFFT_FORWARD = -1, CUFFT_INVERSE = 1;

cufftResult cufftCreate(cufftHandle* plan);
cufftResult cufftDestroy(cufftHandle plan);
cufftResult cufftSetAutoAllocation(cufftHandle plan, int allocate);
cufftResult cufftMakePlanMany(cufftHandle plan, int rank, int* sides, int* in_sides, int in_stride, int in_distance,
                              int* out_sides, int out_stride, int out_distance, cufftType type, int batch,
                              std::size_t* work_bytes);
cufftResult cufftGetSize(cufftHandle plan, std::size_t* work_bytes);
cufftResult cufftSetWorkArea(cufftHandle plan, void* work_area);
cufftResult cufftSetStream(cufftHandle plan, cudaStream_t stream);
cufftResult cufftExecR2C(cufftHandle plan, cufftReal* in, cufftComplex* out);
cufftResult cufftExecC2R(cufftHandle plan, cufftComplex* in, cufftReal* out);
cufftResult cufftExecC2C(cufftHandle plan, cufftComplex* in, cufftComplex* out, int direction);
