// Times every metric that is compiled for CUDA, by the GPU's own clock, and holds it against what the GPU's memory can
// do. Prints one JSON object a line; run.py makes a page of them. Needs no abseil, gRPC or network.
//
//   bench [--small] [--seconds S] [--metrics ID,ID...] [--images N]      exit 77: no GPU, nothing was run
//   bench --counts [--metrics ID,ID...]                                  needs no GPU: nothing is run
//
// --counts: only the bytes that a 1920x1080 RGB pair of uint8 moves, by the plan: each launch's or step's inputs and
// outputs, caches ignored. Of a pointwise walk by itself: such walks of one pair share a reading (`shares_reading`).
// counts.py makes a table of them.
//
// --small: a few tiny pairs, so that the emulator can run all of it; the times then mean nothing. --images: that a call
// of cuDNN takes at most.
//
// "large": batches of 1920x1080 RGB pairs of uint8; "ragged": batches of pairs of many sizes around 256x256. `us` is
// the time of the launches for one pair, without upload and download; `floor_us` is how long the memory needs for the
// bytes that the program's steps read and write, at the speed of a copy, or, of a learned metric in float32, how long
// the multiply-adds take, if that is longer. "single": batches of one pair of 256x256, `wall_us` from call to result
// and `us` of the launches, with CUDA graphs and without. "overlap": pairs a second by the wall clock, with upload,
// download and the host's work, by one slot and by three at once, likewise.
#include <atomic>
#include <chrono>
#include <limits>
#include <random>
#include <thread>

#include "tests/bench/cuda/rates.h"
#include "tests/gpu/support.h"

