// Everything that callers do wrong gets its code and its reason, and the server stays up.
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/service/server_fixture.h"

namespace likeness::testing {
namespace {

using grpc::StatusCode;
using ::testing::HasSubstr;

class BadInputTest : public ServerTest {
 protected:
  static void SetUpTestSuite() { StartServer({"--max-message-bytes", "4000000"}); }
  void TearDown() override {
    // Whatever a test sent, the server answers the next caller.
    v1::ScoreResponse response;
    EXPECT_TRUE(Score(*stub_, MakeRequest(good_, good_, {"mae"}), &response).ok());
    EXPECT_TRUE(server_->IsRunning());
  }

  void ExpectRefused(const v1::ScoreRequest& request, StatusCode code, const std::string& reason,
                     const std::string& text) {
    v1::ScoreResponse response;
    const grpc::Status status = Score(*stub_, request, &response);
    EXPECT_EQ(status.error_code(), code) << status.error_message();
    EXPECT_EQ(ReasonOf(status), reason) << status.error_message();
    EXPECT_THAT(status.error_message(), HasSubstr(text));
  }
  void ExpectBadImage(const v1::Image& image, const std::string& reason, const std::string& text,
                      StatusCode code = StatusCode::INVALID_ARGUMENT) {
    ExpectRefused(MakeRequest(image, good_, {"mae"}), code, reason, text);
    ExpectRefused(MakeRequest(good_, image, {"mae"}), code, reason, text);
  }
  v1::MetricResult ResultOf(const v1::ScoreRequest& request, int index) {
    v1::ScoreResponse response;
    const grpc::Status status = Score(*stub_, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return index < response.results_size() ? response.results(index) : v1::MetricResult();
  }

  const Pixels pixels_ = MakePixels(32, 24, 3, 1);
  const v1::Image good_ = RawImage(pixels_);
};

TEST_F(BadInputTest, TruncatedAndCorruptFiles) {
  for (const std::string& file : {EncodePng(pixels_), EncodeJpeg(pixels_, 90), EncodeJpeg(pixels_, 90, true),
                                  EncodeWebp(pixels_, true), EncodeWebp(pixels_, false)}) {
    ExpectBadImage(EncodedImage(file.substr(0, file.size() / 2)), "BAD_IMAGE", "truncated");
    ExpectBadImage(EncodedImage(file.substr(0, 20)), "BAD_IMAGE", "");
  }
  std::string png = EncodePng(pixels_);
  png[png.size() / 2] = static_cast<char>(png[png.size() / 2] ^ 0x10);
  ExpectBadImage(EncodedImage(png), "BAD_IMAGE", "damaged");
  std::string jpeg = EncodeJpeg(pixels_, 90);
  // A marker in the middle of the coded data.
  jpeg.replace(jpeg.size() - 60, 8, "\xff\xd9\xff\xd9\xff\xd9\xff\xd9");
  ExpectBadImage(EncodedImage(jpeg), "BAD_IMAGE", "damaged");
  std::string webp = EncodeWebp(pixels_, true);
  webp.replace(webp.size() / 2, 16, std::string(16, '\xff'));
  ExpectBadImage(EncodedImage(webp), "BAD_IMAGE", "damaged");
  ExpectBadImage(EncodedImage(""), "BAD_IMAGE", "empty");
  ExpectBadImage(EncodedImage("BM and the rest of a bitmap"), "UNSUPPORTED_IMAGE", "neither PNG");
  ExpectBadImage(EncodedImage(EncodeCmykJpeg(MakePixels(8, 8, 4, 1))), "UNSUPPORTED_IMAGE", "CMYK");
  ExpectBadImage(EncodedImage(EncodeAnimatedWebp(8, 8)), "UNSUPPORTED_IMAGE", "animated");
}

// A message that repeats what was sent must fit the headers that carry it.
TEST_F(BadInputTest, NamesOfAnyLength) {
  for (const std::string& name : {std::string(1000000, 'x'), std::string(200000, '\x7f')}) {
    ExpectRefused(MakeRequest(good_, good_, {name}), StatusCode::INVALID_ARGUMENT, "UNKNOWN_METRIC", "bytes more)");
  }
  std::string accents;
  for (int i = 0; i < 3000; ++i) accents += "\xc3\xa9";
  ExpectRefused(MakeRequest(good_, good_, {accents}), StatusCode::INVALID_ARGUMENT, "UNKNOWN_METRIC", "bytes more)");
}

TEST_F(BadInputTest, MissingImage) {
  v1::ScoreRequest request = MakeRequest(good_, good_, {"mae"});
  request.clear_reference();
  ExpectRefused(request, StatusCode::INVALID_ARGUMENT, "BAD_IMAGE",
                "reference has no image; set raw or encoded, or reference_id");
}

TEST_F(BadInputTest, SizeMismatch) {
  ExpectRefused(MakeRequest(good_, RawImage(MakePixels(32, 25, 3, 1)), {"mae"}), StatusCode::INVALID_ARGUMENT,
                "SIZE_MISMATCH", "reference is 32x24, distorted is 32x25; sizes must match");
  ExpectRefused(MakeRequest(good_, EncodedImage(EncodePng(MakePixels(24, 32, 3, 1))), {"mae"}),
                StatusCode::INVALID_ARGUMENT, "SIZE_MISMATCH", "24x32");
}

TEST_F(BadInputTest, DimensionsAndByteCounts) {
  const auto changed = [this](auto change) {
    v1::Image image = good_;
    change(*image.mutable_raw());
    return image;
  };
  ExpectBadImage(changed([](v1::RawImage& raw) { raw.set_width(0); }), "BAD_IMAGE", "0x24");
  ExpectBadImage(changed([](v1::RawImage& raw) { raw.set_height(-24); }), "BAD_IMAGE", "-24");
  ExpectBadImage(changed([](v1::RawImage& raw) { raw.set_width(2147483647); }), "IMAGE_TOO_LARGE", "16384",
                 StatusCode::RESOURCE_EXHAUSTED);
  ExpectBadImage(changed([](v1::RawImage& raw) {
                   raw.set_width(16384);
                   raw.set_height(16384);
                 }),
                 "IMAGE_TOO_LARGE", "max_pixels", StatusCode::RESOURCE_EXHAUSTED);
  ExpectBadImage(changed([](v1::RawImage& raw) { raw.mutable_data()->pop_back(); }), "BAD_IMAGE", "2303 bytes");
  ExpectBadImage(changed([](v1::RawImage& raw) { raw.mutable_data()->push_back('x'); }), "BAD_IMAGE", "2305 bytes");
  ExpectBadImage(changed([](v1::RawImage& raw) { raw.clear_data(); }), "BAD_IMAGE", "0 bytes");
  ExpectBadImage(changed([](v1::RawImage& raw) { raw.set_channels(0); }), "BAD_IMAGE", "0 channels");
  ExpectBadImage(changed([](v1::RawImage& raw) { raw.set_channels(7); }), "BAD_IMAGE", "7 channels");
  ExpectBadImage(changed([](v1::RawImage& raw) { raw.clear_data_type(); }), "BAD_IMAGE",
                 "data_type is DATA_TYPE_UNSPECIFIED; it must be DATA_TYPE_UINT8");
  ExpectBadImage(changed([](v1::RawImage& raw) { raw.set_data_type(static_cast<v1::DataType>(99)); }), "BAD_IMAGE",
                 "99");
  ExpectBadImage(changed([](v1::RawImage& raw) { raw.set_layout(static_cast<v1::Layout>(99)); }), "BAD_IMAGE", "99");
  ExpectBadImage(changed([](v1::RawImage& raw) { raw.set_value_of_one(0.0); }), "BAD_IMAGE", "value_of_one");
  ExpectBadImage(changed([](v1::RawImage& raw) { raw.set_value_of_one(INFINITY); }), "BAD_IMAGE", "value_of_one");
  // A PNG of a few bytes that claims a billion pixels.
  std::string bomb = EncodePng(MakePixels(4, 4, 3, 1));
  bomb.replace(16, 8, std::string("\x00\x00\x40\x00\x00\x00\x40\x00", 8));
  ExpectBadImage(EncodedImage(bomb), "IMAGE_TOO_LARGE", "max_pixels", StatusCode::RESOURCE_EXHAUSTED);
}

TEST_F(BadInputTest, NonFinitePixels) {
  for (const float bad : {NAN, INFINITY, -INFINITY}) {
    std::vector<float> samples(32 * 24 * 3, 0.5f);
    samples[(5 * 32 + 7) * 3 + 1] = bad;
    ExpectBadImage(RawFloatImage(32, 24, 3, samples), "NON_FINITE_PIXEL", "x = 7, y = 5, channel 1");
  }
}

TEST_F(BadInputTest, UnknownMetricFailsAloneOrTheCallWhenThereIsNoOther) {
  const v1::ScoreRequest mixed = MakeRequest(good_, good_, {"mae", "no_such_metric:x"});
  EXPECT_EQ(ResultOf(mixed, 0).score(), 0.0);
  EXPECT_EQ(ResultOf(mixed, 0).code(), 0);
  EXPECT_EQ(ResultOf(mixed, 1).code(), StatusCode::NOT_FOUND);
  EXPECT_EQ(ResultOf(mixed, 1).metric(), "no_such_metric");
  EXPECT_FALSE(ResultOf(mixed, 1).has_score());
  EXPECT_THAT(ResultOf(mixed, 1).message(), HasSubstr("no_such_metric"));
  ExpectRefused(MakeRequest(good_, good_, {"no_such_metric"}), StatusCode::INVALID_ARGUMENT, "UNKNOWN_METRIC",
                "no_such_metric");
  ExpectRefused(MakeRequest(good_, good_, {"gmds"}), StatusCode::INVALID_ARGUMENT, "UNKNOWN_METRIC",
                "there is no metric \"gmds\"; did you mean gmsd?");
  ExpectRefused(MakeRequest(good_, good_, {}), StatusCode::INVALID_ARGUMENT, "BAD_PARAMETER", "names no metric");
}

TEST_F(BadInputTest, BadParameters) {
  v1::ScoreRequest request = MakeRequest(good_, good_, {"mae"});
  (*request.mutable_metrics(0)->mutable_parameters())["no_such_parameter"].set_number_value(1.0);
  ExpectRefused(request, StatusCode::INVALID_ARGUMENT, "BAD_PARAMETER", "no_such_parameter");
  request.add_metrics()->set_metric("mse");
  EXPECT_EQ(ResultOf(request, 0).code(), StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(ResultOf(request, 1).code(), 0);
  ExpectRefused(MakeRequest(good_, good_, {"mae:no_such_convention"}), StatusCode::INVALID_ARGUMENT, "BAD_PARAMETER",
                "no_such_convention");

  request = MakeRequest(good_, good_, {"mae"});
  (*request.mutable_metrics(0)->mutable_parameters())["empty"];
  ExpectRefused(request, StatusCode::INVALID_ARGUMENT, "BAD_PARAMETER", "has no value");
  request = MakeRequest(good_, good_, {"mae"});
  request.mutable_metrics(0)->set_output_type(v1::DATA_TYPE_UINT8);
  ExpectRefused(request, StatusCode::INVALID_ARGUMENT, "BAD_PARAMETER",
                "output_type of mae is DATA_TYPE_UINT8; it must be DATA_TYPE_FLOAT32");
  request = MakeRequest(good_, good_, {"mae"});
  request.set_alpha_background(1.5);
  ExpectRefused(request, StatusCode::INVALID_ARGUMENT, "BAD_PARAMETER", "alpha_background");
  request.set_alpha_background(NAN);
  ExpectRefused(request, StatusCode::INVALID_ARGUMENT, "BAD_PARAMETER", "alpha_background");
  ExpectRefused(MakeRequest(good_, good_, std::vector<std::string>(65, "mae")), StatusCode::INVALID_ARGUMENT,
                "BAD_PARAMETER", "65 metrics");
}

TEST_F(BadInputTest, ParametersAreCheckedAgainstTheirBounds) {
  grpc::ClientContext context;
  v1::ListMetricsResponse metrics;
  ASSERT_TRUE(stub_->ListMetrics(&context, {}, &metrics).ok());
  int checked = 0;
  for (const v1::MetricInfo& metric : metrics.metrics()) {
    if (!metric.unavailable().empty()) continue;
    for (const v1::ParameterInfo& parameter : metric.parameters()) {
      if (parameter.default_value().value_case() != v1::ParameterValue::kNumberValue) continue;
      v1::ScoreRequest request = MakeRequest(good_, good_, {DefaultRequest(metric)});
      v1::ParameterValue& value = (*request.mutable_metrics(0)->mutable_parameters())[parameter.name()];
      value.set_number_value(NAN);
      ExpectRefused(request, StatusCode::INVALID_ARGUMENT, "BAD_PARAMETER", parameter.name());
      value.set_string_value("many");
      ExpectRefused(request, StatusCode::INVALID_ARGUMENT, "BAD_PARAMETER", parameter.name());
      if (std::isfinite(parameter.maximum())) {
        value.set_number_value(2.0 * std::abs(parameter.maximum()) + 1.0);
        ExpectRefused(request, StatusCode::INVALID_ARGUMENT, "BAD_PARAMETER", parameter.name());
      }
      ++checked;
    }
  }
  EXPECT_GT(checked, 0) << "no metric has a number to get wrong";
}

TEST_F(BadInputTest, TooSmallForTheMetricFailsThatMetricAlone) {
  grpc::ClientContext context;
  v1::ListMetricsResponse metrics;
  ASSERT_TRUE(stub_->ListMetrics(&context, {}, &metrics).ok());
  int checked = 0;
  for (const v1::MetricInfo& metric : metrics.metrics()) {
    if (!metric.unavailable().empty() || metric.min_width() < 2) continue;
    const v1::Image small = RawImage(MakePixels(metric.min_width() - 1, metric.min_height(), 3, 1));
    const v1::ScoreRequest request = MakeRequest(small, small, {metric.id(), "mae"});
    const v1::MetricResult result = ResultOf(request, 0);
    EXPECT_EQ(result.code(), StatusCode::INVALID_ARGUMENT) << metric.id();
    EXPECT_THAT(result.message(), HasSubstr(std::to_string(metric.min_width() - 1))) << metric.id();
    EXPECT_FALSE(result.has_score());
    EXPECT_EQ(ResultOf(request, 1).code(), 0);
    // Alone as well: the request is well formed, and says so for each metric.
    EXPECT_EQ(ResultOf(MakeRequest(small, small, {metric.id()}), 0).code(), StatusCode::INVALID_ARGUMENT);
    ++checked;
  }
  EXPECT_GT(checked, 0) << "no metric has a smallest size";
}

TEST_F(BadInputTest, OverTheMessageLimit) {
  const v1::Image large = RawImage(MakePixels(1000, 700, 3, 1));
  v1::ScoreResponse response;
  const grpc::Status status = Score(*stub_, MakeRequest(large, large, {"mae"}), &response);
  EXPECT_EQ(status.error_code(), StatusCode::RESOURCE_EXHAUSTED) << status.error_message();
}

// Requests made of noise: random bytes as files, random flips in good requests.
TEST_F(BadInputTest, ABarrageLeavesTheServerUp) {
  std::mt19937 random(17);
  const std::string good =
      MakeRequest(EncodedImage(EncodePng(pixels_)), EncodedImage(EncodeJpeg(pixels_, 80)), {"mae", "gmsd"})
          .SerializeAsString();
  int refused = 0;
  for (int i = 0; i < 500; ++i) {
    std::string bytes = good;
    for (unsigned flips = random() % 8; flips > 0; --flips) {
      bytes[random() % bytes.size()] = static_cast<char>(random());
    }
    v1::ScoreRequest request;
    if (!request.ParseFromString(bytes)) continue;
    v1::ScoreResponse response;
    const grpc::Status status = Score(*stub_, request, &response);
    EXPECT_TRUE(status.ok() || status.error_code() == StatusCode::INVALID_ARGUMENT ||
                status.error_code() == StatusCode::RESOURCE_EXHAUSTED || status.error_code() == StatusCode::NOT_FOUND)
        << status.error_code() << " " << status.error_message();
    refused += status.ok() ? 0 : 1;
  }
  EXPECT_GT(refused, 100);
  EXPECT_TRUE(server_->IsRunning());
}

TEST(OutputLimit, TheOutputThatExceedsItFailsBeforeItIsComputed) {
  const auto server = ServerProcess::Start({"--max-output-bytes", "30000"});
  ASSERT_NE(server, nullptr);
  const auto stub = server->NewStub();
  const v1::Image image = RawImage(MakePixels(50, 40, 3, 1));
  // 24000 bytes of float32 each, 12000 of float16.
  v1::ScoreRequest request = MakeRequest(image, image, {"mae", "mse", "mse"});
  for (v1::MetricRequest& metric : *request.mutable_metrics()) metric.set_want_gradient(true);
  request.mutable_metrics(0)->set_output_type(v1::DATA_TYPE_FLOAT16);
  request.mutable_metrics(2)->set_output_type(v1::DATA_TYPE_FLOAT16);
  v1::ScoreResponse response;
  ASSERT_TRUE(Score(*stub, request, &response).ok());
  EXPECT_EQ(response.results(0).code(), 0);
  EXPECT_EQ(response.results(1).code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(response.results(1).message(), HasSubstr("24000"));
  EXPECT_FALSE(response.results(1).has_score());
  EXPECT_EQ(response.results(2).code(), 0);
  EXPECT_EQ(response.results(2).gradient().data().size(), 12000u);
}

TEST(SlotLimit, APlanBeyondASlotIsRefusedWithBothFigures) {
  const auto server = ServerProcess::Start({"--slot-bytes", "1048576"});
  ASSERT_NE(server, nullptr);
  const auto stub = server->NewStub();
  const v1::Image image = RawImage(MakePixels(1024, 1024, 3, 1));
  v1::ScoreResponse response;
  ASSERT_TRUE(Score(*stub, MakeRequest(image, image, {"gmsd"}), &response).ok());
  EXPECT_EQ(response.results(0).code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(response.results(0).message(), HasSubstr("1048576"));
}

}  // namespace
}  // namespace likeness::testing
