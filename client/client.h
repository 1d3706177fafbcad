// C++ client of a likeness server. Sees the wire contract (likeness/v1/likeness.proto) and nothing else of the project.
//
//   ASSIGN_OR_RETURN(auto client, Client::Create({.target = "scorer.example:50051"}));
//   v1::ScoreRequest request;
//   ASSIGN_OR_RETURN(*request.mutable_reference(), ImageFromFile("reference.png"));
//   ASSIGN_OR_RETURN(*request.mutable_distorted(), ImageFromFile("distorted.png"));
//   request.add_metrics()->set_metric("ssim");
//   ASSIGN_OR_RETURN(v1::ScoreResponse response, client->Score(request));
//   RETURN_IF_ERROR(MetricStatus(response.results(0)));  // each metric can fail alone
//   double ssim = response.results(0).score();
//
// A mask, and a weighted sum of metrics with its gradient:
//   ASSIGN_OR_RETURN(*request.mutable_weights()->mutable_mask(), ImageFromFile("mask.png"));
//   v1::MetricRequest& loss = *request.add_metrics();
//   loss.set_want_gradient(true);
//   for (const auto& [metric, weight] : {std::pair("faceswap/ssim", 1.0), std::pair("mae", 0.5)}) {
//     v1::Term& term = *loss.add_terms();
//     term.set_metric(metric);
//     term.set_weight(weight);
//   }
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "likeness/v1/likeness.pb.h"

namespace grpc {
class Channel;
class ChannelCredentials;
class Status;
}  // namespace grpc

namespace likeness::client {

struct ClientOptions {
  // "host:port", "dns:///host:port" or "unix:/path".
  std::string target = "localhost:50051";
  // Every call that does not say otherwise gives up after this long: DEADLINE_EXCEEDED. Must be above 0.
  absl::Duration timeout = absl::Seconds(60);
  // Longest reply that is accepted, in bytes. A 1080p float32 RGB gradient is 25 MB and gRPC's own default is 4 MiB, so
  // ours is far above; requests are not limited here, the server's limit decides. 1 to 2^31 - 1.
  std::int64_t max_reply_bytes = std::int64_t{1} << 30;
  // Wait for a server that is not up yet until the deadline, instead of failing at once with UNAVAILABLE.
  bool wait_for_ready = false;
  // Null: an unencrypted connection.
  std::shared_ptr<grpc::ChannelCredentials> credentials = nullptr;
};

// Calls return the server's canonical code and message. Where the server attached a google.rpc.ErrorInfo, ErrorReason()
// below tells its reason. UNAVAILABLE: no server there, or it is going down. DEADLINE_EXCEEDED: no score was computed.
//
// Thread safe: one Client serves any number of threads over one connection. Owns its channel.
class Client {
 public:
  // Does not connect: the first call does. INVALID_ARGUMENT when an option is out of its range.
  static absl::StatusOr<std::unique_ptr<Client>> Create(const ClientOptions& options);
  ~Client();

  // Scores one pair. OK means that every metric was tried, not that every one was computed: ask MetricStatus of each
  // result. The results are in the order of the request's metrics; a reply that breaks this is INTERNAL.
  absl::StatusOr<v1::ScoreResponse> Score(const v1::ScoreRequest& request) const;
  absl::StatusOr<v1::ScoreResponse> Score(const v1::ScoreRequest& request, absl::Duration timeout) const;

  // Scores several images against one reference. A pair that failed as a whole has a code and no results.
  absl::StatusOr<v1::ScoreManyResponse> ScoreMany(const v1::ScoreManyRequest& request) const;

  // Scores many pairs over one stream, without waiting for one answer before the next is sent. `next` fills a request,
  // with a request_id that no other of this stream has, or returns false: there are no more. `answer` gets each
  // response as it comes, in any order; one with a code that is not 0 is of a pair that failed as a whole (PairStatus).
  // The two run at the same time, on a thread of this call's and on the caller's. Sending waits while the server is
  // behind. `timeout` is the whole stream's.
  //
  // OK: every pair was answered. Otherwise those without an answer were not scored. Returns after `next` has.
  absl::Status ScoreStream(const std::function<bool(v1::ScoreRequest& request)>& next,
                           const std::function<void(v1::ScoreResponse response)>& answer,
                           absl::Duration timeout = absl::InfiniteDuration()) const;

  // Keeps an image on the server; returns its id, for v1::Image.reference_id of later requests' references.
  absl::StatusOr<std::string> PutReference(const v1::Image& image) const;
  // NOT_FOUND when there is none of that id any more.
  absl::Status DeleteReference(const std::string& reference_id) const;

  // The metrics of the server, the ones that it cannot compute included.
  absl::StatusOr<v1::ListMetricsResponse> ListMetrics() const;

  // The server's build, backend and limits.
  absl::StatusOr<v1::GetServerInfoResponse> GetServerInfo() const;

 private:
  struct Impl;
  explicit Client(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// A whole PNG, JPEG or WebP file as it lies on disk; the server decodes it. NOT_FOUND, PERMISSION_DENIED or another
// code of the operating system's errors when it cannot be read, INVALID_ARGUMENT when it is empty or longer than 2 GiB.
absl::StatusOr<v1::Image> ImageFromFile(const std::string& path);

// Packed samples without a container; see RawImage in the contract for channels and ranges. Copies `data`.
// INVALID_ARGUMENT unless `data` has exactly width * height * channels samples.
absl::StatusOr<v1::Image> ImageFromSamples(absl::string_view data, int width, int height, int channels,
                                           v1::DataType type, v1::Layout layout = v1::LAYOUT_HWC);

// The status of a pair of a stream. Its reason is response.reason(), as of ErrorReason().
absl::Status PairStatus(const v1::ScoreResponse& response);

// The status of one metric of a reply.
absl::Status MetricStatus(const v1::MetricResult& result);

// Keeps code and message, and every google.rpc error detail (ErrorInfo, RetryInfo) as a payload under its type URL.
absl::Status FromGrpcStatus(const grpc::Status& status);

// "SIZE_MISMATCH", "SERVER_BUSY", ... as the contract lists them; empty when the status carries no ErrorInfo.
std::string ErrorReason(const absl::Status& status);

}  // namespace likeness::client
