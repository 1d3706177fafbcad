// Compositions over the wire: sums of scores, maps and gradients, and what is refused.
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "google/protobuf/util/message_differencer.h"
#include "gtest/gtest.h"
#include "tests/service/server_fixture.h"

namespace likeness::testing {
namespace {

using grpc::StatusCode;
using ::testing::HasSubstr;

using Terms = std::vector<std::pair<double, std::string>>;

v1::MetricRequest Composition(const Terms& terms, bool want_map = false, bool want_gradient = false) {
  v1::MetricRequest request;
  request.set_want_map(want_map);
  request.set_want_gradient(want_gradient);
  for (const auto& [weight, metric] : terms) {
    v1::Term& term = *request.add_terms();
    term.set_metric(metric);
    term.set_weight(weight);
  }
  return request;
}

std::vector<float> Floats(const v1::Tensor& tensor) {
  std::vector<float> samples(tensor.data().size() / 4);
  std::memcpy(samples.data(), tensor.data().data(), tensor.data().size());
  return samples;
}

class CompositionTest : public ServerTest {
 protected:
  void TearDown() override { EXPECT_TRUE(server_->IsRunning()); }

  v1::ScoreRequest Request(const std::vector<v1::MetricRequest>& metrics) const {
    v1::ScoreRequest request = MakeRequest(RawImage(reference_), RawImage(distorted_), {});
    for (const v1::MetricRequest& metric : metrics) *request.add_metrics() = metric;
    return request;
  }
  v1::ScoreResponse ScoreAll(const v1::ScoreRequest& request) {
    v1::ScoreResponse response;
    const grpc::Status status = Score(*stub_, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    EXPECT_EQ(response.results_size(), request.metrics_size());
    while (response.results_size() < request.metrics_size()) response.add_results()->set_code(-1);
    return response;
  }
  v1::MetricResult ResultOf(const v1::MetricRequest& metric) { return ScoreAll(Request({metric})).results(0); }
  void ExpectRefused(const v1::ScoreRequest& request, const std::string& reason, const std::string& text) {
    v1::ScoreResponse response;
    const grpc::Status status = Score(*stub_, request, &response);
    EXPECT_EQ(status.error_code(), StatusCode::INVALID_ARGUMENT) << status.error_message();
    EXPECT_EQ(ReasonOf(status), reason) << status.error_message();
    EXPECT_THAT(status.error_message(), HasSubstr(text));
  }

  // Scores the composition beside its terms, each by itself, in one request and compares.
  void ExpectSumOfParts(const Terms& terms, bool want_map, v1::PixelWeights* weights = nullptr) {
    std::vector<v1::MetricRequest> metrics = {Composition(terms, want_map, true)};
    for (const auto& [weight, metric] : terms) {
      metrics.push_back(Composition({}, want_map, true));
      metrics.back().set_metric(metric);
    }
    v1::ScoreRequest request = Request(metrics);
    if (weights != nullptr) *request.mutable_weights() = *weights;
    const v1::ScoreResponse response = ScoreAll(request);
    const v1::MetricResult& sum = response.results(0);
    ASSERT_EQ(sum.code(), 0) << sum.message();
    EXPECT_EQ(sum.metric(), "composition");
    EXPECT_FALSE(sum.has_resolved());
    ASSERT_EQ(sum.terms_size(), static_cast<int>(terms.size()));
    double score = 0.0;
    std::vector<double> map(Floats(sum.map()).size()), gradient(Floats(sum.gradient()).size());
    double scale = 0.0;
    for (std::size_t k = 0; k < terms.size(); ++k) {
      const v1::MetricResult& part = response.results(static_cast<int>(k) + 1);
      const v1::TermResult& term = sum.terms(static_cast<int>(k));
      ASSERT_EQ(part.code(), 0) << part.message();
      const double weight = terms[k].first;
      EXPECT_EQ(term.weight(), weight);
      EXPECT_EQ(term.score(), part.score());
      EXPECT_EQ(term.metric(), part.metric());
      EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(term.resolved(), part.resolved()));
      EXPECT_EQ(term.direction(), part.direction());
      EXPECT_EQ(term.version(), part.version());
      score += weight * part.score();
      const std::vector<float> part_map = Floats(part.map()), part_gradient = Floats(part.gradient());
      ASSERT_EQ(part_map.size(), map.size());
      ASSERT_EQ(part_gradient.size(), gradient.size());
      for (std::size_t i = 0; i < map.size(); ++i) map[i] += weight * part_map[i];
      for (std::size_t i = 0; i < gradient.size(); ++i) {
        gradient[i] += weight * part_gradient[i];
        scale = std::max(scale, std::fabs(weight * part_gradient[i]));
      }
    }
    EXPECT_DOUBLE_EQ(sum.score(), score);
    const std::vector<float> sum_map = Floats(sum.map()), sum_gradient = Floats(sum.gradient());
    EXPECT_EQ(!map.empty(), want_map);
    ASSERT_FALSE(gradient.empty());
    for (std::size_t i = 0; i < map.size(); ++i) ASSERT_NEAR(sum_map[i], map[i], 1e-6) << i;
    for (std::size_t i = 0; i < gradient.size(); ++i) ASSERT_NEAR(sum_gradient[i], gradient[i], 1e-6 * scale) << i;
    EXPECT_GT(scale, 0.0);
  }

