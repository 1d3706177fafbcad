// Random requests on random sizes for a while, several slots on as many host threads at once. Equal images must give
// the exact identity value, no score may be NaN, a repeated batch must give the same bits, and the memory of the GPU
// must stay where it was once all slots were made.
//
//   soak SECONDS [--slots N] [--side N] [--seed N]      exit 0: all held; 1: not; 77: no GPU, nothing was run
//
// --side: the longest side of an image, 1200 unless told.
#include <atomic>
#include <chrono>
#include <cmath>
#include <random>
#include <thread>

#include "tests/gpu/support.h"

namespace likeness::cuda::testing {
namespace {

using Clock = std::chrono::steady_clock;

struct Options {
  double seconds = 0.0;
  int slots = 3;
  int side = 1200;
  int seed = 1;
};

struct Tally {
  std::atomic<std::int64_t> batches = 0;
  std::atomic<std::int64_t> pairs = 0;
  std::atomic<std::int64_t> scores = 0;
  std::atomic<bool> passed = true;
};

std::int64_t FreeBytes() {
  std::size_t free_bytes = 0, total_bytes = 0;
  if (!Report(LIKENESS_CUDA_CHECK(cudaMemGetInfo(&free_bytes, &total_bytes)))) std::exit(kFailed);
  return static_cast<std::int64_t>(free_bytes);
}

// One pair of a batch with what is asked of it.
struct Job {
  std::unique_ptr<Pair> pair;
  std::unique_ptr<Asked> asked;
  bool equal = false;
};

class Soak {
 public:
  Soak(const Options& options, int seed, Tally& tally) : options_(options), random_(seed), tally_(tally) {
    for (const std::string& text : AllRequests(true)) requests_.push_back(ReadRequest(text));
  }

  // A slot for any one pair of up to two requests, and for many small ones. False when there is no memory for it.
  bool MakeSlot() {
    const Pair all(options_.side, options_.side);
    const Pair some(std::min(options_.side, 572), std::min(options_.side, 572));
    SlotSizes sizes;
    for (const Request& request : requests_) {
      const Pair& largest = IsTooLarge(request, all.width, all.height) ? some : all;
      if (!Takes(request, largest.width, largest.height)) continue;
      Asked asked(largest);
      asked.Add(request, true, true).Add(request, true, true);
      sizes = Widest(sizes, SizesFor(asked.task));
    }
    sizes.table_bytes *= 8;
    return Report(CreateSlot(sizes, &slot_));
  }

  void RunUntil(Clock::time_point end) {
    do {
      if (!RunBatch()) tally_.passed = false;
    } while (tally_.passed && Clock::now() < end);
  }

 private:
  int Below(int bound) { return static_cast<int>(random_() % static_cast<std::uint64_t>(bound)); }
  // Small sides are as likely as large ones: each scale has its share.
  int Side() {
    const int most = 1 << Below(static_cast<int>(std::log2(options_.side)) + 1);
    return std::min(1 + most / 2 + Below(most), options_.side);
  }

  Job MakeJob() {
    for (;;) {
      Job job{std::make_unique<Pair>(Side(), Side()), nullptr, Below(4) == 0};
      if (job.equal) job.pair->distorted = job.pair->reference;
      job.asked = std::make_unique<Asked>(*job.pair);
      for (int i = Below(2) + 1; i > 0; --i) {
        const Request& request = requests_[Below(static_cast<int>(requests_.size()))];
        if (Takes(request, job.pair->width, job.pair->height) &&
            !IsTooLarge(request, job.pair->width, job.pair->height)) {
          job.asked->Add(request, Below(2), Below(2), FusedWalk(request) && Below(2));
        }
      }
      if (!job.asked->task.metrics.empty()) return job;
    }
  }

  bool RunBatch() {
    std::vector<Job> jobs;
    std::vector<PairTask*> tasks;
    for (int i = Below(12) + 1; i > 0; --i) {
      jobs.push_back(MakeJob());
      tasks.push_back(&jobs.back().asked->task);
    }
    if (!ScoreAll(slot_, tasks)) return false;
    bool passed = true;
    for (const Job& job : jobs) passed = Check(job) && passed;
    if (Below(8) == 0) passed = Repeats(tasks) && passed;
    ++tally_.batches;
    tally_.pairs += static_cast<std::int64_t>(jobs.size());
    return passed;
  }

