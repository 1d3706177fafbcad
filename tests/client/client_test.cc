// The client library against a server made for the test: what it makes of replies, errors, deadlines and files.
#include "client/client.h"

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "likeness/v1/likeness.grpc.pb.h"

namespace likeness::client {
namespace {

// Behaves as the first metric's name says.
class ScriptedService : public v1::ScoringService::Service {
 public:
  std::atomic<int> call_count{0};

  grpc::Status Score(grpc::ServerContext* context, const v1::ScoreRequest* request,
                     v1::ScoreResponse* response) override {
    ++call_count;
    const std::string script = request->metrics_size() > 0 ? request->metrics(0).metric() : "";
    if (script == "refuse") return Refuse();
    if (script == "forget_one") return grpc::Status::OK;
    if (script == "dawdle") {
      while (!context->IsCancelled()) std::this_thread::sleep_for(std::chrono::milliseconds(5));
      return grpc::Status::CANCELLED;
    }
    response->set_request_id(request->request_id());
    for (const v1::MetricRequest& metric : request->metrics()) {
      v1::MetricResult& result = *response->add_results();
      result.set_metric(metric.metric());
      if (metric.metric() == "fail_alone") {
        result.set_code(static_cast<int>(absl::StatusCode::kInvalidArgument));
        result.set_message("image is 3x3; must be at least 11x11");
      } else if (metric.metric() != "say_nothing") {
        result.set_score(0.5);
      }
      if (metric.want_gradient()) result.mutable_gradient()->mutable_data()->resize(24'900'000);
    }
    return grpc::Status::OK;
  }

  grpc::Status ScoreMany(grpc::ServerContext*, const v1::ScoreManyRequest* request,
                         v1::ScoreManyResponse* response) override {
    const bool forgets = request->request_id() == "forget_one";
    for (int i = forgets ? 1 : 0; i < request->distorted_size(); ++i) response->add_pairs()->set_code(i);
    return grpc::Status::OK;
  }

  // Answers in pairs, the second one first. "stop" ends the stream, "forget" is not answered.
  grpc::Status ScoreStream(grpc::ServerContext*,
                           grpc::ServerReaderWriter<v1::ScoreResponse, v1::ScoreRequest>* stream) override {
    const auto answer = [&](const v1::ScoreRequest& request) {
      v1::ScoreResponse response;
      response.set_request_id(request.request_id() == "rename" ? "renamed" : request.request_id());
      if (request.request_id() == "fail") {
        response.set_code(static_cast<int>(absl::StatusCode::kInvalidArgument));
        response.set_message("distorted is no picture");
      } else if (request.request_id() != "shorten") {
        for (int i = 0; i < request.metrics_size(); ++i) response.add_results()->set_score(0.5);
      }
      stream->Write(response);
    };
    std::vector<v1::ScoreRequest> waiting;
    for (v1::ScoreRequest request; stream->Read(&request); request.Clear()) {
      if (request.request_id() == "stop") return Refuse();
      if (request.request_id() == "forget") continue;
      waiting.push_back(request);
      if (waiting.size() < 2) continue;
      answer(waiting[1]);
      answer(waiting[0]);
      waiting.clear();
    }
    for (const v1::ScoreRequest& request : waiting) answer(request);
    return grpc::Status::OK;
  }

  grpc::Status PutReference(grpc::ServerContext*, const v1::PutReferenceRequest* request,
                            v1::PutReferenceResponse* response) override {
    response->set_reference_id("id of " + request->image().encoded());
    return grpc::Status::OK;
  }

  grpc::Status DeleteReference(grpc::ServerContext*, const v1::DeleteReferenceRequest* request,
                               v1::DeleteReferenceResponse*) override {
    if (request->reference_id() == "kept") return grpc::Status::OK;
    return grpc::Status(grpc::StatusCode::NOT_FOUND, "no " + request->reference_id());
  }

  grpc::Status ListMetrics(grpc::ServerContext*, const v1::ListMetricsRequest*,
                           v1::ListMetricsResponse* response) override {
    response->add_metrics()->set_id("mae");
    return grpc::Status::OK;
  }

  grpc::Status GetServerInfo(grpc::ServerContext*, const v1::GetServerInfoRequest*,
                             v1::GetServerInfoResponse* response) override {
    response->set_build("test");
    return grpc::Status::OK;
  }

