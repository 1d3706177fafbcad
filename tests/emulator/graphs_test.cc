// Batches as CUDA graphs: a slot replays what it has seen, with new pixels, and nothing that is stale.
#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kernels/cuda/graph_cache.h"
#include "tests/emulator/bench.h"
#include "tests/emulator/control.h"
#include "tests/gpu/support.h"

namespace likeness::cuda {
namespace {

using testing::Asked;
using testing::Pair;
using testing::SameBits;

// A library's call: sets bytes of the GPU to a number that only the host knows.
struct Set {
  std::byte* to;
  int value;

  friend bool operator==(const Set&, const Set&) = default;
};

Failure RunSets(const Entries& entries, cudaStream_t stream) {
  const auto* sets = reinterpret_cast<const Set*>(entries.host);
  for (int i = 0; i < entries.count; ++i) {
    LIKENESS_CUDA_RETURN_IF_FAILED(cudaMemsetAsync(sets[i].to, sets[i].value, 1, stream));
  }
  return {};
}
constexpr LaunchKind kSetKind = CallKind<Set>(&RunSets);

// One that allocates each time, which a capture refuses.
Failure RunSetsAllocating(const Entries& entries, cudaStream_t stream) {
  DeviceBuffer buffer;
  LIKENESS_CUDA_RETURN_IF_FAILED(DeviceBuffer::Create(1, &buffer));
  return RunSets(entries, stream);
}
constexpr LaunchKind kAllocatingKind = CallKind<Set>(&RunSetsAllocating);

// What one kernel of ours and one call of a library make of a batch, by a cache of graphs.
struct CacheBench {
  Stream stream;
  PinnedBuffer staged = Make<PinnedBuffer>(4096);
  DeviceBuffer table = Make<DeviceBuffer>(4096);
  DeviceBuffer results = Make<DeviceBuffer>(256);
  std::vector<double> scratch = std::vector<double>(Cuda::kScratchCount);
  Launches launches{staged.data(), table.data(), 4096};
  GraphCache cache;
  const LaunchKind* call = &kSetKind;

  CacheBench() { EXPECT_FALSE(Stream::Create(&stream).failed()); }

  Failure Enqueue(int fills, double filled, int set, std::int64_t generation) {
    launches.Clear();
    launches.BeginLane();
    Cuda on(launches, scratch.data());
    for (int i = 0; i < fills; ++i) on.Fill(reinterpret_cast<double*>(results.data()), 1, filled + i);
    on.Add(*call, Set{results.data() + 8, set});
    LIKENESS_CUDA_RETURN_IF_FAILED(launches.Merge());
    LIKENESS_CUDA_RETURN_IF_FAILED(launches.UploadAsync(stream.get()));
    LIKENESS_CUDA_RETURN_IF_FAILED(cache.Run(launches.merged(), generation, stream.get()));
    return stream.Wait();
  }

