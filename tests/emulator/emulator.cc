// _FORTIFY_SOURCE takes a jump to another stack for an error.
#undef _FORTIFY_SOURCE
#include <cuda_fp16.h>
#include <cuda_runtime_api.h>
#include <setjmp.h>
#include <ucontext.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <vector>

constinit thread_local dim3 threadIdx, blockIdx, blockDim, gridDim;

struct EmulatedEvent {
  std::chrono::steady_clock::time_point time;
};

namespace {

constexpr std::size_t kStackBytes = 128 << 10;

// Lives as long as the process and runs one thread of a block after another. Entered once by setcontext; from then on
// _setjmp and _longjmp switch, which unlike swapcontext make no system call.
struct Fiber {
  ucontext_t context;
  jmp_buf place;
  bool entered = false;
  bool done = false;
  dim3 thread;
  std::unique_ptr<char[]> stack{new char[kStackBytes]};
};

thread_local std::vector<std::unique_ptr<Fiber>> fibers;
constinit thread_local Fiber* running = nullptr;
thread_local jmp_buf scheduler;
constinit thread_local const std::function<void()>* body = nullptr;
constinit thread_local cudaError_t last_error = cudaSuccess;
std::atomic<std::int64_t> allocation_count = 0;
std::atomic<std::int64_t> allocated_bytes = 0;
std::atomic<std::int64_t> bytes_each = std::numeric_limits<std::int64_t>::max();

void Leave() {
  if (_setjmp(running->place) == 0) _longjmp(scheduler, 1);
}

void FiberMain() {
  for (;;) {
    (*body)();
    running->done = true;
    Leave();
  }
}

// To the next barrier, or the end of the thread.
void Resume(Fiber* fiber) {
  running = fiber;
  threadIdx = fiber->thread;
  if (_setjmp(scheduler) != 0) return;
  if (fiber->entered) _longjmp(fiber->place, 1);
  fiber->entered = true;
  setcontext(&fiber->context);
}

Fiber* NewFiber() {
  fibers.push_back(std::make_unique<Fiber>());
  Fiber* fiber = fibers.back().get();
  getcontext(&fiber->context);
  fiber->context.uc_stack.ss_sp = fiber->stack.get();
  fiber->context.uc_stack.ss_size = kStackBytes;
  fiber->context.uc_link = nullptr;
  makecontext(&fiber->context, FiberMain, 0);
  return fiber;
}

void RunBlock(int count) {
  for (int i = 0; i < count; ++i) {
    fibers[i]->done = false;
    fibers[i]->thread = dim3(i % blockDim.x, i / blockDim.x % blockDim.y, i / blockDim.x / blockDim.y);
  }
  for (int done = 0; done < count;) {
    done = 0;
    for (int i = 0; i < count; ++i) {
      Resume(fibers[i].get());
      done += fibers[i]->done ? 1 : 0;
    }
    if (done != 0 && done != count) {
      std::fprintf(stderr, "emulator: %d of %d threads wait at a barrier that the others have passed by\n",
                   count - done, count);
      std::abort();
    }
  }
}

cudaError_t Allocate(void** data, std::size_t bytes) {
  if (static_cast<std::int64_t>(bytes) > bytes_each) return last_error = cudaErrorMemoryAllocation;
  // The size goes in front, so that releases count too.
  auto* block = static_cast<std::byte*>(std::aligned_alloc(256, (bytes + 511) / 256 * 256));
  std::memcpy(block, &bytes, sizeof(bytes));
  *data = block + 256;
  std::memset(*data, 0xff, bytes);
  ++allocation_count;
  allocated_bytes += static_cast<std::int64_t>(bytes);
  return cudaSuccess;
}

cudaError_t Release(void* data) {
  std::byte* block = static_cast<std::byte*>(data) - 256;
  std::size_t bytes = 0;
  std::memcpy(&bytes, block, sizeof(bytes));
  std::free(block);
  --allocation_count;
  allocated_bytes -= static_cast<std::int64_t>(bytes);
  return cudaSuccess;
}

}  // namespace

