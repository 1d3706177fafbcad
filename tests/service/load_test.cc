// Many callers at one time: the same bits in any batch, deadlines and cancellation in the queue, a full server, a drain
// that loses nothing. The double-precision oracle on one thread serves as a slow scorer.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/service/server_process.h"

namespace likeness::testing {
namespace {

using grpc::StatusCode;
using ::testing::HasSubstr;

const std::vector<std::string> kSlow = {"--instruction-set", "oracle", "--threads", "1"};

std::vector<std::string> With(std::vector<std::string> flags, const std::vector<std::string>& more) {
  flags.insert(flags.end(), more.begin(), more.end());
  return flags;
}

// Keeps a slow server's pixel slot busy for a second or so.
v1::ScoreRequest SlowRequest(int seed, int side = 700) {
  const Pixels reference = MakePixels(side, side, 3, seed);
  v1::ScoreRequest request =
      MakeRequest(RawImage(reference), RawImage(AddNoise(reference, 9, seed)), {"gmsd", "gmsd", "gmsd", "gmsd"});
  for (v1::MetricRequest& metric : *request.mutable_metrics()) metric.set_want_gradient(true);
  return request;
}

// One call on a thread of its own.
class Caller {
 public:
  Caller(const ServerProcess& server, v1::ScoreRequest request, int timeout_ms = 120000)
      : stub_(server.NewStub()), request_(std::move(request)) {
    if (timeout_ms > 0) {
      context_.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(timeout_ms));
    }
    thread_ = std::thread([this] { status_ = stub_->Score(&context_, request_, &response_); });
  }
  ~Caller() {
    if (thread_.joinable()) thread_.join();
  }
  void Cancel() { context_.TryCancel(); }
  const grpc::Status& Join() {
    thread_.join();
    return status_;
  }
  const v1::ScoreResponse& response() const { return response_; }

