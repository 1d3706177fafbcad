// What the parts of the emulated CUDA know of each other.
#pragma once

#include <cuda_runtime_api.h>

#include <functional>
#include <mutex>

namespace likeness::emulator {

// Guards all that host threads share; held while kernels run, and by who calls what follows.
std::mutex& DeviceMutex();

// What any call fails with now: a sticky error, or that there is no device.
cudaError_t Broken();

// What a call returns. A failure becomes the calling thread's last error; cudaErrorNotReady is none.
cudaError_t Finish(cudaError_t error);

// A call of the runtime: `body` returns its cudaError_t.
template <class Body>
cudaError_t Call(Body body) {
  const std::lock_guard lock(DeviceMutex());
  const cudaError_t broken = Broken();
  return Finish(broken != cudaSuccess ? broken : body());
}
// The same for what destroys, which happens even so.
template <class Body>
cudaError_t Destroy(Body body) {
  const std::lock_guard lock(DeviceMutex());
  const cudaError_t error = body();
  const cudaError_t broken = Broken();
  return Finish(broken != cudaSuccess ? broken : error);
}

// Of the calling thread.
int CurrentDevice();

// What [data, data + bytes) is. kBroken: it begins in memory of ours and does not end there.
enum class Where { kPageable, kPinned, kDevice, kBroken };
Where WhereIs(const void* data, std::size_t bytes);

// Memory of a device, or of the host for -1; nothing for no bytes.
cudaError_t Allocate(void** data, std::size_t bytes, int device);
// Waits for all that is queued, as CUDA does. `where`: kDevice or kPinned, which it must be.
cudaError_t Release(void* data, Where where);

// Counts things that are not memory for EmulatedAllocationCount.
void CountHandles(int change);

// Queues a launch, copy, fill or FFT, or adds it to what the stream captures. Fails, and does not run it, when a test
// asked for that.
cudaError_t Enqueue(cudaStream_t stream, std::function<void()> work);
// Runs what is queued, on all streams or up to the end of one.
void RunAll();
void RunStream(cudaStream_t stream);

// Whether what the stream is given lands in a graph.
bool IsCapturing(cudaStream_t stream);
int DeviceOf(cudaStream_t stream);
// Spoils what the stream captures, and returns the error.
cudaError_t RefuseCapture(cudaStream_t stream, cudaError_t error);
// What an allocation or the like fails with while somebody captures; it spoils the capture. cudaSuccess: nobody does.
cudaError_t UnsafeWhileCapturing();
// Of work that runs: aborts when memory that it was given has been released since.
void CheckStillOwned(const void* data, std::size_t bytes);

// Whether this piece of work is one that shall fail, and with what.
cudaError_t CountWork();

}  // namespace likeness::emulator
