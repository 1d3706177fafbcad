// The emulated CUDA itself: that it runs kernels as written, and that it shows the mistakes that it is there to show.
#include <cuda_fp16.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <thread>
#include <vector>

#include "server/half.h"
#include "tests/emulator/control.h"

constexpr int kThreads = 8;

// Only one block in two writes before it reads. Outside of the namespace below: a template of all files.
template <class Value>
__global__ void SometimesWriteKernel(Value value, float* out) {
  __shared__ float values[kThreads];
  if (blockIdx.x % 2 == 1) values[threadIdx.x] = value();
  __syncthreads();
  out[blockIdx.x * kThreads + threadIdx.x] = values[threadIdx.x];
}

namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::IsNan;

// Kernels as nvcc would have them; blocks of kThreads.

__global__ void ReverseKernel(const float* in, float* out) {
  __shared__ float values[kThreads];
  const int at = blockIdx.x * kThreads + threadIdx.x;
  values[threadIdx.x] = in[at];
  __syncthreads();
  out[at] = values[kThreads - 1 - threadIdx.x];
}

struct One {
  float operator()() const { return 1.0f; }
};

// Its mistake: no barrier between a write and the neighbour's read of it.
__global__ void NoBarrierKernel(float* out) {
  __shared__ float values[kThreads + 1];
  __syncthreads();
  values[threadIdx.x] = 1.0f;
  if (threadIdx.x == 0) values[kThreads] = 1.0f;
  out[blockIdx.x * kThreads + threadIdx.x] = values[threadIdx.x + 1];
}

__global__ void DivergentKernel(unsigned from, unsigned to, bool first) {
  if (!first) __syncthreads();
  if (threadIdx.x >= from && threadIdx.x < to) __syncthreads();
}

__global__ void AddKernel(float* values, float addend) { values[blockIdx.x * blockDim.x + threadIdx.x] += addend; }

__global__ void TouchKernel(float* values, int at) {
  if (threadIdx.x == 0) values[at] += 1.0f;
}

__global__ void TicketKernel(unsigned* tickets, float* out) {
  if (threadIdx.x == 0) out[blockIdx.x] = static_cast<float>(atomicAdd(tickets, 2u));
}

// `count` floats of the device.
class Device {
 public:
  explicit Device(int count) : count_(count) {
    EXPECT_EQ(cudaMalloc(reinterpret_cast<void**>(&data_), count * sizeof(float)), cudaSuccess);
  }
  explicit Device(const std::vector<float>& values) : Device(static_cast<int>(values.size())) {
    EXPECT_EQ(cudaMemcpyAsync(data_, values.data(), bytes(), cudaMemcpyHostToDevice, nullptr), cudaSuccess);
  }
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;
  ~Device() { EXPECT_EQ(cudaFree(data_), cudaSuccess); }

  float* data() const { return data_; }
  std::size_t bytes() const { return count_ * sizeof(float); }
  std::vector<float> Values() const {
    std::vector<float> values(count_);
    EXPECT_EQ(cudaMemcpyAsync(values.data(), data_, bytes(), cudaMemcpyDeviceToHost, nullptr), cudaSuccess);
    return values;
  }

 private:
  int count_;
  float* data_ = nullptr;
};

// One pinned float.
class Pinned {
 public:
  explicit Pinned(float value) {
    EXPECT_EQ(cudaMallocHost(reinterpret_cast<void**>(&data_), sizeof(float)), cudaSuccess);
    *data_ = value;
  }
  Pinned(const Pinned&) = delete;
  Pinned& operator=(const Pinned&) = delete;
  ~Pinned() { EXPECT_EQ(cudaFreeHost(data_), cudaSuccess); }
  float* data() const { return data_; }
  float& operator*() const { return *data_; }

 private:
  float* data_ = nullptr;
};

class Stream {
 public:
  Stream() { EXPECT_EQ(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), cudaSuccess); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  ~Stream() { EXPECT_EQ(cudaStreamDestroy(stream_), cudaSuccess); }
  operator cudaStream_t() const { return stream_; }  // NOLINT: as a stream

