// Steps that the programs of one request share. That sharing changes no bit of any result is conformance_test's matter.
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "kernels/metrics/planner.h"
#include "kernels/metrics/registry.h"
#include "tests/support/scoring.h"

namespace likeness::testing {
namespace {

Explanation Explain(const Scorer& scorer, const std::vector<MetricRequest>& requests, const Pair& pair) {
  std::vector<ResolvedMetric> metrics;
  for (const MetricRequest& request : requests) metrics.push_back(*scorer.Resolve(request));
  const auto explanation = scorer.Explain(metrics, pair.reference.view(), pair.distorted.view());
  EXPECT_TRUE(explanation.ok()) << explanation.status();
  return *explanation;
}

std::set<std::string> SharedOps(const Explanation& explanation) {
  std::set<std::string> ops;
  for (const Explanation::Step& step : explanation.shared) ops.insert(step.op);
  return ops;
}

TEST(Sharing, EqualStepsRunOnce) {
  // Programs, no walks: the mean squared error is common to three; mae shares only the loaded images.
  const Explanation explanation =
      Explain(ScorerFor("oracle", false), {Request("mae"), Request("mse"), Request("rmse"), Request("psnr")},
              ScenePair(67, 45));
  EXPECT_TRUE(explanation.shares);
  EXPECT_EQ(SharedOps(explanation), (std::set<std::string>{"Load", "PixelMeans", "MeanOf"}));
  ASSERT_EQ(explanation.shared.size(), 4u);
  EXPECT_EQ(explanation.shared[0].metrics, (std::vector<int>{0, 1, 2, 3}));
  EXPECT_EQ(explanation.shared[2].metrics, (std::vector<int>{1, 2, 3}));
  EXPECT_LT(explanation.together.operations, explanation.apart.operations / 2);
  EXPECT_LT(explanation.together.bytes_moved, explanation.apart.bytes_moved / 2);
}

TEST(Sharing, OnlyEqualStepsAreShared) {
  // One luma; then one rounds it, and the other pads and pools what is not rounded.
  const Explanation explanation =
      Explain(ScorerFor("oracle", false), {Request("gmsd"), Request("gmsd:pyiqa")}, ScenePair(67, 45));
  EXPECT_EQ(SharedOps(explanation), (std::set<std::string>{"Load", "MapColor"}));
  // Parameters count: two windows have nothing in common but their input and what no window has touched.
  const Explanation windows =
      Explain(ScorerFor("oracle", false), {Request("ssim"), Request("ssim", {{"sigma", 2.0}})}, ScenePair(67, 45));
  EXPECT_EQ(SharedOps(windows).count("Correlate"), 0u);
}

TEST(Sharing, WalksAndProgramsAreToldApart) {
  const std::string set =
      AllInstructionSets().back() == "oracle" ? AllInstructionSets().front() : AllInstructionSets().back();
  const Explanation explanation =
      Explain(ScorerFor(set), {Request("mae"), Request("gmsd"), Request("ssim")}, ScenePair(67, 45));
  EXPECT_EQ(explanation.walks, (std::vector<int>{0, 2}));
  EXPECT_FALSE(explanation.shares);
}

TEST(Sharing, AJointWorkspaceThatExceedsASlotFallsBackToOneByOne) {
  const Pair pair = ScenePair(200, 190);
  const std::vector<MetricRequest> requests = {Request("ssim:torchmetrics", {}, false, true),
                                               Request("ssim:fused_ssim", {}, false, true),
                                               Request("ssim:kornia", {}, false, true)};
  const Explanation whole = Explain(ScorerFor("oracle", false), requests, pair);
  ASSERT_TRUE(whole.shares);
  ASSERT_GT(whole.together.workspace_bytes, whole.apart.workspace_bytes);
  ScorerOptions options;
  options.instruction_set = "oracle";
  options.slot_bytes = (whole.apart.workspace_bytes + whole.together.workspace_bytes) / 2;
  const auto tight = Scorer::Create(options);
  ASSERT_TRUE(tight.ok());
  EXPECT_FALSE(Explain(**tight, requests, pair).shares);
  std::vector<ResolvedMetric> metrics;
  for (const MetricRequest& request : requests) metrics.push_back(*(*tight)->Resolve(request));
  PairJob job;
  job.reference = pair.reference.view();
  job.distorted = pair.distorted.view();
  job.metrics = metrics;
  PairJob* jobs[] = {&job};
  (*tight)->Score(jobs);
  for (std::size_t i = 0; i < requests.size(); ++i) {
    ASSERT_TRUE(job.results[i].status.ok()) << job.results[i].status;
    EXPECT_EQ(job.results[i].score,
              ScoreOne(ScorerFor("oracle", false), requests[i], job.reference, job.distorted).score);
  }
}

// With its features kept, the reference's half of a learned metric is not computed again.
TEST(Sharing, AKeptReferenceHalvesTheWork) {
  const Parameters none;
  const std::string convention = "v0.1";
  const Settings settings(convention, none);
  const PlannedDevice device{sizeof(float), FeatureLayout::kBlocked};
  for (const std::string id : {"lpips_alex", "lpips_vgg"}) {
    std::vector<PlannedProgram> program;
    for (const MetricEntry* entry : MetricEntries()) {
      if (entry->info().id != id) continue;
      program.push_back(
          {entry, {{128, 128, 3}, settings, false, false, false, Averaging::kOverPixels}, /*keeps=*/true});
    }
    ASSERT_EQ(program.size(), 1u);
    KeptReference kept(std::int64_t{1} << 30);
    const auto plan = [&] {
      KeptValues values(kept, 0);
      const JointPlan joint = PlanTogether(program, device, values);
      EXPECT_TRUE(values.Allocate(joint.schedule));
      values.Publish();
      return joint.plan;
    };
    const Plan first = plan();
    EXPECT_EQ(first.operations, PlanAlone(program[0], device).operations);
    const std::int64_t bytes = kept.bytes();
    EXPECT_GT(bytes, 0);
    const Plan second = plan();
    EXPECT_LT(second.operations, 0.52 * first.operations);
    EXPECT_EQ(kept.bytes(), bytes);

    KeptReference untouched(std::int64_t{1} << 30);
    KeptValues values(untouched, 0);
    program[0].keeps = false;
    EXPECT_TRUE(PlanTogether(program, device, values).schedule.kept().empty());
  }
}

}  // namespace
}  // namespace likeness::testing
