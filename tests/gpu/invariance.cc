// A pair's bits depend on the pair alone: every metric that is compiled for CUDA, and every fused walk, is scored by
// itself, and then again in mixed batches of any sizes, beside other metrics of the same pair, with and without map and
// gradient, by several slots on as many host threads at once; learned metrics also in batches of many of their like
// that come again and again. Everything must come back equal to the last bit.
//
//   invariance [--rounds N] [--slots N] [--small]     exit 0: all equal; 1: not; 77: no GPU, nothing was run
//
// --small: sizes and conventions that suit the emulator and compute-sanitizer.
#include <atomic>
#include <random>
#include <thread>

#include "tests/gpu/support.h"

namespace likeness::cuda::testing {
namespace {

struct Options {
  int rounds = 20;
  int slots = 3;
  bool small = false;
};

// A request of a pair, scored by itself with every output.
struct Alone {
  const Pair* pair;
  std::string text;
  Request request;
  bool fused;
  PairResult expected;
};

std::vector<Pair> MakePairs(bool small) {
  std::vector<Pair> pairs;
  // The last ones suit the metrics that need more.
  if (small) {
    for (const auto& [w, h] : {std::pair{1, 1}, {3, 40}, {33, 17}, {52, 49}, {177, 176}}) pairs.emplace_back(w, h);
  } else {
    for (const auto& [w, h] : {std::pair{1, 1},
                               {3, 40},
                               {33, 17},
                               {301, 7},
                               {64, 64},
                               {67, 45},
                               {256, 256},
                               {255, 257},
                               {640, 360},
                               {1027, 515},
                               {1920, 1080}}) {
      pairs.emplace_back(w, h);
    }
  }
  return pairs;
}

// The smaller sizes that a request takes, two of them when small.
std::vector<Alone> MakeCases(const std::vector<Pair>& pairs, bool small) {
  std::vector<Alone> cases;
  for (const std::string& text : AllRequests(!small)) {
    const Request request = ReadRequest(text);
    int taken = 0;
    for (const Pair& pair : pairs) {
      // The emulator convolves slowly.
      const int most = request.program->trunk != nullptr ? 1 : 2;
      if (!Takes(request, pair.width, pair.height) || (small && taken == most)) continue;
      if (IsTooLarge(request, pair.width, pair.height)) continue;
      cases.push_back({&pair, text, request, false, {}});
      if (FusedWalk(request)) cases.push_back({&pair, text + " (fused)", request, true, {}});
      ++taken;
    }
    if (taken == 0) CannotRead("the sizes: none suits " + text);
  }
  return cases;
}

bool ScoreAlone(std::vector<Alone>& cases) {
  for (Alone& one : cases) {
    Asked asked(*one.pair);
    asked.Add(one.request, true, true, one.fused);
    Slot slot;
    if (!Report(CreateSlot(SizesFor(asked.task), &slot)) || !ScoreAll(slot, {&asked.task})) return false;
    one.expected = std::move(asked.task.metrics[0].result);
  }
  return true;
}

// A task and the cases that its metrics are.
struct Mixed {
  std::unique_ptr<Asked> asked;
  std::vector<const Alone*> cases;
};

// Every case once, in any order; some share a task with others of the same pair.
std::vector<Mixed> Mix(const std::vector<Alone>& cases, std::mt19937_64& random) {
  std::vector<const Alone*> order;
  for (const Alone& one : cases) order.push_back(&one);
  std::shuffle(order.begin(), order.end(), random);
  std::vector<Mixed> mixed;
  for (const Alone* one : order) {
    const bool joins = !mixed.empty() && random() % 2 == 0 && mixed.back().cases[0]->pair == one->pair;
    if (!joins) mixed.push_back({std::make_unique<Asked>(*one->pair), {}});
    mixed.back().asked->Add(one->request, random() % 4 != 0, random() % 4 != 0, one->fused);
    mixed.back().cases.push_back(one);
  }
  return mixed;
}

int CountDifferences(const std::vector<Mixed>& mixed) {
  int count = 0;
  for (const Mixed& one : mixed) {
    for (std::size_t i = 0; i < one.cases.size(); ++i) {
      const MetricTask& metric = one.asked->task.metrics[i];
      const PairResult& expected = one.cases[i]->expected;
      const bool score = std::memcmp(&metric.result.score, &expected.score, sizeof(double)) == 0;
      const bool map = !metric.want_map || SameBits(metric.result.map, expected.map);
      const bool gradient = !metric.want_gradient || SameBits(metric.result.gradient, expected.gradient);
      if (score && map && gradient) continue;
      ++count;
      std::printf("FAIL %s on %dx%d differs from itself alone:%s%s%s\n", one.cases[i]->text.c_str(),
                  one.cases[i]->pair->width, one.cases[i]->pair->height, score ? "" : " score", map ? "" : " map",
                  gradient ? "" : " gradient");
    }
  }
  return count;
}

// Learned metrics among their like: 99 pairs are calls of 64, 32, 2 and 1 images, 31 of 16, 8, 4, 2 and 1. Their
// convolutions go one by one at first, are then tried together, in half more than once, share calls if bits agree, and
// are captured.
bool AgreeInCrowds(const std::vector<Alone>& cases, bool small, ConvTrials* trials) {
  const int times = small ? 4 : 8;
  bool agree = true;
  const std::vector<int> counts = small ? std::vector<int>{5} : std::vector<int>{99, 31};
  for (const Alone& one : cases) {
    if (one.request.program->trunk == nullptr || std::int64_t{one.pair->width} * one.pair->height > 64 * 64) continue;
    for (const int count : counts) {
      std::vector<Mixed> crowd(count);
      std::vector<PairTask*> tasks;
      SlotSizes sizes;
      for (Mixed& mixed : crowd) {
        mixed.asked = std::make_unique<Asked>(*one.pair);
        mixed.asked->Add(one.request, true, true);
        mixed.cases.push_back(&one);
        tasks.push_back(&mixed.asked->task);
        sizes += SizesFor(mixed.asked->task);
      }
      Slot slot;
      // What differs here says nothing of the next: go on.
      bool same = Report(CreateSlot(sizes, &slot));
      for (int i = 0; same && i < times; ++i) same = ScoreAll(slot, tasks) && CountDifferences(crowd) == 0;
      agree = agree && same;
      trials->agreed += slot.conv_trials().agreed;
      trials->differed += slot.conv_trials().differed;
    }
  }
  return agree;
}

// What one thread does with its slot. A slot has room for the largest task and a few more, so that batches end
// anywhere.
bool Repeat(const std::vector<Alone>& cases, const Options& options, int thread, std::atomic<std::int64_t>& compared) {
  std::mt19937_64 random(thread);
  Slot slot;
  bool agree = true;
  for (int round = 0; round < options.rounds; ++round) {
    const std::vector<Mixed> mixed = Mix(cases, random);
    std::vector<PairTask*> tasks;
    SlotSizes sizes;
    for (const Mixed& one : mixed) {
      tasks.push_back(&one.asked->task);
      sizes = Widest(sizes, SizesFor(one.asked->task));
    }
    // The table is small and every pair takes some of it.
    sizes.table_bytes *= 16;
    sizes.work_bytes *= 2;
    if (!Report(CreateSlot(sizes, &slot)) || !ScoreAll(slot, tasks)) return false;
    if (CountDifferences(mixed) > 0) agree = false;
    for (const Mixed& one : mixed) compared += static_cast<std::int64_t>(one.cases.size());
  }
  return agree;
}

int Run(const Options& options) {
  if (!AnnounceDevice()) return kSkipped;
  Trunks trunks;
  if (!trunks.Create()) return kFailed;
  const std::vector<Pair> pairs = MakePairs(options.small);
  std::vector<Alone> cases = MakeCases(pairs, options.small);
  if (!ScoreAlone(cases)) return kFailed;
  ConvTrials trials;
  std::atomic<bool> passed = AgreeInCrowds(cases, options.small, &trials);
  std::atomic<std::int64_t> compared = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < options.slots; ++i) {
    threads.emplace_back([&, i] {
      if (!Repeat(cases, options, i, compared)) passed = false;
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::printf(
      "%s: %zu cases alone; %lld in mixed batches, %d rounds on each of %d slots; of cuDNN's calls for several images "
      "%lld gave the bits of single ones and %lld did not\n",
      passed ? "passed" : "FAILED", cases.size(), static_cast<long long>(compared), options.rounds, options.slots,
      static_cast<long long>(trials.agreed), static_cast<long long>(trials.differed));
  return passed ? kPassed : kFailed;
}

Options ReadOptions(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    if (name == "--small") {
      options.small = true;
    } else if (name == "--rounds" && i + 1 < argc) {
      options.rounds = Count(argv[++i], 1);
    } else if (name == "--slots" && i + 1 < argc) {
      options.slots = Count(argv[++i], 1);
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