  // Also checks what came of it. Captures and replays until now.
  std::pair<int, int> Run(int fills, double filled, int set, std::int64_t generation = 0) {
    const Failure failure = Enqueue(fills, filled, set, generation);
    EXPECT_FALSE(failure.failed()) << failure.expression << ": " << cudaGetErrorName(failure.code);
    EXPECT_EQ(*reinterpret_cast<const double*>(results.data()), filled + fills - 1);
    EXPECT_EQ(static_cast<int>(results.data()[8]), set);
    return {static_cast<int>(cache.captures()), static_cast<int>(cache.replays())};
  }
};

using Counts = std::pair<int, int>;

TEST(GraphCache, CapturesTheSecondTimeAndReplaysFromThenOn) {
  CacheBench bench;
  EXPECT_EQ(bench.Run(2, 1.0, 3), Counts(0, 0));
  EXPECT_EQ(bench.Run(2, 5.0, 3), Counts(1, 0));
  EXPECT_EQ(bench.Run(2, 7.0, 3), Counts(1, 1));
  EXPECT_EQ(bench.Run(2, 8.0, 3), Counts(1, 2));
}

TEST(GraphCache, KnowsABatchByAllThatAGraphHolds) {
  CacheBench bench;
  for (int i = 0; i < 2; ++i) bench.Run(2, 1.0, 3);
  EXPECT_EQ(bench.Run(3, 1.0, 3), Counts(1, 0));  // another launch
  EXPECT_EQ(bench.Run(2, 1.0, 4), Counts(1, 0));  // another argument of a call
  EXPECT_EQ(bench.Run(2, 1.0, 3), Counts(1, 1));
  EXPECT_EQ(bench.Run(2, 1.0, 4), Counts(2, 1));
  EXPECT_EQ(bench.Run(2, 2.0, 4), Counts(2, 2));
}

TEST(GraphCache, ForgetsWhatWasUsedLongestAgo) {
  CacheBench bench;
  constexpr int kMost = GraphCache::kMostGraphs;
  for (int i = 0; i < kMost; ++i) {
    bench.Run(1, 1.0, i);
    EXPECT_EQ(bench.Run(1, 1.0, i), Counts(i + 1, 0));
  }
  EXPECT_EQ(bench.Run(1, 1.0, 0), Counts(kMost, 1));
  const std::int64_t alive = EmulatedAllocationCount();
  // One more takes the place of 1, not of 0.
  bench.Run(1, 1.0, kMost);
  bench.Run(1, 1.0, kMost);
  EXPECT_EQ(EmulatedAllocationCount(), alive);
  EXPECT_EQ(bench.Run(1, 1.0, 0), Counts(kMost + 1, 2));
  EXPECT_EQ(bench.Run(1, 1.0, 1), Counts(kMost + 1, 2));
  EXPECT_EQ(bench.Run(1, 1.0, 1), Counts(kMost + 2, 2));
}

// What comes once takes no graph's place, and is itself forgotten.
TEST(GraphCache, MixturesThatComeOnceAreNotCaptured) {
  CacheBench bench;
  for (int i = 0; i < 2; ++i) bench.Run(1, 1.0, 200);
  constexpr int kMany = GraphCache::kMostSeen + 1;
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < kMany; ++i) EXPECT_EQ(bench.Run(1, 1.0, i), Counts(1, 0));
  }
  EXPECT_EQ(bench.Run(1, 1.0, 200), Counts(1, 1));
}

TEST(GraphCache, NothingOutlivesItsGeneration) {
  CacheBench bench;
  for (int i = 0; i < 2; ++i) bench.Run(1, 1.0, 1);
  const std::int64_t alive = EmulatedAllocationCount();
  EXPECT_EQ(bench.Run(1, 1.0, 1, /*generation=*/1), Counts(1, 0));
  EXPECT_LT(EmulatedAllocationCount(), alive);
  // Not even that it was seen.
  EXPECT_EQ(bench.Run(1, 1.0, 1, /*generation=*/2), Counts(1, 0));
  EXPECT_EQ(bench.Run(1, 1.0, 1, /*generation=*/2), Counts(2, 0));
}

TEST(GraphCache, FailuresAreReportedAndLeaveTheStreamUsable) {
  CacheBench bench;
  bench.Run(1, 1.0, 1);
  // The table's upload, the kernel, the call.
  for (const int at : {2, 3}) {
    FailEmulatedWork(at, cudaErrorInvalidConfiguration, /*sticky=*/false);
    EXPECT_EQ(bench.Enqueue(1, 1.0, 1, 0).code, cudaErrorInvalidConfiguration);
    EXPECT_EQ(cudaGetLastError(), cudaSuccess);
  }
  // No memory for the graph itself.
  LimitEmulatedMemory(1);
  EXPECT_EQ(bench.Enqueue(1, 1.0, 1, 0).code, cudaErrorMemoryAllocation);
  LimitEmulatedMemory(std::int64_t{1} << 40);
  // Nothing is left of what was there.
  EXPECT_EQ(bench.Run(1, 1.0, 1), Counts(0, 0));
  EXPECT_EQ(bench.Run(1, 1.0, 1), Counts(1, 0));
  FailEmulatedWork(2, cudaErrorIllegalAddress, /*sticky=*/true);  // the graph
  EXPECT_EQ(bench.Enqueue(1, 1.0, 1, 0).code, cudaErrorIllegalAddress);
  ForgetEmulatedFailure();
}

