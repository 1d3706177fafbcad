// The batcher with a scorer that the test holds in its hand.
#include "server/batcher.h"

#include <atomic>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace likeness::server {
namespace {

using ::testing::ElementsAre;

// Scores nothing; keeps what it was given and, while closed, does not return. A pair is known by its alpha_background.
class Gate {
 public:
  Batcher::ScoreFunction function() {
    return [this](absl::Span<PairJob* const> jobs) {
      absl::MutexLock lock(&mutex_);
      std::vector<int> ids;
      for (const PairJob* job : jobs) ids.push_back(static_cast<int>(job->alpha_background));
      batches_.push_back(ids);
      const auto open = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return open_; };
      mutex_.Await(absl::Condition(&open));
    };
  }
  void Open() {
    absl::MutexLock lock(&mutex_);
    open_ = true;
  }
  void WaitForBatches(std::size_t count) {
    absl::MutexLock lock(&mutex_);
    const auto enough = [this, count]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return batches_.size() >= count; };
    ASSERT_TRUE(mutex_.AwaitWithTimeout(absl::Condition(&enough), absl::Seconds(20)));
  }
  std::vector<std::vector<int>> batches() {
    absl::MutexLock lock(&mutex_);
    return batches_;
  }

 private:
  absl::Mutex mutex_;
  bool open_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::vector<int>> batches_ ABSL_GUARDED_BY(mutex_);
};

struct Outcome {
  absl::Status status;
  int batch_size = 0;
  int done_count = 0;
};

class BatcherTest : public ::testing::Test {
 protected:
  void Submit(Batcher& batcher, int id, std::int64_t bytes = 1, absl::Time deadline = absl::InfiniteFuture(),
              Lane lane = Lane::kPixel) {
    auto job = std::make_unique<Job>();
    job->pair.alpha_background = id;
    job->bytes = bytes;
    job->operations = operations_;
    job->deadline = deadline;
    job->cancelled = cancelled_;
    job->done = [this, id](Job& done, const absl::Status& status) {
      absl::MutexLock lock(&mutex_);
      outcomes_.resize(std::max<std::size_t>(outcomes_.size(), id + 1));
      outcomes_[id].status = status;
      outcomes_[id].batch_size = done.batch_size;
      ++outcomes_[id].done_count;
      EXPECT_LE(done.queued_at, done.started_at);
      EXPECT_LE(done.started_at, done.finished_at);
    };
    batcher.Submit(lane, std::move(job));
  }

  std::shared_ptr<std::atomic<bool>> cancelled_ = std::make_shared<std::atomic<bool>>(false);
  std::int64_t operations_ = 0;
  absl::Mutex mutex_;
  std::vector<Outcome> outcomes_;
  Gate gate_;
};

TEST_F(BatcherTest, TakesOneWhenIdleAndAllThatWaitsWhenBusy) {
  {
    Batcher batcher({}, gate_.function());
    Submit(batcher, 0);
    gate_.WaitForBatches(1);
    for (int id = 1; id <= 5; ++id) Submit(batcher, id);
    gate_.Open();
  }
  EXPECT_THAT(gate_.batches(), ElementsAre(ElementsAre(0), ElementsAre(1, 2, 3, 4, 5)));
  for (int id = 0; id <= 5; ++id) {
    EXPECT_TRUE(outcomes_[id].status.ok());
    EXPECT_EQ(outcomes_[id].done_count, 1);
    EXPECT_EQ(outcomes_[id].batch_size, id == 0 ? 1 : 5);
  }
}

TEST_F(BatcherTest, ABatchStopsBeforeTheByteCapButTakesOneThatExceedsItAlone) {
  BatcherOptions options;
  options.batch_bytes = 100;
  {
    Batcher batcher(options, gate_.function());
    Submit(batcher, 0);
    gate_.WaitForBatches(1);
    Submit(batcher, 1, 60);
    Submit(batcher, 2, 40);
    Submit(batcher, 3, 1);
    Submit(batcher, 4, 500);
    Submit(batcher, 5, 100);
    gate_.Open();
  }
  EXPECT_THAT(gate_.batches(),
              ElementsAre(ElementsAre(0), ElementsAre(1, 2), ElementsAre(3), ElementsAre(4), ElementsAre(5)));
}

