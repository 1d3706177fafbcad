// Masks and region weights on every metric that takes them, driven by the registry, and on every one that does not.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "tests/support/scoring.h"

namespace likeness::testing {
namespace {

constexpr int kWidth = 187, kHeight = 179;

// A plane of weights: weight(x, y) of each pixel.
template <class F>
Image Weights(F weight) {
  Image image = *Image::Create(kWidth, kHeight, 1, PixelType::kFloat32);
  auto* to = static_cast<float*>(image.data());
  for (int y = 0; y < kHeight; ++y) {
    for (int x = 0; x < kWidth; ++x) to[y * kWidth + x] = static_cast<float>(weight(x, y));
  }
  return image;
}
double Left(int x, int) { return x < 60 ? 1.0 : 0.0; }
double Right(int x, int y) { return x < 60 ? 0.0 : 0.25 + 3.0 * ((x / 32 + y / 32) % 2); }

MetricResult ScoreWeighted(const Scorer& scorer, const MetricRequest& request, const Pair& pair, const Image& weights,
                           Averaging averaging) {
  const auto resolved = scorer.Resolve(request);
  EXPECT_TRUE(resolved.ok()) << resolved.status();
  PairJob job;
  job.reference = pair.reference.view();
  job.distorted = pair.distorted.view();
  job.weights = weights.view();
  job.averaging = averaging;
  job.metrics = {&*resolved, 1};
  PairJob* jobs[] = {&job};
  scorer.Score(jobs);
  return std::move(job.results[0]);
}

class RegionWeights : public ::testing::TestWithParam<std::string> {
 protected:
  const Scorer& scorer() { return ScorerFor(GetParam(), true, 2); }
  double tolerance() const { return GetParam() == "oracle" ? 1e-7 : 2e-5; }

  // Of every convention that takes weights, map and gradient included.
  std::vector<MetricRequest> Takers() {
    std::vector<MetricRequest> requests;
    for (const MetricInfo& info : scorer().metrics()) {
      if (!info.takes_weights || !info.unavailable.empty()) continue;
      for (const ConventionInfo& convention : info.conventions) {
        if (!convention.takes_weights) continue;
        requests.push_back(Request(info.id + ":" + convention.name, {}, !info.map.empty(), info.has_gradient));
      }
    }
    return requests;
  }

