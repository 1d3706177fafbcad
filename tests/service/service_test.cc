// What a caller sees of a healthy server: scores, outputs, listings, health, reflection, telemetry.
#include <cmath>
#include <csignal>
#include <cstring>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "grpcpp/generic/generic_stub.h"
#include "gtest/gtest.h"
#include "server/half.h"
#include "tests/service/server_fixture.h"

namespace likeness::testing {
namespace {

using ::testing::HasSubstr;

class ServiceTest : public ServerTest {
 protected:
  v1::ScoreResponse ScoreOk(const v1::ScoreRequest& request) {
    v1::ScoreResponse response;
    const grpc::Status status = Score(*stub_, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    EXPECT_EQ(response.results_size(), request.metrics_size());
    for (const v1::MetricResult& result : response.results()) EXPECT_EQ(result.code(), 0) << result.message();
    return response;
  }
  double ScoreOf(const v1::Image& reference, const v1::Image& distorted, const std::string& metric) {
    const v1::ScoreResponse response = ScoreOk(MakeRequest(reference, distorted, {metric}));
    return response.results_size() == 1 && response.results(0).has_score() ? response.results(0).score() : NAN;
  }
};

TEST_F(ServiceTest, ScoresWhatItWasSentAndSaysHow) {
  // 51 = 0.2 * 255 on every sample.
  Pixels reference{8, 6, 3, 8, std::string(8 * 6 * 3, '\x10')};
  Pixels distorted{8, 6, 3, 8, std::string(8 * 6 * 3, '\x43')};
  v1::ScoreRequest request = MakeRequest(RawImage(reference), RawImage(distorted), {"mae", "mse", "psnr"});
  request.set_request_id("pair 7");
  const v1::ScoreResponse response = ScoreOk(request);
  ASSERT_EQ(response.results_size(), 3);
  EXPECT_EQ(response.request_id(), "pair 7");
  EXPECT_NEAR(response.results(0).score(), 0.2, 1e-7);
  EXPECT_NEAR(response.results(1).score(), 0.04, 1e-7);
  EXPECT_NEAR(response.results(2).score(), -10.0 * std::log10(0.04), 1e-5);
  EXPECT_EQ(response.results(0).metric(), "mae");
  EXPECT_EQ(response.results(0).direction(), v1::DIRECTION_LOWER_IS_BETTER);
  EXPECT_EQ(response.results(2).direction(), v1::DIRECTION_HIGHER_IS_BETTER);
  EXPECT_GE(response.results(0).version(), 1);
  EXPECT_FALSE(response.results(0).resolved().convention().empty());
  EXPECT_FALSE(response.results(0).has_map());
  EXPECT_FALSE(response.results(0).has_gradient());
  EXPECT_EQ(response.provenance().backend(), "cpu");
  EXPECT_FALSE(response.provenance().instruction_set().empty());
  EXPECT_FALSE(response.provenance().build().empty());
  EXPECT_GT(response.timing().decode_seconds(), 0.0);
  EXPECT_GT(response.timing().compute_seconds(), 0.0);
  EXPECT_EQ(response.timing().batch_size(), 1);
}

TEST_F(ServiceTest, EqualImagesScoreIdentityExactly) {
  const v1::Image image = RawImage(MakePixels(192, 180, 3, 1));
  grpc::ClientContext context;
  v1::ListMetricsResponse metrics;
  ASSERT_TRUE(stub_->ListMetrics(&context, {}, &metrics).ok());
  for (const v1::MetricInfo& metric : metrics.metrics()) {
    if (!metric.unavailable().empty()) continue;
    EXPECT_EQ(ScoreOf(image, image, DefaultRequest(metric)), metric.identity()) << metric.id();
  }
}

// Every way to send the same picture gives the same bits.
TEST_F(ServiceTest, ContainersOfTheSamePixelsAgree) {
  const Pixels reference = MakePixels(61, 47, 3, 1);
  const Pixels distorted = AddNoise(reference, 12, 1);
  const double raw = ScoreOf(RawImage(reference), RawImage(distorted), "gmsd");
  EXPECT_EQ(ScoreOf(EncodedImage(EncodePng(reference)), EncodedImage(EncodePng(distorted)), "gmsd"), raw);
  EXPECT_EQ(ScoreOf(EncodedImage(EncodeWebp(reference, true)), RawImage(distorted), "gmsd"), raw);
  v1::Image planar = RawImage(distorted);
  std::string& data = *planar.mutable_raw()->mutable_data();
  for (int i = 0; i < 61 * 47; ++i) {
    for (int c = 0; c < 3; ++c) data[c * 61 * 47 + i] = distorted.bytes[i * 3 + c];
  }
  planar.mutable_raw()->set_layout(v1::LAYOUT_CHW);
  EXPECT_EQ(ScoreOf(RawImage(reference), planar, "gmsd"), raw);
  const double jpeg = ScoreOf(RawImage(reference), EncodedImage(EncodeJpeg(reference, 30)), "mae");
  EXPECT_GT(jpeg, 0.0);
  EXPECT_LT(jpeg, 0.1);
}

TEST_F(ServiceTest, SixteenBitsCount) {
  Pixels reference{16, 16, 1, 16, {}};
  Pixels distorted{16, 16, 1, 16, {}};
  for (int i = 0; i < 256; ++i) {
    const std::uint16_t a = static_cast<std::uint16_t>(200 * i);
    const std::uint16_t b = static_cast<std::uint16_t>(200 * i + 13);
    reference.bytes.append(reinterpret_cast<const char*>(&a), 2);
    distorted.bytes.append(reinterpret_cast<const char*>(&b), 2);
  }
  // 13 levels of 65535 vanish in 8 bits.
  EXPECT_NEAR(ScoreOf(RawImage(reference), RawImage(distorted), "mae"), 13.0 / 65535.0, 1e-8);
  EXPECT_NEAR(ScoreOf(EncodedImage(EncodePng(reference)), EncodedImage(EncodePng(distorted)), "mae"), 13.0 / 65535.0,
              1e-8);
}

TEST_F(ServiceTest, ValueOfOneScales) {
  v1::Image reference = RawFloatImage(2, 2, 1, {0.0f, 50.0f, 100.0f, 25.0f});
  v1::Image distorted = RawFloatImage(2, 2, 1, {10.0f, 60.0f, 110.0f, 35.0f});
  reference.mutable_raw()->set_value_of_one(100.0);
  distorted.mutable_raw()->set_value_of_one(100.0);
  EXPECT_NEAR(ScoreOf(reference, distorted, "mae"), 0.1, 1e-7);
}

TEST_F(ServiceTest, AlphaIsCompositedOverTheBackgroundAsked) {
  const Pixels reference = MakePixels(20, 20, 4, 1);
  const Pixels distorted = MakePixels(20, 20, 4, 2);
  for (const double background : {0.0, 0.25, 1.0}) {
    double expected = 0.0;
    for (int i = 0; i < 400; ++i) {
      for (int c = 0; c < 3; ++c) {
        const auto over = [&](const Pixels& pixels) {
          const double alpha = static_cast<unsigned char>(pixels.bytes[4 * i + 3]) / 255.0;
          return alpha * static_cast<unsigned char>(pixels.bytes[4 * i + c]) / 255.0 + (1.0 - alpha) * background;
        };
        expected += std::abs(over(reference) - over(distorted)) / 1200.0;
      }
    }
    v1::ScoreRequest request = MakeRequest(RawImage(reference), EncodedImage(EncodePng(distorted)), {"mae"});
    request.set_alpha_background(background);
    EXPECT_NEAR(ScoreOk(request).results(0).score(), expected, 1e-6) << background;
    if (background == 1.0) {
      request.clear_alpha_background();
      EXPECT_NEAR(ScoreOk(request).results(0).score(), expected, 1e-6) << "default";
    }
  }
}

TEST_F(ServiceTest, MapsAndGradientsComeInTheTypeAsked) {
  const Pixels reference = MakePixels(33, 21, 3, 3);
  v1::ScoreRequest request = MakeRequest(RawImage(reference), RawImage(AddNoise(reference, 20, 3)), {"mse", "mse"});
  for (v1::MetricRequest& metric : *request.mutable_metrics()) {
    metric.set_want_map(true);
    metric.set_want_gradient(true);
  }
  request.mutable_metrics(1)->set_output_type(v1::DATA_TYPE_FLOAT16);
  const v1::ScoreResponse response = ScoreOk(request);
  const v1::MetricResult& single = response.results(0);
  const v1::MetricResult& half = response.results(1);
  ASSERT_EQ(single.gradient().width(), 33);
  ASSERT_EQ(single.gradient().height(), 21);
  ASSERT_EQ(single.gradient().channels(), 3);
  ASSERT_EQ(single.gradient().data().size(), 33u * 21 * 3 * 4);
  ASSERT_EQ(half.gradient().data().size(), 33u * 21 * 3 * 2);
  EXPECT_EQ(single.gradient().data_type(), v1::DATA_TYPE_FLOAT32);
  EXPECT_EQ(half.gradient().data_type(), v1::DATA_TYPE_FLOAT16);
  EXPECT_EQ(half.score(), single.score());
  const auto as_half = [](const std::string& floats) {
    std::string out;
    for (std::size_t at = 0; at < floats.size(); at += 4) {
      float value;
      std::memcpy(&value, floats.data() + at, 4);
      const std::uint16_t bits = server::ToHalf(value);
      out.append(reinterpret_cast<const char*>(&bits), 2);
    }
    return out;
  };
  EXPECT_TRUE(half.gradient().data() == as_half(single.gradient().data()));
  EXPECT_TRUE(half.map().data() == as_half(single.map().data()));
  // d mse / d distorted = 2 (distorted - reference) / count.
  const Pixels distorted = AddNoise(reference, 20, 3);
  for (int i = 0; i < 33 * 21 * 3; ++i) {
    float gradient;
    std::memcpy(&gradient, single.gradient().data().data() + 4 * i, 4);
    const int difference =
        static_cast<unsigned char>(distorted.bytes[i]) - static_cast<unsigned char>(reference.bytes[i]);
    ASSERT_NEAR(gradient, 2.0 * difference / 255.0 / (33 * 21 * 3), 1e-9) << i;
  }
}

TEST_F(ServiceTest, GradientHasTheLayoutAndChannelsThatWereSent) {
  const Pixels reference = MakePixels(9, 7, 3, 3);
  v1::Image planar = RawImage(MakePixels(9, 7, 4, 4));
  planar.mutable_raw()->set_layout(v1::LAYOUT_CHW);
  v1::ScoreRequest request = MakeRequest(RawImage(reference), planar, {"mae"});
  request.mutable_metrics(0)->set_want_gradient(true);
  const v1::ScoreResponse response = ScoreOk(request);
  EXPECT_EQ(response.results(0).gradient().layout(), v1::LAYOUT_CHW);
  EXPECT_EQ(response.results(0).gradient().channels(), 4);
}

TEST_F(ServiceTest, ListsMetricsWithTheirFacts) {
  grpc::ClientContext context;
  v1::ListMetricsResponse response;
  ASSERT_TRUE(stub_->ListMetrics(&context, {}, &response).ok());
  ASSERT_GT(response.metrics_size(), 0);
  for (const v1::MetricInfo& metric : response.metrics()) {
    EXPECT_FALSE(metric.summary().empty()) << metric.id();
    EXPECT_FALSE(metric.reference().empty()) << metric.id();
    EXPECT_NE(metric.direction(), v1::DIRECTION_UNSPECIFIED) << metric.id();
    EXPECT_GE(metric.conventions_size(), 1) << metric.id();
    if (metric.unavailable().empty()) {
      // A plan that exceeds a slot has no cost to tell.
      if (metric.has_cost_1080p()) {
        EXPECT_GT(metric.cost_1080p().bytes_moved(), 0) << metric.id();
      }
    }
  }
}

TEST_F(ServiceTest, TellsBuildAndLimits) {
  grpc::ClientContext context;
  v1::GetServerInfoResponse info;
  ASSERT_TRUE(stub_->GetServerInfo(&context, {}, &info).ok());
  EXPECT_THAT(info.build(), HasSubstr("("));
  EXPECT_EQ(info.backend(), "cpu");
  EXPECT_EQ(info.backends_built(0), "cpu");
  EXPECT_EQ(info.limits().message_bytes(), 256 << 20);
  EXPECT_EQ(info.limits().side(), 16384);
  EXPECT_EQ(info.limits().metrics(), 64);
}

TEST_F(ServiceTest, IsHealthy) {
  EXPECT_EQ(server_->CheckHealth(""), 1);
  EXPECT_EQ(server_->CheckHealth("likeness.v1.ScoringService"), 1);
  EXPECT_EQ(server_->CheckHealth("no.such.Service"), -1);
}

TEST_F(ServiceTest, ReflectsItsServices) {
  // ServerReflectionRequest.list_services is field 7; the answer names the services in clear.
  grpc::GenericStub stub(server_->NewChannel());
  grpc::ClientContext context;
  grpc::CompletionQueue queue;
  const auto next = [&queue] {
    void* tag = nullptr;
    bool ok = false;
    return queue.Next(&tag, &ok) && ok;
  };
  const auto call =
      stub.PrepareCall(&context, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", &queue);
  call->StartCall(nullptr);
  ASSERT_TRUE(next());
  const grpc::Slice slice(std::string("\x3a\x00", 2));
  call->Write(grpc::ByteBuffer(&slice, 1), nullptr);
  ASSERT_TRUE(next());
  grpc::ByteBuffer answer;
  call->Read(&answer, nullptr);
  ASSERT_TRUE(next());
  grpc::Slice bytes;
  ASSERT_TRUE(answer.DumpToSingleSlice(&bytes).ok());
  const std::string text(reinterpret_cast<const char*>(bytes.begin()), bytes.size());
  EXPECT_THAT(text, HasSubstr("likeness.v1.ScoringService"));
  EXPECT_THAT(text, HasSubstr("grpc.health.v1.Health"));
  context.TryCancel();
  grpc::Status status;
  call->Finish(&status, nullptr);
  next();
}

TEST(Telemetry, CountsWhatHappened) {
  const auto server = ServerProcess::Start();
  ASSERT_NE(server, nullptr);
  const auto stub = server->NewStub();
  const Pixels reference = MakePixels(40, 40, 3, 1);
  const v1::Image good = RawImage(reference);
  const v1::Image noisy = EncodedImage(EncodePng(AddNoise(reference, 9, 1)));
  v1::ScoreResponse response;
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(Score(*stub, MakeRequest(good, noisy, {"mae", "psnr"}), &response).ok());
  ASSERT_TRUE(Score(*stub, MakeRequest(good, good, {"psnr"}), &response).ok());
  ASSERT_FALSE(Score(*stub, MakeRequest(good, EncodedImage("not an image"), {"mae"}), &response).ok());
  ASSERT_TRUE(Score(*stub, MakeRequest(good, noisy, {"mae", "no_such_metric"}), &response).ok());

  // OnDone runs after the reply has left: the last count may come a moment later.
  ASSERT_TRUE(server->WaitForTelemetry("likeness_requests_total{code=\"OK\",method=\"Score\"}", 5));
  const auto value = [&server](const std::string& series) { return server->Telemetry(series); };
  EXPECT_EQ(value("likeness_requests_total{code=\"OK\",method=\"Score\"}"), 5);
  EXPECT_EQ(value("likeness_requests_total{code=\"INVALID_ARGUMENT\",method=\"Score\"}"), 1);
  EXPECT_EQ(value("likeness_request_duration_seconds_count{method=\"Score\"}"), 6);
  EXPECT_EQ(value("likeness_rejections_total{reason=\"UNSUPPORTED_IMAGE\"}"), 1);
  EXPECT_EQ(value("likeness_metric_failures_total{code=\"NOT_FOUND\",metric=\"unknown\"}"), 1);
  EXPECT_EQ(value("likeness_stage_duration_seconds_count{stage=\"receive\"}"), 6);
  EXPECT_EQ(value("likeness_stage_duration_seconds_count{stage=\"decode\"}"), 5);
  EXPECT_EQ(value("likeness_stage_duration_seconds_count{stage=\"queue\"}"), 5);
  EXPECT_EQ(value("likeness_stage_duration_seconds_count{stage=\"compute\"}"), 5);
  EXPECT_EQ(value("likeness_stage_duration_seconds_count{stage=\"reply\"}"), 5);
  EXPECT_EQ(value("likeness_batch_pairs_count{lane=\"pixel\"}"), 5);
  EXPECT_EQ(value("likeness_score_count{metric=\"mae\"}"), 4);
  EXPECT_EQ(value("likeness_score_count{metric=\"psnr\"}"), 3);
  EXPECT_EQ(value("likeness_infinite_scores_total{metric=\"psnr\"}"), 1);
  EXPECT_TRUE(std::isfinite(value("likeness_score_sum{metric=\"psnr\"}")));
  EXPECT_EQ(value("likeness_queue_jobs{lane=\"pixel\"}"), 0);
  EXPECT_EQ(value("likeness_in_flight_requests"), 0);
  EXPECT_EQ(value("likeness_in_flight_bytes"), 0);
  EXPECT_THAT(server->FetchTelemetry(), HasSubstr("likeness_build_info{"));
}

TEST(CommandLine, MistakesAreNamed) {
  const auto expect = [](const std::vector<std::string>& flags, int code, const std::string& text) {
    const ExitResult result = RunToExit(flags);
    EXPECT_EQ(result.code, code) << result.output;
    EXPECT_THAT(result.output, HasSubstr(text));
  };
  expect({"--help"}, 0, "--max-in-flight-bytes");
  expect({"--version"}, 0, "(");
  expect({"--no-such-flag"}, 2, "--no-such-flag");
  expect({"--port", "70000"}, 2, "0 to 65535");
  expect({"--backend", "abacus"}, 2, "abacus");
  expect({"--config", "/no/such/file.toml"}, 2, "/no/such/file.toml");
  expect({"--config", ::testing::TempDir()}, 2, "but a folder");
  expect({"--config", ""}, 2, "--config");
  expect({"--host", ""}, 2, "--host");
  expect({"--telemetry-host", ""}, 2, "--telemetry-host");
  expect({"--weights-dir", "/no/such/folder"}, 2, "--weights-dir is \"/no/such/folder\", which is no folder");
}

TEST(CommandLine, AddressesThatCannotBeHadAreNamed) {
  const auto server = ServerProcess::Start({});
  ASSERT_NE(server, nullptr);
  const std::string taken = server->address().substr(server->address().rfind(':') + 1);
  const auto expect = [](const std::vector<std::string>& flags, const std::string& where) {
    std::vector<std::string> all = {"--instruction-set", "oracle"};
    all.insert(all.end(), flags.begin(), flags.end());
    const ExitResult result = RunToExit(all);
    EXPECT_EQ(result.code, 2) << result.output;
    EXPECT_THAT(result.output, HasSubstr("likeness: cannot serve " + where + ": the port may be taken"));
  };
  expect({"--host", "256.0.0.1", "--port", "0", "--telemetry-port", "-1"}, "on 256.0.0.1:0");
  expect({"--host", "::1", "--port", "0", "--telemetry-port", "-1"}, "on ::1:0");
  expect({"--port", taken, "--telemetry-port", "-1"}, "on 127.0.0.1:" + taken);
  expect({"--port", "0", "--telemetry-port", taken}, "telemetry on 127.0.0.1:" + taken);
}

TEST(CommandLine, FlagsOverrideTheFileAndUnknownKeysAreErrors) {
  const std::string path = ::testing::TempDir() + "/likeness_config_test.toml";
  const auto write = [&path](const std::string& text) {
    std::FILE* const file = std::fopen(path.c_str(), "w");
    ASSERT_NE(file, nullptr);
    std::fputs(text.c_str(), file);
    std::fclose(file);
  };
  write("max_side = 77\nmax_metrics = 5\n");
  const auto server = ServerProcess::Start({"--config", path, "--max-metrics", "6"});
  ASSERT_NE(server, nullptr);
  grpc::ClientContext context;
  v1::GetServerInfoResponse info;
  ASSERT_TRUE(server->NewStub()->GetServerInfo(&context, {}, &info).ok());
  EXPECT_EQ(info.limits().side(), 77);
  EXPECT_EQ(info.limits().metrics(), 6);

  write("max_side = 77\nmax_sides = 5\n");
  ExitResult result = RunToExit({"--config", path});
  EXPECT_EQ(result.code, 2);
  EXPECT_THAT(result.output, HasSubstr(":2: max_sides is not a setting"));
  write("port = \"http\"\n");
  result = RunToExit({"--config", path});
  EXPECT_EQ(result.code, 2);
  EXPECT_THAT(result.output, HasSubstr("whole number"));
  write("port = = 1\n");
  EXPECT_EQ(RunToExit({"--config", path}).code, 2);
  std::remove(path.c_str());
}

}  // namespace
}  // namespace likeness::testing
