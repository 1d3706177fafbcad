// Learned metrics in a slot of the emulated GPU: pairs of one size share calls of cuDNN once their bits are known,
// nothing is allocated twice, and what cuDNN refuses fails its pair alone.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/emulator/control.h"
#include "tests/gpu/support.h"

namespace likeness::cuda {
namespace {

using testing::Asked;
using testing::SameBits;

struct Job {
  testing::Pair pair;
  Asked asked{pair};

  Job(const std::string& request, int width, int height) : pair(width, height) {
    asked.Add(testing::ReadRequest(request), /*want_map=*/true, /*want_gradient=*/true);
  }
};

// Batches of equal pairs on a slot with room for 13 of them. They are enqueued launch by launch.
struct Crowd {
  std::string request;
  Slot slot;
  std::vector<PairResult> results;  // of all batches

  // `work_area`: of cuDNN, at first; 0: with room for whatever comes here.
  explicit Crowd(const std::string& of, std::int64_t work_area = 0) : request(of) {
    SlotSizes sizes;
    sizes.library_bytes = work_area;
    for (int i = 0; i < 13; ++i) sizes += SizesFor(Job(request, 33, 31).asked.task);
    const Failure failure =
        work_area > 0 ? Slot::Create(0, sizes, &slot, testing::Trunks::device()) : testing::CreateSlot(sizes, &slot);
    EXPECT_FALSE(failure.failed());
    slot.UseGraphs(false);
  }

  // Launches and copies of a batch of `count`.
  std::int64_t WorkOf(int count, bool equal_images = false) {
    std::vector<std::unique_ptr<Job>> jobs;
    std::vector<PairTask*> tasks;
    for (int i = 0; i < count; ++i) {
      jobs.push_back(std::make_unique<Job>(request, 33, 31));
      tasks.push_back(&jobs.back()->asked.task);
      if (equal_images) tasks.back()->distorted.data = tasks.back()->reference.data;
    }
    const std::int64_t before = EmulatedWorkCount();
    int scored = 0;
    EXPECT_FALSE(slot.Score(tasks, &scored).failed());
    EXPECT_EQ(scored, count);
    for (const auto& job : jobs) {
      EXPECT_FALSE(job->asked.task.failure.failed());
      results.push_back(std::move(job->asked.task.metrics[0].result));
    }
    return EmulatedWorkCount() - before;
  }

  // Of a batch whose calls have been tried.
  std::int64_t WorkOfProven(int count) {
    WorkOf(count);
    WorkOf(count);
    return WorkOf(count);
  }

  std::int64_t trials() const { return slot.conv_trials().agreed + slot.conv_trials().differed; }

  void ExpectSameBits() const {
    for (const PairResult& result : results) EXPECT_TRUE(SameBits(result, results[0]));
  }
};

class TrunkSlot : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(trunks_.Create()); }
  void TearDown() override {
    ReorderEmulatedConvolutions(0);
    RefuseEmulatedConvolutions(0);
  }

 private:
  testing::Trunks trunks_;
};

TEST_F(TrunkSlot, PairsOfOneSizeShareCalls) {
  Crowd crowd("lpips_alex");
  crowd.slot.set_images_per_call(1);
  // Five convolutions forward and five back for each image.
  const std::int64_t singly = crowd.WorkOf(1);
  EXPECT_EQ(crowd.WorkOfProven(8), singly + 7 * (5 * 2 + 5));
  EXPECT_EQ(crowd.trials(), 0);
  crowd.slot.set_images_per_call(64);
  const std::int64_t alone = crowd.WorkOfProven(1);
  EXPECT_EQ(alone, singly - 4);
  // Of five convolutions forward, four take both images of a pair at once. Of 8 pairs they take two calls; of 13, which
  // are 8, 4 and 1, five, for both images of the last are one. The first convolution and five back take three calls
  // instead of one, the former for each image.
  EXPECT_EQ(crowd.WorkOfProven(8), alone + 4);
  EXPECT_EQ(crowd.WorkOfProven(13), alone + 4 * 4 + 2 * 2 + 5 * 2);
  EXPECT_EQ(crowd.slot.conv_trials().differed, 0);
  crowd.ExpectSameBits();
}

// What is rounded to half proves little at a time.
TEST_F(TrunkSlot, FastSharesNothingSoon) {
  ReorderEmulatedConvolutions(192);
  Crowd crowd("lpips_alex?precision=fast");
  const std::int64_t first = crowd.WorkOf(4);
  EXPECT_GE(crowd.WorkOfProven(4), first);
  EXPECT_EQ(crowd.slot.conv_trials().agreed, 0);
  crowd.ExpectSameBits();
}

TEST_F(TrunkSlot, SharesNoCallBeforeItsBitsAreKnown) {
  Crowd crowd("lpips_alex");
  const std::int64_t first = crowd.WorkOf(4);
  EXPECT_EQ(crowd.trials(), 0);
  const std::int64_t tried = crowd.WorkOf(4);
  EXPECT_EQ(crowd.slot.conv_trials().agreed, 10);
  const std::int64_t shared = crowd.WorkOf(4);
  EXPECT_LT(shared, first);
  EXPECT_EQ(tried, first + shared);
  EXPECT_EQ(crowd.WorkOf(4), shared);
  crowd.ExpectSameBits();
}