 private:
  cudaStream_t stream_ = nullptr;
};

class Event {
 public:
  explicit Event(unsigned flags = cudaEventDefault) {
    EXPECT_EQ(cudaEventCreateWithFlags(&event_, flags), cudaSuccess);
  }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  ~Event() { EXPECT_EQ(cudaEventDestroy(event_), cudaSuccess); }
  operator cudaEvent_t() const { return event_; }  // NOLINT: as an event

 private:
  cudaEvent_t event_ = nullptr;
};

std::vector<float> Numbers(int count) {
  std::vector<float> numbers(count);
  for (int i = 0; i < count; ++i) numbers[i] = static_cast<float>(i);
  return numbers;
}

std::vector<float> Block(const std::vector<float>& values, int block) {
  return {values.begin() + block * kThreads, values.begin() + (block + 1) * kThreads};
}

TEST(Emulator, RunsThreadsToTheirBarriers) {
  const Device in(Numbers(2 * kThreads)), out(2 * kThreads);
  EmulateLaunch(nullptr, ReverseKernel, 2, kThreads, in.data(), out.data());
  EXPECT_THAT(out.Values(), ElementsAre(7, 6, 5, 4, 3, 2, 1, 0, 15, 14, 13, 12, 11, 10, 9, 8));
}

TEST(Emulator, RefusesSizesThatNoGpuHas) {
  const Device out(1);
  for (const dim3 block : {dim3(0), dim3(1025), dim3(32, 33), dim3(1, 1, 65)}) {
    EmulateLaunch(nullptr, TouchKernel, 1, block, out.data(), 0);
    EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidConfiguration);
  }
  for (const dim3 grid : {dim3(0), dim3(1, 65536), dim3(1, 1, 65536)}) {
    EmulateLaunch(nullptr, TouchKernel, grid, 1, out.data(), 0);
    EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidConfiguration);
  }
  EXPECT_THAT(out.Values(), ElementsAre(IsNan()));
}

TEST(Emulator, NewMemoryIsNaN) { EXPECT_THAT(Device(3).Values(), Each(IsNan())); }

TEST(Emulator, SharedMemoryIsNaNBeforeEachBlock) {
  const Device out(4 * kThreads);
  // With a type of this file the template's variable is this file's too; the linker gathers either kind.
  const auto check = [&] {
    EXPECT_EQ(cudaGetLastError(), cudaSuccess);
    for (const int written : {1, 3}) EXPECT_THAT(Block(out.Values(), written), Each(1.0f));
    for (const int stale : {0, 2}) EXPECT_THAT(Block(out.Values(), stale), Each(IsNan()));
  };
  EmulateLaunch(nullptr, SometimesWriteKernel<One>, 4, kThreads, One(), out.data());
  check();
  EmulateLaunch(
      nullptr, SometimesWriteKernel<float (*)()>, 4, kThreads, +[] { return 1.0f; }, out.data());
  check();
}

// Whatever the order of threads, one of two blocks reads a neighbour that has not written.
TEST(Emulator, AMissingBarrierShows) {
  const Device out(2 * kThreads);
  EmulateLaunch(nullptr, NoBarrierKernel, 2, kThreads, out.data());
  EXPECT_THAT(out.Values(), ::testing::Contains(IsNan()));
}

TEST(Emulator, BlocksRunInTheOrderThatATestAsksFor) {
  const Device tickets(std::vector<float>{0.0f}), out(3);
  const auto run = [&] {
    EmulateLaunch(nullptr, TicketKernel, 3, kThreads, reinterpret_cast<unsigned*>(tickets.data()), out.data());
    return out.Values();
  };
  EXPECT_THAT(run(), ElementsAre(4.0f, 2.0f, 0.0f));
  RunEmulatedBlocksRising(true);
  EXPECT_THAT(run(), ElementsAre(6.0f, 8.0f, 10.0f));
  RunEmulatedBlocksRising(false);
}

