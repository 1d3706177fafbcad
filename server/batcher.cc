#include "server/batcher.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace likeness::server {

const char* LaneName(Lane lane) { return lane == Lane::kPixel ? "pixel" : "learned"; }

absl::Status CheckWanted(const std::atomic<bool>& cancelled, absl::Time deadline, absl::Time now) {
  if (cancelled.load(std::memory_order_relaxed)) {
    return absl::CancelledError("the caller cancelled before scoring began; no score was computed");
  }
  if (now >= deadline) {
    return absl::DeadlineExceededError(absl::StrCat("the deadline passed ", absl::ToInt64Milliseconds(now - deadline),
                                                    " ms before scoring began; no score was computed"));
  }
  return absl::OkStatus();
}

Batcher::Batcher(const BatcherOptions& options, ScoreFunction score, BatcherObserver observer)
    : options_(options), score_(std::move(score)), observer_(std::move(observer)) {
  for (const Lane lane : {Lane::kPixel, Lane::kLearned}) {
    for (int i = 0; i < options_.slot_count[static_cast<int>(lane)]; ++i) {
      slots_.emplace_back([this, lane] { RunSlot(lane); });
    }
  }
}

Batcher::~Batcher() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  for (std::thread& slot : slots_) slot.join();
}

void Batcher::Submit(Lane lane, std::unique_ptr<Job> job) {
  job->queued_at = absl::Now();
  absl::MutexLock lock(&mutex_);
  Queue& queue = queues_[static_cast<int>(lane)];
  queue.bytes += job->bytes;
  queue.jobs.push_back(std::move(job));
  if (observer_.queue_changed) observer_.queue_changed(lane, static_cast<int>(queue.jobs.size()), queue.bytes);
}

void Batcher::RunSlot(Lane lane) {
  while (true) {
    std::vector<std::unique_ptr<Job>> batch = TakeBatch(lane);
    if (batch.empty()) return;
    ScoreBatch(lane, std::move(batch));
  }
}

std::vector<std::unique_ptr<Job>> Batcher::TakeBatch(Lane lane) {
  const auto has_news = [this, lane]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return stopping_ || !queues_[static_cast<int>(lane)].jobs.empty();
  };
  std::vector<std::unique_ptr<Job>> batch;
  absl::MutexLock lock(&mutex_, absl::Condition(&has_news));
  Queue& queue = queues_[static_cast<int>(lane)];
  const absl::Time now = absl::Now();
  std::int64_t batch_bytes = 0;
  std::int64_t batch_operations = 0;
  bool has_wanted = false;
  while (!queue.jobs.empty()) {
    Job& next = *queue.jobs.front();
    // A job that nobody wants costs nothing: it must not take a wanted job's place.
    const bool wanted = CheckWanted(*next.cancelled, next.deadline, now).ok();
    if (wanted) {
      if (has_wanted && (next.bytes > options_.batch_bytes - batch_bytes ||
                         next.operations > options_.batch_operations - batch_operations)) {
        break;
      }
      has_wanted = true;
      batch_bytes += next.bytes;
      batch_operations += next.operations;
    }
    queue.bytes -= next.bytes;
    batch.push_back(std::move(queue.jobs.front()));
    queue.jobs.pop_front();
  }
  if (observer_.queue_changed && !batch.empty()) {
    observer_.queue_changed(lane, static_cast<int>(queue.jobs.size()), queue.bytes);
  }
  return batch;
}

void Batcher::ScoreBatch(Lane lane, std::vector<std::unique_ptr<Job>> batch) {
  const absl::Time started_at = absl::Now();
  std::vector<std::unique_ptr<Job>> wanted;
  wanted.reserve(batch.size());
  for (std::unique_ptr<Job>& job : batch) {
    job->started_at = started_at;
    const absl::Status status = CheckWanted(*job->cancelled, job->deadline, started_at);
    if (status.ok()) {
      wanted.push_back(std::move(job));
    } else {
      job->finished_at = started_at;
      job->done(*job, status);
      job.reset();
    }
  }
  if (wanted.empty()) return;

  std::vector<PairJob*> pairs;
  pairs.reserve(wanted.size());
  for (const std::unique_ptr<Job>& job : wanted) pairs.push_back(&job->pair);
  if (observer_.batch_started) observer_.batch_started(lane, static_cast<int>(pairs.size()));
  score_(pairs);
  const absl::Time finished_at = absl::Now();
  for (std::unique_ptr<Job>& job : wanted) {
    job->finished_at = finished_at;
    job->batch_size = static_cast<int>(wanted.size());
    job->done(*job, absl::OkStatus());
    job.reset();
  }
}

}  // namespace likeness::server