  const Pixels reference_ = MakePixels(64, 48, 3, 1);
  const Pixels distorted_ = AddNoise(reference_, 25, 1);
};

TEST_F(CompositionTest, IsTheSumOfItsParts) {
  ExpectSumOfParts({{1.0, "mse"}, {0.25, "mae"}, {-0.5, "charbonnier"}}, true);
  ExpectSumOfParts({{1.0, "dssim"}, {2.0, "gmsd"}, {0.125, "laploss"}, {1.0, "mae"}}, false);
  ExpectSumOfParts({{0.0, "mse"}, {1.0, "mae"}}, true);
  ExpectSumOfParts({{1.0, "mae"}, {1.0, "mae"}}, true);
}

TEST_F(CompositionTest, IsTheSumOfItsPartsUnderWeights) {
  v1::PixelWeights weights;
  *weights.mutable_mask() = RawImage(MakePixels(64, 48, 1, 7));
  ExpectSumOfParts({{1.0, "mse"}, {0.25, "mae"}}, true, &weights);
  // Under weights a term that takes none fails the composition and nothing else.
  v1::MetricRequest mae;
  mae.set_metric("mae");
  v1::ScoreRequest request = Request({Composition({{1.0, "mae"}, {1.0, "sse"}}), mae});
  *request.mutable_weights() = weights;
  const v1::ScoreResponse response = ScoreAll(request);
  EXPECT_EQ(response.results(0).code(), StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(response.results(0).message(), HasSubstr("term 2 (sse)"));
  EXPECT_EQ(response.results(1).code(), 0);
}

// The two lanes are joined before they are summed.
TEST_F(CompositionTest, MixesPixelAndLearnedMetrics) {
  for (const std::string& metric : AvailableMetrics(*stub_)) {
    if (metric != "lpips_alex") continue;
    ExpectSumOfParts({{0.5, "lpips_alex"}, {1.0, "mse"}, {1.0, "dssim"}}, false);
    return;
  }
  GTEST_SKIP() << "no weights of lpips_alex here";
}

TEST_F(CompositionTest, ParametersAndConventionsAreTheTerms) {
  v1::MetricRequest composition = Composition({{1.0, "huber"}, {1.0, "huber"}, {2.0, "faceswap/mae"}});
  (*composition.mutable_terms(1)->mutable_parameters())["delta"].set_number_value(0.001);
  const v1::MetricResult result = ResultOf(composition);
  ASSERT_EQ(result.code(), 0) << result.message();
  EXPECT_LT(result.terms(1).score(), result.terms(0).score());
  EXPECT_EQ(result.terms(1).resolved().parameters().at("delta").number_value(), 0.001);
  EXPECT_EQ(result.terms(2).metric(), "mae");
  EXPECT_FALSE(result.terms(2).resolved().convention().empty());
  EXPECT_DOUBLE_EQ(result.score(), result.terms(0).score() + result.terms(1).score() + 2.0 * result.terms(2).score());
}

TEST_F(CompositionTest, DirectionIsWhatTheTermsAgreeOn) {
  const auto direction = [this](const Terms& terms) { return ResultOf(Composition(terms)).direction(); };
  EXPECT_EQ(direction({{1.0, "mse"}, {0.5, "gmsd"}}), v1::DIRECTION_LOWER_IS_BETTER);
  EXPECT_EQ(direction({{1.0, "mse"}, {-0.5, "ssim"}}), v1::DIRECTION_LOWER_IS_BETTER);
  EXPECT_EQ(direction({{1.0, "psnr"}, {0.5, "ssim"}, {0.0, "mse"}}), v1::DIRECTION_HIGHER_IS_BETTER);
  EXPECT_EQ(direction({{1.0, "mse"}, {0.5, "ssim"}}), v1::DIRECTION_UNSPECIFIED);
  EXPECT_EQ(direction({{1.0, "mse"}, {0.5, "mbe"}}), v1::DIRECTION_UNSPECIFIED);
}

TEST_F(CompositionTest, Float16OutputIsOfTheSum) {
  v1::MetricRequest composition = Composition({{1.0, "mse"}, {0.25, "mae"}}, true, true);
  composition.set_output_type(v1::DATA_TYPE_FLOAT16);
  const v1::MetricResult result = ResultOf(composition);
  EXPECT_EQ(result.gradient().data().size(), 64u * 48 * 3 * 2);
  EXPECT_EQ(result.gradient().data_type(), v1::DATA_TYPE_FLOAT16);
}

TEST_F(CompositionTest, AFailingTermIsNamedAndLeavesTheNeighbours) {
  v1::MetricRequest mae;
  mae.set_metric("mae");
  const auto expect = [&](const v1::MetricRequest& composition, StatusCode code, const std::string& text) {
    const v1::ScoreResponse response = ScoreAll(Request({mae, composition}));
    EXPECT_EQ(response.results(0).code(), 0);
    const v1::MetricResult& failed = response.results(1);
    EXPECT_EQ(failed.code(), code) << failed.message();
    EXPECT_THAT(failed.message(), HasSubstr(text));
    EXPECT_EQ(failed.metric(), "composition");
    EXPECT_FALSE(failed.has_score() || failed.has_map() || failed.has_gradient());
    ASSERT_EQ(failed.terms_size(), composition.terms_size());
    for (int i = 0; i < failed.terms_size(); ++i) {
      EXPECT_FALSE(failed.terms(i).has_score());
      EXPECT_EQ(failed.terms(i).weight(), composition.terms(i).weight());
      EXPECT_FALSE(failed.terms(i).metric().empty());
    }
  };
  expect(Composition({{1.0, "mse"}, {2.0, "nonsense"}}), StatusCode::NOT_FOUND, "term 2 (nonsense)");
  expect(Composition({{1.0, "ssim:nonsense"}, {2.0, "mse"}}), StatusCode::INVALID_ARGUMENT, "term 1 (ssim:nonsense)");
  v1::MetricRequest unknown_parameter = Composition({{1.0, "huber"}});
  (*unknown_parameter.mutable_terms(0)->mutable_parameters())["gamma"].set_number_value(1.0);
  expect(unknown_parameter, StatusCode::INVALID_ARGUMENT, "gamma");
  // Larger images are needed; no map; maps of two shapes, which is known only when they are there.
  expect(Composition({{1.0, "mse"}, {1.0, "ms_ssim"}}), StatusCode::INVALID_ARGUMENT, "term 2 (ms_ssim)");
  expect(Composition({{1.0, "mse"}, {1.0, "ms_ssim"}}, true), StatusCode::INVALID_ARGUMENT, "no map");
  expect(Composition({{1.0, "mse"}, {1.0, "gmsd"}}, true), StatusCode::INVALID_ARGUMENT, "shape");

  // Infinities that cancel.
  v1::ScoreRequest same = Request({mae, Composition({{1.0, "psnr"}, {-1.0, "psnr"}}), Composition({{-2.0, "psnr"}})});
  *same.mutable_distorted() = same.reference();
  const v1::ScoreResponse response = ScoreAll(same);
  EXPECT_EQ(response.results(1).code(), StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(response.results(2).score(), -std::numeric_limits<double>::infinity());
}

TEST_F(CompositionTest, MistakesFailTheCall) {
  v1::MetricRequest both = Composition({{1.0, "mse"}});
  both.set_metric("mae");
  ExpectRefused(Request({both}), "BAD_PARAMETER", "metrics[0] has terms and also metric mae");
  v1::MetricRequest parameters = Composition({{1.0, "mse"}});
  (*parameters.mutable_parameters())["delta"].set_number_value(1.0);
  ExpectRefused(Request({parameters}), "BAD_PARAMETER", "also parameters");
  ExpectRefused(Request({Composition({{1.0, "mse"}}), Composition({})}), "BAD_PARAMETER",
                "metrics[1] has neither metric nor terms");
  ExpectRefused(Request({Composition({{1.0, "mse"}, {1.0, ""}})}), "BAD_PARAMETER", "metrics[0].terms[1]");
  for (const double weight : {2e6, -2e6, std::nan(""), std::numeric_limits<double>::infinity()}) {
    ExpectRefused(Request({Composition({{weight, "mse"}})}), "BAD_PARAMETER", "metrics[0].terms[0].weight");
  }
  ExpectRefused(Request({Composition({{1.0, "nonsense"}})}), "UNKNOWN_METRIC", "nonsense");
  ExpectRefused(Request({Composition({{1.0, "mse:nonsense"}})}), "BAD_PARAMETER", "nonsense");

  Terms many(16, {1.0, "mse"});
  EXPECT_EQ(ResultOf(Composition(many)).code(), 0);
  many.push_back({1.0, "mse"});
  ExpectRefused(Request({Composition(many)}), "BAD_PARAMETER", "17 terms");
  many.resize(13);
  const std::vector<v1::MetricRequest> five(5, Composition(many));
  ExpectRefused(Request(five), "BAD_PARAMETER", "65 metrics");
}

// One map and one gradient leave, whatever the number of terms.
TEST(CompositionOutput, CountsOnceAgainstTheLimit) {
  const auto server = ServerProcess::Start({"--max-output-bytes", "30000"});
  ASSERT_NE(server, nullptr);
  const auto stub = server->NewStub();
  const v1::Image image = RawImage(MakePixels(50, 40, 3, 1));  // 24000 bytes of gradient
  v1::ScoreRequest request = MakeRequest(image, image, {});
  *request.add_metrics() = Composition({{1.0, "mse"}, {1.0, "mae"}, {1.0, "huber"}}, false, true);
  *request.add_metrics() = Composition({{1.0, "mse"}}, false, true);
  v1::ScoreResponse response;
  ASSERT_TRUE(Score(*stub, request, &response).ok());
  EXPECT_EQ(response.results(0).code(), 0) << response.results(0).message();
  EXPECT_EQ(response.results(0).gradient().data().size(), 24000u);
  EXPECT_EQ(response.results(1).code(), StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(response.results(1).message(), HasSubstr("composition"));
  EXPECT_EQ(server->Telemetry("likeness_metric_failures_total{code=\"RESOURCE_EXHAUSTED\",metric=\"composition\"}"), 1);
  EXPECT_EQ(server->Telemetry("likeness_score_count{metric=\"huber\"}"), 1);
}

}  // namespace
}  // namespace likeness::testing