TEST(EmulatorDeathTest, ADivergentBarrierAborts) {
  for (const bool first : {true, false}) {
    for (const auto& [from, to] : {std::pair{0, 1}, std::pair{0, 7}, std::pair{1, 8}, std::pair{7, 8}}) {
      // Threads in rising order and in falling order.
      for (int i = 0; i < 2; ++i) {
        EXPECT_DEATH(EmulateLaunch(nullptr, DivergentKernel, 1, kThreads, from, to, first), "never reach");
        EmulateLaunch(nullptr, DivergentKernel, 1, kThreads, 0, kThreads, first);
      }
    }
  }
}

#if defined(__SANITIZE_ADDRESS__)
__global__ void TouchSharedKernel(int at, float* out) {
  __shared__ float values[kThreads];
  values[(threadIdx.x + at)] = 1.0f;
  __syncthreads();
  out[threadIdx.x] = values[threadIdx.x];
}

TEST(EmulatorDeathTest, SanitizersSeeWhatKernelsTouch) {
  const Device values(5), out(kThreads);
  for (const int at : {-1, 5}) {
    EXPECT_DEATH(EmulateLaunch(nullptr, TouchKernel, 1, kThreads, values.data(), at), "heap-buffer-overflow");
  }
  EXPECT_DEATH(EmulateLaunch(nullptr, TouchSharedKernel, 1, kThreads, 1, out.data()), "out of bounds");
  EmulateLaunch(nullptr, TouchKernel, 1, kThreads, values.data(), 4);
  EmulateLaunch(nullptr, TouchSharedKernel, 1, kThreads, 0, out.data());
  EXPECT_THAT(out.Values(), Each(1.0f));
}
#endif

TEST(Emulator, WorkWaitsUntilSomebodyWaitsForIt) {
  const Device values(std::vector<float>{1.0f});
  const Pinned in(10.0f), out(0.0f);
  const Stream stream;
  EmulateLaunch(stream, AddKernel, 1, 1, values.data(), 1.0f);
  EXPECT_EQ(cudaMemcpyAsync(out.data(), values.data(), sizeof(float), cudaMemcpyDeviceToHost, stream), cudaSuccess);
  EXPECT_EQ(*out, 0.0f);
  EXPECT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
  EXPECT_EQ(*out, 2.0f);

  EXPECT_EQ(cudaMemcpyAsync(values.data(), in.data(), sizeof(float), cudaMemcpyHostToDevice, stream), cudaSuccess);
  *in = 20.0f;  // too early
  EXPECT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
  EXPECT_THAT(values.Values(), ElementsAre(20.0f));

  // Pageable memory is read before the call returns, and written.
  float pageable = 30.0f;
  EXPECT_EQ(cudaMemcpyAsync(values.data(), &pageable, sizeof(float), cudaMemcpyHostToDevice, stream), cudaSuccess);
  pageable = 0.0f;
  EXPECT_EQ(cudaMemcpyAsync(&pageable, values.data(), sizeof(float), cudaMemcpyDeviceToHost, stream), cudaSuccess);
  EXPECT_EQ(pageable, 30.0f);

  EXPECT_EQ(cudaMemsetAsync(values.data(), 0, values.bytes(), stream), cudaSuccess);
  EXPECT_EQ(cudaStreamQuery(stream), cudaErrorNotReady);
  EXPECT_EQ(cudaStreamQuery(stream), cudaSuccess);
  EXPECT_THAT(values.Values(), ElementsAre(0.0f));

  DeferEmulatedWork(false);
  EmulateLaunch(stream, AddKernel, 1, 1, values.data(), 5.0f);
  EXPECT_THAT(values.Values(), ElementsAre(5.0f));
  DeferEmulatedWork(true);
}

