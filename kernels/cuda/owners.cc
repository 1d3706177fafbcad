#include "kernels/cuda/owners.h"

#include <cstdio>

namespace likeness::cuda {
namespace {

// Nobody is left to return it to.
void Report(const Failure& failure) {
  if (!failure.failed()) return;
  std::fprintf(stderr, "likeness: %s: %s (%s:%d)\n", failure.expression, cudaGetErrorName(failure.code), failure.file,
               failure.line);
}

}  // namespace

Failure Stream::Create(Stream* out) {
  Stream made;
  LIKENESS_CUDA_RETURN_IF_FAILED(cudaStreamCreateWithFlags(&made.stream_, cudaStreamNonBlocking));
  *out = std::move(made);
  return {};
}
Stream::~Stream() {
  if (stream_ != nullptr) Report(LIKENESS_CUDA_CHECK(cudaStreamDestroy(stream_)));
}
Failure Stream::Wait() const { return LIKENESS_CUDA_CHECK(cudaStreamSynchronize(stream_)); }

Failure Event::Create(Kind kind, Event* out) {
  Event made;
  LIKENESS_CUDA_RETURN_IF_FAILED(
      cudaEventCreateWithFlags(&made.event_, kind == Kind::kOrder ? cudaEventDisableTiming : cudaEventDefault));
  *out = std::move(made);
  return {};
}
Event::~Event() {
  if (event_ != nullptr) Report(LIKENESS_CUDA_CHECK(cudaEventDestroy(event_)));
}
Failure Event::RecordAsync(cudaStream_t stream) const { return LIKENESS_CUDA_CHECK(cudaEventRecord(event_, stream)); }
Failure Event::WaitAsync(cudaStream_t stream) const {
  return LIKENESS_CUDA_CHECK(cudaStreamWaitEvent(stream, event_, 0));
}
Failure Event::ElapsedMs(const Event& start, float* out) const {
  return LIKENESS_CUDA_CHECK(cudaEventElapsedTime(out, start.event_, event_));
}

// Thread-local: an allocation by this thread would be a mistake of ours and spoils the capture, while other slots'
// threads allocate when they like.
Failure Graph::Capture(cudaStream_t stream, const std::function<Failure()>& enqueue, Graph* out) {
  LIKENESS_CUDA_RETURN_IF_FAILED(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  Failure failure = enqueue();
  cudaGraph_t recorded = nullptr;
  const Failure ended = LIKENESS_CUDA_CHECK(cudaStreamEndCapture(stream, &recorded));
  // A library does not tell that its call may not be captured; the runtime does.
  if (failure.code == cudaErrorUnknown && ended.failed()) failure.code = ended.code;
  if (!failure.failed()) failure = ended;
  Graph made;
  if (!failure.failed()) failure = LIKENESS_CUDA_CHECK(cudaGraphInstantiate(&made.graph_, recorded, 0));
  if (recorded != nullptr) Report(LIKENESS_CUDA_CHECK(cudaGraphDestroy(recorded)));
  LIKENESS_CUDA_RETURN_IF_FAILED(failure);
  *out = std::move(made);
  return {};
}
Graph::~Graph() {
  if (graph_ != nullptr) Report(LIKENESS_CUDA_CHECK(cudaGraphExecDestroy(graph_)));
}
Failure Graph::LaunchAsync(cudaStream_t stream) const { return LIKENESS_CUDA_CHECK(cudaGraphLaunch(graph_, stream)); }

Failure DeviceBuffer::Create(std::int64_t bytes, DeviceBuffer* out) {
  DeviceBuffer made;
  void* data = nullptr;
  LIKENESS_CUDA_RETURN_IF_FAILED(cudaMalloc(&data, static_cast<std::size_t>(bytes)));
  made.data_ = static_cast<std::byte*>(data);
  made.bytes_ = bytes;
  *out = std::move(made);
  return {};
}
DeviceBuffer::~DeviceBuffer() {
  if (data_ != nullptr) Report(LIKENESS_CUDA_CHECK(cudaFree(data_)));
}

Failure PinnedBuffer::Create(std::int64_t bytes, PinnedBuffer* out) {
  PinnedBuffer made;
  void* data = nullptr;
  LIKENESS_CUDA_RETURN_IF_FAILED(cudaMallocHost(&data, static_cast<std::size_t>(bytes)));
  made.data_ = static_cast<std::byte*>(data);
  made.bytes_ = bytes;
  *out = std::move(made);
  return {};
}
PinnedBuffer::~PinnedBuffer() {
  if (data_ != nullptr) Report(LIKENESS_CUDA_CHECK(cudaFreeHost(data_)));
}

}  // namespace likeness::cuda
