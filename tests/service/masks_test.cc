// Masks and region weights over the wire: the formula, the containers that masks come in, and what is refused.
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/half.h"
#include "tests/service/server_fixture.h"

namespace likeness::testing {
namespace {

using grpc::StatusCode;
using ::testing::HasSubstr;

constexpr int kWidth = 40, kHeight = 30, kCount = kWidth * kHeight;

// A gray plane of level(x, y), 0 to 255.
using Level = std::function<int(int x, int y)>;
Pixels Plane(const Level& level) {
  Pixels plane{kWidth, kHeight, 1, 8, {}};
  for (int y = 0; y < kHeight; ++y) {
    for (int x = 0; x < kWidth; ++x) plane.bytes.push_back(static_cast<char>(level(x, y)));
  }
  return plane;
}
int Oval(int x, int y) { return (x - 18) * (x - 18) + (y - 14) * (y - 14) < 150 ? 255 : 12; }
int Eyes(int x, int y) { return y > 8 && y < 13 ? 5 * x : 0; }
int Mouth(int x, int y) { return y > 18 && x > 9 && x < 30 ? 200 : 0; }

float FloatAt(const std::string& data, int i) {
  float value;
  std::memcpy(&value, data.data() + 4 * i, 4);
  return value;
}

class MasksTest : public ServerTest {
 protected:
  void TearDown() override {
    v1::ScoreResponse response;
    EXPECT_TRUE(Score(*stub_, Request({"mae"}), &response).ok());
    EXPECT_TRUE(server_->IsRunning());
  }