TEST(Emulator, EventsOrderStreams) {
  const Device values(std::vector<float>{1.0f});
  const Pinned out(0.0f);
  const Stream first, second;
  const Event ready(cudaEventDisableTiming), done(cudaEventBlockingSync);
  EXPECT_EQ(cudaEventQuery(ready), cudaSuccess);  // never recorded
  EmulateLaunch(first, AddKernel, 1, 1, values.data(), 1.0f);
  EXPECT_EQ(cudaEventRecord(ready, first), cudaSuccess);
  EmulateLaunch(first, AddKernel, 1, 1, values.data(), 100.0f);
  EXPECT_EQ(cudaStreamWaitEvent(second, ready, 0), cudaSuccess);
  EXPECT_EQ(cudaMemcpyAsync(out.data(), values.data(), sizeof(float), cudaMemcpyDeviceToHost, second), cudaSuccess);
  EXPECT_EQ(cudaEventRecord(done, second), cudaSuccess);
  EXPECT_EQ(cudaEventQuery(ready), cudaErrorNotReady);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
  EXPECT_EQ(cudaEventSynchronize(done), cudaSuccess);
  EXPECT_EQ(*out, 2.0f);  // after what the event waits for, and not after what came later
  EXPECT_EQ(cudaEventQuery(ready), cudaSuccess);

  const Event begin, end;
  float milliseconds = -1.0f;
  EXPECT_EQ(cudaEventElapsedTime(&milliseconds, begin, end), cudaErrorInvalidResourceHandle);
  EXPECT_EQ(cudaEventRecord(begin, first), cudaSuccess);
  EXPECT_EQ(cudaEventRecord(end, first), cudaSuccess);
  EXPECT_EQ(cudaEventElapsedTime(&milliseconds, begin, end), cudaErrorNotReady);
  EXPECT_EQ(cudaEventSynchronize(end), cudaSuccess);
  EXPECT_EQ(cudaEventElapsedTime(&milliseconds, begin, end), cudaSuccess);
  EXPECT_GE(milliseconds, 0.0f);
  EXPECT_EQ(cudaEventElapsedTime(&milliseconds, ready, end), cudaErrorInvalidResourceHandle);
  EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidResourceHandle);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
}