// Of two pairs, the third layer's convolution and the adjoint of the second's sum in another order together: they are
// found among ten, and the others share their calls.
TEST_F(TrunkSlot, CallsOfOtherBitsAreNotShared) {
  Crowd agreeing("lpips_alex");
  const std::int64_t singly = agreeing.WorkOf(2);
  const std::int64_t shared = agreeing.WorkOfProven(2);
  ReorderEmulatedConvolutions(192);
  Crowd crowd("lpips_alex");
  for (int i = 0; i < 20; ++i) crowd.WorkOf(2);
  EXPECT_EQ(crowd.slot.conv_trials().differed, 2);
  EXPECT_EQ(crowd.slot.conv_trials().agreed, 8);
  const std::int64_t work = crowd.WorkOf(2);
  EXPECT_EQ(work, shared + 2 + 1);
  EXPECT_LT(work, singly);
  crowd.ExpectSameBits();
}

// Their score is 0, whatever the features.
TEST_F(TrunkSlot, EqualImagesProveNothing) {
  ReorderEmulatedConvolutions(192);
  Crowd crowd("lpips_alex");
  for (int i = 0; i < 4; ++i) crowd.WorkOf(2, /*equal_images=*/true);
  EXPECT_EQ(crowd.trials(), 0);
}

// Half as many images are tried, and what is refused costs no result.
TEST_F(TrunkSlot, CallsThatCudnnRefusesAreMadeSmaller) {
  Crowd agreeing("lpips_alex");
  agreeing.slot.set_images_per_call(2);
  agreeing.WorkOf(4);
  const std::int64_t pairwise = agreeing.WorkOfProven(4);
  RefuseEmulatedConvolutions(3);
  Crowd crowd("lpips_alex");
  for (int i = 0; i < 5; ++i) crowd.WorkOf(4);
  EXPECT_EQ(crowd.WorkOf(4), pairwise);
  EXPECT_EQ(crowd.slot.conv_trials().agreed, 10);
  EXPECT_EQ(crowd.slot.conv_trials().differed, 0);
  crowd.ExpectSameBits();
}

// What fits the work area that single calls have made larger is shared, as after a refusal.
TEST_F(TrunkSlot, CallsThatFindNoMemoryAreMadeSmaller) {
  Crowd roomy("lpips_alex");
  const std::int64_t first = roomy.WorkOf(4);
  const std::int64_t shared = roomy.WorkOfProven(4);
  Crowd crowd("lpips_alex", 256);
  crowd.WorkOf(4);
  LimitEmulatedMemory(1);
  for (int i = 0; i < 5; ++i) crowd.WorkOf(4);
  const std::int64_t work = crowd.WorkOf(4);
  LimitEmulatedMemory(std::int64_t{1} << 40);
  EXPECT_GT(work, shared);
  EXPECT_LT(work, first);
  EXPECT_EQ(crowd.slot.conv_trials().differed, 0);
  crowd.ExpectSameBits();
}

// The batch is not replayed before its calls are tried, nor put off for ever.
TEST_F(TrunkSlot, GraphsWaitForTrials) {
  Crowd crowd("lpips_alex");
  crowd.slot.UseGraphs(true);
  for (int i = 0; i < 3; ++i) crowd.WorkOf(2, /*equal_images=*/true);
  EXPECT_EQ(crowd.slot.graphs().replays(), 0);
  EXPECT_EQ(crowd.trials(), 0);
  crowd.WorkOf(2);
  EXPECT_EQ(crowd.slot.conv_trials().agreed, 10);
  Crowd equal("lpips_alex");
  equal.slot.UseGraphs(true);
  for (int i = 0; i < 13; ++i) equal.WorkOf(2, /*equal_images=*/true);
  EXPECT_GT(equal.slot.graphs().replays(), 0);
  EXPECT_EQ(equal.trials(), 0);
}

TEST_F(TrunkSlot, AllocatesForANewShapeOnly) {
  const std::int64_t before = EmulatedAllocationCount();
  {
    Crowd crowd("dists");
    crowd.WorkOfProven(1);
    const std::int64_t warm = EmulatedAllocationCount();
    crowd.WorkOf(1);
    EXPECT_EQ(EmulatedAllocationCount(), warm);
  }
  EXPECT_EQ(EmulatedAllocationCount(), before);
}

TEST_F(TrunkSlot, FailsAPairThatCudnnRefuses) {
  Stream stream;
  ASSERT_FALSE(Stream::Create(&stream).failed());
  ConvPlans plans;
  ASSERT_FALSE(ConvPlans::Create(stream.get(), nullptr, 0, &plans).failed());
  EXPECT_FALSE(plans.Prepare({{8, 64, 3, 1}, 100, 90}).failed());
  EXPECT_EQ(plans.Prepare({{8, 64, 3, 1}, 40000, 40000}).code, cudaErrorInvalidValue);  // counts beyond an int
  EXPECT_EQ(plans.Prepare({{8, 64, 3, 1}, 5000, 4000}).code, cudaErrorInvalidValue);    // of workspace
  EXPECT_EQ(plans.Prepare({{3, 64, 3, 1}, 10, 9, Precision::kFast}).code, cudaErrorInvalidValue);
}

}  // namespace
}  // namespace likeness::cuda