 private:
  static grpc::Status Refuse() {
    google::rpc::ErrorInfo info;
    info.set_reason("SERVER_BUSY");
    info.set_domain("likeness");
    google::rpc::RetryInfo retry;
    retry.mutable_retry_delay()->set_nanos(250'000'000);
    google::rpc::Status details;
    details.set_code(grpc::StatusCode::RESOURCE_EXHAUSTED);
    details.add_details()->PackFrom(info);
    details.add_details()->PackFrom(retry);
    return grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "1 MiB over the budget", details.SerializeAsString());
  }
};

class ClientTest : public testing::Test {
 protected:
  void SetUp() override {
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.SetMaxReceiveMessageSize(64 << 20);
    builder.RegisterService(&service_);
    server_ = builder.BuildAndStart();
    ASSERT_NE(server_, nullptr);
    options_.target = "127.0.0.1:" + std::to_string(port);
  }

  std::unique_ptr<Client> MakeClient() {
    auto client = Client::Create(options_);
    EXPECT_TRUE(client.ok()) << client.status();
    return *std::move(client);
  }

  static v1::ScoreRequest Ask(const std::vector<std::string>& metrics) {
    v1::ScoreRequest request;
    for (const std::string& metric : metrics) request.add_metrics()->set_metric(metric);
    return request;
  }