// Launch by launch then, and others are replayed as before.
TEST(GraphCache, WhatCannotBeCapturedIsEnqueued) {
  CacheBench bench;
  for (int i = 0; i < 2; ++i) bench.Run(1, 1.0, 1);
  bench.call = &kAllocatingKind;
  for (int i = 0; i < 4; ++i) EXPECT_EQ(bench.Run(1, 2.0 + i, 1), Counts(1, 0));
  EXPECT_EQ(bench.cache.refusals(), 1);
  bench.call = &kSetKind;
  EXPECT_EQ(bench.Run(1, 1.0, 1), Counts(1, 1));
}

// An allocation, which a graph cannot hold, and a library that does not say what was wrong with it.
TEST(GraphCache, WhatCannotBeCapturedIsAFailure) {
  Stream stream;
  ASSERT_FALSE(Stream::Create(&stream).failed());
  const std::int64_t alive = EmulatedAllocationCount();
  for (const bool hides : {false, true}) {
    Graph graph;
    const Failure failure = Graph::Capture(
        stream.get(),
        [&]() -> Failure {
          DeviceBuffer buffer;
          const Failure allocated = DeviceBuffer::Create(1, &buffer);
          return hides ? LIKENESS_CUDA_CHECK(cudaErrorUnknown) : allocated;
        },
        &graph);
    EXPECT_EQ(failure.code, hides ? cudaErrorStreamCaptureInvalidated : cudaErrorStreamCaptureUnsupported);
    EXPECT_FALSE(stream.Wait().failed());
  }
  EXPECT_EQ(EmulatedAllocationCount(), alive);
}

// A pair whose pixels change.
struct Job {
  Pair pair;
  Asked asked{pair};

  Job(const std::string& request, int width, int height, bool fused = false, bool gradient = true)
      : pair(width, height) {
    asked.Add(testing::ReadRequest(request), /*want_map=*/true, gradient, fused);
  }
  void Change(int by) {
    for (std::uint8_t& sample : pair.reference) sample = static_cast<std::uint8_t>(sample + by);
    for (std::uint8_t& sample : pair.distorted) sample = static_cast<std::uint8_t>(sample * 3 + by);
  }
};

using Jobs = std::vector<std::unique_ptr<Job>>;

std::vector<PairResult> Score(Slot& slot, const Jobs& jobs) {
  std::vector<PairTask*> tasks;
  for (const auto& job : jobs) tasks.push_back(&job->asked.task);
  int count = 0;
  const Failure failure = slot.Score(tasks, &count);
  EXPECT_FALSE(failure.failed()) << failure.expression << ": " << cudaGetErrorName(failure.code);
  EXPECT_EQ(count, static_cast<int>(jobs.size()));
  std::vector<PairResult> results;
  for (const auto& job : jobs) {
    EXPECT_FALSE(job->asked.task.failure.failed());
    results.push_back(std::move(job->asked.task.metrics[0].result));
  }
  return results;
}

SlotSizes Total(const Jobs& jobs) {
  SlotSizes total;
  for (const auto& job : jobs) total += SizesFor(job->asked.task);
  return total;
}