TEST_F(BatcherTest, ABatchStopsBeforeTheWorkCap) {
  BatcherOptions options;
  options.batch_operations = 100;
  {
    Batcher batcher(options, gate_.function());
    Submit(batcher, 0);
    gate_.WaitForBatches(1);
    for (const int operations : {70, 30, 1, 900, 2}) {
      operations_ = operations;
      Submit(batcher, operations);
    }
    gate_.Open();
  }
  EXPECT_THAT(gate_.batches(),
              ElementsAre(ElementsAre(0), ElementsAre(70, 30), ElementsAre(1), ElementsAre(900), ElementsAre(2)));
}

TEST_F(BatcherTest, LanesDoNotWaitForEachOther) {
  Batcher batcher({}, gate_.function());
  Submit(batcher, 0, 1, absl::InfiniteFuture(), Lane::kLearned);
  gate_.WaitForBatches(1);
  Submit(batcher, 1, 1, absl::InfiniteFuture(), Lane::kPixel);
  // The learned lane's slot is still busy: only a slot of the pixel lane can have taken this one.
  gate_.WaitForBatches(2);
  gate_.Open();
}

TEST_F(BatcherTest, ExpiredAndCancelledJobsAreNotScored) {
  auto kept = std::make_shared<std::atomic<bool>>(false);
  {
    Batcher batcher({}, gate_.function());
    Submit(batcher, 0);
    gate_.WaitForBatches(1);
    Submit(batcher, 1, 1, absl::Now() + absl::Milliseconds(20));
    std::swap(cancelled_, kept);
    Submit(batcher, 2);
    std::swap(cancelled_, kept);
    Submit(batcher, 3);
    absl::SleepFor(absl::Milliseconds(30));
    *kept = true;
    gate_.Open();
  }
  EXPECT_THAT(gate_.batches(), ElementsAre(ElementsAre(0), ElementsAre(3)));
  EXPECT_EQ(outcomes_[1].status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(outcomes_[2].status.code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(outcomes_[3].batch_size, 1);
}

TEST_F(BatcherTest, UnwantedJobsDoNotUseUpTheByteCap) {
  BatcherOptions options;
  options.batch_bytes = 100;
  {
    Batcher batcher(options, gate_.function());
    Submit(batcher, 0);
    gate_.WaitForBatches(1);
    Submit(batcher, 1, 100, absl::Now() - absl::Seconds(1));
    Submit(batcher, 2, 60);
    Submit(batcher, 3, 40);
    gate_.Open();
  }
  EXPECT_THAT(gate_.batches(), ElementsAre(ElementsAre(0), ElementsAre(2, 3)));
}

TEST_F(BatcherTest, ObserverSeesQueueAndBatches) {
  std::vector<std::pair<int, std::int64_t>> queue;
  std::vector<int> batches;
  BatcherObserver observer;
  observer.queue_changed = [&](Lane lane, int jobs, std::int64_t bytes) {
    EXPECT_EQ(lane, Lane::kPixel);
    queue.emplace_back(jobs, bytes);
  };
  observer.batch_started = [&](Lane, int pairs) { batches.push_back(pairs); };
  {
    Batcher batcher({}, gate_.function(), observer);
    Submit(batcher, 0, 7);
    gate_.WaitForBatches(1);
    Submit(batcher, 1, 10);
    Submit(batcher, 2, 20);
    gate_.Open();
  }
  using P = std::pair<int, std::int64_t>;
  EXPECT_THAT(queue, ElementsAre(P(1, 7), P(0, 0), P(1, 10), P(2, 30), P(0, 0)));
  EXPECT_THAT(batches, ElementsAre(1, 2));
}

// Many threads, several slots, tiny batches: every job is answered exactly once.
TEST_F(BatcherTest, NothingIsLostUnderContention) {
  constexpr int kThreads = 4;
  constexpr int kJobs = 500;
  BatcherOptions options;
  options.slot_count = {3, 2};
  options.batch_bytes = 3;
  gate_.Open();
  std::atomic<int> scored{0};
  {
    Batcher batcher(options, [&](absl::Span<PairJob* const> jobs) { scored += static_cast<int>(jobs.size()); });
    std::vector<std::thread> threads;
    for (int thread = 0; thread < kThreads; ++thread) {
      threads.emplace_back([&, thread] {
        for (int i = 0; i < kJobs; ++i) {
          Submit(batcher, thread * kJobs + i, 1, absl::InfiniteFuture(), i % 2 == 0 ? Lane::kPixel : Lane::kLearned);
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  EXPECT_EQ(scored, kThreads * kJobs);
  ASSERT_EQ(outcomes_.size(), static_cast<std::size_t>(kThreads * kJobs));
  for (const Outcome& outcome : outcomes_) EXPECT_EQ(outcome.done_count, 1);
}

}  // namespace
}  // namespace likeness::server
