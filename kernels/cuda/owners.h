// Owners of a stream, an event, a graph and buffers. Move only: a copy could not say on which stream it was made.
//
// Each has `static Failure Create(..., T* out)`; *out is untouched after a failure. A default-made owner owns nothing.
// Destructors print a failed release to stderr and go on. An owner must not outlive the work that uses what it owns:
// wait for the stream first. Not thread safe, but for what CUDA says of the handles themselves.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <utility>

#include "kernels/cuda/failure.h"

namespace likeness::cuda {

// Does not wait for the default stream, nor the default stream for it.
class Stream {
 public:
  static Failure Create(Stream* out);
  Stream() = default;
  Stream(Stream&& other) noexcept : stream_(std::exchange(other.stream_, nullptr)) {}
  Stream& operator=(Stream&& other) noexcept {
    std::swap(stream_, other.stream_);
    return *this;
  }
  ~Stream();

  cudaStream_t get() const { return stream_; }
  // Waits until all work on the stream is done; failures of that work show here at the latest.
  Failure Wait() const;

 private:
  cudaStream_t stream_ = nullptr;
};

class Event {
 public:
  enum class Kind { kOrder, kTiming };  // kOrder is cheaper and has no time stamp
  static Failure Create(Kind kind, Event* out);
  Event() = default;
  Event(Event&& other) noexcept : event_(std::exchange(other.event_, nullptr)) {}
  Event& operator=(Event&& other) noexcept {
    std::swap(event_, other.event_);
    return *this;
  }
  ~Event();

  cudaEvent_t get() const { return event_; }
  Failure RecordAsync(cudaStream_t stream) const;
  // Makes later work on `stream` wait for the event; the host does not wait.
  Failure WaitAsync(cudaStream_t stream) const;
  // Time of the GPU since `start`; both are of kind kTiming and done.
  Failure ElapsedMs(const Event& start, float* out) const;

 private:
  cudaEvent_t event_ = nullptr;
};

// Work of a stream that was recorded, to be launched any number of times.
class Graph {
 public:
  // Records what `enqueue` puts on the stream, which does not run, and makes it ready. The calling thread may not
  // allocate meanwhile, nor wait for the stream; other threads may do as they please. The stream is as before in any
  // case.
  static Failure Capture(cudaStream_t stream, const std::function<Failure()>& enqueue, Graph* out);
  Graph() = default;
  Graph(Graph&& other) noexcept : graph_(std::exchange(other.graph_, nullptr)) {}
  Graph& operator=(Graph&& other) noexcept {
    std::swap(graph_, other.graph_);
    return *this;
  }
  ~Graph();

  // With the addresses and arguments that were recorded, and what lies there now.
  Failure LaunchAsync(cudaStream_t stream) const;

 private:
  cudaGraphExec_t graph_ = nullptr;
};

// Memory of the GPU. Create and the destructor may wait for the whole device: not for the scoring path.
class DeviceBuffer {
 public:
  static Failure Create(std::int64_t bytes, DeviceBuffer* out);
  DeviceBuffer() = default;
  DeviceBuffer(DeviceBuffer&& other) noexcept { *this = std::move(other); }
  DeviceBuffer& operator=(DeviceBuffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~DeviceBuffer();

  std::byte* data() const { return data_; }
  std::int64_t size_bytes() const { return bytes_; }

 private:
  std::byte* data_ = nullptr;
  std::int64_t bytes_ = 0;
};

// Page-locked memory of the host, from and to which copies run beside other work. Same caution as DeviceBuffer.
class PinnedBuffer {
 public:
  static Failure Create(std::int64_t bytes, PinnedBuffer* out);
  PinnedBuffer() = default;
  PinnedBuffer(PinnedBuffer&& other) noexcept { *this = std::move(other); }
  PinnedBuffer& operator=(PinnedBuffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~PinnedBuffer();

  std::byte* data() const { return data_; }
  std::int64_t size_bytes() const { return bytes_; }

 private:
  std::byte* data_ = nullptr;
  std::int64_t bytes_ = 0;
};

}  // namespace likeness::cuda
