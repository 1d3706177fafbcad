// Pairs a second of LPIPS on all cores, real weights (build/weights, $LIKENESS_WEIGHTS): the whole of Scorer::Score,
// from 8-bit pixels to the score. lpips_pytorch.py times the PyTorch package on the same pictures' sizes: run both
// together.
//
//   lpips_bench --benchmark_filter=alex
//
// GMAC/s counts the multiply-adds of the trunk's convolutions as the plan does, for both images.
#include <benchmark/benchmark.h>

#include <cstdio>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kernels/scorer.h"

namespace likeness {
namespace {

Image Noise(int width, int height, std::uint32_t seed) {
  Image image = *Image::Create(width, height, 3, PixelType::kUint8);
  std::mt19937 random(seed);
  auto* to = static_cast<std::uint8_t*>(image.data());
  for (std::int64_t i = 0; i < image.view().size_bytes(); ++i) to[i] = random() >> 24;
  return image;
}

struct Row {
  const char* name;
  int pairs;
  bool gradient;
  Precision precision;
  bool kept = false;  // one reference, whose features are there from the first pair on
};

void Score(benchmark::State& state, const Scorer& scorer, const std::string& id, int side, const Row& row) {
  const auto& [name, pairs, gradient, precision, keeps] = row;
  const auto resolved = scorer.Resolve({id, {}, false, gradient, precision});
  if (!resolved.ok()) {
    state.SkipWithError(std::string(resolved.status().message()).c_str());
    return;
  }
  if (resolved->precision != precision) {
    state.SkipWithError("this processor has no faster precision");
    return;
  }
  KeptReference kept(std::int64_t{1} << 30);
  const Image reference = Noise(side, side, 1), distorted = Noise(side, side, 2);
  std::vector<PairJob> jobs(pairs);
  std::vector<PairJob*> pointers;
  for (PairJob& job : jobs) {
    job.reference = reference.view();
    job.distorted = distorted.view();
    job.metrics = {&*resolved, 1};
    if (keeps) job.kept = &kept;
    pointers.push_back(&job);
  }
  scorer.Score(pointers);  // fills what is kept
  for (auto _ : state) {
    scorer.Score(pointers);
    if (!jobs[0].results[0].status.ok()) {
      state.SkipWithError(jobs[0].results[0].status.ToString().c_str());
      return;
    }
  }
  using benchmark::Counter;
  const auto plan = scorer.MakePlan(*resolved, reference.view(), distorted.view());
  state.counters["pairs/s"] = Counter(pairs, Counter::kIsIterationInvariantRate);
  state.counters["GMAC/s"] =
      Counter(pairs * static_cast<double>(plan->operations) / 2e9, Counter::kIsIterationInvariantRate);
}

}  // namespace
}  // namespace likeness

int main(int argc, char** argv) {
  using namespace likeness;
  const auto scorer = Scorer::Create({});
  if (!scorer.ok()) {
    std::fprintf(stderr, "lpips_bench: %s\n", scorer.status().ToString().c_str());
    return 1;
  }
  for (const char* id : {"lpips_alex", "lpips_vgg"}) {
    using enum Precision;
    for (const Row& row :
         {Row{"one pair", 1, false, kExact}, Row{"batch of 4", 4, false, kExact}, Row{"gradient", 1, true, kExact},
          Row{"kept reference", 1, false, kExact, true}, Row{"one pair, fast", 1, false, kFast},
          Row{"batch of 4, fast", 4, false, kFast}, Row{"gradient, fast", 1, true, kFast}}) {
      const std::string title = absl::StrCat(id, "/256x256/", row.name);
      benchmark::RegisterBenchmark(title.c_str(),
                                   [&scorer, id, row](auto& state) { Score(state, **scorer, id, 256, row); })
          ->Unit(benchmark::kMillisecond)
          ->UseRealTime();
    }
  }
  benchmark::AddCustomContext("instruction set", (*scorer)->instruction_set());
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