  bool Check(const Job& job) {
    bool passed = true;
    for (const MetricTask& metric : job.asked->task.metrics) {
      const MetricInfo info = metric.program->info();
      const double score = metric.result.score;
      ++tally_.scores;
      // A convention may cap its identity (psnr:piq); the facts state the default convention's.
      const bool stated = job.equal && metric.settings->convention() == info.conventions.front().name;
      if (!std::isnan(score) && (!stated || score == info.identity)) continue;
      passed = false;
      std::printf("FAIL %s:%s on %s images of %dx%d: %.17g\n", info.id.c_str(), metric.settings->convention().c_str(),
                  job.equal ? "equal" : "two", job.pair->width, job.pair->height, score);
    }
    return passed;
  }

  bool Repeats(const std::vector<PairTask*>& tasks) {
    std::vector<PairResult> before;
    for (PairTask* task : tasks) {
      for (MetricTask& metric : task->metrics) before.push_back(std::exchange(metric.result, {}));
    }
    if (!ScoreAll(slot_, tasks)) return false;
    std::size_t at = 0;
    for (const PairTask* task : tasks) {
      for (const MetricTask& metric : task->metrics) {
        if (SameBits(metric.result, before[at++])) continue;
        std::printf("FAIL %s on %dx%d: two runs differ\n", metric.program->info().id.c_str(), task->distorted.width,
                    task->distorted.height);
        return false;
      }
    }
    return true;
  }

  const Options& options_;
  std::mt19937_64 random_;
  Tally& tally_;
  std::vector<Request> requests_;
  Slot slot_;
};

int Run(const Options& options) {
  if (!AnnounceDevice()) return kSkipped;
  Trunks trunks;
  if (!trunks.Create()) return kFailed;
  Tally tally;
  std::vector<std::unique_ptr<Soak>> soaks;
  for (int i = 0; i < options.slots; ++i) {
    soaks.push_back(std::make_unique<Soak>(options, options.seed * 1000 + i, tally));
    if (!soaks.back()->MakeSlot()) return kFailed;
  }
  const auto run_all = [&](double seconds) {
    const auto end = Clock::now() + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
    std::vector<std::thread> threads;
    for (const auto& soak : soaks) threads.emplace_back([&soak, end] { soak->RunUntil(end); });
    for (std::thread& thread : threads) thread.join();
  };
  // A kernel is loaded with its first launch: that memory counts to the start.
  run_all(options.seconds / 10);
  const std::int64_t free_before = FreeBytes();
  run_all(options.seconds);
  const std::int64_t lost = free_before - FreeBytes();
  // Kernels that came late to load, the driver's memory for their stacks, and graphs of batches that came twice.
  // Batches that leak would soon be above this.
  constexpr std::int64_t kAllowedBytes = 256 << 20;
  if (lost > kAllowedBytes) {
    std::printf("FAIL %lld bytes of the GPU's memory are gone\n", static_cast<long long>(lost));
    tally.passed = false;
  }
  std::printf(
      "%s: %lld batches, %lld pairs, %lld scores on %d slots in %g s, seed %d; free memory changed by %lld bytes\n",
      tally.passed ? "passed" : "FAILED", static_cast<long long>(tally.batches), static_cast<long long>(tally.pairs),
      static_cast<long long>(tally.scores), options.slots, options.seconds, options.seed,
      static_cast<long long>(-lost));
  return tally.passed ? kPassed : kFailed;
}

Options ReadOptions(int argc, char** argv) {
  Options options;
  if (argc < 2) CannotRead("the command line: soak SECONDS [--slots N] [--side N] [--seed N]");
  options.seconds = Number(argv[1], "the command line");
  for (int i = 2; i < argc; i += 2) {
    const std::string name = argv[i];
    if (i + 1 == argc) CannotRead("the option '" + name + "'");
    if (name == "--slots") {
      options.slots = Count(argv[i + 1], 1);
    } else if (name == "--side") {
      options.side = Count(argv[i + 1], 16);
    } else if (name == "--seed") {
      options.seed = Count(argv[i + 1], 0);
    } else {
      CannotRead("the option '" + name + "'");
    }
  }
  return options;
}

}  // namespace
}  // namespace likeness::cuda::testing

int main(int argc, char** argv) {
  using namespace likeness::cuda::testing;
  return Run(ReadOptions(argc, argv));
}