TEST(SlotGraphs, AReplayServesNewPixelsWithEqualBits) {
  testing::Trunks trunks;
  ASSERT_TRUE(trunks.Create());
  Jobs jobs;
  for (const std::string request : {"mae", "gmsd", "ffl", "lpips_alex", "lpips_alex?precision=fast"}) {
    jobs.push_back(std::make_unique<Job>(request, 35, 33));
    jobs.push_back(std::make_unique<Job>(request, 35, 33));
  }
  jobs.push_back(std::make_unique<Job>("ssim", 35, 33, /*fused=*/true));
  SlotSizes sizes = Total(jobs);
  sizes.library_bytes = 1 << 20;
  Slot replayed, direct;
  ASSERT_FALSE(testing::CreateSlot(sizes, &replayed).failed());
  ASSERT_FALSE(testing::CreateSlot(sizes, &direct).failed());
  direct.UseGraphs(false);
  // No trials between the batches.
  replayed.set_images_per_call(1);
  direct.set_images_per_call(1);
  for (int round = 0; round < 4; ++round) {
    for (const auto& job : jobs) job->Change(round);
    const std::vector<PairResult> expected = Score(direct, jobs), results = Score(replayed, jobs);
    for (std::size_t i = 0; i < jobs.size(); ++i) EXPECT_TRUE(SameBits(results[i], expected[i])) << round << " " << i;
    EXPECT_EQ(replayed.launch_count(), direct.launch_count());
  }
  EXPECT_EQ(replayed.graphs().captures(), 1);
  EXPECT_EQ(replayed.graphs().replays(), 2);
  EXPECT_EQ(direct.graphs().captures(), 0);
}

TEST(SlotGraphs, AnotherBatchIsNotReplayed) {
  Jobs all;
  for (int i = 0; i < 3; ++i) all.push_back(std::make_unique<Job>("gmsd", 40, 40));
  Slot slot;
  ASSERT_FALSE(testing::CreateSlot(Total(all), &slot).failed());
  const auto batch = [&](int count, const std::string& request, int width, int height, bool gradient) {
    Jobs jobs;
    for (int i = 0; i < count; ++i) {
      jobs.push_back(std::make_unique<Job>(request, width, height, false, gradient));
    }
    return jobs;
  };
  const Jobs known = batch(2, "gmsd", 33, 31, true);
  for (int i = 0; i < 3; ++i) Score(slot, known);
  EXPECT_EQ(slot.graphs().replays(), 1);
  Score(slot, batch(2, "gmsd", 31, 33, true));
  Score(slot, batch(1, "gmsd", 33, 31, true));
  Score(slot, batch(3, "gmsd", 33, 31, true));
  Score(slot, batch(2, "mae", 33, 31, true));
  Score(slot, batch(2, "gmsd", 33, 31, false));
  EXPECT_EQ(slot.graphs().replays(), 1);
  EXPECT_EQ(slot.graphs().captures(), 1);
  Score(slot, known);
  EXPECT_EQ(slot.graphs().replays(), 2);
}

// The emulated libraries abort when they run in a work area that is gone.
TEST(SlotGraphs, ALargerWorkAreaEndsGraphsOfTheOldOne) {
  testing::Trunks trunks;
  ASSERT_TRUE(trunks.Create());
  for (const std::string request : {"ffl", "lpips_alex"}) {
    Jobs small, large;
    small.push_back(std::make_unique<Job>(request, 33, 31));
    large.push_back(std::make_unique<Job>(request, 64, 65));
    Slot slot;
    ASSERT_FALSE(Slot::Create(0, Total(large), &slot, testing::Trunks::device()).failed());
    // Its own area is allocated within the first batch, so that only the second is remembered; convolutions are then
    // tried together.
    std::vector<PairResult> expected;
    for (int i = 0; i < 6; ++i) expected = Score(slot, small);
    const std::int64_t captures = slot.graphs().captures(), replays = slot.graphs().replays();
    EXPECT_GE(replays, 1);
    Score(slot, large);
    EXPECT_TRUE(SameBits(Score(slot, small)[0], expected[0]));
    EXPECT_EQ(slot.graphs().replays(), replays);
    Score(slot, small);
    EXPECT_EQ(slot.graphs().captures(), captures + 1);
    EXPECT_TRUE(SameBits(Score(slot, small)[0], expected[0]));
    EXPECT_EQ(slot.graphs().replays(), replays + 1);
  }
}

