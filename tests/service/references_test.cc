// Images kept on the server, and one reference against many: the same scores as a pair at a time, over the wire.
#include <atomic>
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

class ReferencesTest : public ServerTest {
 protected:
  void SetUp() override {
    ServerTest::SetUp();
    ASSERT_NE(stub_, nullptr);
    grpc::ClientContext context;
    v1::ListMetricsResponse listed;
    ASSERT_TRUE(stub_->ListMetrics(&context, {}, &listed).ok());
    metrics_ = {"mae", "gmsd"};
    for (const v1::MetricInfo& metric : listed.metrics()) {
      if (metric.learned() && metric.unavailable().empty() && metric.id() != "lpips_vgg")
        metrics_.push_back(metric.id());
    }
  }

  grpc::Status Put(const v1::Image& image, std::string* id) { return PutTo(*stub_, image, id); }
  static grpc::Status PutTo(v1::ScoringService::Stub& stub, const v1::Image& image, std::string* id) {
    grpc::ClientContext context;
    v1::PutReferenceRequest request;
    *request.mutable_image() = image;
    v1::PutReferenceResponse response;
    const grpc::Status status = stub.PutReference(&context, request, &response);
    *id = response.reference_id();
    return status;
  }
  static v1::Image Kept(const std::string& id) {
    v1::Image image;
    image.set_reference_id(id);
    return image;
  }
  v1::ScoreResponse ScoreOk(const v1::Image& reference, const v1::Image& distorted) {
    v1::ScoreRequest request = MakeRequest(reference, distorted, metrics_);
    request.mutable_metrics(1)->set_want_map(true);
    request.mutable_metrics(request.metrics_size() - 1)->set_want_gradient(true);
    v1::ScoreResponse response;
    const grpc::Status status = Score(*stub_, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  }
  static void ExpectSame(const google::protobuf::RepeatedPtrField<v1::MetricResult>& a,
                         const google::protobuf::RepeatedPtrField<v1::MetricResult>& b) {
    ASSERT_EQ(a.size(), b.size());
    for (int i = 0; i < a.size(); ++i) {
      EXPECT_EQ(a[i].code(), 0) << a[i].message();
      EXPECT_EQ(a[i].score(), b[i].score()) << a[i].metric();
      EXPECT_EQ(a[i].map().data(), b[i].map().data());
      EXPECT_EQ(a[i].gradient().data(), b[i].gradient().data());
    }
  }

  std::vector<std::string> metrics_;
  const Pixels pixels_ = MakePixels(96, 80, 3, 1);
};

TEST_F(ReferencesTest, AKeptImageScoresAsASentOne) {
  const v1::Image sent[] = {RawImage(pixels_), EncodedImage(EncodePng(pixels_))};
  for (const v1::Image& image : sent) {
    std::string id;
    const grpc::Status status = Put(image, &id);
    ASSERT_TRUE(status.ok()) << status.error_message();
    for (const int noise : {5, 25, 60}) {
      const v1::Image distorted = RawImage(AddNoise(pixels_, noise, 1));
      ExpectSame(ScoreOk(Kept(id), distorted).results(), ScoreOk(image, distorted).results());
    }
    EXPECT_EQ(server_->Telemetry("likeness_references"), 1.0);
    EXPECT_GT(server_->Telemetry("likeness_reference_bytes"), 96 * 80 * 3 - 1);
    grpc::ClientContext context;
    v1::DeleteReferenceRequest request;
    request.set_reference_id(id);
    v1::DeleteReferenceResponse response;
    EXPECT_TRUE(stub_->DeleteReference(&context, request, &response).ok());
    EXPECT_EQ(server_->Telemetry("likeness_references"), 0.0);
  }
}

// Callers that come at once, before anything is kept, and while the image is deleted under them.
TEST_F(ReferencesTest, ManyCallersShareOne) {
  std::string id;
  ASSERT_TRUE(Put(RawImage(pixels_), &id).ok());
  const v1::Image distorted = RawImage(AddNoise(pixels_, 25, 1));
  const v1::ScoreResponse expected = ScoreOk(RawImage(pixels_), distorted);
  std::atomic<int> scored{0}, gone{0};
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 8; ++caller) {
    callers.emplace_back([&] {
      const auto stub = server_->NewStub();
      for (int i = 0; i < 6; ++i) {
        v1::ScoreResponse response;
        const grpc::Status status = Score(*stub, MakeRequest(Kept(id), distorted, metrics_), &response);
        if (status.error_code() == StatusCode::NOT_FOUND) {
          ++gone;
          continue;
        }
        ASSERT_TRUE(status.ok()) << status.error_message();
        for (int k = 0; k < response.results_size(); ++k) {
          EXPECT_EQ(response.results(k).score(), expected.results(k).score()) << metrics_[k];
        }
        if (++scored != 20) continue;
        grpc::ClientContext context;
        v1::DeleteReferenceRequest request;
        request.set_reference_id(id);
        v1::DeleteReferenceResponse deleted;
        EXPECT_TRUE(stub->DeleteReference(&context, request, &deleted).ok());
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_GE(scored.load(), 20);
  EXPECT_EQ(scored.load() + gone.load(), 48);
}

TEST_F(ReferencesTest, SaysWhatIsWrongWithAnId) {
  std::string id;
  ASSERT_TRUE(Put(RawImage(pixels_), &id).ok());
  v1::ScoreResponse response;
  grpc::Status status = Score(*stub_, MakeRequest(Kept("ref-0"), RawImage(pixels_), {"mae"}), &response);
  EXPECT_EQ(status.error_code(), StatusCode::NOT_FOUND);
  EXPECT_THAT(status.error_message(), HasSubstr("ref-0"));
  EXPECT_EQ(ReasonOf(status), "UNKNOWN_REFERENCE");
  status = Score(*stub_, MakeRequest(RawImage(pixels_), Kept(id), {"mae"}), &response);
  EXPECT_EQ(status.error_code(), StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(ReasonOf(status), "BAD_IMAGE");
  status = Score(*stub_, MakeRequest(Kept(""), RawImage(pixels_), {"mae"}), &response);
  EXPECT_EQ(status.error_code(), StatusCode::INVALID_ARGUMENT);
  status = Score(*stub_, MakeRequest(Kept(id), RawImage(MakePixels(95, 80, 3, 1)), {"mae"}), &response);
  EXPECT_EQ(status.error_code(), StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(ReasonOf(status), "SIZE_MISMATCH");
  std::string none;
  status = Put(EncodedImage("no picture"), &none);
  EXPECT_EQ(status.error_code(), StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("image"));
  EXPECT_EQ(Put(Kept(id), &none).error_code(), StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(Put(v1::Image(), &none).error_code(), StatusCode::INVALID_ARGUMENT);
}

TEST_F(ReferencesTest, AServerMayKeepNoneOrFew) {
  const auto without = ServerProcess::Start({"--reference-bytes", "0"});
  ASSERT_NE(without, nullptr);
  std::string id;
  EXPECT_EQ(PutTo(*without->NewStub(), RawImage(pixels_), &id).error_code(), StatusCode::FAILED_PRECONDITION);
  const auto few = ServerProcess::Start({"--reference-bytes", "50000"});
  ASSERT_NE(few, nullptr);
  const auto stub = few->NewStub();
  std::string first, second, third;
  ASSERT_TRUE(PutTo(*stub, RawImage(pixels_), &first).ok());
  ASSERT_TRUE(PutTo(*stub, RawImage(pixels_), &second).ok());
  ASSERT_TRUE(PutTo(*stub, RawImage(pixels_), &third).ok());
  v1::ScoreResponse response;
  EXPECT_EQ(Score(*stub, MakeRequest(Kept(first), RawImage(pixels_), {"mae"}), &response).error_code(),
            StatusCode::NOT_FOUND);
  EXPECT_TRUE(Score(*stub, MakeRequest(Kept(third), RawImage(pixels_), {"mae"}), &response).ok());
  EXPECT_EQ(PutTo(*stub, RawImage(MakePixels(200, 200, 3, 1)), &id).error_code(), StatusCode::RESOURCE_EXHAUSTED);
}

TEST_F(ReferencesTest, ManyScoreAsOneByOne) {
  std::string id;
  ASSERT_TRUE(Put(RawImage(pixels_), &id).ok());
  for (const v1::Image& reference : {EncodedImage(EncodePng(pixels_)), RawImage(pixels_), Kept(id)}) {
    v1::ScoreManyRequest request;
    request.set_request_id("many");
    *request.mutable_reference() = reference;
    for (const int noise : {5, 25, 60}) *request.add_distorted() = RawImage(AddNoise(pixels_, noise, 1));
    *request.add_distorted() = EncodedImage("no picture");
    *request.add_distorted() = RawImage(MakePixels(40, 40, 3, 1));
    for (const std::string& metric : metrics_) request.add_metrics()->set_metric(metric);
    request.mutable_metrics(1)->set_want_map(true);
    request.mutable_metrics(request.metrics_size() - 1)->set_want_gradient(true);
    grpc::ClientContext context;
    v1::ScoreManyResponse response;
    const grpc::Status status = stub_->ScoreMany(&context, request, &response);
    ASSERT_TRUE(status.ok()) << status.error_message();
    EXPECT_EQ(response.request_id(), "many");
    EXPECT_FALSE(response.provenance().build().empty());
    ASSERT_EQ(response.pairs_size(), 5);
    for (int i = 0; i < 3; ++i) {
      EXPECT_EQ(response.pairs(i).code(), 0) << response.pairs(i).message();
      ExpectSame(response.pairs(i).results(), ScoreOk(RawImage(pixels_), request.distorted(i)).results());
      EXPECT_GT(response.pairs(i).timing().compute_seconds(), 0.0);
    }
    for (int i = 3; i < 5; ++i) {
      EXPECT_EQ(response.pairs(i).code(), static_cast<int>(StatusCode::INVALID_ARGUMENT));
      EXPECT_EQ(response.pairs(i).results_size(), 0);
    }
    EXPECT_THAT(response.pairs(4).message(), HasSubstr("40x40"));
  }
}

TEST_F(ReferencesTest, ManyFailsAsAWholeWhereItIsWrongAsAWhole) {
  const auto many = [&](const v1::Image& reference, const std::vector<v1::Image>& distorted,
                        const std::string& metric) {
    v1::ScoreManyRequest request;
    *request.mutable_reference() = reference;
    for (const v1::Image& image : distorted) *request.add_distorted() = image;
    if (!metric.empty()) request.add_metrics()->set_metric(metric);
    grpc::ClientContext context;
    v1::ScoreManyResponse response;
    return stub_->ScoreMany(&context, request, &response);
  };
  const v1::Image good = RawImage(pixels_), small = RawImage(MakePixels(40, 40, 3, 1));
  EXPECT_TRUE(many(good, {good, good}, "mae").ok());
  EXPECT_EQ(many(good, {}, "mae").error_code(), StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(many(good, std::vector<v1::Image>(257, small), "mae").error_code(), StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(many(good, {good, good}, "").error_code(), StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(ReasonOf(many(good, {good, good}, "no_metric")), "UNKNOWN_METRIC");
  EXPECT_EQ(ReasonOf(many(good, {small, small}, "mae")), "SIZE_MISMATCH");
  EXPECT_THAT(many(EncodedImage("no picture"), {good}, "mae").error_message(), HasSubstr("reference"));
  EXPECT_EQ(many(Kept("ref-0"), {good}, "mae").error_code(), StatusCode::NOT_FOUND);
  EXPECT_TRUE(server_->IsRunning());
}

}  // namespace
}  // namespace likeness::testing
