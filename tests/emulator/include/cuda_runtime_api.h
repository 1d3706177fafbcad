// A CUDA of our own for machines without one: the sources of kernels/ that are meant for nvcc, compiled by the host's
// compiler against this header, run on the CPU. A test tool: it shows whether kernels compute the right thing, not
// whether they are free of races within a warp, nor how fast they are.
//
// A launch runs block after block. The threads of a block are fibers that switch at __syncthreads(), so barriers,
// shared memory and the order of reductions are as written. It aborts when some threads of a block wait at a barrier
// that others never reach. New memory is filled with 0xff, NaN as a float. Streams are done at once. Host threads
// run their launches side by side.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

#define __global__
#define __device__
#define __host__
#define __shared__ static thread_local
#define __forceinline__ inline

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
// Of the fiber that runs.
extern constinit thread_local dim3 threadIdx, blockIdx, blockDim, gridDim;
void __syncthreads();

void EmulateGrid(dim3 grid, dim3 block, const std::function<void()>& thread);
// Arguments are copied at the launch, as on a GPU.
template <class... Parameter, class... Argument>
void EmulateLaunch(void (*kernel)(Parameter...), dim3 grid, dim3 block, Argument... arguments) {
  EmulateGrid(grid, block, [&] { kernel(arguments...); });
}

enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorInvalidConfiguration = 9,
  cudaErrorNoDevice = 100,
  cudaErrorUnknown = 999,
};
const char* cudaGetErrorName(cudaError_t error);
const char* cudaGetErrorString(cudaError_t error);
cudaError_t cudaGetLastError();

struct cudaDeviceProp {
  char name[256];
  int major, minor;
};
cudaError_t cudaGetDeviceCount(int* count);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device);
cudaError_t cudaDriverGetVersion(int* version);
cudaError_t cudaRuntimeGetVersion(int* version);

using cudaStream_t = struct EmulatedStream*;
using cudaEvent_t = struct EmulatedEvent*;
enum cudaMemcpyKind { cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost, cudaMemcpyDeviceToDevice };
inline constexpr unsigned cudaStreamNonBlocking = 1, cudaEventDefault = 0, cudaEventDisableTiming = 2;
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
// By the host's clock: of no meaning for a GPU.
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end);
cudaError_t cudaMalloc(void** data, std::size_t bytes);
cudaError_t cudaFree(void* data);
// Of a GPU of 1 GiB.
cudaError_t cudaMemGetInfo(std::size_t* free_bytes, std::size_t* total_bytes);
cudaError_t cudaMallocHost(void** data, std::size_t bytes);
cudaError_t cudaFreeHost(void* data);
cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, cudaStream_t stream);

// For tests: how many allocations are alive, and a bound above which the next ones fail.
std::int64_t EmulatedAllocationCount();
void LimitEmulatedMemory(std::int64_t bytes_each);
