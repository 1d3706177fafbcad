// A slot over a batch: pairs of any mix of sizes and metrics ride in one launch a step, each scored as it is alone.
#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "kernels/metrics/slot_cuda.h"
#include "tests/support/scene.h"

namespace likeness::cuda {
namespace {

// A pair and what its metrics are asked with; settings keep references, so it stays where it is.
struct Asked {
  int width, height;
  std::vector<std::uint8_t> reference, distorted;
  std::string convention;
  Parameters parameters;
  std::unique_ptr<Settings> settings;
  PairTask task;

  Asked(const std::string& id, int w, int h)
      : width(w), height(h), reference(std::size_t{3} * w * h), distorted(std::size_t{3} * w * h) {
    testing::FillScene(w, h, reference.data(), distorted.data());
    const Program* program = FindProgram(id);
    const MetricInfo info = program->info();
    convention = info.conventions.front().name;
    for (const ParameterInfo& parameter : info.parameters) parameters[parameter.name] = parameter.default_value;
    for (const auto& [name, value] : info.conventions.front().parameters) parameters[name] = value;
    settings = std::make_unique<Settings>(convention, parameters);
    task.reference = {reference.data(), w, h, 3};
    task.reference.row_bytes = 3 * w;
    task.distorted = task.reference;
    task.distorted.data = distorted.data();
    MetricTask& metric = task.metrics.emplace_back();
    metric.program = program;
    metric.settings = settings.get();
    metric.want_map = metric.want_gradient = true;
    Plan(task);
  }
};

bool SameBits(const Tensor& a, const Tensor& b) {
  return a.sample_count() == b.sample_count() &&
         std::memcmp(a.data.get(), b.data.get(), a.sample_count() * sizeof(float)) == 0;
}

SlotSizes Total(const std::vector<std::unique_ptr<Asked>>& all) {
  SlotSizes total;
  for (const auto& asked : all) {
    const SlotSizes sizes = SizesFor(asked->task);
    total.input_bytes += sizes.input_bytes;
    total.output_bytes += sizes.output_bytes;
    total.table_bytes += sizes.table_bytes;
    total.work_bytes += sizes.work_bytes;
  }
  return total;
}

std::vector<std::unique_ptr<Asked>> MixedBatch() {
  std::vector<std::unique_ptr<Asked>> all;
  for (const auto& [w, h] : {std::pair{1, 1}, {1, 40}, {17, 23}, {301, 7}, {64, 64}, {64, 64}, {5, 3}}) {
    all.push_back(std::make_unique<Asked>("mae", w, h));
    all.push_back(std::make_unique<Asked>("gmsd", w + 3, h + 3));
  }
  return all;
}

TEST(Slot, APairIsScoredAlikeAloneAndInAnyBatch) {
  const auto all = MixedBatch();
  const SlotSizes total = Total(all);
  std::vector<PairResult> alone;
  int steps = 0;
  for (const auto& asked : all) {
    Slot slot;
    ASSERT_FALSE(Slot::Create(0, SizesFor(asked->task), &slot).failed());
    PairTask* const one[] = {&asked->task};
    int count = 0;
    ASSERT_FALSE(slot.Score(one, &count).failed());
    ASSERT_EQ(count, 1);
    EXPECT_EQ(slot.launch_count(), slot.step_count());
    steps += slot.step_count();
    alone.push_back(std::move(asked->task.metrics[0].result));
  }
  Slot slot;
  ASSERT_FALSE(Slot::Create(0, total, &slot).failed());
  std::vector<PairTask*> tasks;
  for (const auto& asked : all) tasks.push_back(&asked->task);
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
      EXPECT_EQ(std::memcmp(&together.score, &alone[i].score, sizeof(double)), 0) << i;
      EXPECT_TRUE(SameBits(together.map, alone[i].map)) << i;
      EXPECT_TRUE(SameBits(together.gradient, alone[i].gradient)) << i;
    }
  }
}

TEST(Slot, TakesAsManyPairsAsItHasRoomFor) {
  const auto all = MixedBatch();
  std::vector<PairTask*> tasks;
  SlotSizes largest;
  for (const auto& asked : all) {
    tasks.push_back(&asked->task);
    const SlotSizes sizes = SizesFor(asked->task);
    largest.input_bytes = std::max(largest.input_bytes, sizes.input_bytes);
    largest.output_bytes = std::max(largest.output_bytes, sizes.output_bytes);
    largest.table_bytes = std::max(largest.table_bytes, sizes.table_bytes);
    largest.work_bytes = std::max(largest.work_bytes, sizes.work_bytes);
  }
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
  Asked small("gmsd", 16, 16), large("gmsd", 64, 64);
  Slot slot;
  ASSERT_FALSE(Slot::Create(0, SizesFor(small.task), &slot).failed());
  EXPECT_TRUE(slot.Fits(small.task));
  EXPECT_FALSE(slot.Fits(large.task));
  PairTask* const tasks[] = {&large.task, &small.task};
  int count = -1;
  ASSERT_FALSE(slot.Score(tasks, &count).failed());
  EXPECT_EQ(count, 0);
}

// Fewer bytes for the launches than one pair needs.
TEST(Slot, LeavesAPairWhoseLaunchesDoNotFit) {
  Asked asked("gmsd", 16, 16);
  SlotSizes sizes = SizesFor(asked.task);
  sizes.table_bytes = 1024;
  Slot slot;
  ASSERT_FALSE(Slot::Create(0, sizes, &slot).failed());
  PairTask* const tasks[] = {&asked.task};
  int count = -1;
  ASSERT_FALSE(slot.Score(tasks, &count).failed());
  EXPECT_EQ(count, 0);
}

}  // namespace
}  // namespace likeness::cuda