 private:
  std::unique_ptr<v1::ScoringService::Stub> stub_;
  grpc::ClientContext context_;
  v1::ScoreRequest request_;
  v1::ScoreResponse response_;
  grpc::Status status_;
  std::thread thread_;
};

TEST(SameScore, AloneAndAmongThirtyTwo) {
  const auto server = ServerProcess::Start({"--threads", "2"});
  ASSERT_NE(server, nullptr);
  const auto stub = server->NewStub();
  const std::vector<std::string> metrics = AvailableMetrics(*stub);
  const std::vector<std::string> differentiable = AvailableMetrics(*stub, /*with_gradient=*/true);
  ASSERT_FALSE(differentiable.empty());
  // Sizes differ, so that ragged batches form; one pair has alpha, one is 16 bit, one is encoded.
  std::vector<v1::ScoreRequest> requests;
  for (int i = 0; i < 8; ++i) {
    const Pixels reference = MakePixels(164 + 11 * i, 203 - 5 * i, i == 3 ? 4 : 3, i, i == 5 ? 16 : 8);
    const Pixels distorted = AddNoise(reference, 10 + i, i);
    requests.push_back(MakeRequest(RawImage(reference),
                                   i % 2 == 0 ? RawImage(distorted) : EncodedImage(EncodePng(distorted)),
                                   i % 4 == 0 ? differentiable : metrics));
    for (v1::MetricRequest& metric : *requests.back().mutable_metrics()) metric.set_want_gradient(i % 4 == 0);
  }
  std::vector<std::string> alone;
  for (const v1::ScoreRequest& request : requests) {
    v1::ScoreResponse response;
    const grpc::Status status = Score(*stub, request, &response, 300000);
    ASSERT_TRUE(status.ok()) << status.error_message();
    for (const v1::MetricResult& result : response.results()) {
      EXPECT_EQ(result.code(), 0) << result.metric() << ": " << result.message();
    }
    alone.push_back(BitsOf(response));
  }
  std::vector<std::unique_ptr<Caller>> callers;
  for (int i = 0; i < 32; ++i) callers.push_back(std::make_unique<Caller>(*server, requests[i % 8], 300000));
  int largest_batch = 0;
  for (int i = 0; i < 32; ++i) {
    const grpc::Status& status = callers[i]->Join();
    ASSERT_TRUE(status.ok()) << status.error_message();
    EXPECT_TRUE(BitsOf(callers[i]->response()) == alone[i % 8])
        << "pair " << i % 8 << " in a batch of " << callers[i]->response().timing().batch_size();
    largest_batch = std::max(largest_batch, callers[i]->response().timing().batch_size());
  }
  EXPECT_GT(largest_batch, 1) << "no batch formed: nothing was tested";
}

// A metric of each lane in one request: two jobs on the same pixels, joined in one reply in the order asked.
TEST(Lanes, PixelAndLearnedMetricsOfOneRequestAreJoined) {
  const auto server = ServerProcess::Start();
  ASSERT_NE(server, nullptr);
  const auto stub = server->NewStub();
  const std::vector<std::string> metrics = AvailableMetrics(*stub);
  if (std::find(metrics.begin(), metrics.end(), "lpips_alex") == metrics.end()) {
    const char* const wanted = std::getenv("LIKENESS_TEST_WEIGHTS");
    if (wanted != nullptr && std::string(wanted) == "none") GTEST_SKIP() << "left out: WEIGHTS=none";
    FAIL() << "lpips_alex is not available: run `make weights`, or test with WEIGHTS=none";
  }
  const Pixels reference = MakePixels(96, 80, 3, 1);
  const v1::Image a = EncodedImage(EncodePng(reference));
  const v1::Image b = EncodedImage(EncodePng(AddNoise(reference, 15, 1)));
  const auto score = [&](const std::vector<std::string>& ids) {
    v1::ScoreResponse response;
    const grpc::Status status = Score(*stub, MakeRequest(a, b, ids), &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  };
  const v1::ScoreResponse both = score({"mae", "lpips_alex", "gmsd"});
  ASSERT_EQ(both.results_size(), 3);
  EXPECT_EQ(both.results(0).metric(), "mae");
  EXPECT_EQ(both.results(1).metric(), "lpips_alex");
  EXPECT_EQ(both.results(2).metric(), "gmsd");
  EXPECT_EQ(both.results(0).score(), score({"mae"}).results(0).score());
  EXPECT_EQ(both.results(1).score(), score({"lpips_alex"}).results(0).score());
  EXPECT_GT(both.results(1).score(), 0.0);
  EXPECT_GE(server->Telemetry("likeness_batch_pairs_count{lane=\"learned\"}"), 2);
}

TEST(Queue, ExpiredAndCancelledCallsAreNotScored) {
  const auto server = ServerProcess::Start(kSlow);
  ASSERT_NE(server, nullptr);
  const v1::Image small = RawImage(MakePixels(16, 16, 3, 1));
  std::vector<std::unique_ptr<Caller>> blockers;
  blockers.push_back(std::make_unique<Caller>(*server, SlowRequest(0, 1600)));
  ASSERT_TRUE(server->WaitForTelemetry("likeness_batch_pairs_count{lane=\"pixel\"}", 1));
  // Only these two ask for mse: were one of them scored, its histogram would tell.
  Caller expiring(*server, MakeRequest(small, small, {"mse"}), 150);
  Caller cancelled(*server, MakeRequest(small, small, {"mse"}));
  ASSERT_TRUE(server->WaitForTelemetry("likeness_queue_jobs{lane=\"pixel\"}", 2))
      << "the slow request was over too soon to test anything";
  cancelled.Cancel();
  EXPECT_EQ(expiring.Join().error_code(), StatusCode::DEADLINE_EXCEEDED);
  EXPECT_EQ(cancelled.Join().error_code(), StatusCode::CANCELLED);
  EXPECT_TRUE(blockers[0]->Join().ok());
  ASSERT_TRUE(server->WaitForTelemetry("likeness_requests_total{code=\"CANCELLED\",method=\"Score\"}", 1));
  const std::string text = server->FetchTelemetry();
  // The transport cancels a call whose deadline passes, so that the server may see either.
  const double dropped = server->Telemetry("likeness_requests_total{code=\"CANCELLED\",method=\"Score\"}") +
                         server->Telemetry("likeness_requests_total{code=\"DEADLINE_EXCEEDED\",method=\"Score\"}");
  EXPECT_EQ(dropped, 2) << text;
  EXPECT_EQ(server->Telemetry("likeness_score_count{metric=\"mse\"}"), 0);
  EXPECT_EQ(server->Telemetry("likeness_in_flight_bytes"), 0);
}

TEST(Admission, AFullServerRefusesAtOnceAndSaysWhenToRetry) {
  // Each request is about 3 MB of message; with gradients, four of them of 6 MB as floats and on the wire, it is more.
  const auto server =
      ServerProcess::Start(With(kSlow, {"--max-in-flight-bytes", "100000000", "--retry-delay-ms", "1700"}));
  ASSERT_NE(server, nullptr);
  const auto stub = server->NewStub();
  const v1::ScoreRequest second = SlowRequest(1);  // made beforehand: it takes as long as scoring the first
  Caller first(*server, SlowRequest(0));
  ASSERT_TRUE(server->WaitForTelemetry("likeness_batch_pairs_count{lane=\"pixel\"}", 1));
  v1::ScoreResponse response;
  const auto begin = std::chrono::steady_clock::now();
  const grpc::Status busy = Score(*stub, second, &response);
  const auto took = std::chrono::steady_clock::now() - begin;
  EXPECT_EQ(busy.error_code(), StatusCode::RESOURCE_EXHAUSTED) << busy.error_message();
  EXPECT_EQ(ReasonOf(busy), "SERVER_BUSY");
  EXPECT_EQ(RetryDelayMs(busy), 1700);
  EXPECT_LT(took, std::chrono::seconds(5));
  EXPECT_TRUE(first.Join().ok());
  // There is room again, and what could never fit is told so instead of being asked to retry.
  ASSERT_TRUE(server->WaitForTelemetry("likeness_requests_total{code=\"OK\",method=\"Score\"}", 1));
  EXPECT_TRUE(Score(*stub, SlowRequest(2, 64), &response).ok());
  const grpc::Status never = Score(*stub, SlowRequest(3, 1400), &response);
  EXPECT_EQ(never.error_code(), StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(ReasonOf(never), "IMAGE_TOO_LARGE");
  EXPECT_EQ(RetryDelayMs(never), -1);
  EXPECT_EQ(server->Telemetry("likeness_rejections_total{reason=\"SERVER_BUSY\"}"), 1);
}

TEST(Drain, SigtermLosesNoAnswer) {
  constexpr int kCallers = 24;
  const auto server = ServerProcess::Start(With(kSlow, {"--drain-seconds", "120"}));
  ASSERT_NE(server, nullptr);
  const auto late_stub = server->NewStub();
  const v1::Image small = RawImage(MakePixels(16, 16, 3, 1));
  v1::ScoreResponse response;
  ASSERT_TRUE(Score(*late_stub, MakeRequest(small, small, {"mae"}), &response).ok());
  std::vector<std::unique_ptr<Caller>> callers;
  // One long call holds the only slot; all others wait behind it.
  callers.push_back(std::make_unique<Caller>(*server, SlowRequest(0, 1600)));
  ASSERT_TRUE(server->WaitForTelemetry("likeness_batch_pairs_count{lane=\"pixel\"}", 2));
  for (int i = 1; i < kCallers; ++i) callers.push_back(std::make_unique<Caller>(*server, SlowRequest(i, 48)));
  ASSERT_TRUE(server->WaitForTelemetry("likeness_in_flight_requests", kCallers))
      << "calls finished before all had come: nothing would be in flight";
  server->Signal(SIGTERM);
  // Refused with the reason while the others go on.
  grpc::Status late;
  for (int i = 0; i < 200 && ReasonOf(late) != "DRAINING"; ++i) {
    late = Score(*late_stub, MakeRequest(small, small, {"mae"}), &response, 5000);
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  EXPECT_EQ(late.error_code(), StatusCode::UNAVAILABLE) << late.error_message();
  EXPECT_EQ(ReasonOf(late), "DRAINING");
  EXPECT_EQ(server->CheckHealth(""), 2);
  EXPECT_TRUE(server->IsRunning());
  for (int i = 0; i < kCallers; ++i) {
    const grpc::Status& status = callers[i]->Join();
    EXPECT_TRUE(status.ok()) << "call " << i << ": " << status.error_code() << " " << status.error_message();
    EXPECT_EQ(callers[i]->response().results_size(), 4);
  }
  EXPECT_EQ(server->WaitForExit(60), 0);
}

TEST(Drain, AnIdleServerEndsAtOnceAndWatchersDoNotHoldIt) {
  const auto server = ServerProcess::Start();
  ASSERT_NE(server, nullptr);
  const auto channel = server->NewChannel();
  ASSERT_TRUE(channel->WaitForConnected(std::chrono::system_clock::now() + std::chrono::seconds(10)));
  const auto begin = std::chrono::steady_clock::now();
  server->Signal(SIGTERM);
  EXPECT_EQ(server->WaitForExit(30), 0);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10));
}

TEST(Drain, CallsThatOutlastTheDrainAreCancelledAndTheProcessSaysSo) {
  const auto server = ServerProcess::Start(With(kSlow, {"--drain-seconds", "0"}));
  ASSERT_NE(server, nullptr);
  std::vector<std::unique_ptr<Caller>> callers;
  // One long call holds the only slot; the others wait behind it.
  callers.push_back(std::make_unique<Caller>(*server, SlowRequest(0, 1600)));
  ASSERT_TRUE(server->WaitForTelemetry("likeness_batch_pairs_count{lane=\"pixel\"}", 1));
  for (int i = 1; i < 4; ++i) callers.push_back(std::make_unique<Caller>(*server, SlowRequest(i, 48)));
  ASSERT_TRUE(server->WaitForTelemetry("likeness_in_flight_requests", 4));
  server->Signal(SIGTERM);
  for (const auto& caller : callers) caller->Join();
  EXPECT_EQ(server->WaitForExit(60), 1);
}

}  // namespace
}  // namespace likeness::testing