  v1::ScoreRequest Request(const std::vector<std::string>& metrics) const {
    return MakeRequest(RawImage(reference_), RawImage(distorted_), metrics);
  }
  // Mask and two regions, in three containers.
  v1::ScoreRequest FaceRequest(const std::vector<std::string>& metrics) const {
    v1::ScoreRequest request = Request(metrics);
    v1::PixelWeights& weights = *request.mutable_weights();
    *weights.mutable_mask() = EncodedImage(EncodePng(Plane(Oval)));
    v1::Region& eyes = *weights.add_regions();
    *eyes.mutable_mask() = RawImage(Plane(Eyes));
    eyes.set_multiplier(3.0);
    v1::Region& mouth = *weights.add_regions();
    std::vector<float> samples;
    for (const char level : Plane(Mouth).bytes) samples.push_back(2.0f * static_cast<unsigned char>(level));
    *mouth.mutable_mask() = RawFloatImage(kWidth, kHeight, 1, samples);
    mouth.mutable_mask()->mutable_raw()->set_value_of_one(510.0);
    mouth.set_multiplier(2.0);
    return request;
  }
  static double FaceWeight(int i) {
    const int x = i % kWidth, y = i / kWidth;
    return Oval(x, y) / 255.0 * (1.0 + 3.0 * Eyes(x, y) / 255.0 + 2.0 * Mouth(x, y) / 255.0);
  }
  double ErrorAt(int sample) const {
    return (static_cast<unsigned char>(distorted_.bytes[sample]) -
            static_cast<unsigned char>(reference_.bytes[sample])) /
           255.0;
  }
  v1::MetricResult ResultOf(const v1::ScoreRequest& request) {
    v1::ScoreResponse response;
    const grpc::Status status = Score(*stub_, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.results_size() > 0 ? response.results(0) : v1::MetricResult();
  }
  void ExpectRefused(const v1::ScoreRequest& request, const std::string& reason, const std::string& text,
                     StatusCode code = StatusCode::INVALID_ARGUMENT) {
    v1::ScoreResponse response;
    const grpc::Status status = Score(*stub_, request, &response);
    EXPECT_EQ(status.error_code(), code) << status.error_message();
    EXPECT_EQ(ReasonOf(status), reason) << status.error_message();
    EXPECT_THAT(status.error_message(), HasSubstr(text));
  }
  // The mask refused, and the same image refused as a region's.
  void ExpectBadMask(const v1::Image& mask, const std::string& reason, const std::string& text,
                     StatusCode code = StatusCode::INVALID_ARGUMENT) {
    v1::ScoreRequest request = Request({"mae"});
    *request.mutable_weights()->mutable_mask() = mask;
    ExpectRefused(request, reason, "weights.mask" + text, code);
    request = Request({"mae"});
    request.mutable_weights()->add_regions();
    *request.mutable_weights()->mutable_regions(0)->mutable_mask() = RawImage(Plane(Eyes));
    *request.mutable_weights()->add_regions()->mutable_mask() = mask;
    ExpectRefused(request, reason, "weights.regions[1].mask" + text, code);
  }

  const Pixels reference_ = MakePixels(kWidth, kHeight, 3, 1);
  const Pixels distorted_ = AddNoise(reference_, 25, 1);
};

TEST_F(MasksTest, WeightsAreMaskTimesOnePlusRegions) {
  double sum = 0.0, weight_sum = 0.0;
  for (int i = 0; i < kCount; ++i) {
    for (int c = 0; c < 3; ++c) sum += FaceWeight(i) * std::fabs(ErrorAt(3 * i + c)) / 3.0;
    weight_sum += FaceWeight(i);
  }
  v1::ScoreRequest request = FaceRequest({"mae"});
  request.mutable_metrics(0)->set_want_map(true);
  request.mutable_metrics(0)->set_want_gradient(true);
  for (const v1::Averaging averaging :
       {v1::AVERAGING_UNSPECIFIED, v1::AVERAGING_OVER_PIXELS, v1::AVERAGING_OVER_WEIGHTS}) {
    SCOPED_TRACE(v1::Averaging_Name(averaging));
    request.mutable_weights()->set_averaging(averaging);
    const v1::MetricResult result = ResultOf(request);
    const double divisor = averaging == v1::AVERAGING_OVER_WEIGHTS ? weight_sum : kCount;
    EXPECT_NEAR(result.score(), sum / divisor, 1e-6 * sum / divisor);
    ASSERT_EQ(result.gradient().data().size(), 4u * 3 * kCount);
    ASSERT_EQ(result.map().data().size() % (4u * kCount), 0u);
    const int map_channels = result.map().channels();
    double map_sum = 0.0;
    for (int i = 0; i < map_channels * kCount; ++i) map_sum += FloatAt(result.map().data(), i);
    EXPECT_NEAR(map_sum / (map_channels * kCount), result.score(), 1e-6 * result.score());
    for (int i = 0; i < kCount; ++i) {
      for (int c = 0; c < 3; ++c) {
        const double error = ErrorAt(3 * i + c);
        const double sign = error > 0.0 ? 1.0 : error < 0.0 ? -1.0 : 0.0;
        ASSERT_NEAR(FloatAt(result.gradient().data(), 3 * i + c), FaceWeight(i) * sign / 3.0 / divisor, 1e-9) << i;
      }
    }
  }
}

TEST_F(MasksTest, EveryContainerOfTheSameMaskGivesTheSameBits) {
  v1::ScoreRequest request = Request({"mae", "ssim"});
  request.mutable_metrics(1)->set_want_gradient(true);
  const auto bits = [&](const v1::Image& mask) {
    *request.mutable_weights()->mutable_mask() = mask;
    v1::ScoreResponse response;
    EXPECT_TRUE(Score(*stub_, request, &response).ok());
    return BitsOf(response);
  };
  // Levels of binary16 and of 16 bits too.
  const Level level = [](int x, int y) { return (x + y) % 2 == 0 ? 255 : x > 20 ? 51 : 0; };
  const Pixels plane = Plane(level);
  const std::string expected = bits(RawImage(plane));
  EXPECT_EQ(bits(EncodedImage(EncodePng(plane))), expected);
  Pixels deep = plane;
  deep.bit_depth = 16;
  deep.bytes.clear();
  v1::Image half = RawImage(plane);
  half.mutable_raw()->set_data_type(v1::DATA_TYPE_FLOAT16);
  half.mutable_raw()->set_value_of_one(255.0);
  half.mutable_raw()->clear_data();
  for (const char byte : plane.bytes) {
    const auto wide = static_cast<std::uint16_t>(257 * static_cast<unsigned char>(byte));
    deep.bytes.append(reinterpret_cast<const char*>(&wide), 2);
    const std::uint16_t narrow = server::ToHalf(static_cast<unsigned char>(byte));
    half.mutable_raw()->mutable_data()->append(reinterpret_cast<const char*>(&narrow), 2);
  }
  EXPECT_EQ(bits(RawImage(deep)), expected);
  EXPECT_EQ(bits(EncodedImage(EncodePng(deep))), expected);
  EXPECT_EQ(bits(half), expected);
  EXPECT_NE(bits(RawImage(Plane(Oval))), expected);
}

TEST_F(MasksTest, NoMasksAreNoWeights) {
  v1::ScoreRequest request = Request({"mae", "sse"});
  v1::ScoreResponse plain, empty;
  ASSERT_TRUE(Score(*stub_, request, &plain).ok());
  request.mutable_weights()->set_averaging(v1::AVERAGING_OVER_WEIGHTS);
  ASSERT_TRUE(Score(*stub_, request, &empty).ok());
  EXPECT_EQ(empty.results(1).code(), 0);
  EXPECT_EQ(BitsOf(plain), BitsOf(empty));
}

// What ListMetrics says is what a weighted request finds, of every convention; nobody's refusal harms a neighbour.
TEST_F(MasksTest, MetricsThatTakeNoWeightsFailAlone) {
  grpc::ClientContext context;
  v1::ListMetricsResponse listed;
  ASSERT_TRUE(stub_->ListMetrics(&context, {}, &listed).ok());
  int taken = 0, refused = 0;
  for (const v1::MetricInfo& metric : listed.metrics()) {
    if (!metric.unavailable().empty() || metric.min_width() > kWidth || metric.min_height() > kHeight) continue;
    EXPECT_TRUE(metric.takes_weights() || !metric.conventions(0).takes_weights()) << metric.id();
    for (const v1::ConventionInfo& convention : metric.conventions()) {
      if (!convention.unavailable().empty()) continue;
      const std::string name = metric.id() + ":" + convention.name();
      v1::ScoreResponse response;
      ASSERT_TRUE(Score(*stub_, FaceRequest({name, "mae"}), &response).ok()) << name;
      EXPECT_EQ(response.results(1).code(), 0) << name;
      EXPECT_TRUE(response.results(1).has_score());
      // A convention that needs larger images is refused for that.
      if (response.results(0).message().find("send larger images") != std::string::npos) continue;
      if (convention.takes_weights()) {
        EXPECT_EQ(response.results(0).code(), 0) << name << ": " << response.results(0).message();
        ++taken;
      } else {
        EXPECT_EQ(response.results(0).code(), StatusCode::INVALID_ARGUMENT) << name;
        EXPECT_FALSE(response.results(0).has_score());
        EXPECT_THAT(response.results(0).message(), HasSubstr(metric.id()));
        ++refused;
      }
    }
  }
  EXPECT_GT(taken, 5);
  EXPECT_GT(refused, 2);
}

TEST_F(MasksTest, BadMasks) {
  ExpectBadMask(RawImage(MakePixels(kWidth - 1, kHeight, 1, 1)), "SIZE_MISMATCH", " is 39x30, the images are 40x30");
  ExpectBadMask(EncodedImage(EncodePng(MakePixels(kHeight, kWidth, 1, 1))), "SIZE_MISMATCH", " is 30x40");
  ExpectBadMask(RawImage(MakePixels(kWidth, kHeight, 3, 1)), "BAD_IMAGE", " has 3 channels");
  ExpectBadMask(RawImage(MakePixels(kWidth, kHeight, 2, 1)), "BAD_IMAGE", " has 2 channels");
  ExpectBadMask(EncodedImage(EncodeWebp(MakePixels(kWidth, kHeight, 3, 1), true)), "BAD_IMAGE", " has 3 channels");
  const std::string png = EncodePng(Plane(Oval));
  ExpectBadMask(EncodedImage(png.substr(0, png.size() / 2)), "BAD_IMAGE", ": the PNG file");
  ExpectBadMask(EncodedImage("not an image"), "UNSUPPORTED_IMAGE", " is neither PNG");
  ExpectBadMask(v1::Image(), "BAD_IMAGE", " has no image");
  v1::Image huge = RawImage(Plane(Oval));
  huge.mutable_raw()->set_width(1 << 20);
  ExpectBadMask(huge, "IMAGE_TOO_LARGE", " is 1048576x30", StatusCode::RESOURCE_EXHAUSTED);

  const auto with_sample = [](float sample) {
    std::vector<float> samples(kCount, 0.5f);
    samples[2 * kWidth + 7] = sample;
    return RawFloatImage(kWidth, kHeight, 1, samples);
  };
  ExpectBadMask(with_sample(-0.25f), "BAD_IMAGE", " holds -0.25 at (7, 2)");
  ExpectBadMask(with_sample(1.5f), "BAD_IMAGE", " holds 1.5 at (7, 2)");
  ExpectBadMask(with_sample(std::numeric_limits<float>::quiet_NaN()), "NON_FINITE_PIXEL", " holds nan at (7, 2)");
  ExpectBadMask(with_sample(std::numeric_limits<float>::infinity()), "NON_FINITE_PIXEL", " holds inf at (7, 2)");
}

TEST_F(MasksTest, AMaskThatSelectsNothing) {
  v1::ScoreRequest request = FaceRequest({"mae"});
  *request.mutable_weights()->mutable_mask() = RawImage(Plane([](int, int) { return 0; }));
  EXPECT_EQ(ResultOf(request).score(), 0.0);
  request.mutable_weights()->set_averaging(v1::AVERAGING_OVER_WEIGHTS);
  ExpectRefused(request, "BAD_IMAGE", "0 everywhere");
}

TEST_F(MasksTest, BadMultipliersAveragingsAndCounts) {
  for (const double multiplier : {-0.1, 1000.5, std::nan(""), std::numeric_limits<double>::infinity()}) {
    v1::ScoreRequest request = FaceRequest({"mae"});
    request.mutable_weights()->mutable_regions(1)->set_multiplier(multiplier);
    ExpectRefused(request, "BAD_PARAMETER", "weights.regions[1].multiplier");
  }
  v1::ScoreRequest request = FaceRequest({"mae"});
  request.mutable_weights()->set_averaging(static_cast<v1::Averaging>(9));
  ExpectRefused(request, "BAD_PARAMETER", "weights.averaging is 9");
  request = FaceRequest({"mae"});
  while (request.weights().regions_size() < 16)
    *request.mutable_weights()->add_regions() = request.weights().regions(0);
  EXPECT_EQ(ResultOf(request).code(), 0);
  *request.mutable_weights()->add_regions() = request.weights().regions(0);
  ExpectRefused(request, "BAD_PARAMETER", "17 regions");
}

// The plane of weights and a decoded mask are in the budget, and leave it with the request.
TEST(MaskBudget, CountsTheWeights) {
  // Two 512x512 gray images as files, decoded 256 KiB each, and their call; the plane would be 1 MiB more.
  const auto server = ServerProcess::Start({"--max-in-flight-bytes", "1400000"});
  ASSERT_NE(server, nullptr);
  const auto stub = server->NewStub();
  const v1::Image image = EncodedImage(EncodePng(Pixels{512, 512, 1, 8, std::string(512 * 512, 'x')}));
  v1::ScoreRequest request = MakeRequest(image, image, {"mae"});
  v1::ScoreResponse response;
  ASSERT_TRUE(Score(*stub, request, &response).ok());
  *request.mutable_weights()->mutable_mask() = image;
  const grpc::Status status = Score(*stub, request, &response);
  EXPECT_EQ(status.error_code(), StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(ReasonOf(status), "IMAGE_TOO_LARGE") << status.error_message();
  ASSERT_TRUE(server->WaitForTelemetry("likeness_requests_total{code=\"RESOURCE_EXHAUSTED\",method=\"Score\"}", 1));
  EXPECT_EQ(server->Telemetry("likeness_in_flight_bytes"), 0);
}

}  // namespace
}  // namespace likeness::testing
