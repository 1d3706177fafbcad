// Errors, devices, memory and copies.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <map>

#include "tests/emulator/control.h"
#include "tests/emulator/runtime.h"

struct EmulatedMemPool {};

namespace likeness::emulator {
namespace {

struct Allocation {
  std::size_t bytes;
  int device;  // -1: pinned memory of the host
};

std::map<const std::byte*, Allocation> allocations;
std::int64_t handle_count = 0;
std::vector<std::int64_t> device_bytes = {std::int64_t{1} << 30};
std::int64_t bytes_each = std::numeric_limits<std::int64_t>::max();

std::int64_t work_count = 0;
std::int64_t failing_work = -1;
cudaError_t failure = cudaSuccess;
bool failure_sticks = false;
cudaError_t sticky = cudaSuccess;

thread_local cudaError_t last_error = cudaSuccess;
thread_local int current_device = 0;

std::int64_t FreeBytes(int device) {
  std::int64_t free = device_bytes[device];
  for (const auto& [data, allocation] : allocations) {
    if (allocation.device == device) free -= static_cast<std::int64_t>(allocation.bytes);
  }
  return std::max<std::int64_t>(free, 0);
}

}  // namespace

std::mutex& DeviceMutex() {
  static std::mutex mutex;
  return mutex;
}

cudaError_t Broken() {
  if (device_bytes.empty()) return cudaErrorNoDevice;
  return sticky;
}

cudaError_t Finish(cudaError_t error) {
  if (error != cudaSuccess && error != cudaErrorNotReady) last_error = error;
  return error;
}

cudaError_t CountWork() {
  if (++work_count != failing_work) return cudaSuccess;
  if (failure_sticks) sticky = failure;
  return failure;
}

// Also when a test has taken the thread's device away.
int CurrentDevice() { return current_device < static_cast<int>(device_bytes.size()) ? current_device : 0; }

Where WhereIs(const void* data, std::size_t bytes) {
  const auto* begin = static_cast<const std::byte*>(data);
  auto found = allocations.upper_bound(begin);
  if (found == allocations.begin()) return Where::kPageable;
  --found;
  const std::byte* end = found->first + found->second.bytes;
  if (begin >= end) return Where::kPageable;
  if (bytes > static_cast<std::size_t>(end - begin)) return Where::kBroken;
  return found->second.device < 0 ? Where::kPinned : Where::kDevice;
}

// From malloc, and no longer than asked for: AddressSanitizer watches both ends.
cudaError_t Allocate(void** data, std::size_t bytes, int device) {
  *data = nullptr;
  if (bytes == 0) return cudaSuccess;
  if (const cudaError_t unsafe = UnsafeWhileCapturing(); unsafe != cudaSuccess) return unsafe;
  const auto wanted = static_cast<std::int64_t>(bytes);
  if (wanted > bytes_each || (device >= 0 && wanted > FreeBytes(device))) return cudaErrorMemoryAllocation;
  if (posix_memalign(data, 256, bytes) != 0) return cudaErrorMemoryAllocation;
  std::memset(*data, 0xff, bytes);
  allocations[static_cast<const std::byte*>(*data)] = {bytes, device};
  return cudaSuccess;
}

cudaError_t Release(void* data, Where where) {
  if (data == nullptr) return cudaSuccess;
  const auto found = allocations.find(static_cast<const std::byte*>(data));
  if (found == allocations.end() || (found->second.device < 0) != (where == Where::kPinned))
    return cudaErrorInvalidValue;
  if (const cudaError_t unsafe = UnsafeWhileCapturing(); unsafe != cudaSuccess) return unsafe;
  RunAll();
  allocations.erase(found);
  std::free(data);
  return cudaSuccess;
}

void CheckStillOwned(const void* data, std::size_t bytes) {
  if (bytes == 0 || WhereIs(data, bytes) == Where::kDevice) return;
  std::fprintf(stderr, "emulator: work runs in memory that was released after it was enqueued\n");
  std::abort();
}

void CountHandles(int change) { handle_count += change; }

}  // namespace likeness::emulator

