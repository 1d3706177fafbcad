// What the server tells Prometheus about itself. All names begin with likeness_, all units are base units.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "kernels/metric.h"
#include "kernels/scorer.h"
#include "server/batcher.h"

namespace likeness::server {

// The way of one request. Receive: from the whole message at hand to the handler's start, parsing included (what the
// network took is not visible to a server). Decode: from there to decoded pixels, waiting for a worker included. Queue:
// from decoded to taken by a slot. Compute: in the scorer. Reply: from scores to the last byte handed to the transport.
enum class Stage { kReceive, kDecode, kQueue, kCompute, kReply };

// Thread safe.
class Telemetry {
 public:
  // `metrics` fixes the values of the label "metric", so that no caller can add any.
  Telemetry(const std::string& build, const std::string& backend, const std::string& instruction_set,
            absl::Span<const MetricInfo> metrics);
  ~Telemetry();
  Telemetry(const Telemetry&) = delete;
  Telemetry& operator=(const Telemetry&) = delete;

  // Serves /metrics; port 0 picks one. Returns the port. FAILED_PRECONDITION when the address is not to be had.
  absl::StatusOr<int> Expose(const std::string& host, int port);

  void CountRequest(const std::string& method, absl::StatusCode code, absl::Duration duration);
  void ObserveStage(Stage stage, absl::Duration duration);
  void CountStreamPair(absl::StatusCode code);
  void CountRejection(const std::string& reason);
  void ObserveBatch(Lane lane, int pair_count);
  void SetQueue(Lane lane, int job_count, std::int64_t bytes);
  void SetInFlight(std::int64_t request_count, std::int64_t bytes);
  void SetReferences(std::int64_t count, std::int64_t bytes);
  // Infinite scores are counted apart: one of them in a histogram would make its sum infinite for good.
  // Only metrics of the constructor's list are observed: the sums of different compositions have nothing in common.
  void ObserveScore(const std::string& metric_id, double score);
  // A metric that failed alone. Unknown ids are counted together as "unknown".
  void CountMetricFailure(const std::string& metric_id, absl::StatusCode code);
  // A metric asked for in fast precision that left the range of 16 bits and was computed exactly.
  void CountComputedAnew(const std::string& metric_id);

  // Reads the GPUs' states on each scrape. Before Expose, whose threads call `devices`.
  void ObserveDevices(std::function<std::vector<DeviceState>()> devices);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace likeness::server
