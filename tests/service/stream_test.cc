// Many pairs on one stream: the answers of Score, pairs that fail alone, what holds the caller back, and how it ends.
#include <chrono>
#include <csignal>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/service/server_fixture.h"

namespace likeness::testing {
namespace {

using grpc::StatusCode;
using ::testing::HasSubstr;

constexpr char kAnswered[] = "likeness_stream_pairs_total{code=\"OK\"}";

v1::ScoreRequest Pair(const std::string& id, const v1::Image& reference, const v1::Image& distorted,
                      const std::vector<std::string>& metrics) {
  v1::ScoreRequest request = MakeRequest(reference, distorted, metrics);
  request.set_request_id(id);
  return request;
}

// Its answer is as long as a gradient of so many samples.
v1::ScoreRequest LargePair(const std::string& id, int side, int seed) {
  const Pixels reference = MakePixels(side, side, 3, seed);
  v1::ScoreRequest request = Pair(id, RawImage(reference), RawImage(AddNoise(reference, 9, seed)), {"mae"});
  request.mutable_metrics(0)->set_want_gradient(true);
  return request;
}

// How many pairs are answered to streams that nobody reads from.
double AnsweredUntilItStalls(const ServerProcess& server, double least) {
  server.WaitForTelemetry(kAnswered, least);
  double answered = -1.0;
  int same = 0;
  for (int i = 0; i < 200 && same < 6; ++i) {
    const double now = server.Telemetry(kAnswered);
    same = now == answered ? same + 1 : 0;
    answered = now;
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  }
  return answered;
}

// A stream whose pairs are sent on a thread of their own.
class Stream {
 public:
  explicit Stream(v1::ScoringService::Stub& stub, int timeout_ms = 120000) {
    context_.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(timeout_ms));
    stream_ = stub.ScoreStream(&context_);
  }
  ~Stream() {
    context_.TryCancel();
    if (sender_.joinable()) sender_.join();
  }

  // Sends all, and then half-closes.
  void Send(std::vector<v1::ScoreRequest> requests) {
    sender_ = std::thread([this, requests = std::move(requests)] {
      for (const v1::ScoreRequest& request : requests) {
        if (!stream_->Write(request)) return;
      }
      stream_->WritesDone();
    });
  }
  bool Write(const v1::ScoreRequest& request) { return stream_->Write(request); }
  bool Read(v1::ScoreResponse* response) { return stream_->Read(response); }
  // All that are still to come, by their ids.
  std::map<std::string, v1::ScoreResponse> ReadAll() {
    std::map<std::string, v1::ScoreResponse> answers;
    for (v1::ScoreResponse response; stream_->Read(&response); response.Clear()) {
      EXPECT_EQ(answers.count(response.request_id()), 0u) << response.request_id() << " is answered twice";
      answers[response.request_id()] = response;
    }
    return answers;
  }
  grpc::Status Finish() {
    if (sender_.joinable()) sender_.join();
    return stream_->Finish();
  }
  void Cancel() { context_.TryCancel(); }