// CUDA's names are in the global namespace.
using namespace likeness::emulator;  // NOLINT

std::int64_t EmulatedAllocationCount() {
  const std::lock_guard lock(DeviceMutex());
  return handle_count + static_cast<std::int64_t>(allocations.size());
}

void LimitEmulatedMemory(std::int64_t bytes) {
  const std::lock_guard lock(DeviceMutex());
  bytes_each = bytes;
}

void SetEmulatedDevices(const std::vector<std::int64_t>& memory_bytes) {
  const std::lock_guard lock(DeviceMutex());
  device_bytes = memory_bytes;
}

void FailEmulatedWork(std::int64_t n, cudaError_t error, bool sticks) {
  const std::lock_guard lock(DeviceMutex());
  failing_work = work_count + n;
  failure = error;
  failure_sticks = sticks;
}

void ForgetEmulatedFailure() {
  const std::lock_guard lock(DeviceMutex());
  failing_work = -1;
  sticky = last_error = cudaSuccess;
}

std::int64_t EmulatedWorkCount() {
  const std::lock_guard lock(DeviceMutex());
  return work_count;
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
    case cudaErrorInvalidDevice:
      return "cudaErrorInvalidDevice";
    case cudaErrorECCUncorrectable:
      return "cudaErrorECCUncorrectable";
    case cudaErrorInvalidResourceHandle:
      return "cudaErrorInvalidResourceHandle";
    case cudaErrorIllegalState:
      return "cudaErrorIllegalState";
    case cudaErrorNotReady:
      return "cudaErrorNotReady";
    case cudaErrorIllegalAddress:
      return "cudaErrorIllegalAddress";
    case cudaErrorLaunchFailure:
      return "cudaErrorLaunchFailure";
    case cudaErrorNotSupported:
      return "cudaErrorNotSupported";
    case cudaErrorStreamCaptureUnsupported:
      return "cudaErrorStreamCaptureUnsupported";
    case cudaErrorStreamCaptureInvalidated:
      return "cudaErrorStreamCaptureInvalidated";
    case cudaErrorStreamCaptureUnmatched:
      return "cudaErrorStreamCaptureUnmatched";
    case cudaErrorStreamCaptureIsolation:
      return "cudaErrorStreamCaptureIsolation";
    case cudaErrorStreamCaptureImplicit:
      return "cudaErrorStreamCaptureImplicit";
    case cudaErrorStreamCaptureWrongThread:
      return "cudaErrorStreamCaptureWrongThread";
    case cudaErrorUnknown:
      return "cudaErrorUnknown";
  }
  return "unrecognized error code";
}
const char* cudaGetErrorString(cudaError_t error) { return cudaGetErrorName(error); }

cudaError_t cudaPeekAtLastError() {
  const std::lock_guard lock(DeviceMutex());
  return sticky != cudaSuccess ? sticky : last_error;
}
cudaError_t cudaGetLastError() {
  const cudaError_t error = cudaPeekAtLastError();
  last_error = cudaSuccess;
  return error;
}

// These tell of devices without using one, and so answer whatever has failed.
cudaError_t cudaGetDeviceCount(int* count) {
  const std::lock_guard lock(DeviceMutex());
  *count = static_cast<int>(device_bytes.size());
  return Finish(device_bytes.empty() ? cudaErrorNoDevice : cudaSuccess);
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  const std::lock_guard lock(DeviceMutex());
  if (device < 0 || device >= static_cast<int>(device_bytes.size())) return Finish(cudaErrorInvalidDevice);
  *properties = {};
  std::strcpy(properties->name, "no GPU: kernels emulated on the CPU");
  properties->totalGlobalMem = device_bytes[device];
  properties->multiProcessorCount = 1;
  return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int* version) {
  *version = 0;
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) { return cudaDriverGetVersion(version); }