// What a graph may hold ends with the generation, and nothing else does.
TEST(PlanGenerations, ChangeWhenSomethingIsReleased) {
  DeviceBuffer area = Make<DeviceBuffer>(1 << 16);
  FftPlans transforms(area.data(), area.size_bytes());
  cufftHandle handle;
  const auto find = [&](int width) {
    EXPECT_FALSE(transforms.Find({CUFFT_C2C, width, 1, width, width, 1}, &handle).failed());
    return transforms.generation();
  };
  const std::int64_t first = find(2);
  for (int width = 3; width < 66; ++width) EXPECT_EQ(find(width), first);
  transforms.Trim();
  EXPECT_EQ(find(2), first);
  find(66);
  transforms.Trim();  // of 65 plans
  const std::int64_t trimmed = find(2);
  EXPECT_NE(trimmed, first);
  EXPECT_NE(find(1 << 14), trimmed);  // exceeds the area

  Stream stream;
  ASSERT_FALSE(Stream::Create(&stream).failed());
  ConvPlans convolutions;
  ASSERT_FALSE(ConvPlans::Create(stream.get(), area.data(), area.size_bytes(), &convolutions).failed());
  const ConvShape small{{8, 8, 3, 1}, 40, 40}, large{{8, 8, 3, 1}, 100, 100};
  EXPECT_FALSE(convolutions.Prepare(small).failed());
  const std::int64_t small_only = convolutions.generation();
  EXPECT_FALSE(convolutions.Prepare({{8, 8, 3, 1}, 40, 41}).failed());
  LimitEmulatedMemory(1000);
  EXPECT_EQ(convolutions.Prepare(large).code, cudaErrorMemoryAllocation);
  LimitEmulatedMemory(std::int64_t{1} << 40);
  EXPECT_EQ(convolutions.generation(), small_only);
  // It is asked for again, and may come out otherwise.
  convolutions.BeginBatch();
  const std::int64_t forgotten = convolutions.generation();
  EXPECT_NE(forgotten, small_only);
  EXPECT_FALSE(convolutions.Prepare(large).failed());
  EXPECT_NE(convolutions.generation(), forgotten);
}

TEST(SlotGraphs, ALostGpuShowsWhileCapturingAndReplaying) {
  for (const bool replaying : {false, true}) {
    Jobs jobs;
    jobs.push_back(std::make_unique<Job>("gmsd", 33, 31));
    Slot slot;
    ASSERT_FALSE(testing::CreateSlot(Total(jobs), &slot).failed());
    for (int i = 0; i < (replaying ? 2 : 1); ++i) Score(slot, jobs);
    // Both uploads, and then the first launch, or that of the graph.
    FailEmulatedWork(3, cudaErrorIllegalAddress, /*sticky=*/true);
    PairTask* const tasks[] = {&jobs[0]->asked.task};
    int count = 0;
    EXPECT_EQ(slot.Score(tasks, &count).code, cudaErrorIllegalAddress);
    EXPECT_EQ(slot.Score(tasks, &count).code, cudaErrorIllegalAddress);
    ForgetEmulatedFailure();
    EXPECT_EQ(slot.graphs().captures(), replaying ? 1 : 0);
  }
}

TEST(SlotGraphs, AllocateOnceForABatchThatComesAgain) {
  const std::int64_t before = EmulatedAllocationCount();
  {
    Jobs jobs;
    jobs.push_back(std::make_unique<Job>("gmsd", 33, 31));
    Slot slot;
    ASSERT_FALSE(testing::CreateSlot(Total(jobs), &slot).failed());
    for (int i = 0; i < 2; ++i) Score(slot, jobs);
    const std::int64_t warm = EmulatedAllocationCount();
    for (int i = 0; i < 3; ++i) Score(slot, jobs);
    EXPECT_EQ(EmulatedAllocationCount(), warm);
    EXPECT_EQ(slot.graphs().replays(), 3);
  }
  EXPECT_EQ(EmulatedAllocationCount(), before);
}

}  // namespace
}  // namespace likeness::cuda