TEST(Emulator, CopiesStayWhereTheySay) {
  const Device values(Numbers(4));
  float host[5] = {};
  const auto copy = [&](void* to, const void* from, std::size_t floats, cudaMemcpyKind kind) {
    const cudaError_t error = cudaMemcpyAsync(to, from, floats * sizeof(float), kind, nullptr);
    EXPECT_EQ(cudaGetLastError(), error);
    return error;
  };
  EXPECT_EQ(copy(host, values.data(), 4, cudaMemcpyDeviceToHost), cudaSuccess);
  EXPECT_EQ(copy(values.data() + 1, host, 3, cudaMemcpyHostToDevice), cudaSuccess);
  EXPECT_EQ(copy(host, values.data(), 5, cudaMemcpyDeviceToHost), cudaErrorInvalidValue);
  EXPECT_EQ(copy(values.data() + 2, host, 3, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
  EXPECT_EQ(copy(host, values.data(), 1, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
  EXPECT_EQ(copy(host, host + 1, 1, cudaMemcpyDeviceToHost), cudaErrorInvalidValue);
  EXPECT_EQ(copy(values.data(), values.data() + 3, 1, cudaMemcpyDeviceToDevice), cudaSuccess);
  EXPECT_EQ(cudaMemsetAsync(values.data() + 3, 0, 8, nullptr), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFree(values.data() + 1), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFreeHost(values.data()), cudaErrorInvalidValue);
  EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidValue);
  EXPECT_THAT(values.Values(), ElementsAre(2, 0, 1, 2));
}

TEST(Emulator, Devices) {
  int count = 0, device = -1;
  std::size_t free = 0, total = 0;
  SetEmulatedDevices({1000, 5000});
  EXPECT_EQ(cudaGetDeviceCount(&count), cudaSuccess);
  EXPECT_EQ(count, 2);
  EXPECT_EQ(cudaSetDevice(2), cudaErrorInvalidDevice);
  EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidDevice);
  EXPECT_EQ(cudaSetDevice(1), cudaSuccess);
  {
    const Device values(1000);
    EXPECT_EQ(cudaMemGetInfo(&free, &total), cudaSuccess);
    EXPECT_EQ(free, 1000u);
    EXPECT_EQ(total, 5000u);
    void* more = nullptr;
    EXPECT_EQ(cudaMalloc(&more, 1001), cudaErrorMemoryAllocation);
    const Stream stream;
    const Event event;
    // A thread begins on device 0, whose events are not for a stream of device 1.
    std::thread([&] {
      EXPECT_EQ(cudaGetDevice(&device), cudaSuccess);
      EXPECT_EQ(device, 0);
      EXPECT_EQ(cudaGetLastError(), cudaSuccess);
      const Event other;
      EXPECT_EQ(cudaEventRecord(other, stream), cudaErrorInvalidResourceHandle);
    }).join();
    EXPECT_EQ(cudaEventRecord(event, stream), cudaSuccess);
    EXPECT_EQ(cudaGetLastError(), cudaErrorMemoryAllocation);
  }
  EXPECT_EQ(cudaGetDevice(&device), cudaSuccess);
  EXPECT_EQ(device, 1);
  SetEmulatedDevices({});
  EXPECT_EQ(cudaGetDeviceCount(&count), cudaErrorNoDevice);
  EXPECT_EQ(cudaSetDevice(0), cudaErrorNoDevice);
  cudaStream_t stream;
  EXPECT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaErrorNoDevice);
  SetEmulatedDevices({std::int64_t{1} << 30});
  EXPECT_EQ(cudaSetDevice(0), cudaSuccess);
  EXPECT_EQ(cudaGetLastError(), cudaErrorNoDevice);
}

TEST(Emulator, FailsTheWorkThatItIsToldTo) {
  const Device values(std::vector<float>{0.0f});
  const std::int64_t before = EmulatedWorkCount();
  FailEmulatedWork(2, cudaErrorLaunchFailure, /*sticky=*/false);
  for (int i = 1; i <= 3; ++i) {
    EmulateLaunch(nullptr, AddKernel, 1, 1, values.data(), 1.0f);
    EXPECT_EQ(cudaPeekAtLastError(), i == 2 ? cudaErrorLaunchFailure : cudaSuccess);
    EXPECT_EQ(cudaGetLastError(), i == 2 ? cudaErrorLaunchFailure : cudaSuccess);
    EXPECT_EQ(cudaGetLastError(), cudaSuccess);
  }
  EXPECT_EQ(EmulatedWorkCount(), before + 3);
  EXPECT_THAT(values.Values(), ElementsAre(2.0f));

  const std::int64_t alive = EmulatedAllocationCount();
  cudaStream_t stream;
  ASSERT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
  FailEmulatedWork(1, cudaErrorECCUncorrectable, /*sticky=*/true);
  EXPECT_EQ(cudaMemsetAsync(values.data(), 0, values.bytes(), stream), cudaErrorECCUncorrectable);
  EXPECT_EQ(cudaGetLastError(), cudaErrorECCUncorrectable);
  EXPECT_EQ(cudaGetLastError(), cudaErrorECCUncorrectable);
  EXPECT_EQ(cudaStreamSynchronize(stream), cudaErrorECCUncorrectable);
  std::thread([] {
    void* data = nullptr;
    EXPECT_EQ(cudaMalloc(&data, 1), cudaErrorECCUncorrectable);
  }).join();
  int count = 0;
  EXPECT_EQ(cudaGetDeviceCount(&count), cudaSuccess);
  EXPECT_EQ(cudaStreamDestroy(stream), cudaErrorECCUncorrectable);
  EXPECT_EQ(EmulatedAllocationCount(), alive);
  ForgetEmulatedFailure();
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
  EXPECT_THAT(values.Values(), ElementsAre(2.0f));
}

TEST(Emulator, GraphsRunWhatWasCaptured) {
  const Device values(std::vector<float>{1.0f});
  const Pinned in(10.0f);
  const Stream stream;
  const std::int64_t alive = EmulatedAllocationCount();
  ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  EXPECT_EQ(cudaMemcpyAsync(values.data(), in.data(), sizeof(float), cudaMemcpyHostToDevice, stream), cudaSuccess);
  EmulateLaunch(stream, AddKernel, 1, 1, values.data(), 1.0f);
  cudaGraph_t graph = nullptr;
  ASSERT_EQ(cudaStreamEndCapture(stream, &graph), cudaSuccess);
  cudaGraphExec_t exec = nullptr;
  ASSERT_EQ(cudaGraphInstantiate(&exec, graph, 0), cudaSuccess);
  EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
  EXPECT_THAT(values.Values(), ElementsAre(1.0f));
  for (const float value : {10.0f, 20.0f}) {
    *in = value;
    EXPECT_EQ(cudaGraphLaunch(exec, stream), cudaSuccess);
    EmulateLaunch(stream, AddKernel, 1, 1, values.data(), 100.0f);
    EXPECT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
    EXPECT_THAT(values.Values(), ElementsAre(value + 101.0f));
  }
  EXPECT_EQ(cudaGraphExecDestroy(exec), cudaSuccess);
  EXPECT_EQ(cudaGraphExecDestroy(exec), cudaErrorInvalidValue);
  EXPECT_EQ(cudaGraphLaunch(exec, stream), cudaErrorInvalidValue);
  EXPECT_EQ(cudaGraphDestroy(graph), cudaErrorInvalidValue);
  EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidValue);
  EXPECT_EQ(EmulatedAllocationCount(), alive);
}

