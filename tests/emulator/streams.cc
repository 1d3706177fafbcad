// Streams and events: what is queued, and who waits for it.
#include <chrono>
#include <deque>
#include <memory>
#include <set>
#include <utility>

#include "tests/emulator/control.h"
#include "tests/emulator/runtime.h"

// A recording of an event: the stream gets there, or has.
struct Moment {
  EmulatedStream* stream;
  bool reached = false;
  std::chrono::steady_clock::time_point time;
};

struct EmulatedStream {
  int device;
  bool waits_for_null;
  std::deque<std::function<void()>> work;
};

struct EmulatedEvent {
  int device;
  bool timed;
  std::shared_ptr<Moment> moment;  // the last; null: never recorded
};

namespace likeness::emulator {
namespace {

std::set<EmulatedStream*> streams;
std::set<EmulatedEvent*> events;
bool defer = true;

bool Known(cudaStream_t stream) { return stream == nullptr || streams.count(stream) != 0; }
bool Known(cudaEvent_t event) { return events.count(event) != 0; }

void RunOne(EmulatedStream* stream) {
  const std::function<void()> work = std::move(stream->work.front());
  stream->work.pop_front();
  work();
}

void RunUntil(const Moment& moment) {
  while (!moment.reached) RunOne(moment.stream);
}

void Queue(cudaStream_t stream, std::function<void()> work) {
  if (stream == nullptr) {
    RunStream(nullptr);
    work();
  } else {
    stream->work.push_back(std::move(work));
    if (!defer) RunStream(stream);
  }
}

}  // namespace

cudaError_t Enqueue(cudaStream_t stream, std::function<void()> work) {
  if (!Known(stream)) return cudaErrorInvalidResourceHandle;
  if (const cudaError_t failed = CountWork(); failed != cudaSuccess) return failed;
  Queue(stream, std::move(work));
  return cudaSuccess;
}

void RunStream(cudaStream_t stream) {
  if (stream != nullptr) {
    while (!stream->work.empty()) RunOne(stream);
    return;
  }
  for (EmulatedStream* other : streams) {
    if (other->waits_for_null) RunStream(other);
  }
}

void RunAll() {
  for (EmulatedStream* stream : streams) RunStream(stream);
}

}  // namespace likeness::emulator

// CUDA's names are in the global namespace.
using namespace likeness::emulator;  // NOLINT

void DeferEmulatedWork(bool defer_it) {
  const std::lock_guard lock(DeviceMutex());
  RunAll();
  defer = defer_it;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  return Call([&] {
    if (flags != cudaStreamDefault && flags != cudaStreamNonBlocking) return cudaErrorInvalidValue;
    *stream = new EmulatedStream{CurrentDevice(), flags == cudaStreamDefault, {}};
    streams.insert(*stream);
    CountHandles(1);
    return cudaSuccess;
  });
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  return Destroy([&] {
    if (stream == nullptr || !Known(stream)) return cudaErrorInvalidResourceHandle;
    RunStream(stream);
    streams.erase(stream);
    delete stream;
    CountHandles(-1);
    return cudaSuccess;
  });
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  return Call([&] {
    if (!Known(stream)) return cudaErrorInvalidResourceHandle;
    RunStream(stream);
    return cudaSuccess;
  });
}

cudaError_t cudaStreamQuery(cudaStream_t stream) {
  return Call([&] {
    if (!Known(stream)) return cudaErrorInvalidResourceHandle;
    if (stream == nullptr || stream->work.empty()) return cudaSuccess;
    RunOne(stream);
    return cudaErrorNotReady;
  });
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags) {
  return Call([&] {
    if (!Known(stream) || !Known(event)) return cudaErrorInvalidResourceHandle;
    if (flags != 0) return cudaErrorInvalidValue;
    if (event->moment) Queue(stream, [moment = event->moment] { RunUntil(*moment); });
    return cudaSuccess;
  });
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  return Call([&] {
    if (flags > (cudaEventBlockingSync | cudaEventDisableTiming)) return cudaErrorInvalidValue;
    *event = new EmulatedEvent{CurrentDevice(), (flags & cudaEventDisableTiming) == 0, nullptr};
    events.insert(*event);
    CountHandles(1);
    return cudaSuccess;
  });
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  return Destroy([&] {
    if (!Known(event)) return cudaErrorInvalidResourceHandle;
    events.erase(event);
    delete event;
    CountHandles(-1);
    return cudaSuccess;
  });
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  return Call([&] {
    if (!Known(stream) || !Known(event)) return cudaErrorInvalidResourceHandle;
    if (event->device != (stream == nullptr ? CurrentDevice() : stream->device)) return cudaErrorInvalidResourceHandle;
    event->moment = std::make_shared<Moment>(Moment{stream, false, {}});
    Queue(stream, [moment = event->moment] {
      moment->reached = true;
      moment->time = std::chrono::steady_clock::now();
    });
    return cudaSuccess;
  });
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  return Call([&] {
    if (!Known(event)) return cudaErrorInvalidResourceHandle;
    if (event->moment) RunUntil(*event->moment);
    return cudaSuccess;
  });
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  return Call([&] {
    if (!Known(event)) return cudaErrorInvalidResourceHandle;
    if (!event->moment || event->moment->reached) return cudaSuccess;
    RunOne(event->moment->stream);
    return cudaErrorNotReady;
  });
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  return Call([&] {
    if (!Known(start) || !Known(end) || !start->timed || !end->timed || !start->moment || !end->moment) {
      return cudaErrorInvalidResourceHandle;
    }
    if (!start->moment->reached || !end->moment->reached) return cudaErrorNotReady;
    *milliseconds = std::chrono::duration<float, std::milli>(end->moment->time - start->moment->time).count();
    return cudaSuccess;
  });
}