namespace likeness::cuda::testing {
namespace {

using Clock = std::chrono::steady_clock;
double SecondsSince(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

struct Options {
  bool small = false;
  bool counts = false;
  double seconds = 0.3;                 // for each figure
  int images = ConvPlans::kMostImages;  // of a call of cuDNN, at most
  std::vector<std::string> metrics;
};

// The least that any way to score a pair moves: both images read once, and the gradient written once.
std::int64_t IdealBytes(const PairTask& task, bool gradient) {
  const ImageView& image = task.distorted;
  const std::int64_t gradient_bytes = image.pixel_count() * image.channels * std::int64_t{sizeof(float)};
  return task.reference.size_bytes() + image.size_bytes() + (gradient ? gradient_bytes : 0);
}

// A slot and a batch that fits it.
struct Batch {
  Slot slot;
  std::vector<std::unique_ptr<Asked>> asked;
  std::vector<PairTask*> tasks;

  // Of learned metrics in float32; of others they do not bound the time, and tensor cores have a speed of their own.
  std::int64_t MultiplyAdds() const {
    std::int64_t count = 0;
    for (const PairTask* task : tasks) {
      const MetricTask& metric = task->metrics[0];
      const bool counts = metric.program->trunk != nullptr && metric.settings->precision() == Precision::kExact;
      if (counts) count += metric.needs.operations / 2;
    }
    return count;
  }

  // What the floor is of: what a program's plan says, but of a walk the least.
  std::int64_t FloorBytes() const {
    std::int64_t bytes = 0;
    for (const PairTask* task : tasks) {
      const MetricTask& metric = task->metrics[0];
      bytes += metric.walk ? IdealBytes(*task, metric.want_gradient) : metric.needs.moved_bytes;
    }
    return bytes;
  }
};

// As many of the pairs as `device_bytes` have room for, at least one. False after a failure, which is printed.
bool MakeBatch(const Options& options, const Request& request, bool gradient, bool fused,
               const std::vector<const Pair*>& pairs, std::int64_t device_bytes, Batch* out) {
  SlotSizes sizes;
  for (const Pair* pair : pairs) {
    auto asked = std::make_unique<Asked>(*pair);
    asked->Add(request, false, gradient, fused);
    SlotSizes more = sizes;
    more += SizesFor(asked->task);
    if (!out->tasks.empty() && more.device_bytes() > device_bytes) break;
    sizes = more;
    out->tasks.push_back(&asked->task);
    out->asked.push_back(std::move(asked));
  }
  if (!Report(CreateSlot(sizes, &out->slot))) return false;
  out->slot.set_images_per_call(options.images);
  return true;
}

class Bench {
 public:
  Bench(const Options& options, const Rates& rates, std::int64_t device_bytes)
      : options_(options),
        rates_(rates),
        device_bytes_(device_bytes),
        single_(options.small ? 40 : 256, options.small ? 40 : 256),
        large_(options.small ? 64 : 1920, options.small ? 48 : 1080) {
    std::mt19937 random(1);
    const int least = options.small ? 24 : 192, most = options.small ? 40 : 320;
    for (int i = options.small ? 3 : 64; i > 0; --i) {
      const int width = least + static_cast<int>(random() % (most - least + 1));
      ragged_.emplace_back(width, least + static_cast<int>(random() % (most - least + 1)));
    }
  }

  bool TimeMetric(const std::string& text) {
    const Request request = ReadRequest(text);
    const std::vector<const Pair*> large(options_.small ? 2 : 8, &large_);
    std::vector<const Pair*> ragged;
    for (const Pair& pair : ragged_) ragged.push_back(&pair);
    for (const bool fused : {false, true}) {
      if (fused && !FusedWalk(request)) continue;
      for (const bool gradient : {false, true}) {
        if (gradient && !request.program->info().has_gradient) continue;
        if (!Time(request, text, "large", gradient, fused, large)) return false;
        if (!Time(request, text, "ragged", gradient, fused, ragged)) return false;
      }
    }
    return true;
  }

  // Of one small pair, where the launches cost more than what they do.
  bool TimeSingle(const std::string& text) {
    const Request request = ReadRequest(text);
    if (!Takes(request, single_.width, single_.height)) return true;
    for (const bool gradient : {false, true}) {
      for (const bool graphs : {false, true}) {
        Batch batch;
        if (!MakeBatch(options_, request, gradient, FusedWalk(request).has_value(), {&single_}, device_bytes_,
                       &batch)) {
          return false;
        }
        batch.slot.UseGraphs(graphs);
        double best_s = std::numeric_limits<double>::infinity(), best_ms = best_s;
        const auto start = Clock::now();
        for (int run = 0; run < uncounted() + 1 || (!options_.small && SecondsSince(start) < options_.seconds); ++run) {
          const auto began = Clock::now();
          if (!ScoreAll(batch.slot, batch.tasks)) return false;
          if (run < uncounted()) continue;
          best_s = std::min(best_s, SecondsSince(began));
          best_ms = std::min<double>(best_ms, batch.slot.times().compute_ms);
        }
        std::printf(
            "{\"kind\": \"single\", \"metric\": \"%s\", \"gradient\": %s, \"graphs\": %s, \"launches\": %d, "
            "\"wall_us\": %.6g, \"us\": %.6g}\n",
            text.c_str(), gradient ? "true" : "false", graphs ? "true" : "false", batch.slot.launch_count(),
            1e6 * best_s, 1e3 * best_ms);
      }
    }
    return true;
  }

  // Of the large pairs, score alone.
  bool TimeOverlap(const std::string& text) {
    const Request request = ReadRequest(text);
    if (!Takes(request, large_.width, large_.height)) return true;
    for (const bool graphs : {false, true}) {
      for (const int slots : {1, 3}) {
        if (!TimeSlots(request, text, slots, graphs)) return false;
      }
    }
    return true;
  }

 private:
  // Runs of a batch before it counts: kernels are loaded, calls of cuDNN are tried, and its graph is captured. Fewer
  // where times mean nothing.
  int uncounted() const { return options_.small ? 1 : 4; }

  bool TimeSlots(const Request& request, const std::string& text, int slots, bool graphs) {
    std::vector<Batch> batches(slots);
    const std::vector<const Pair*> pairs(options_.small ? 1 : 4, &large_);
    for (Batch& batch : batches) {
      if (!MakeBatch(options_, request, false, FusedWalk(request).has_value(), pairs, device_bytes_ / 3, &batch))
        return false;
      batch.slot.UseGraphs(graphs);
      for (int run = 0; run < uncounted(); ++run) {
        if (!ScoreAll(batch.slot, batch.tasks)) return false;
      }
    }
    std::atomic<std::int64_t> scored = 0;
    std::atomic<bool> passed = true;
    const auto start = Clock::now();
    std::vector<std::thread> threads;
    for (Batch& batch : batches) {
      threads.emplace_back([&] {
        do {
          if (!ScoreAll(batch.slot, batch.tasks)) passed = false;
          scored += static_cast<std::int64_t>(batch.tasks.size());
        } while (passed && !options_.small && SecondsSince(start) < 3 * options_.seconds);
      });
    }
    for (std::thread& thread : threads) thread.join();
    if (!passed) return false;
    const StageTimes& times = batches[0].slot.times();
    std::printf(
        "{\"kind\": \"overlap\", \"metric\": \"%s\", \"slots\": %d, \"graphs\": %s, \"pairs_per_s\": %.6g, "
        "\"batch\": %zu, \"upload_ms\": %.6g, \"compute_ms\": %.6g, \"download_ms\": %.6g}\n",
        text.c_str(), slots, graphs ? "true" : "false", static_cast<double>(scored) / SecondsSince(start),
        batches[0].tasks.size(), times.upload_ms, times.compute_ms, times.download_ms);
    return true;
  }

  bool Time(const Request& request, const std::string& text, const char* kind, bool gradient, bool fused,
            const std::vector<const Pair*>& pairs) {
    for (const Pair* pair : pairs) {
      if (Takes(request, pair->width, pair->height)) continue;
      std::printf("{\"kind\": \"left out\", \"metric\": \"%s\", \"of\": \"%s\", \"why\": \"%dx%d is too small\"}\n",
                  text.c_str(), kind, pair->width, pair->height);
      return true;
    }
    Asked first(*pairs[0]);
    first.Add(request, false, gradient, fused);
    if (SizesFor(first.task).device_bytes() > device_bytes_) {
      std::printf(
          "{\"kind\": \"left out\", \"metric\": \"%s\", \"of\": \"%s\", \"why\": \"%dx%d needs more memory\"}\n",
          text.c_str(), kind, pairs[0]->width, pairs[0]->height);
      return true;
    }
    Batch batch;
    if (!MakeBatch(options_, request, gradient, fused, pairs, device_bytes_, &batch)) return false;
    double best_ms = std::numeric_limits<double>::infinity();
    const auto start = Clock::now();
    const int least = uncounted() + (options_.small ? 1 : 3);
    for (int run = 0; run < least || (!options_.small && SecondsSince(start) < options_.seconds); ++run) {
      if (!ScoreAll(batch.slot, batch.tasks)) return false;
      if (run >= uncounted()) best_ms = std::min<double>(best_ms, batch.slot.times().compute_ms);
    }
    const auto count = static_cast<double>(batch.tasks.size());
    const auto bytes = static_cast<double>(batch.FloorBytes());
    const double floor_us =
        1e6 * std::max(bytes / rates_.copy_bytes_per_s, static_cast<double>(batch.MultiplyAdds()) / rates_.fma_per_s);
    std::printf(
        "{\"kind\": \"%s\", \"metric\": \"%s\", \"gradient\": %s, \"fused\": %s, \"batch\": %zu, \"launches\": %d, "
        "\"us\": %.6g, \"floor_us\": %.6g, \"bytes\": %.6g, \"bytes_per_s\": %.6g}\n",
        kind, text.c_str(), gradient ? "true" : "false", fused ? "true" : "false", batch.tasks.size(),
        batch.slot.launch_count(), 1e3 * best_ms / count, floor_us / count, bytes / count, bytes / (best_ms / 1e3));
    std::fflush(stdout);
    return true;
  }

  const Options& options_;
  const Rates rates_;
  const std::int64_t device_bytes_;
  const Pair single_;
  const Pair large_;
  std::vector<Pair> ragged_;
};

std::vector<std::string> RequestsOf(const Options& options) {
  return options.metrics.empty() ? AllRequests(false) : options.metrics;
}

int PrintCounts(const Options& options) {
  const Pair pair(1920, 1080);
  for (const std::string& text : RequestsOf(options)) {
    const Request request = ReadRequest(text);
    const std::optional<Walk> walk = FusedWalk(request);
    for (const bool fused : {false, true}) {
      if (fused && !walk) continue;
      for (const bool gradient : {false, true}) {
        if (gradient && !request.program->info().has_gradient) continue;
        Asked asked(pair);
        asked.Add(request, false, gradient, fused);
        const bool shares_reading = fused && std::holds_alternative<PointwiseWalk>(*walk);
        std::printf(
            "{\"kind\": \"count\", \"metric\": \"%s\", \"gradient\": %s, \"fused\": %s, \"bytes\": %lld, "
            "\"shares_reading\": %s}\n",
            text.c_str(), gradient ? "true" : "false", fused ? "true" : "false",
            static_cast<long long>(asked.task.metrics[0].needs.moved_bytes), shares_reading ? "true" : "false");
      }
    }
  }
  return kPassed;
}

int Run(const Options& options) {
  const Probe device = FindDevice();
  std::printf("{\"kind\": \"device\", \"description\": \"%s\", \"small\": %s}\n", device.description.c_str(),
              options.small ? "true" : "false");
  if (!device.found) return kSkipped;
  Trunks trunks;
  if (!trunks.Create()) return kFailed;
  Rates rates;
  if (!Report(MeasureRates(options.small, &rates))) return kFailed;
  std::printf(
      "{\"kind\": \"rates\", \"upload_bytes_per_s\": %.6g, \"download_bytes_per_s\": %.6g, "
      "\"copy_bytes_per_s\": %.6g, \"fma_per_s\": %.6g}\n",
      rates.upload_bytes_per_s, rates.download_bytes_per_s, rates.copy_bytes_per_s, rates.fma_per_s);
  std::size_t free_bytes = 0, total_bytes = 0;
  if (!Report(LIKENESS_CUDA_CHECK(cudaMemGetInfo(&free_bytes, &total_bytes)))) return kFailed;
  Bench bench(options, rates, static_cast<std::int64_t>(free_bytes / 2));
  // What fails leaves the rest to be timed.
  bool passed = true;
  for (const std::string& text : RequestsOf(options)) passed = bench.TimeMetric(text) && passed;
  // The cheapest, which only the bus can hold up, and dearer ones.
  for (const char* id : {"mae", "gmsd", "ssim", "ms_ssim", "lpips_alex", "lpips_vgg"}) {
    if (!options.metrics.empty() || FindProgram(id) == nullptr) continue;
    passed = bench.TimeSingle(id) && bench.TimeOverlap(id) && passed;
  }
  return passed ? kPassed : kFailed;
}

Options ReadOptions(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    if (name == "--small") {
      options.small = true;
    } else if (name == "--counts") {
      options.counts = true;
    } else if (name == "--seconds" && i + 1 < argc) {
      options.seconds = Number(argv[++i], "the command line");
    } else if (name == "--images" && i + 1 < argc) {
      options.images = Count(argv[++i], 1);
    } else if (name == "--metrics" && i + 1 < argc) {
      options.metrics = Split(argv[++i], ',');
      for (const std::string& text : options.metrics) {
        if (ReadRequest(text).program == nullptr) CannotRead("the metric '" + text + "': not compiled for CUDA");
      }
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
  const Options options = ReadOptions(argc, argv);
  return options.counts ? PrintCounts(options) : Run(options);
}