cudaError_t cudaSetDevice(int device) {
  return Call([&] {
    if (device < 0 || device >= static_cast<int>(device_bytes.size())) return cudaErrorInvalidDevice;
    current_device = device;
    return cudaSuccess;
  });
}
cudaError_t cudaGetDevice(int* device) {
  return Call([&] {
    *device = CurrentDevice();
    return cudaSuccess;
  });
}
cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  return Call([&] {
    *free = FreeBytes(CurrentDevice());
    *total = device_bytes[CurrentDevice()];
    return cudaSuccess;
  });
}

cudaError_t cudaMalloc(void** data, std::size_t bytes) {
  return Call([&] { return Allocate(data, bytes, CurrentDevice()); });
}
cudaError_t cudaFree(void* data) {
  return Destroy([&] { return Release(data, Where::kDevice); });
}
// There at once and gone at once, which a stream's order allows. In a graph they would be nodes, which we have none of.
cudaError_t cudaMallocAsync(void** data, std::size_t bytes, cudaStream_t stream) {
  return Call([&] {
    if (IsCapturing(stream)) return RefuseCapture(stream, cudaErrorStreamCaptureUnsupported);
    return Allocate(data, bytes, DeviceOf(stream));
  });
}
cudaError_t cudaFreeAsync(void* data, cudaStream_t stream) {
  return Destroy([&] {
    if (IsCapturing(stream)) return RefuseCapture(stream, cudaErrorStreamCaptureUnsupported);
    return Release(data, Where::kDevice);
  });
}
cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t* pool, int device) {
  return Call([&] {
    static EmulatedMemPool all;
    *pool = &all;
    return device < static_cast<int>(device_bytes.size()) ? cudaSuccess : cudaErrorInvalidDevice;
  });
}
cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t pool, cudaMemPoolAttr attribute, void* value) {
  return Call([&] {
    const bool known = attribute == cudaMemPoolAttrReleaseThreshold && pool != nullptr && value != nullptr;
    return known ? cudaSuccess : cudaErrorInvalidValue;
  });
}
cudaError_t cudaMallocHost(void** data, std::size_t bytes) {
  return Call([&] { return Allocate(data, bytes, -1); });
}
cudaError_t cudaHostAlloc(void** data, std::size_t bytes, unsigned flags) {
  return Call([&] { return flags > cudaHostAllocPortable ? cudaErrorInvalidValue : Allocate(data, bytes, -1); });
}
cudaError_t cudaFreeHost(void* data) {
  return Destroy([&] { return Release(data, Where::kPinned); });
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  return Call([&] {
    if (bytes == 0) return cudaSuccess;
    const Where target = WhereIs(to, bytes), source = WhereIs(from, bytes);
    const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
    const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
    if (target == Where::kBroken || source == Where::kBroken || to_device != (target == Where::kDevice) ||
        from_device != (source == Where::kDevice)) {
      return cudaErrorInvalidValue;
    }
    if (IsCapturing(stream) && (source == Where::kPageable || target == Where::kPageable)) {
      return RefuseCapture(stream, cudaErrorStreamCaptureUnsupported);
    }
    if (source == Where::kPageable) {
      // Read before the call returns.
      const auto* first = static_cast<const std::byte*>(from);
      return Enqueue(stream, [to, copy = std::vector<std::byte>(first, first + bytes)] {
        std::memcpy(to, copy.data(), copy.size());
      });
    }
    const cudaError_t error = Enqueue(stream, [=] { std::memcpy(to, from, bytes); });
    // Written before the call returns.
    if (error == cudaSuccess && target == Where::kPageable) RunStream(stream);
    return error;
  });
}
cudaError_t cudaMemsetAsync(void* data, int value, std::size_t bytes, cudaStream_t stream) {
  return Call([&] {
    if (bytes == 0) return cudaSuccess;
    if (WhereIs(data, bytes) != Where::kDevice) return cudaErrorInvalidValue;
    return Enqueue(stream, [=] { std::memset(data, value, bytes); });
  });
}
