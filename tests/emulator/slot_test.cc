// A slot over a batch: pairs of any mix of sizes and metrics ride in one launch a step, each scored as it is alone.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "kernels/base/arena.h"
#include "kernels/metrics/slot_cuda.h"
#include "kernels/ops/cuda_device.h"
#include "tests/emulator/bench.h"
#include "tests/emulator/control.h"
#include "tests/gpu/support.h"

namespace likeness::cuda {
namespace {

using testing::Asked;
using testing::Pair;
using testing::SameBits;
using testing::Widest;

// A pair and one metric of it with map and gradient.
struct Job {
  Pair pair;
  Asked asked{pair};
  PairTask& task = asked.task;

  Job(const std::string& id, int width, int height) : pair(width, height) {
    asked.Add(testing::ReadRequest(id), /*want_map=*/true, /*want_gradient=*/true);
  }
};

SlotSizes Total(const std::vector<std::unique_ptr<Job>>& all) {
  SlotSizes total;
  for (const auto& job : all) total += SizesFor(job->task);
  return total;
}

std::vector<std::unique_ptr<Job>> MixedBatch() {
  std::vector<std::unique_ptr<Job>> all;
  for (const auto& [w, h] : {std::pair{1, 1}, {1, 40}, {17, 23}, {301, 7}, {64, 64}, {64, 64}, {5, 3}}) {
    all.push_back(std::make_unique<Job>("mae", w, h));
    all.push_back(std::make_unique<Job>("gmsd", w + 3, h + 3));
  }
  return all;
}

// Notes "what" in a list that the host keeps: a call of two kinds.
struct Call {
  int what;

