// Queues decoded pairs in two lanes and scores whatever waits whenever a slot is free. Knows neither protobuf nor gRPC.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "kernels/scorer.h"

namespace likeness::server {

// Learned metrics are a hundred times slower than pixel metrics, so each lane has slots of its own: neither waits for
// the other.
enum class Lane { kPixel, kLearned };
inline constexpr int kLaneCount = 2;
const char* LaneName(Lane lane);

// One pair and the metrics of one lane. Owned by the batcher from Submit until `done` is called.
struct Job {
  // Views and metrics must stay valid until `done` has returned.
  PairJob pair;
  // What the job counts for in a batch: its images and its outputs.
  std::int64_t bytes = 0;
  // Floating point operations, as its metrics' plans count them.
  std::int64_t operations = 0;
  absl::Time deadline = absl::InfiniteFuture();
  // Set by anybody when nobody wants the answer any more. Never null.
  std::shared_ptr<const std::atomic<bool>> cancelled;
  // Called exactly once, on a slot's thread: it must be quick. OK: pair.results are filled. DEADLINE_EXCEEDED or
  // CANCELLED: nothing was computed. The job is destroyed after it returns.
  std::function<void(Job& job, const absl::Status& status)> done;

  // Filled by the batcher.
  absl::Time queued_at;
  absl::Time started_at;
  absl::Time finished_at;
  int batch_size = 0;
};

struct BatcherOptions {
  // Batches of one lane that are scored at one time, at least 1. Two let one batch's head and tail fill the other's.
  std::array<int, kLaneCount> slot_count = {1, 1};
  // A batch stops growing before it exceeds either; one job always fits. All of a batch's answers leave together, so
  // that work beyond what keeps the cores busy buys nothing and makes everybody wait for everybody.
  std::int64_t batch_bytes = std::int64_t{256} << 20;
  std::int64_t batch_operations = 10'000'000'000;
};

// What the batcher tells whoever watches it. Called on slot threads and from Submit.
struct BatcherObserver {
  std::function<void(Lane lane, int job_count, std::int64_t bytes)> queue_changed;
  std::function<void(Lane lane, int pair_count)> batch_started;
};

// Thread safe.
class Batcher {
 public:
  // Scores every job given, blocking; called on slot threads, at once from several.
  using ScoreFunction = std::function<void(absl::Span<PairJob* const>)>;

  Batcher(const BatcherOptions& options, ScoreFunction score, BatcherObserver observer = {});
  // Scores everything that was submitted, then joins.
  ~Batcher();
  Batcher(const Batcher&) = delete;
  Batcher& operator=(const Batcher&) = delete;

  // Does not wait. There is no bound on the queue: admission counts the bytes.
  void Submit(Lane lane, std::unique_ptr<Job> job);

 private:
  struct Queue {
    std::deque<std::unique_ptr<Job>> jobs;
    std::int64_t bytes = 0;
  };

  void RunSlot(Lane lane);
  // Blocks until there is work; empty when the batcher stops. Refused jobs are in the batch too.
  std::vector<std::unique_ptr<Job>> TakeBatch(Lane lane);
  void ScoreBatch(Lane lane, std::vector<std::unique_ptr<Job>> batch);

  const BatcherOptions options_;
  const ScoreFunction score_;
  const BatcherObserver observer_;
  absl::Mutex mutex_;
  std::array<Queue, kLaneCount> queues_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> slots_;
};

// OK, or why nobody waits for an answer any more: CANCELLED or DEADLINE_EXCEEDED.
absl::Status CheckWanted(const std::atomic<bool>& cancelled, absl::Time deadline, absl::Time now);

}  // namespace likeness::server