  ScriptedService service_;
  std::unique_ptr<grpc::Server> server_;
  ClientOptions options_;
};

TEST_F(ClientTest, ReturnsScoresInOrder) {
  v1::ScoreRequest request = Ask({"mae", "fail_alone", "ssim"});
  request.set_request_id("seven");
  const auto response = MakeClient()->Score(request);
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ(response->request_id(), "seven");
  ASSERT_EQ(response->results_size(), 3);
  EXPECT_TRUE(MetricStatus(response->results(0)).ok());
  EXPECT_EQ(response->results(0).score(), 0.5);
  EXPECT_EQ(MetricStatus(response->results(1)), absl::InvalidArgumentError("image is 3x3; must be at least 11x11"));
  EXPECT_EQ(response->results(2).metric(), "ssim");
}

TEST_F(ClientTest, SuccessWithoutScoreIsTheServersError) {
  const auto response = MakeClient()->Score(Ask({"say_nothing"}));
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ(MetricStatus(response->results(0)).code(), absl::StatusCode::kInternal);
}

TEST_F(ClientTest, MissingResultIsTheServersError) {
  EXPECT_EQ(MakeClient()->Score(Ask({"forget_one"})).status().code(), absl::StatusCode::kInternal);
}

TEST_F(ClientTest, ScoresManyAndKeepsReferences) {
  const auto client = MakeClient();
  v1::ScoreManyRequest request;
  request.add_distorted();
  request.add_distorted();
  const auto many = client->ScoreMany(request);
  ASSERT_TRUE(many.ok()) << many.status();
  EXPECT_EQ(many->pairs(1).code(), 1);
  request.set_request_id("forget_one");
  EXPECT_EQ(client->ScoreMany(request).status().code(), absl::StatusCode::kInternal);
  v1::Image image;
  image.set_encoded("a file");
  const auto id = client->PutReference(image);
  ASSERT_TRUE(id.ok()) << id.status();
  EXPECT_EQ(*id, "id of a file");
  EXPECT_TRUE(client->DeleteReference("kept").ok());
  EXPECT_EQ(client->DeleteReference("other"), absl::NotFoundError("no other"));
}

// Sends pairs of these ids over one stream; `answered`: the ids of the answers, as they came.
absl::Status Stream(const Client& client, const std::vector<std::string>& ids, std::vector<std::string>* answered) {
  std::size_t sent = 0;
  const auto next = [&](v1::ScoreRequest& request) {
    if (sent == ids.size()) return false;
    EXPECT_EQ(request.metrics_size(), 0) << "a request is handed out clean";
    request.set_request_id(ids[sent++]);
    request.add_metrics()->set_metric("mae");
    return true;
  };
  return client.ScoreStream(next, [&](v1::ScoreResponse response) {
    EXPECT_EQ(PairStatus(response).ok(), response.request_id() != "fail");
    answered->push_back(response.request_id());
  });
}

TEST_F(ClientTest, StreamsPairs) {
  const auto client = MakeClient();
  std::vector<std::string> answered;
  EXPECT_TRUE(Stream(*client, {"a", "b", "fail", "c", "d"}, &answered).ok());
  EXPECT_EQ(answered, (std::vector<std::string>{"b", "a", "c", "fail", "d"}));
  answered.clear();
  EXPECT_TRUE(Stream(*client, {}, &answered).ok());
  EXPECT_TRUE(answered.empty());
  std::vector<std::string> many(500);
  for (std::size_t i = 0; i < many.size(); ++i) many[i] = std::to_string(i);
  EXPECT_TRUE(Stream(*client, many, &answered).ok());
  EXPECT_EQ(answered.size(), many.size());
}

TEST_F(ClientTest, AStreamsFaultsAreNamed) {
  const auto client = MakeClient();
  const auto fault = [&](const std::vector<std::string>& ids) {
    std::vector<std::string> answered;
    return Stream(*client, ids, &answered);
  };
  EXPECT_EQ(fault({"forget", "a"}), absl::InternalError("the server left 1 pairs of the stream unanswered"));
  EXPECT_EQ(fault({"rename"}).code(), absl::StatusCode::kInternal);
  EXPECT_EQ(fault({"shorten"}).code(), absl::StatusCode::kInternal);
  EXPECT_EQ(fault({"a", "a"}),
            absl::InvalidArgumentError("two pairs of the stream have the request_id 'a'; each needs its own"));
  const absl::Status stopped = fault({"a", "stop", "b"});
  EXPECT_EQ(stopped.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ErrorReason(stopped), "SERVER_BUSY");
  server_->Shutdown();
  EXPECT_EQ(fault({"a"}).code(), absl::StatusCode::kUnavailable);
}

TEST_F(ClientTest, KeepsCodeMessageAndErrorDetails) {
  const absl::Status status = MakeClient()->Score(Ask({"refuse"})).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(status.message(), "1 MiB over the budget");
  EXPECT_EQ(ErrorReason(status), "SERVER_BUSY");
  const auto payload = status.GetPayload("type.googleapis.com/google.rpc.RetryInfo");
  ASSERT_TRUE(payload.has_value());
  google::rpc::RetryInfo retry;
  ASSERT_TRUE(retry.ParseFromString(std::string(*payload)));
  EXPECT_EQ(retry.retry_delay().nanos(), 250'000'000);
}

TEST_F(ClientTest, PlainErrorHasNoReason) {
  EXPECT_EQ(ErrorReason(absl::InternalError("no details")), "");
  EXPECT_EQ(ErrorReason(absl::OkStatus()), "");
  const absl::Status garbage =
      FromGrpcStatus(grpc::Status(grpc::StatusCode::INTERNAL, "message", "\xff\xff not a proto"));
  EXPECT_EQ(garbage.code(), absl::StatusCode::kInternal);
  EXPECT_EQ(garbage.message(), "message");
  EXPECT_EQ(ErrorReason(garbage), "");
}

TEST_F(ClientTest, AcceptsRepliesFarAboveGrpcsDefault) {
  v1::ScoreRequest request = Ask({"mae"});
  request.mutable_metrics(0)->set_want_gradient(true);
  const auto response = MakeClient()->Score(request);
  ASSERT_TRUE(response.ok()) << response.status();
  EXPECT_EQ(response->results(0).gradient().data().size(), 24'900'000u);
}

TEST_F(ClientTest, RefusesRepliesOverItsOwnLimit) {
  options_.max_reply_bytes = 1 << 20;
  v1::ScoreRequest request = Ask({"mae"});
  request.mutable_metrics(0)->set_want_gradient(true);
  EXPECT_EQ(MakeClient()->Score(request).status().code(), absl::StatusCode::kResourceExhausted);
}

TEST_F(ClientTest, SendsRequestsFarAboveGrpcsDefault) {
  v1::ScoreRequest request = Ask({"mae"});
  request.mutable_reference()->mutable_encoded()->resize(24'900'000);
  EXPECT_TRUE(MakeClient()->Score(request).ok());
}

TEST_F(ClientTest, GivesUpAtTheDeadline) {
  const auto client = MakeClient();
  const absl::Time start = absl::Now();
  EXPECT_EQ(client->Score(Ask({"dawdle"}), absl::Milliseconds(100)).status().code(),
            absl::StatusCode::kDeadlineExceeded);
  EXPECT_LT(absl::Now() - start, absl::Seconds(20));
  EXPECT_EQ(client->Score(Ask({"mae"}), absl::ZeroDuration()).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(ClientTest, NoServerIsUnavailable) {
  server_->Shutdown();
  server_.reset();
  EXPECT_EQ(MakeClient()->ListMetrics().status().code(), absl::StatusCode::kUnavailable);
}

TEST_F(ClientTest, ListsMetricsAndServerInfo) {
  const auto client = MakeClient();
  const auto metrics = client->ListMetrics();
  ASSERT_TRUE(metrics.ok()) << metrics.status();
  EXPECT_EQ(metrics->metrics(0).id(), "mae");
  const auto info = client->GetServerInfo();
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_EQ(info->build(), "test");
}

TEST_F(ClientTest, OneClientServesManyThreads) {
  constexpr int kThreads = 8;
  constexpr int kCalls = 25;
  const auto client = MakeClient();
  std::atomic<int> good{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kCalls; ++i) {
        v1::ScoreRequest request = Ask({"mae"});
        request.set_request_id(std::to_string(t * kCalls + i));
        const auto response = client->Score(request);
        if (response.ok() && response->request_id() == request.request_id()) ++good;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(good, kThreads * kCalls);
  EXPECT_EQ(service_.call_count, kThreads * kCalls);
}

TEST(ClientOptionsTest, OutOfRange) {
  const auto code = [](const ClientOptions& options) { return Client::Create(options).status().code(); };
  EXPECT_EQ(code({.target = ""}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code({.timeout = absl::ZeroDuration()}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code({.timeout = -absl::Seconds(1)}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code({.max_reply_bytes = 0}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code({.max_reply_bytes = std::int64_t{1} << 31}), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code({.max_reply_bytes = (std::int64_t{1} << 31) - 1}), absl::StatusCode::kOk);
}

TEST(ImageFromFileTest, ReadsBytesAsTheyAre) {
  const std::string path = testing::TempDir() + "/likeness_client_bytes";
  std::string bytes(200'001, '\0');
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i * 31 % 251);
  std::ofstream(path, std::ios::binary) << bytes;
  const auto image = ImageFromFile(path);
  ASSERT_TRUE(image.ok()) << image.status();
  EXPECT_EQ(image->encoded(), bytes);
  std::remove(path.c_str());
}

TEST(ImageFromFileTest, SaysWhatIsWrong) {
  EXPECT_EQ(ImageFromFile("/no/such/file.png").status().code(), absl::StatusCode::kNotFound);
  EXPECT_FALSE(ImageFromFile(testing::TempDir()).ok());  // a folder
  const std::string path = testing::TempDir() + "/likeness_client_empty";
  std::ofstream(path).close();
  EXPECT_EQ(ImageFromFile(path).status().code(), absl::StatusCode::kInvalidArgument);
  std::remove(path.c_str());
}

TEST(ImageFromSamplesTest, ChecksTheByteCount) {
  const std::string data(5 * 3 * 3 * 4, 'x');
  const auto image = ImageFromSamples(data, 5, 3, 3, v1::DATA_TYPE_FLOAT32, v1::LAYOUT_CHW);
  ASSERT_TRUE(image.ok()) << image.status();
  EXPECT_EQ(image->raw().width(), 5);
  EXPECT_EQ(image->raw().height(), 3);
  EXPECT_EQ(image->raw().channels(), 3);
  EXPECT_EQ(image->raw().layout(), v1::LAYOUT_CHW);
  EXPECT_EQ(image->raw().data(), data);
  for (const auto& bad :
       {ImageFromSamples(data, 5, 3, 3, v1::DATA_TYPE_UINT8), ImageFromSamples(data, 5, 4, 3, v1::DATA_TYPE_FLOAT32),
        ImageFromSamples(data.substr(1), 5, 3, 3, v1::DATA_TYPE_FLOAT32),
        ImageFromSamples(data, 0, 3, 3, v1::DATA_TYPE_FLOAT32), ImageFromSamples(data, 5, -3, 3, v1::DATA_TYPE_FLOAT32),
        ImageFromSamples(data, 5, 3, 5, v1::DATA_TYPE_FLOAT32),
        ImageFromSamples(data, 2147483647, 2147483647, 4, v1::DATA_TYPE_FLOAT32),
        ImageFromSamples(data, 5, 3, 3, v1::DATA_TYPE_UNSPECIFIED)}) {
    EXPECT_EQ(bad.status().code(), absl::StatusCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace likeness::client
