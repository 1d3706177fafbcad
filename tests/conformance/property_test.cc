// What must hold at any size: images of sizes drawn at random, the same ones on every run.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "tests/support/scoring.h"

namespace likeness::testing {
namespace {

struct Size {
  int width, height;
};

// From 1x1 up; thin ones too.
std::vector<Size> RandomSizes() {
  std::vector<Size> sizes = {{1, 1}, {1, 2}, {2, 1}, {1, 37}, {37, 1}};
  std::mt19937 random(20261125);
  const auto side = [&](int most) { return 1 + static_cast<int>(random() % most); };
  for (int i = 0; i < 4; ++i) sizes.push_back({side(24), side(24)});
  for (int i = 0; i < 3; ++i) sizes.push_back({side(96), side(96)});
  sizes.push_back({161 + side(60), 161 + side(60)});
  return sizes;
}

class Property : public ::testing::TestWithParam<std::string> {
 protected:
  const Scorer& scorer() { return ScorerFor(GetParam(), true, 2); }

  // All conventions that are to be had, with all that they return.
  std::vector<ResolvedMetric> All(bool outputs) {
    std::vector<ResolvedMetric> metrics;
    for (const MetricInfo& info : scorer().metrics()) {
      if (!info.unavailable.empty()) continue;
      for (const ConventionInfo& convention : info.conventions) {
        const auto resolved = scorer().Resolve(
            Request(info.id + ":" + convention.name, {}, outputs && !info.map.empty(), outputs && info.has_gradient));
        if (resolved.ok()) metrics.push_back(*resolved);
      }
    }
    return metrics;
  }

  std::vector<MetricResult> Score(const std::vector<ResolvedMetric>& metrics, const Image& reference,
                                  const Image& distorted) {
    PairJob job;
    job.reference = reference.view();
    job.distorted = distorted.view();
    job.metrics = metrics;
    PairJob* jobs[] = {&job};
    scorer().Score(jobs);
    return std::move(job.results);
  }
};

std::string Name(const ResolvedMetric& metric, const Size& size) {
  return metric.info->id + ":" + metric.convention + " " + std::to_string(size.width) + "x" +
         std::to_string(size.height);
}

void ExpectFinite(const Tensor& tensor) {
  std::int64_t bad = 0;
  for (std::int64_t i = 0; i < tensor.sample_count(); ++i) bad += std::isfinite(tensor.data[i]) ? 0 : 1;
  EXPECT_EQ(bad, 0) << "samples are not finite";
}

TEST_P(Property, NothingIsEverNotANumber) {
  const std::vector<ResolvedMetric> metrics = All(true);
  unsigned seed = 0;
  for (const Size& size : RandomSizes()) {
    const Pair scene = ScenePair(size.width, size.height);
    const Pair equal = CopyOf(scene.reference);
    const Pair flat = {Constant(size.width, size.height, 0), Constant(size.width, size.height, 255)};
    const Pair noise = {Constant(size.width, size.height, 130), WithNoise(scene.reference, 60, ++seed)};
    for (const Pair* pair : {&scene, &equal, &flat, &noise}) {
      const std::vector<MetricResult> results = Score(metrics, pair->reference, pair->distorted);
      for (std::size_t i = 0; i < metrics.size(); ++i) {
        SCOPED_TRACE(Name(metrics[i], size));
        if (!results[i].status.ok()) {
          EXPECT_EQ(results[i].status.code(), absl::StatusCode::kInvalidArgument) << results[i].status;
          continue;
        }
        EXPECT_FALSE(std::isnan(results[i].score));
        ExpectFinite(results[i].map);
        ExpectFinite(results[i].gradient);
      }
    }
  }
}

TEST_P(Property, IdentityIsExactAndSymmetryIsKept) {
  const std::vector<ResolvedMetric> metrics = All(false);
  for (const Size& size : RandomSizes()) {
    const Pair pair = ScenePair(size.width, size.height);
    const std::vector<MetricResult> equal = Score(metrics, pair.distorted, pair.distorted);
    const std::vector<MetricResult> forward = Score(metrics, pair.reference, pair.distorted);
    const std::vector<MetricResult> backward = Score(metrics, pair.distorted, pair.reference);
    for (std::size_t i = 0; i < metrics.size(); ++i) {
      SCOPED_TRACE(Name(metrics[i], size));
      if (!equal[i].status.ok()) continue;
      const MetricInfo& info = *metrics[i].info;
      if (metrics[i].convention == info.conventions.front().name) {
        EXPECT_EQ(equal[i].score, info.identity);
      }
      if (!info.symmetric || !forward[i].status.ok()) continue;
      if (std::isinf(forward[i].score)) {
        EXPECT_EQ(forward[i].score, backward[i].score);
      } else {
        EXPECT_NEAR(forward[i].score, backward[i].score, info.tolerance * std::max(1.0, std::fabs(forward[i].score)));
      }
    }
  }
}

// A pair's results do not depend on the pairs beside it nor on the number of threads.
TEST_P(Property, BatchAndThreadsChangeNoBit) {
  const std::vector<ResolvedMetric> metrics = All(true);
  std::vector<Pair> pairs;
  for (const Size& size : RandomSizes()) pairs.push_back(ScenePair(size.width, size.height));
  std::vector<PairJob> jobs(pairs.size());
  std::vector<PairJob*> batch;
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    jobs[i].reference = pairs[i].reference.view();
    jobs[i].distorted = pairs[i].distorted.view();
    jobs[i].metrics = metrics;
    batch.push_back(&jobs[i]);
  }
  ScorerFor(GetParam(), true, 3).Score(batch);
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    PairJob alone;
    alone.reference = pairs[i].reference.view();
    alone.distorted = pairs[i].distorted.view();
    alone.metrics = metrics;
    PairJob* one[] = {&alone};
    ScorerFor(GetParam(), true, 1).Score(one);
    for (std::size_t m = 0; m < metrics.size(); ++m) {
      SCOPED_TRACE(Name(metrics[m], {pairs[i].reference.view().width, pairs[i].reference.view().height}));
      const MetricResult& a = jobs[i].results[m];
      const MetricResult& b = alone.results[m];
      ASSERT_EQ(a.status.code(), b.status.code());
      if (!a.status.ok()) continue;
      EXPECT_EQ(a.score, b.score);
      for (const auto member : {&MetricResult::map, &MetricResult::gradient}) {
        const Tensor &x = a.*member, &y = b.*member;
        ASSERT_EQ(x.sample_count(), y.sample_count());
        if (x.empty()) continue;
        EXPECT_EQ(std::memcmp(x.data.get(), y.data.get(), x.sample_count() * sizeof(float)), 0);
      }
    }
  }
}