void __syncthreads() { Leave(); }

void EmulateGrid(dim3 grid, dim3 block, const std::function<void()>& thread) {
  const int count = static_cast<int>(block.x * block.y * block.z);
  if (count == 0 || count > 1024 || grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.y > 65535 || grid.z > 65535) {
    last_error = cudaErrorInvalidConfiguration;
    return;
  }
  while (static_cast<int>(fibers.size()) < count) NewFiber();
  body = &thread;
  gridDim = grid;
  blockDim = block;
  // Backwards: nothing may depend on the order of blocks.
  for (unsigned z = grid.z; z-- > 0;) {
    for (unsigned y = grid.y; y-- > 0;) {
      for (unsigned x = grid.x; x-- > 0;) {
        blockIdx = dim3(x, y, z);
        RunBlock(count);
      }
    }
  }
}

const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "cudaSuccess";
    case cudaErrorInvalidValue:
      return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation:
      return "cudaErrorMemoryAllocation";
    case cudaErrorInvalidConfiguration:
      return "cudaErrorInvalidConfiguration";
    case cudaErrorNoDevice:
      return "cudaErrorNoDevice";
    case cudaErrorUnknown:
      return "cudaErrorUnknown";
  }
  return "unknown";
}
const char* cudaGetErrorString(cudaError_t error) { return cudaGetErrorName(error); }
cudaError_t cudaGetLastError() {
  const cudaError_t error = last_error;
  last_error = cudaSuccess;
  return error;
}

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  *properties = {};
  std::strcpy(properties->name, "no GPU: kernels emulated on the CPU");
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int) { return cudaSuccess; }
cudaError_t cudaDriverGetVersion(int* version) {
  *version = 0;
  return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int* version) { return cudaDriverGetVersion(version); }

// A stream and an event are small allocations, so that leaks of them are seen too.
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  return Allocate(reinterpret_cast<void**>(stream), 1);
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) { return Release(stream); }
cudaError_t cudaStreamSynchronize(cudaStream_t) { return cudaSuccess; }
cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned) { return cudaSuccess; }
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  return Allocate(reinterpret_cast<void**>(event), sizeof(EmulatedEvent));
}
cudaError_t cudaEventDestroy(cudaEvent_t event) { return Release(event); }
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t) {
  event->time = std::chrono::steady_clock::now();
  return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t) { return cudaSuccess; }
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  *milliseconds = std::chrono::duration<float, std::milli>(end->time - start->time).count();
  return cudaSuccess;
}
cudaError_t cudaMalloc(void** data, std::size_t bytes) { return Allocate(data, bytes); }
cudaError_t cudaFree(void* data) { return Release(data); }
cudaError_t cudaMemGetInfo(std::size_t* free_bytes, std::size_t* total_bytes) {
  *total_bytes = std::size_t{1} << 30;
  *free_bytes = *total_bytes - static_cast<std::size_t>(allocated_bytes);
  return cudaSuccess;
}
cudaError_t cudaMallocHost(void** data, std::size_t bytes) { return Allocate(data, bytes); }
cudaError_t cudaFreeHost(void* data) { return Release(data); }
cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind, cudaStream_t) {
  std::memcpy(to, from, bytes);
  return cudaSuccess;
}

float __half2float(__half x) {
  const int exponent = (x.bits >> 10) & 31;
  const int mantissa = x.bits & 1023;
  const float magnitude = exponent == 0    ? std::ldexp(static_cast<float>(mantissa), -24)
                          : exponent == 31 ? (mantissa ? std::nanf("") : std::numeric_limits<float>::infinity())
                                           : std::ldexp(static_cast<float>(1024 + mantissa), exponent - 25);
  return x.bits & 0x8000 ? -magnitude : magnitude;
}

std::int64_t EmulatedAllocationCount() { return allocation_count; }
void LimitEmulatedMemory(std::int64_t bytes) { bytes_each = bytes; }