  friend bool operator==(const Call&, const Call&) = default;
};
std::vector<std::vector<int>> called;  // by launch

Failure Remember(const Entries& entries, cudaStream_t) {
  called.emplace_back();
  for (int i = 0; i < entries.count; ++i) called.back().push_back(reinterpret_cast<const Call*>(entries.host)[i].what);
  return {};
}
constexpr LaunchKind kFirst = CallKind<Call>(&Remember), kSecond = CallKind<Call>(&Remember);

TEST(Launches, RunsOfStepsBesideEachOtherShareLaunches) {
  const auto staged = Make<PinnedBuffer>(1 << 12);
  const auto table = Make<DeviceBuffer>(1 << 12);
  Launches launches(staged.data(), table.data(), 1 << 12);
  const auto note = [&](const LaunchKind& kind, int what, bool beside = false) {
    const Call call{what};
    launches.Add(kind, {}, &call, beside);
  };
  const auto run = [&] {
    called.clear();
    EXPECT_FALSE(launches.Merge().failed());
    EXPECT_FALSE(launches.UploadAsync(nullptr).failed());
    EXPECT_FALSE(EnqueueAll(launches.merged(), nullptr).failed());
    launches.Clear();
    launches.BeginLane();
    return called;
  };
  using Expected = std::vector<std::vector<int>>;
  launches.BeginLane();
  note(kFirst, 0);
  const std::size_t first = launches.next_step();
  note(kFirst, 1, /*beside=*/true);
  note(kSecond, 2);
  note(kSecond, 3, /*beside=*/true);
  const std::size_t second = launches.next_step();
  note(kFirst, 4);
  note(kSecond, 5);
  note(kSecond, 6, /*beside=*/true);
  launches.Interleave(first, second);
  note(kSecond, 7);
  // 4 may need what 0 made, though 1 does not.
  EXPECT_EQ(run(), (Expected{{0}, {1, 4}, {2, 5, 3, 6}, {7}}));

  // Of other kinds, or of another length, runs stay one behind the other.
  for (const bool longer : {false, true}) {
    const std::size_t one = launches.next_step();
    note(kFirst, 1);
    const std::size_t other = launches.next_step();
    note(longer ? kFirst : kSecond, 2);
    if (longer) note(kSecond, 3);
    launches.Interleave(one, other);
    EXPECT_EQ(run(), longer ? (Expected{{1}, {2}, {3}}) : (Expected{{1}, {2}}));
  }
  // So they do where one of them depends on what came before it and the other does not.
  const std::size_t one = launches.next_step();
  note(kFirst, 1);
  note(kFirst, 2, /*beside=*/true);
  const std::size_t other = launches.next_step();
  note(kFirst, 3);
  note(kFirst, 4);
  launches.Interleave(one, other);
  EXPECT_EQ(run(), (Expected{{1, 2}, {3}, {4}}));
}

TEST(Arena, HandsNothingOutThatWasFreedWhileHeld) {
  Arena arena;
  const std::int64_t kept = arena.Allocate(64), freed = arena.Allocate(64);
  arena.HoldFreed(true);
  arena.Free(freed);
  const std::int64_t other = arena.Allocate(64);
  EXPECT_EQ(other, 128);
  arena.HoldFreed(false);
  EXPECT_EQ(arena.Allocate(64), freed);
  EXPECT_EQ(kept, 0);
}

TEST(Slot, APairIsScoredAlikeAloneAndInAnyBatch) {
  const auto all = MixedBatch();
  const SlotSizes total = Total(all);
  std::vector<PairResult> alone;
  int steps = 0;
  for (const auto& job : all) {
    Slot slot;
    ASSERT_FALSE(Slot::Create(0, SizesFor(job->task), &slot).failed());
    PairTask* const one[] = {&job->task};
    int count = 0;
    ASSERT_FALSE(slot.Score(one, &count).failed());
    ASSERT_EQ(count, 1);
    EXPECT_EQ(slot.launch_count(), slot.step_count());
    steps += slot.step_count();
    alone.push_back(std::move(job->task.metrics[0].result));
  }
  Slot slot;
  ASSERT_FALSE(Slot::Create(0, total, &slot).failed());
  std::vector<PairTask*> tasks;
  for (const auto& job : all) tasks.push_back(&job->task);
  for (const bool backwards : {false, true}) {
    if (backwards) std::reverse(tasks.begin(), tasks.end());
    int count = 0;
    ASSERT_FALSE(slot.Score(tasks, &count).failed());
    ASSERT_EQ(count, static_cast<int>(tasks.size()));
    EXPECT_EQ(slot.step_count(), steps);
    // Two kinds of programs: no more launches than one pair of each would need by itself.
    EXPECT_LE(slot.launch_count(), steps / 7);
    for (std::size_t i = 0; i < all.size(); ++i) {
      const PairResult& together = all[i]->task.metrics[0].result;
      EXPECT_TRUE(SameBits(together, alone[i])) << i;
    }
  }
}

TEST(Slot, TakesAsManyPairsAsItHasRoomFor) {
  const auto all = MixedBatch();
  std::vector<PairTask*> tasks;
  SlotSizes largest;
  for (const auto& job : all) {
    tasks.push_back(&job->task);
    largest = Widest(largest, SizesFor(job->task));
  }
  largest += largest;
  Slot slot;
  ASSERT_FALSE(Slot::Create(0, largest, &slot).failed());
  int rounds = 0;
  for (std::size_t at = 0; at < tasks.size(); ++rounds) {
    int count = 0;
    ASSERT_FALSE(slot.Score(std::span(tasks).subspan(at), &count).failed());
    ASSERT_GE(count, 1);
    at += count;
  }
  EXPECT_GT(rounds, 1);
  EXPECT_LT(rounds, static_cast<int>(tasks.size()));
}

TEST(Slot, LeavesAPairThatNeedsMoreThanItHas) {
  Job small("gmsd", 16, 16), large("gmsd", 64, 64);
  Slot slot;
  ASSERT_FALSE(Slot::Create(0, SizesFor(small.task), &slot).failed());
  EXPECT_TRUE(slot.Fits(small.task));
  EXPECT_FALSE(slot.Fits(large.task));
  PairTask* const tasks[] = {&large.task, &small.task};
  int count = -1;
  ASSERT_FALSE(slot.Score(tasks, &count).failed());
  EXPECT_EQ(count, 0);
}

// A slot with room for it allocates nothing for a transform but its plan, and one without a work area besides.
TEST(Slot, KeepsTheWorkAreaOfTransforms) {
  Job job("ffl", 24, 20);
  PairTask* const tasks[] = {&job.task};
  std::int64_t allocated[2];
  for (const bool has_room : {false, true}) {
    SlotSizes sizes = SizesFor(job.task);
    if (has_room) sizes.library_bytes = 1 << 20;
    Slot slot;
    ASSERT_FALSE(Slot::Create(0, sizes, &slot).failed());
    slot.UseGraphs(false);
    std::int64_t before = EmulatedAllocationCount();
    for (const bool first : {true, false}) {
      int count = 0;
      ASSERT_FALSE(slot.Score(tasks, &count).failed());
      ASSERT_EQ(count, 1);
      if (first) allocated[has_room] = EmulatedAllocationCount() - before;
    }
    EXPECT_EQ(EmulatedAllocationCount() - before, allocated[has_room]);
  }
  EXPECT_GT(allocated[true], 0);
  EXPECT_EQ(allocated[false], allocated[true] + 1);
}

// Fewer bytes for the launches than one pair needs.
TEST(Slot, LeavesAPairWhoseLaunchesDoNotFit) {
  Job job("gmsd", 16, 16);
  SlotSizes sizes = SizesFor(job.task);
  sizes.table_bytes = 1024;
  Slot slot;
  ASSERT_FALSE(Slot::Create(0, sizes, &slot).failed());
  PairTask* const tasks[] = {&job.task};
  int count = -1;
  ASSERT_FALSE(slot.Score(tasks, &count).failed());
  EXPECT_EQ(count, 0);
}

}  // namespace
}  // namespace likeness::cuda
