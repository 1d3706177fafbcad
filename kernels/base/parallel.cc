#include "kernels/base/parallel.h"

#include <tbb/blocked_range.h>
#include <tbb/global_control.h>
#include <tbb/parallel_for.h>
#include <tbb/task_arena.h>

#include <algorithm>

namespace likeness {

struct ThreadPool::Impl {
  explicit Impl(int threads)
      : limit(tbb::global_control::max_allowed_parallelism,
              std::max<std::size_t>(threads, tbb::this_task_arena::max_concurrency())),
        arena(threads) {}
  // TBB starts no more threads than there are cores unless it is told to.
  tbb::global_control limit;
  tbb::task_arena arena;
};

ThreadPool::ThreadPool(int threads)
    : impl_(std::make_unique<Impl>(threads > 0 ? threads : tbb::this_task_arena::max_concurrency())),
      threads_(threads > 0 ? threads : impl_->arena.max_concurrency()) {}

ThreadPool::~ThreadPool() = default;

void ThreadPool::Run(absl::FunctionRef<void()> body) const { impl_->arena.execute(body); }

void ParallelFor(int count, std::int64_t work, absl::FunctionRef<void(int, int)> body) {
  // About 50 us of work a part: enough to pay for handing it over.
  constexpr std::int64_t kSamplesPerPart = 128 * 1024;
  const int grain = static_cast<int>(
      std::clamp<std::int64_t>(kSamplesPerPart / std::max<std::int64_t>(work, 1), 1, std::max(count, 1)));
  if (grain >= count || tbb::this_task_arena::max_concurrency() == 1) {
    body(0, count);
    return;
  }
  // Isolated: a thread that waits for its own rows must not start another pair, whose scratch it has not got.
  tbb::this_task_arena::isolate([&] {
    tbb::parallel_for(tbb::blocked_range<int>(0, count, grain),
                      [&](const tbb::blocked_range<int>& part) { body(part.begin(), part.end()); });
  });
}

}  // namespace likeness