TEST(Emulator, RefusesWhatACaptureMayNotDo) {
  const Device values(std::vector<float>{1.0f});
  const Stream stream, other;
  const Event event, recorded;
  float pageable = 0.0f;
  void* data = nullptr;
  ASSERT_EQ(cudaEventRecord(recorded, other), cudaSuccess);
  cudaGraph_t graph = nullptr;
  const auto begin = [&](cudaStreamCaptureMode mode) {
    (void)cudaGetLastError();
    ASSERT_EQ(cudaStreamBeginCapture(stream, mode), cudaSuccess);
    EmulateLaunch(stream, AddKernel, 1, 1, values.data(), 1.0f);
    EXPECT_EQ(cudaGetLastError(), cudaSuccess);
  };
  const auto end = [&] {
    const cudaError_t error = cudaStreamEndCapture(stream, &graph);
    EXPECT_EQ(graph == nullptr, error != cudaSuccess);
    if (graph != nullptr) {
      EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
    }
    return error;
  };
  const auto spoils = [&](auto call, cudaError_t error) {
    begin(cudaStreamCaptureModeThreadLocal);
    EXPECT_EQ(call(), error);
    EmulateLaunch(stream, AddKernel, 1, 1, values.data(), 1.0f);
    EXPECT_EQ(cudaGetLastError(), cudaErrorStreamCaptureInvalidated);
    EXPECT_EQ(end(), cudaErrorStreamCaptureInvalidated);
  };
  spoils([&] { return cudaStreamSynchronize(stream); }, cudaErrorStreamCaptureUnsupported);
  spoils([&] { return cudaStreamQuery(stream); }, cudaErrorStreamCaptureUnsupported);
  spoils([&] { return cudaEventRecord(event, stream); }, cudaErrorStreamCaptureUnsupported);
  spoils([&] { return cudaStreamWaitEvent(stream, recorded, 0); }, cudaErrorStreamCaptureIsolation);
  spoils([&] { return cudaMalloc(&data, 1); }, cudaErrorStreamCaptureUnsupported);
  spoils([&] { return cudaFree(values.data()); }, cudaErrorStreamCaptureUnsupported);
  spoils([&] { return cudaMemcpyAsync(values.data(), &pageable, 4, cudaMemcpyHostToDevice, stream); },
         cudaErrorStreamCaptureUnsupported);

  // Another thread may allocate unless the mode is global; so may this one when it is relaxed.
  const auto allocate = [&] {
    cudaError_t error = cudaMalloc(&data, 1);
    if (error == cudaSuccess) error = cudaFree(data);
    return error;
  };
  cudaError_t error = cudaSuccess;
  for (const auto mode : {cudaStreamCaptureModeThreadLocal, cudaStreamCaptureModeGlobal}) {
    const bool global = mode == cudaStreamCaptureModeGlobal;
    begin(mode);
    std::thread([&] { error = allocate(); }).join();
    EXPECT_EQ(error, global ? cudaErrorStreamCaptureUnsupported : cudaSuccess);
    EXPECT_EQ(end(), global ? cudaErrorStreamCaptureInvalidated : cudaSuccess);
  }
  begin(cudaStreamCaptureModeRelaxed);
  EXPECT_EQ(allocate(), cudaSuccess);
  EXPECT_EQ(end(), cudaSuccess);

  begin(cudaStreamCaptureModeThreadLocal);
  EXPECT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), cudaErrorIllegalState);
  std::thread([&] { error = cudaStreamEndCapture(stream, &graph); }).join();
  EXPECT_EQ(error, cudaErrorStreamCaptureWrongThread);
  EXPECT_EQ(end(), cudaSuccess);
  EXPECT_EQ(end(), cudaErrorIllegalState);
  EXPECT_EQ(cudaStreamBeginCapture(nullptr, cudaStreamCaptureModeThreadLocal), cudaErrorStreamCaptureUnsupported);
  // A stream that waits for the null stream would hold it up.
  cudaStream_t blocking = nullptr;
  ASSERT_EQ(cudaStreamCreateWithFlags(&blocking, cudaStreamDefault), cudaSuccess);
  ASSERT_EQ(cudaStreamBeginCapture(blocking, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  EXPECT_EQ(cudaMemsetAsync(values.data(), 0, 4, nullptr), cudaErrorStreamCaptureImplicit);
  EXPECT_EQ(cudaStreamDestroy(blocking), cudaSuccess);
  EXPECT_EQ(cudaGetLastError(), cudaErrorStreamCaptureImplicit);
  EXPECT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
  EXPECT_THAT(values.Values(), ElementsAre(1.0f));
}

TEST(Emulator, ManyHostThreads) {
  std::vector<std::thread> hosts;
  for (int host = 0; host < 4; ++host) {
    hosts.emplace_back([host] {
      std::vector<float> numbers = Numbers(2 * kThreads);
      for (float& number : numbers) number += 100.0f * host;
      const Device in(numbers), out(2 * kThreads);
      const Stream stream;
      for (int i = 0; i < 50; ++i) {
        EmulateLaunch(stream, ReverseKernel, 2, kThreads, in.data(), out.data());
        EmulateLaunch(stream, ReverseKernel, 2, kThreads, out.data(), in.data());
        EXPECT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
        EXPECT_EQ(in.Values(), numbers);
        // An error of this thread alone.
        EmulateLaunch(stream, TouchKernel, 1, host % 2 == 0 ? 0 : 1, out.data(), 0);
        EXPECT_EQ(cudaGetLastError(), host % 2 == 0 ? cudaErrorInvalidConfiguration : cudaSuccess);
      }
    });
  }
  for (std::thread& host : hosts) host.join();
}

// Every half, every midpoint, and what lies beside it: the server's conversion is tested by itself.
TEST(EmulatedCuda, RoundsToHalfAsTheServerDoes) {
  for (std::uint16_t bits = 0; bits < 0x7c00; ++bits) {
    const float low = __half2float({bits});
    const float high = bits == 0x7bff ? 65536.0f : __half2float({static_cast<std::uint16_t>(bits + 1)});
    const float middle = (low + high) / 2;
    for (const float value :
         {low, std::nextafter(low, 1e9f), std::nextafter(middle, 0.0f), middle, std::nextafter(middle, 1e9f)}) {
      ASSERT_EQ(__float2half_rn(value).bits, likeness::server::ToHalf(value)) << value;
      ASSERT_EQ(__float2half_rn(-value).bits, likeness::server::ToHalf(-value)) << value;
    }
  }
  EXPECT_EQ(__float2half_rn(1e10f).bits, 0x7c00);
  EXPECT_EQ(__float2half_rn(-INFINITY).bits, 0xfc00);
  EXPECT_TRUE(std::isnan(__half2float(__float2half_rn(std::nanf("")))));
}

}  // namespace
