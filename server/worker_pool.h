// A fixed set of threads for work that must not run on a gRPC thread: decoding files and building replies.
#pragma once

#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace likeness::server {

// Thread safe. First come, first served. The queue has no bound of its own: the byte budget bounds what may wait.
class WorkerPool {
 public:
  // thread_count 0: one per core.
  explicit WorkerPool(int thread_count);
  // Runs everything that was posted, then joins.
  ~WorkerPool();
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  // `work` must not throw. Must not be called once the destructor runs, except from posted work.
  void Post(std::function<void()> work);

 private:
  void Run();

  absl::Mutex mutex_;
  std::deque<std::function<void()>> queue_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace likeness::server
