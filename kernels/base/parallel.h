// The one place that decides how work spreads over cores.
#pragma once

#include <cstdint>
#include <memory>

#include "absl/functional/function_ref.h"

namespace likeness {

// A bounded set of threads. Work started inside Run, however deeply nested, stays on them: pairs of a batch in
// parallel, and rows of a pair in parallel where there are more threads than pairs.
class ThreadPool {
 public:
  // 0: one for each core that this process may use.
  explicit ThreadPool(int threads);
  ~ThreadPool();

  int threads() const { return threads_; }
  void Run(absl::FunctionRef<void()> body) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
  int threads_;
};

// Calls body(begin, end) on parts of [0, count) that together cover it, in any order and on any thread of the pool that
// the caller runs on. `work` is the number of samples of one index: small jobs are not split. Results must not depend
// on where the parts begin.
void ParallelFor(int count, std::int64_t work, absl::FunctionRef<void(int, int)> body);

}  // namespace likeness
