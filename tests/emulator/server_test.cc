// The whole server on the emulated GPU: what leaves it, and what it says when the GPU is lost.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <cstring>
#include <thread>

#include "server/half.h"
#include "tests/service/server_process.h"

namespace likeness::testing {
namespace {

using ::testing::HasSubstr;

std::unique_ptr<ServerProcess> Start() {
  return ServerProcess::Start(
      {"--backend", "cuda", "--slot-bytes", std::to_string(192 << 20), "--drain-delay-seconds", "3", "--threads", "2"});
}

v1::ScoreRequest Request(const std::vector<std::string>& metrics) {
  return MakeRequest(RawImage(MakePixels(64, 48, 3, 1)), RawImage(MakePixels(64, 48, 3, 2)), metrics);
}

TEST(CudaServer, SaysWhenItsGpuIsLostAndExits) {
  const auto server = Start();
  ASSERT_NE(server, nullptr);
  const auto stub = server->NewStub();
  const v1::ScoreRequest request = Request({"mae", "gmsd", "butteraugli"});
  v1::ScoreResponse response;
  ASSERT_TRUE(Score(*stub, request, &response).ok());
  ASSERT_EQ(response.results_size(), 3);
  for (const v1::MetricResult& result : response.results()) {
    EXPECT_EQ(result.code(), 0) << result.metric() << ": " << result.message();
    EXPECT_EQ(result.resolved().backend(), result.metric() == "butteraugli" ? "cpu" : "cuda");
  }
  EXPECT_EQ(server->CheckHealth(""), 1);
  EXPECT_EQ(server->Telemetry("likeness_gpu_slots{gpu=\"0\"}"), 3.0);
  EXPECT_GT(server->Telemetry("likeness_gpu_memory_bytes{gpu=\"0\"}"), 0.0);
  EXPECT_GE(server->Telemetry("likeness_gpu_batches_total{gpu=\"0\"}"), 1.0);
  EXPECT_GE(server->Telemetry("likeness_gpu_launches_total{gpu=\"0\"}"), 2.0);
  EXPECT_EQ(server->Telemetry("likeness_gpu_errors_total{gpu=\"0\"}"), 0.0);

  server->Signal(SIGUSR1);
  // It is heard a little later. Calls are still taken while the server drains.
  bool lost = false;
  for (int i = 0; i < 1000 && !lost; ++i) {
    response.Clear();
    ASSERT_TRUE(Score(*stub, request, &response).ok());
    lost = response.results(0).code() != 0;
  }
  ASSERT_TRUE(lost);
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(response.results(i).code(), static_cast<int>(grpc::StatusCode::INTERNAL));
    EXPECT_THAT(response.results(i).message(), HasSubstr("cudaErrorIllegalAddress"));
  }
  EXPECT_EQ(response.results(2).code(), 0) << response.results(2).message();
  int health = 1;
  for (int i = 0; i < 200 && health == 1; ++i) {
    health = server->CheckHealth("");
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_EQ(health, 2);
  EXPECT_GE(server->Telemetry("likeness_gpu_errors_total{gpu=\"0\"}"), 1.0);
  EXPECT_EQ(server->WaitForExit(60), 3);
}

TEST(CudaServer, SendsTheGpusFloat16) {
  const auto server = Start();
  ASSERT_NE(server, nullptr);
  const auto stub = server->NewStub();
  v1::ScoreRequest request = Request({"mae", "gmsd", "butteraugli"});
  for (v1::MetricRequest& metric : *request.mutable_metrics()) {
    metric.set_want_map(true);
    metric.set_want_gradient(metric.metric() != "butteraugli");
  }
  v1::ScoreResponse whole, half;
  ASSERT_TRUE(Score(*stub, request, &whole).ok());
  for (v1::MetricRequest& metric : *request.mutable_metrics()) metric.set_output_type(v1::DATA_TYPE_FLOAT16);
  ASSERT_TRUE(Score(*stub, request, &half).ok());
  const auto expect_halved = [](const v1::Tensor& half, const v1::Tensor& whole) {
    EXPECT_EQ(half.data_type(), v1::DATA_TYPE_FLOAT16);
    ASSERT_EQ(2 * half.data().size(), whole.data().size());
    for (std::size_t i = 0; i < whole.data().size() / sizeof(float); ++i) {
      float value = 0.0f;
      std::uint16_t bits = 0;
      std::memcpy(&value, &whole.data()[i * sizeof(value)], sizeof(value));
      std::memcpy(&bits, &half.data()[i * sizeof(bits)], sizeof(bits));
      ASSERT_EQ(bits, server::ToHalf(value)) << i;
    }
  };
  for (int i = 0; i < whole.results_size(); ++i) {
    SCOPED_TRACE(whole.results(i).metric());
    EXPECT_EQ(half.results(i).code(), 0) << half.results(i).message();
    EXPECT_EQ(half.results(i).score(), whole.results(i).score());
    EXPECT_FALSE(whole.results(i).map().data().empty());
    expect_halved(half.results(i).map(), whole.results(i).map());
    if (whole.results(i).has_gradient()) expect_halved(half.results(i).gradient(), whole.results(i).gradient());
  }
  EXPECT_TRUE(whole.results(0).has_gradient());
}

}  // namespace
}  // namespace likeness::testing
