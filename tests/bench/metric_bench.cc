// Speed of every metric on one thread: a 1920x1080 RGB pair of uint8, score alone and with gradient.
//
//   metric_bench --benchmark_filter=gmsd
//
// GB and GFlop are what the metric's plan counts for one pair: every step's reads and writes, caches ignored, and its
// operations. Both are 0 for a metric with a fused walk. over_floor is the time over the least that any metric needs:
// both images touched once, and the gradient, where one is asked for, written once; measured in the same run.
//
//   relatives/together, relatives/apart: ten metrics with steps in common, in one request and in a request each
//   mixed/together, mixed/apart: the same for ten that have little in common but the images
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "kernels/scorer.h"

namespace likeness {
namespace {

constexpr int kWidth = 1920, kHeight = 1080;
struct Company {
  const char* name;
  std::vector<const char*> ids;
};
const std::vector<Company>& Companies() {
  static const auto* const kCompanies = new std::vector<Company>{
      {"relatives",
       {"mae", "mse", "psnr", "gmsd", "ms_gmsd", "ms_gmsdc", "fsim", "fsimc", "ms_ssim", "ms_dssim:one_minus"}},
      {"mixed", {"mae", "ssim", "ms_ssim", "gmsd", "fsim", "vsi", "vifp", "mdsi", "haarpsi", "flip"}}};
  return *kCompanies;
}

// Slopes with noise; the distorted one has other noise.
Image Picture(unsigned seed) {
  Image image = *Image::Create(kWidth, kHeight, 3, PixelType::kUint8);
  std::minstd_rand random(seed);
  auto* to = static_cast<std::uint8_t*>(image.data());
  for (int i = 0; i < kWidth * kHeight * 3; ++i) {
    to[i] = static_cast<std::uint8_t>(i % 3000 / 16 + (random() >> 8) % 24);
  }
  return image;
}

const Image& Reference() {
  static const Image* const kImage = new Image(Picture(1));
  return *kImage;
}
const Image& Distorted() {
  static const Image* const kImage = new Image(Picture(2));
  return *kImage;
}

const Scorer& OneThread() {
  static const Scorer* const kScorer = [] {
    ScorerOptions options;
    options.threads = 1;
    options.slot_bytes = std::int64_t{12} << 30;
    return Scorer::Create(options)->release();
  }();
  return *kScorer;
}

double FloorSeconds(bool gradient) {
  using Clock = std::chrono::steady_clock;
  const auto words = static_cast<std::size_t>(Reference().view().size_bytes()) / 8;
  std::vector<float> output(gradient ? kWidth * kHeight * 3 : 0);
  double best = 1e9;
  for (int round = 0; round < 9; ++round) {
    const auto start = Clock::now();
    for (const void* data : {Reference().view().data, Distorted().view().data}) {
      const auto* from = static_cast<const std::uint64_t*>(data);
      std::uint64_t sums[4] = {};
      for (std::size_t i = 0; i + 32 <= words; i += 32) {
        for (std::size_t k = 0; k < 4; ++k) sums[k] += from[i + 8 * k];
      }
      benchmark::DoNotOptimize(sums);
    }
    if (gradient) std::memset(output.data(), round, output.size() * sizeof(float));
    benchmark::ClobberMemory();
    best = std::min(best, std::chrono::duration<double>(Clock::now() - start).count());
  }
  return best;
}

std::vector<ResolvedMetric> ResolveAll(const std::vector<MetricRequest>& requests) {
  std::vector<ResolvedMetric> metrics;
  for (const MetricRequest& request : requests) metrics.push_back(OneThread().Resolve(request).value());
  return metrics;
}

// False when a metric could not be scored.
bool ScoreOnce(absl::Span<const ResolvedMetric> metrics, benchmark::State& state) {
  PairJob job;
  job.reference = Reference().view();
  job.distorted = Distorted().view();
  job.metrics = metrics;
  PairJob* jobs[] = {&job};
  OneThread().Score(jobs);
  for (const MetricResult& result : job.results) {
    if (!result.status.ok()) {
      state.SkipWithError(result.status.ToString().c_str());
      return false;
    }
    benchmark::DoNotOptimize(result.score);
  }
  return true;
}

void RunMetric(benchmark::State& state, const std::string& id, bool gradient) {
  const std::vector<ResolvedMetric> metrics = ResolveAll({{id, {}, false, gradient}});
  const auto explanation = OneThread().Explain(metrics, Reference().view(), Distorted().view());
  const double floor = FloorSeconds(gradient);
  const auto start = std::chrono::steady_clock::now();
  for (auto _ : state) {
    if (!ScoreOnce(metrics, state)) return;
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  state.counters["over_floor"] = seconds.count() / (static_cast<double>(state.iterations()) * floor);
  if (!explanation.ok()) return;
  state.counters["GB"] = static_cast<double>(explanation->together.bytes_moved) / 1e9;
  state.counters["GFlop"] = static_cast<double>(explanation->together.operations) / 1e9;
}

void RunCompany(benchmark::State& state, const Company& company, bool together) {
  std::vector<MetricRequest> requests;
  for (const char* id : company.ids) requests.push_back({id, {}, false, false});
  const std::vector<ResolvedMetric> metrics = ResolveAll(requests);
  for (auto _ : state) {
    if (together) {
      if (!ScoreOnce(metrics, state)) return;
    } else {
      for (const ResolvedMetric& metric : metrics) {
        if (!ScoreOnce({&metric, 1}, state)) return;
      }
    }
  }
}

const bool kRegistered = [] {
  const auto add = [](const std::string& name, auto run) {
    benchmark::RegisterBenchmark(name.c_str(), run)->Unit(benchmark::kMillisecond)->UseRealTime();
  };
  for (const MetricInfo& info : OneThread().metrics()) {
    if (!info.unavailable.empty()) continue;
    for (const ConventionInfo& convention : info.conventions) {
      if (!convention.unavailable.empty()) continue;
      const std::string id = info.id + ":" + convention.name;
      add(id + "/score", [id](benchmark::State& state) { RunMetric(state, id, false); });
      if (info.has_gradient) add(id + "/gradient", [id](benchmark::State& state) { RunMetric(state, id, true); });
    }
  }
  for (const Company& company : Companies()) {
    for (const bool together : {true, false}) {
      add(std::string(company.name) + (together ? "/together" : "/apart"),
          [&company, together](benchmark::State& state) { RunCompany(state, company, together); });
    }
  }
  return true;
}();

}  // namespace
}  // namespace likeness
