// Streams, events and graphs: what is queued or captured, and who waits for it.
#include <chrono>
#include <deque>
#include <memory>
#include <optional>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "tests/emulator/control.h"
#include "tests/emulator/runtime.h"

// A recording of an event: the stream gets there, or has.
struct Moment {
  EmulatedStream* stream;
  bool reached = false;
  std::chrono::steady_clock::time_point time;
};

using Nodes = std::vector<std::function<void()>>;

struct Capture {
  cudaStreamCaptureMode mode;
  std::thread::id thread;
  bool spoilt = false;
  Nodes nodes;
};

struct EmulatedStream {
  int device;
  bool waits_for_null;
  std::deque<std::function<void()>> work;
  std::optional<Capture> capture;
};

struct EmulatedGraph {
  Nodes nodes;
};

struct EmulatedGraphExec {
  std::shared_ptr<const Nodes> nodes;
  void* memory = nullptr;  // of the device, as a real one takes some
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
std::set<EmulatedGraph*> graphs;
std::set<EmulatedGraphExec*> execs;
bool defer = true;

bool Known(cudaStream_t stream) { return stream == nullptr || streams.count(stream) != 0; }
bool Known(cudaEvent_t event) { return events.count(event) != 0; }

// For what a capturing stream may not be asked for.
cudaError_t Refused(cudaStream_t stream, cudaError_t error = cudaErrorStreamCaptureUnsupported) {
  return IsCapturing(stream) ? RefuseCapture(stream, error) : cudaSuccess;
}

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
  if (IsCapturing(stream)) {
    if (stream->capture->spoilt) return cudaErrorStreamCaptureInvalidated;
    stream->capture->nodes.push_back(std::move(work));
    return cudaSuccess;
  }
  if (stream == nullptr) {
    // It would have to wait for what is not running.
    for (EmulatedStream* other : streams) {
      if (!other->waits_for_null) continue;
      if (const cudaError_t refused = Refused(other, cudaErrorStreamCaptureImplicit); refused != cudaSuccess) {
        return refused;
      }
    }
  }
  Queue(stream, std::move(work));
  return cudaSuccess;
}

int DeviceOf(cudaStream_t stream) { return stream == nullptr ? CurrentDevice() : stream->device; }

bool IsCapturing(cudaStream_t stream) { return stream != nullptr && stream->capture.has_value(); }

cudaError_t RefuseCapture(cudaStream_t stream, cudaError_t error) {
  if (stream->capture->spoilt) return cudaErrorStreamCaptureInvalidated;
  stream->capture->spoilt = true;
  return error;
}

cudaError_t UnsafeWhileCapturing() {
  cudaError_t result = cudaSuccess;
  for (EmulatedStream* stream : streams) {
    if (!stream->capture || stream->capture->mode == cudaStreamCaptureModeRelaxed) continue;
    const bool mine = stream->capture->thread == std::this_thread::get_id();
    if (!mine && stream->capture->mode != cudaStreamCaptureModeGlobal) continue;
    stream->capture->spoilt = true;
    result = cudaErrorStreamCaptureUnsupported;
  }
  return result;
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
    *stream = new EmulatedStream{CurrentDevice(), flags == cudaStreamDefault, {}, {}};
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
    if (const cudaError_t refused = Refused(stream); refused != cudaSuccess) return refused;
    RunStream(stream);
    return cudaSuccess;
  });
}

cudaError_t cudaStreamQuery(cudaStream_t stream) {
  return Call([&] {
    if (!Known(stream)) return cudaErrorInvalidResourceHandle;
    if (const cudaError_t refused = Refused(stream); refused != cudaSuccess) return refused;
    if (stream == nullptr || stream->work.empty()) return cudaSuccess;
    RunOne(stream);
    return cudaErrorNotReady;
  });
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags) {
  return Call([&] {
    if (!Known(stream) || !Known(event)) return cudaErrorInvalidResourceHandle;
    if (flags != 0) return cudaErrorInvalidValue;
    if (const cudaError_t refused = Refused(stream, cudaErrorStreamCaptureIsolation); refused != cudaSuccess) {
      return refused;
    }
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
    if (event->device != DeviceOf(stream)) return cudaErrorInvalidResourceHandle;
    if (const cudaError_t refused = Refused(stream); refused != cudaSuccess) return refused;
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

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  return Call([&] {
    if (!Known(stream)) return cudaErrorInvalidResourceHandle;
    if (stream == nullptr) return cudaErrorStreamCaptureUnsupported;
    if (IsCapturing(stream)) return cudaErrorIllegalState;
    stream->capture = Capture{mode, std::this_thread::get_id(), false, {}};
    return cudaSuccess;
  });
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  // The stream leaves the capture whatever has failed.
  return Destroy([&] {
    *graph = nullptr;
    if (!Known(stream)) return cudaErrorInvalidResourceHandle;
    if (!IsCapturing(stream)) return cudaErrorIllegalState;
    if (stream->capture->mode != cudaStreamCaptureModeRelaxed &&
        stream->capture->thread != std::this_thread::get_id()) {
      return cudaErrorStreamCaptureWrongThread;
    }
    const Capture ended = *std::exchange(stream->capture, std::nullopt);
    if (Broken() != cudaSuccess) return Broken();
    if (ended.spoilt) return cudaErrorStreamCaptureInvalidated;
    *graph = new EmulatedGraph{ended.nodes};
    graphs.insert(*graph);
    CountHandles(1);
    return cudaSuccess;
  });
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  return Destroy([&] {
    if (graphs.erase(graph) == 0) return cudaErrorInvalidValue;
    delete graph;
    CountHandles(-1);
    return cudaSuccess;
  });
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long flags) {
  return Call([&] {
    if (graphs.count(graph) == 0 || flags != 0) return cudaErrorInvalidValue;
    void* memory = nullptr;
    if (const cudaError_t error = Allocate(&memory, 64 * (1 + graph->nodes.size()), CurrentDevice());
        error != cudaSuccess) {
      return error;
    }
    *exec = new EmulatedGraphExec{std::make_shared<const Nodes>(graph->nodes), memory};
    execs.insert(*exec);
    return cudaSuccess;
  });
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  return Call([&] {
    if (execs.count(exec) == 0) return cudaErrorInvalidValue;
    if (const cudaError_t refused = Refused(stream); refused != cudaSuccess) return refused;
    return Enqueue(stream, [nodes = exec->nodes] {
      for (const std::function<void()>& node : *nodes) node();
    });
  });
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  return Destroy([&] {
    if (execs.erase(exec) == 0) return cudaErrorInvalidValue;
    const cudaError_t released = Release(exec->memory, Where::kDevice);
    delete exec;
    return released;
  });
}
