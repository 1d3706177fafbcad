// Trials of cuDNN's calls for several images that turn out badly, with features of references kept: results have the
// bits of single calls, and so has what is kept.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "tests/emulator/control.h"
#include "tests/emulator/trunk_scorer.h"
#include "tests/support/scoring.h"
#include "tests/support/weights.h"

namespace likeness::testing {
namespace {

constexpr std::int64_t kRoom = std::int64_t{1} << 30;
// Inputs of a convolution of SqueezeNet whose features are none that are kept. Those that are kept come of them.
constexpr int kReordered = 128;
// Until the calls of a batch have been tried, and those of other bits found among them.
constexpr int kBatches = 20;

using Kept = std::vector<std::unique_ptr<KeptReference>>;

class TrunkTrials : public ::testing::Test {
 protected:
  void SetUp() override {
    WriteOwnWeights(folder_, "lpips_squeeze", SyntheticWeights(kSqueezeNetTrunk));
    scorer_ = MakeScorer(Backend::kCuda, folder_);
    expected_ = ScoreKept(*scorer_, Metrics(), reference(), distorted(), nullptr);
    of_other_ = ScoreKept(*scorer_, Metrics(), reference(), other_.distorted.view(), nullptr);
    scorer_.reset();
    scorer_ = MakeScorer(Backend::kCuda, folder_);
    ReorderEmulatedConvolutions(kReordered);
  }
  void TearDown() override { ReorderEmulatedConvolutions(0); }

  std::vector<ResolvedMetric> Metrics() const {
    return ResolveAll(*scorer_, {"lpips_squeeze"}, Precision::kExact, /*gradient=*/true);
  }
  static Kept NewReferences(int count) {
    Kept kept;
    for (int i = 0; i < count; ++i) kept.push_back(std::make_unique<KeptReference>(kRoom));
    return kept;
  }
  ImageView reference() const { return pair_.reference.view(); }
  ImageView distorted() const { return pair_.distorted.view(); }

  // A batch of equal pairs, each with its own reference.
  void ScoreBatch(const Kept& kept) {
    const std::vector<ResolvedMetric> metrics = Metrics();
    std::vector<PairJob> jobs(kept.size());
    std::vector<PairJob*> pointers;
    for (std::size_t i = 0; i < kept.size(); ++i) {
      jobs[i].reference = reference();
      jobs[i].distorted = distorted();
      jobs[i].metrics = metrics;
      jobs[i].kept = kept[i].get();
      pointers.push_back(&jobs[i]);
    }
    scorer_->Score(pointers);
    for (const PairJob& job : jobs) ExpectSame(job.results, expected_);
  }
  // Against another image, whose convolutions find no company.
  void ExpectFeaturesAreRight(const Kept& kept) {
    for (const auto& one : kept) {
      EXPECT_GT(one->bytes(), 0);
      ExpectSame(ScoreKept(*scorer_, Metrics(), reference(), other_.distorted.view(), one.get()), of_other_);
    }
  }
  DeviceState state() const { return scorer_->devices()[0]; }

  const Pair pair_ = ScenePair(24, 19), other_ = RandomFloatPair(24, 19, 3, 7, /*flat=*/false);
  const std::string folder_ = MakeFolder();
  std::unique_ptr<Scorer> scorer_;
  std::vector<MetricResult> expected_, of_other_;
};

TEST_F(TrunkTrials, OfOtherBitsLeaveNoneInNewFeatures) {
  for (int i = 0; i < kBatches; ++i) {
    const Kept kept = NewReferences(2);
    ScoreBatch(kept);
    ExpectFeaturesAreRight(kept);
  }
  EXPECT_GT(state().convolutions_shared, 0);
  EXPECT_GT(state().convolutions_apart, 0);
}

TEST_F(TrunkTrials, OfOtherBitsLeaveFeaturesAsTheyAre) {
  const Kept kept = NewReferences(2);
  for (int i = 0; i < kBatches; ++i) ScoreBatch(kept);
  ExpectFeaturesAreRight(kept);
  EXPECT_GT(state().convolutions_shared, 0);
  EXPECT_GT(state().convolutions_apart, 0);
}

// Wherever on its way, and with other bits in what is kept by then.
TEST_F(TrunkTrials, WithoutMemoryCostNothing) {
  std::vector<Kept> all;  // or else one may lie where another was, and the batch be captured
  const auto work_of = [&] {
    const Kept& kept = all.emplace_back(NewReferences(1));
    const std::int64_t before = EmulatedWorkCount();
    ScoreBatch(kept);
    const std::int64_t work = EmulatedWorkCount() - before;
    ExpectFeaturesAreRight(kept);
    return work;
  };
  // A batch that is tried is run singly before, and after since bits differ.
  const std::int64_t singly = work_of();
  const std::int64_t trial = work_of() - 2 * singly;
  ASSERT_GT(trial, 3);
  ASSERT_LT(trial, singly);

  scorer_.reset();
  scorer_ = MakeScorer(Backend::kCuda, folder_);
  EXPECT_EQ(work_of(), singly);
  // The first copies and the first launch, and the last copy.
  for (const std::int64_t done : {std::int64_t{1}, std::int64_t{2}, std::int64_t{3}, trial}) {
    FailEmulatedWork(singly + done, cudaErrorMemoryAllocation, /*sticky=*/false);
    EXPECT_EQ(work_of(), singly + done + singly);
  }
  EXPECT_EQ(state().errors, 0);
  EXPECT_EQ(state().convolutions_apart, 0);
  for (int i = 0; i < kBatches; ++i) work_of();
  EXPECT_GT(state().convolutions_shared, 0);
  EXPECT_GT(state().convolutions_apart, 0);
}

}  // namespace
}  // namespace likeness::testing