 private:
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::ScoreRequest, v1::ScoreResponse>> stream_;
  std::thread sender_;
};

class StreamTest : public ServerTest {};

TEST_F(StreamTest, AnswersAreThoseOfScore) {
  std::vector<v1::ScoreRequest> requests;
  for (int i = 0; i < 90; ++i) {  // more than are taken at a time
    const Pixels reference = MakePixels(20 + i % 7, 90 - i, 1 + i % 4, i);
    const Pixels distorted = AddNoise(reference, 3 + i, i);
    const v1::Image sent = i % 2 == 0 ? RawImage(distorted) : EncodedImage(EncodePng(distorted));
    requests.push_back(Pair("pair " + std::to_string(i), RawImage(reference), sent, {"mae", "gmsd", "nlpd"}));
    requests.back().mutable_metrics(i % 3)->set_want_map(i % 5 == 0);
    requests.back().mutable_metrics(0)->set_want_gradient(i % 3 == 0);
  }
  Stream stream(*stub_);
  stream.Send(requests);
  const auto answers = stream.ReadAll();
  EXPECT_TRUE(stream.Finish().ok());
  ASSERT_EQ(answers.size(), requests.size());
  for (const v1::ScoreRequest& request : requests) {
    const v1::ScoreResponse& answer = answers.at(request.request_id());
    EXPECT_EQ(answer.code(), 0) << answer.message();
    EXPECT_FALSE(answer.provenance().backend().empty());
    EXPECT_GT(answer.timing().batch_size(), 0);
    v1::ScoreResponse expected;
    ASSERT_TRUE(Score(*stub_, request, &expected).ok());
    EXPECT_EQ(BitsOf(answer), BitsOf(expected)) << request.request_id();
  }
}

TEST_F(StreamTest, APairThatFailsLeavesItsNeighbours) {
  const Pixels pixels = MakePixels(40, 40, 3, 1);
  const v1::Image good = RawImage(pixels), other = RawImage(AddNoise(pixels, 9, 1));
  v1::Image unknown;
  unknown.set_reference_id("nothing");
  Stream stream(*stub_);
  stream.Send({Pair("good", good, other, {"psnr"}), Pair("damaged", good, EncodedImage("not an image"), {"psnr"}),
               Pair("size", good, RawImage(MakePixels(41, 40, 3, 1)), {"psnr"}), Pair("", good, other, {"psnr"}),
               Pair("metric", good, other, {"no_such_metric"}), Pair("none", good, other, {}),
               Pair("half", good, other, {"psnr", "no_such_metric"}), Pair("gone", unknown, other, {"psnr"})});
  const auto answers = stream.ReadAll();
  EXPECT_TRUE(stream.Finish().ok());
  ASSERT_EQ(answers.size(), 8u);
  const auto expect = [&](const std::string& id, StatusCode code, const std::string& reason, const std::string& text) {
    const v1::ScoreResponse& answer = answers.at(id);
    EXPECT_EQ(answer.code(), static_cast<int>(code)) << id;
    EXPECT_EQ(answer.reason(), reason) << id;
    EXPECT_THAT(answer.message(), HasSubstr(text));
    EXPECT_EQ(answer.results_size(), 0) << id;
  };
  expect("damaged", StatusCode::INVALID_ARGUMENT, "UNSUPPORTED_IMAGE", "distorted");
  expect("size", StatusCode::INVALID_ARGUMENT, "SIZE_MISMATCH", "41x40");
  expect("", StatusCode::INVALID_ARGUMENT, "BAD_PARAMETER", "request_id");
  expect("metric", StatusCode::INVALID_ARGUMENT, "UNKNOWN_METRIC", "no_such_metric");
  expect("none", StatusCode::INVALID_ARGUMENT, "BAD_PARAMETER", "no metric");
  expect("gone", StatusCode::NOT_FOUND, "UNKNOWN_REFERENCE", "nothing");
  EXPECT_EQ(answers.at("good").code(), 0);
  EXPECT_EQ(answers.at("good").results_size(), 1);
  ASSERT_EQ(answers.at("half").results_size(), 2);
  EXPECT_EQ(answers.at("half").results(0).code(), 0);
  EXPECT_EQ(answers.at("half").results(1).code(), static_cast<int>(StatusCode::NOT_FOUND));
}

TEST_F(StreamTest, AKeptReferenceServes) {
  const Pixels pixels = MakePixels(64, 48, 3, 1);
  grpc::ClientContext context;
  v1::PutReferenceRequest put;
  *put.mutable_image() = RawImage(pixels);
  v1::PutReferenceResponse kept;
  ASSERT_TRUE(stub_->PutReference(&context, put, &kept).ok());
  v1::Image reference;
  reference.set_reference_id(kept.reference_id());
  std::vector<v1::ScoreRequest> requests;
  for (int i = 0; i < 20; ++i) {
    const v1::Image distorted = RawImage(AddNoise(pixels, 1 + i, i));
    requests.push_back(Pair(std::to_string(i), reference, distorted, {"mae", "dists"}));
  }
  Stream stream(*stub_);
  stream.Send(requests);
  const auto answers = stream.ReadAll();
  EXPECT_TRUE(stream.Finish().ok());
  ASSERT_EQ(answers.size(), requests.size());
  for (v1::ScoreRequest& request : requests) {
    *request.mutable_reference() = put.image();
    v1::ScoreResponse expected;
    ASSERT_TRUE(Score(*stub_, request, &expected).ok());
    EXPECT_EQ(BitsOf(answers.at(request.request_id())), BitsOf(expected)) << request.request_id();
  }
}

TEST_F(StreamTest, NothingSentNothingAnswered) {
  Stream stream(*stub_);
  stream.Send({});
  EXPECT_TRUE(stream.ReadAll().empty());
  EXPECT_TRUE(stream.Finish().ok());
}

// Whoever reads no answers is not read from either.
TEST(StreamLimits, ACallerThatDoesNotReadIsHeldBack) {
  const auto server = ServerProcess::Start();
  ASSERT_NE(server, nullptr);
  const auto stub = server->NewStub();
  std::vector<v1::ScoreRequest> requests;
  for (int i = 0; i < 300; ++i) requests.push_back(LargePair(std::to_string(i), 128, i));
  Stream stream(*stub);
  stream.Send(requests);
  // 64 and what lies in the transport's buffers.
  const double answered = AnsweredUntilItStalls(*server, 64);
  EXPECT_GE(answered, 64.0);
  EXPECT_LT(answered, 200.0);
  EXPECT_EQ(stream.ReadAll().size(), requests.size());
  EXPECT_TRUE(stream.Finish().ok());
}

// A stream's own pairs wait for one another; only others' make the server busy.
TEST(StreamLimits, PairsWaitForRoom) {
  // Of a pair 98 kB come and a gradient of 197 kB is held three times: room for three or so.
  const auto server = ServerProcess::Start({"--max-in-flight-bytes", "2500000"});
  ASSERT_NE(server, nullptr);
  const auto stub = server->NewStub();
  std::vector<v1::ScoreRequest> requests;
  for (int i = 0; i < 80; ++i) requests.push_back(LargePair(std::to_string(i), 128, i));
  requests.push_back(LargePair("too large", 512, 1));
  {
    Stream stream(*stub);
    stream.Send(requests);
    const auto answers = stream.ReadAll();
    EXPECT_TRUE(stream.Finish().ok());
    ASSERT_EQ(answers.size(), requests.size());
    for (const auto& [id, answer] : answers) {
      EXPECT_EQ(answer.reason(), id == "too large" ? "IMAGE_TOO_LARGE" : "") << id << ": " << answer.message();
    }
  }
  ASSERT_TRUE(server->WaitForTelemetry("likeness_requests_total{code=\"OK\",method=\"ScoreStream\"}", 1));
  EXPECT_EQ(server->Telemetry("likeness_in_flight_bytes"), 0);

  // Answers that nobody reads hold their room.
  for (int i = 80; i < 300; ++i) requests.push_back(LargePair(std::to_string(i), 128, i));
  Stream idle(*stub);
  idle.Send(requests);
  ASSERT_LT(AnsweredUntilItStalls(*server, 81), 380.0);
  EXPECT_GT(server->Telemetry("likeness_in_flight_bytes"), 1000000.0);
  Stream late(*stub);
  ASSERT_TRUE(late.Write(requests[0]));
  v1::ScoreResponse answer;
  ASSERT_TRUE(late.Read(&answer));
  EXPECT_EQ(answer.code(), static_cast<int>(StatusCode::RESOURCE_EXHAUSTED));
  EXPECT_EQ(answer.reason(), "SERVER_BUSY");
  EXPECT_EQ(idle.ReadAll().size(), requests.size());
  ASSERT_TRUE(late.Write(requests[0]));
  ASSERT_TRUE(late.Read(&answer));
  EXPECT_EQ(answer.code(), 0) << answer.message();
}

TEST(StreamEnds, ACallerThatLeavesLeavesNothing) {
  const auto server = ServerProcess::Start({"--instruction-set", "oracle", "--threads", "1"});
  ASSERT_NE(server, nullptr);
  const auto stub = server->NewStub();
  std::vector<v1::ScoreRequest> requests;
  for (int i = 0; i < 300; ++i) requests.push_back(LargePair(std::to_string(i), 128, i));
  const auto expect_idle = [&server] {
    for (int i = 0; i < 100 && server->Telemetry("likeness_in_flight_requests") > 0; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
    EXPECT_EQ(server->Telemetry("likeness_in_flight_requests"), 0);
    EXPECT_EQ(server->Telemetry("likeness_in_flight_bytes"), 0);
  };
  {
    Stream stream(*stub);
    stream.Send(requests);
    v1::ScoreResponse response;
    ASSERT_TRUE(stream.Read(&response));
    stream.Cancel();
    EXPECT_LT(stream.ReadAll().size(), requests.size());
    EXPECT_EQ(stream.Finish().error_code(), StatusCode::CANCELLED);
  }
  expect_idle();
  EXPECT_LT(server->Telemetry(kAnswered), requests.size());
  {
    Stream stream(*stub, 1000);
    ASSERT_TRUE(stream.Write(requests[0]));
    v1::ScoreResponse response;
    while (stream.Read(&response)) continue;
    EXPECT_EQ(stream.Finish().error_code(), StatusCode::DEADLINE_EXCEEDED);
  }
  expect_idle();
}

TEST(StreamEnds, ADrainAnswersWhatWasTaken) {
  const auto server = ServerProcess::Start({"--drain-seconds", "60"});
  ASSERT_NE(server, nullptr);
  const auto stub = server->NewStub();
  Stream idle(*stub);
  ASSERT_TRUE(idle.Write(LargePair("first", 64, 1)));
  v1::ScoreResponse response;
  ASSERT_TRUE(idle.Read(&response));
  Stream busy(*stub);
  std::vector<v1::ScoreRequest> requests;
  for (int i = 0; i < 300; ++i) requests.push_back(LargePair(std::to_string(i), 128, i));
  busy.Send(requests);
  ASSERT_TRUE(busy.Read(&response));
  server->Signal(SIGTERM);
  EXPECT_TRUE(idle.ReadAll().empty());
  const grpc::Status status = idle.Finish();
  EXPECT_EQ(status.error_code(), StatusCode::UNAVAILABLE);
  EXPECT_EQ(ReasonOf(status), "DRAINING");
  const auto answers = busy.ReadAll();
  EXPECT_LT(answers.size(), requests.size() - 1);
  for (const auto& [id, answer] : answers) EXPECT_EQ(answer.code(), 0) << id << ": " << answer.message();
  const grpc::Status of_busy = busy.Finish();
  EXPECT_EQ(ReasonOf(of_busy), "DRAINING") << of_busy.error_message();
  EXPECT_EQ(server->WaitForExit(30), 0);
}

}  // namespace
}  // namespace likeness::testing