  const Pair pair_ = ScenePair(kWidth, kHeight);
};

double MeanOf(const Tensor& map) { return Sum(map) / static_cast<double>(map.sample_count()); }

TEST_P(RegionWeights, AllOnesChangeNothing) {
  const Image ones = Weights([](int, int) { return 1.0; });
  for (const MetricRequest& request : Takers()) {
    for (const Averaging averaging : {Averaging::kOverPixels, Averaging::kOverWeights}) {
      SCOPED_TRACE(request.id);
      const MetricResult plain = ScoreOne(scorer(), request, pair_.reference.view(), pair_.distorted.view());
      const MetricResult weighted = ScoreWeighted(scorer(), request, pair_, ones, averaging);
      ASSERT_TRUE(plain.status.ok()) << plain.status;
      ASSERT_TRUE(weighted.status.ok()) << weighted.status;
      EXPECT_NEAR(weighted.score, plain.score, tolerance() * std::max(1.0, std::fabs(plain.score)));
      EXPECT_NEAR(SumAbs(weighted.gradient), SumAbs(plain.gradient), 1e-3 * SumAbs(plain.gradient));
    }
  }
}

// Where the score is the mean of the map that is returned, it is the mean of that map's weighted samples; and what is
// linear in the weights adds up, gradients included.
TEST_P(RegionWeights, ScoreIsTheWeightedMeanOfTheMap) {
  const Image left = Weights(Left), right = Weights(Right),
              both = Weights([](int x, int y) { return Left(x, y) + Right(x, y); });
  int checked = 0;
  for (const MetricRequest& request : Takers()) {
    SCOPED_TRACE(request.id);
    const MetricResult plain = ScoreOne(scorer(), request, pair_.reference.view(), pair_.distorted.view());
    ASSERT_TRUE(plain.status.ok()) << plain.status;
    const double scale = std::max(1e-6, std::fabs(plain.score));
    if (std::fabs(MeanOf(plain.map) - plain.score) > 1e-5 * scale) continue;  // rmse, psnr: of a mean
    const MetricResult a = ScoreWeighted(scorer(), request, pair_, left, Averaging::kOverPixels);
    const MetricResult b = ScoreWeighted(scorer(), request, pair_, right, Averaging::kOverPixels);
    const MetricResult sum = ScoreWeighted(scorer(), request, pair_, both, Averaging::kOverPixels);
    const MetricResult mean = ScoreWeighted(scorer(), request, pair_, right, Averaging::kOverWeights);
    ASSERT_TRUE(a.status.ok() && b.status.ok() && sum.status.ok() && mean.status.ok()) << a.status << mean.status;
    EXPECT_NEAR(MeanOf(b.map), b.score, 1e-5 * scale);
    EXPECT_NEAR(MeanOf(mean.map), mean.score, 1e-5 * scale);
    EXPECT_NEAR(a.score + b.score, sum.score, 1e-5 * scale);
    EXPECT_NEAR(Sum(a.gradient) + Sum(b.gradient), Sum(sum.gradient), 1e-4 * SumAbs(sum.gradient));
    EXPECT_LT(SumAbs(a.gradient), SumAbs(sum.gradient));
    if (plain.map.width + 2 * plain.map.offset_x != kWidth) continue;  // a map of reduced images
    double expected = 0.0, total = 0.0;
    for (int y = 0; y < plain.map.height; ++y) {
      for (int x = 0; x < plain.map.width; ++x) {
        const double weight = Right(x + plain.map.offset_x, y + plain.map.offset_y);
        for (int c = 0; c < plain.map.channels; ++c) expected += weight * At(plain.map, x, y, c);
        total += weight * plain.map.channels;
      }
    }
    EXPECT_NEAR(b.score, expected / static_cast<double>(plain.map.sample_count()), 1e-5 * scale);
    EXPECT_NEAR(mean.score, expected / total, 1e-5 * scale);
    ++checked;
  }
  EXPECT_GT(checked, 8);
}

TEST_P(RegionWeights, OtherMetricsRefuse) {
  const Image left = Weights(Left);
  int refused = 0;
  for (const MetricInfo& info : scorer().metrics()) {
    if (!info.unavailable.empty()) continue;
    for (const ConventionInfo& convention : info.conventions) {
      const MetricRequest request = Request(info.id + ":" + convention.name);
      if (TakesWeights(info, convention.name) || !scorer().Resolve(request).ok()) continue;
      const MetricResult result = ScoreWeighted(scorer(), request, pair_, left, Averaging::kOverPixels);
      EXPECT_EQ(result.status.code(), absl::StatusCode::kInvalidArgument) << request.id;
      EXPECT_THAT(std::string(result.status.message()), ::testing::HasSubstr(info.id));
      ++refused;
    }
  }
  EXPECT_GT(refused, 2);
}

TEST_P(RegionWeights, BadWeightsAreRefused) {
  const auto code = [&](const Image& weights, Averaging averaging) {
    return ScoreWeighted(scorer(), Request("mae"), pair_, weights, averaging).status.code();
  };
  const Image zero = Weights([](int, int) { return 0.0; });
  EXPECT_EQ(code(zero, Averaging::kOverWeights), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code(zero, Averaging::kOverPixels), absl::StatusCode::kOk);
  EXPECT_EQ(code(Weights([](int x, int) { return x - 5.0; }), Averaging::kOverPixels),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code(Weights([](int x, int) { return x == 3 ? NAN : 1.0; }), Averaging::kOverPixels),
            absl::StatusCode::kInvalidArgument);
  const Image small = *Image::Create(8, 8, 1, PixelType::kFloat32);
  EXPECT_EQ(code(small, Averaging::kOverPixels), absl::StatusCode::kInvalidArgument);
}

// A map without the image's border, and a mask of nothing but border: there is a mean over pixels, 0, and none over
// weights.
TEST_P(RegionWeights, AMaskOutsideOfTheMap) {
  const Image border = Weights([](int x, int y) { return x < 3 || y < 3 ? 1.0 : 0.0; });
  const MetricRequest request = Request("ssim", {}, true, true);
  const MetricResult zero = ScoreWeighted(scorer(), request, pair_, border, Averaging::kOverPixels);
  EXPECT_TRUE(zero.status.ok()) << zero.status;
  EXPECT_EQ(zero.score, 0.0);
  EXPECT_EQ(SumAbs(zero.gradient), 0.0);
  const MetricResult none = ScoreWeighted(scorer(), request, pair_, border, Averaging::kOverWeights);
  EXPECT_EQ(none.status.code(), absl::StatusCode::kInvalidArgument) << none.status;
  EXPECT_TRUE(ScoreWeighted(scorer(), Request("mae"), pair_, border, Averaging::kOverWeights).status.ok());
}

INSTANTIATE_TEST_SUITE_P(Sets, RegionWeights, ::testing::ValuesIn(AllInstructionSets()));

}  // namespace
}  // namespace likeness::testing