double LargestDifference(const Tensor& a, const Tensor& b) {
  EXPECT_EQ(a.sample_count(), b.sample_count());
  double largest = 0.0;
  for (std::int64_t i = 0; i < a.sample_count(); ++i)
    largest = std::max(largest, std::fabs(double{a.data[i]} - b.data[i]));
  return largest;
}

// The walk has no clamps, the programs of some conventions have: on flat ground, where rounding reaches them, in one
// image, in both, in both equally. Tolerances are those of tests/unit/walk_test.cc.
TEST_P(Property, WalksOfSsimNeedNoClamps) {
  const Image flat = Constant(61, 47, 77), scene = ScenePair(61, 47).distorted;
  std::vector<Pair> pairs;
  pairs.push_back({Constant(61, 47, 77), WithNoise(flat, 40, 1)});
  pairs.push_back({WithNoise(flat, 40, 2), Constant(61, 47, 77)});
  pairs.push_back({Constant(61, 47, 77), Constant(61, 47, 79)});
  pairs.push_back(RandomFloatPair(61, 47, 3, 3, true));
  pairs.push_back(CopyOf(scene));
  for (const Pair& pair : pairs) {
    for (const char* id : {"ssim", "ssim:torchmetrics", "ssim:faceswap", "ssim:kornia", "ssim:fused_ssim", "dssim",
                           "dssim:one_minus", "dssim:faceswap", "dssim:kornia"}) {
      SCOPED_TRACE(id);
      const MetricRequest request = Request(id, {}, true, true);
      const auto score = [&](const Scorer& by) {
        return ScoreOne(by, request, pair.reference.view(), pair.distorted.view());
      };
      const MetricResult walk = score(scorer()), program = score(ScorerFor("oracle", false));
      EXPECT_NEAR(walk.score, program.score, 1e-6);
      EXPECT_LT(LargestDifference(walk.map, program.map), 5e-5);
      double largest = 0.0;
      for (std::int64_t i = 0; i < program.gradient.sample_count(); ++i) {
        largest = std::max(largest, std::fabs(double{program.gradient.data[i]}));
      }
      EXPECT_LE(LargestDifference(walk.gradient, program.gradient), 5e-4 * largest);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Sets, Property, ::testing::ValuesIn(AllInstructionSets()));

}  // namespace
}  // namespace likeness::testing
