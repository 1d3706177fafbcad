// The way of one request, between the wire and the scorer: admit, decode, queue. Knows no protobuf.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "kernels/scorer.h"
#include "server/batcher.h"
#include "server/budget.h"
#include "server/composition.h"
#include "server/decode/decode.h"
#include "server/reference_store.h"
#include "server/region_weights.h"
#include "server/telemetry.h"
#include "server/worker_pool.h"

namespace likeness::server {

struct PipelineOptions {
  ImageLimits image_limits;
  BatcherOptions batcher;
  ReferenceStoreOptions references;
  int decode_threads = 0;
  std::int64_t max_output_bytes = std::int64_t{512} << 20;
  std::int64_t max_in_flight_bytes = std::int64_t{2} << 30;
  std::int64_t max_metrics = 64;
  absl::Duration retry_delay = absl::Milliseconds(200);
};

using DeviceFailed = std::function<void(const absl::Status& why)>;

// An image on its way into memory.
struct Arrival {
  const char* name;
  ImageSource source = {};
  FileHeader header = {};  // of an encoded file
  Image decoded = {};      // likewise
  ImageView view = {};     // shape first, pixels once they are decoded
};

// One request on its way. Made by the caller, who keeps it until `done` was called and the reply has left: the budget
// counts it for exactly as long as it exists.
struct PairWork {
  explicit PairWork(ByteBudget* budget) : lease(budget) {}

  // Filled by the caller. Views must stay valid until `done` is called.
  Arrival reference{.name = "reference"};
  Arrival distorted{.name = "distorted"};
  // Instead of reference's source: an image of the store by its id, or one that the caller holds.
  std::string reference_id;
  std::shared_ptr<StoredReference> kept;
  std::vector<MetricAsk> metrics;
  RegionWeights region_weights;
  double alpha_background = 1.0;
  std::int64_t message_bytes = 0;
  std::int64_t output_limit_bytes = std::numeric_limits<std::int64_t>::max();  // beside the pipeline's own
  absl::Time deadline = absl::InfiniteFuture();
  std::shared_ptr<const std::atomic<bool>> cancelled;
  // Called exactly once, on a thread of the pipeline, when Start returned OK. May destroy this PairWork.
  std::function<void()> done;

  // Filled by the pipeline before it calls `done`. Not OK: the outcomes mean nothing.
  absl::Status status;
  std::vector<MetricOutcome> outcomes;
  // The slower lane's, where a request has metrics in both.
  absl::Duration decode_time;
  absl::Duration queue_time;
  absl::Duration compute_time;
  int batch_size = 0;

  // The pipeline's own.
  Lease lease;
  absl::Time received_at;
  std::int64_t scratch_bytes = 0;  // most that decoding holds at one time beside what it makes
  Image weights;                   // empty: all pixels count alike
  // Metrics of a lane, terms of compositions among them, and where their results go: into `outcomes`, which keeps its
  // size from then on.
  std::vector<ResolvedMetric> lane_metrics[kLaneCount];
  std::vector<MetricResult*> lane_results[kLaneCount];
  std::int64_t lane_output_bytes[kLaneCount] = {0, 0};
  std::int64_t lane_operations[kLaneCount] = {0, 0};
  // Each lane writes its own; whoever takes `pending` to 0 joins them.
  absl::Status lane_status[kLaneCount];
  absl::Duration lane_queue_time[kLaneCount];
  absl::Duration lane_compute_time[kLaneCount];
  int lane_batch_size[kLaneCount] = {0, 0};
  std::atomic<int> pending{0};
};

// One image on its way to being kept; made and kept as PairWork is.
struct KeepWork {
  explicit KeepWork(ByteBudget* budget) : lease(budget) {}

  // Filled by the caller, as of PairWork.
  Arrival image{.name = "image"};
  std::int64_t message_bytes = 0;
  absl::Time deadline = absl::InfiniteFuture();
  std::shared_ptr<const std::atomic<bool>> cancelled;
  std::function<void()> done;

  // Filled by the pipeline.
  absl::Status status;
  std::shared_ptr<StoredReference> kept;
  Lease lease;
};

// Thread safe. A metric that cannot be computed fails alone, in its outcome. The call fails when the images are at
// fault, when there is no room, or when every one of its metrics is unknown or has a bad parameter: such a request is a
// mistake of its author, not a partial result.
class Pipeline {
 public:
  // `scorer` and `telemetry` must outlive it. `device_failed` is called on a slot's thread after each batch since a GPU
  // has failed for good.
  Pipeline(const PipelineOptions& options, const Scorer& scorer, Telemetry& telemetry, DeviceFailed device_failed = {});
  // Finishes everything that was started.
  ~Pipeline() = default;

  ByteBudget& budget() { return budget_; }

  // Checks what is cheap, counts the message and returns; the rest happens elsewhere. Does not block. Not OK: `done`
  // will not be called. RESOURCE_EXHAUSTED: no room.
  absl::Status Start(PairWork& work);
  // The same for an image to be kept. It is in no store yet.
  absl::Status Start(KeepWork& work);

  ReferenceStore& references() { return references_; }

 private:
  // Each runs on a worker. Prepare and what it calls return the status that the call fails with.
  void Prepare(PairWork& work);
  absl::Status Admit(PairWork& work);
  absl::Status Keep(KeepWork& work);
  absl::Status ResolveMetrics(PairWork& work);
  absl::Status Resolve(const MetricAsk& ask, MetricOutcome& outcome) const;
  // One plan, or one for each term.
  absl::StatusOr<std::vector<Plan>> MakePlans(const PairWork& work, const MetricAsk& ask,
                                              const MetricOutcome& outcome) const;
  static void AddToLane(PairWork& work, Scored& scored, const Plan& plan);
  absl::Status Decode(PairWork& work);
  // Counts `bytes` more, or says why not.
  absl::Status Charge(Lease& lease, std::int64_t bytes);
  void Enqueue(PairWork& work);
  void OnJobDone(PairWork& work, Lane lane, Job& job, const absl::Status& status);
  static void Join(PairWork& work);
  // Sums compositions and calls `done`.
  static void Finish(PairWork& work);

  const PipelineOptions options_;
  const Scorer& scorer_;
  Telemetry& telemetry_;
  ByteBudget budget_;
  ReferenceStore references_;
  // Jobs end in posts to the workers, and workers submit jobs: the batcher, made last, drains into living workers; by
  // then nothing is left to submit, because the service waits until it is idle.
  WorkerPool workers_;
  Batcher batcher_;
};

}  // namespace likeness::server
