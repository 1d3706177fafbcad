#include "client/client.h"

#include <grpcpp/grpcpp.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <limits>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/memory/memory.h"
#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "likeness/v1/likeness.grpc.pb.h"

namespace likeness::client {
namespace {

constexpr char kErrorInfoTypeUrl[] = "type.googleapis.com/google.rpc.ErrorInfo";
constexpr std::int64_t kMaxInt = std::numeric_limits<int>::max();

int BytesPerSample(v1::DataType type) {
  switch (type) {
    case v1::DATA_TYPE_UINT8:
      return 1;
    case v1::DATA_TYPE_UINT16:
    case v1::DATA_TYPE_FLOAT16:
      return 2;
    case v1::DATA_TYPE_FLOAT32:
      return 4;
    default:
      return 0;
  }
}

absl::Status CheckTimeout(absl::Duration timeout) {
  if (timeout > absl::ZeroDuration()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("timeout is ", absl::FormatDuration(timeout), "; must be above 0"));
}

absl::Status CheckResults(const v1::ScoreResponse& response, int asked) {
  if (response.results_size() == asked) return absl::OkStatus();
  return absl::InternalError(absl::StrCat("the server answered ", response.results_size(), " metrics of ", asked,
                                          " asked for; its build: ", response.provenance().build()));
}

// Pairs of a stream that were sent and not answered, and how many metrics each asks for. Thread safe.
class UnansweredPairs {
 public:
  absl::Status Add(const v1::ScoreRequest& request) {
    absl::MutexLock lock(&mutex_);
    if (metrics_.emplace(request.request_id(), request.metrics_size()).second) return absl::OkStatus();
    return absl::InvalidArgumentError(
        absl::StrCat("two pairs of the stream have the request_id '", request.request_id(), "'; each needs its own"));
  }

  absl::Status Remove(const v1::ScoreResponse& response) {
    absl::MutexLock lock(&mutex_);
    const auto sent = metrics_.find(response.request_id());
    if (sent == metrics_.end()) {
      return absl::InternalError(absl::StrCat("the server answered a pair that was not sent, request_id '",
                                              response.request_id(), "'; its build: ", response.provenance().build()));
    }
    const int asked = sent->second;
    metrics_.erase(sent);
    return response.code() == 0 ? CheckResults(response, asked) : absl::OkStatus();
  }

  absl::Status CheckNone() {
    absl::MutexLock lock(&mutex_);
    if (metrics_.empty()) return absl::OkStatus();
    return absl::InternalError(absl::StrCat("the server left ", metrics_.size(), " pairs of the stream unanswered"));
  }

 private:
  absl::Mutex mutex_;
  absl::flat_hash_map<std::string, int> metrics_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

struct Client::Impl {
  ClientOptions options;
  std::unique_ptr<v1::ScoringService::Stub> stub;

  // One unary call, `method` being a member of the stub.
  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(grpc::Status (v1::ScoringService::Stub::*method)(grpc::ClientContext*, const Request&,
                                                                                 Response*),
                                const Request& request, absl::Duration timeout) const {
    grpc::ClientContext context;
    Prepare(timeout, context);
    Response response;
    const grpc::Status status = (stub.get()->*method)(&context, request, &response);
    if (!status.ok()) return FromGrpcStatus(status);
    return response;
  }

  void Prepare(absl::Duration timeout, grpc::ClientContext& context) const {
    if (timeout != absl::InfiniteDuration()) context.set_deadline(absl::ToChronoTime(absl::Now() + timeout));
    context.set_wait_for_ready(options.wait_for_ready);
  }
};

Client::Client(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Client::~Client() = default;

absl::StatusOr<std::unique_ptr<Client>> Client::Create(const ClientOptions& options) {
  if (options.target.empty()) return absl::InvalidArgumentError("target is empty; give host:port");
  if (absl::Status status = CheckTimeout(options.timeout); !status.ok()) return status;
  if (options.max_reply_bytes < 1 || options.max_reply_bytes > kMaxInt) {
    return absl::InvalidArgumentError(
        absl::StrCat("max_reply_bytes is ", options.max_reply_bytes, "; must be 1 to ", kMaxInt));
  }
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(static_cast<int>(options.max_reply_bytes));
  arguments.SetMaxSendMessageSize(-1);
  auto credentials = options.credentials ? options.credentials : grpc::InsecureChannelCredentials();
  auto impl = std::make_unique<Impl>();
  impl->options = options;
  impl->stub = v1::ScoringService::NewStub(grpc::CreateCustomChannel(options.target, credentials, arguments));
  return absl::WrapUnique(new Client(std::move(impl)));
}

absl::StatusOr<v1::ScoreResponse> Client::Score(const v1::ScoreRequest& request) const {
  return Score(request, impl_->options.timeout);
}

absl::StatusOr<v1::ScoreResponse> Client::Score(const v1::ScoreRequest& request, absl::Duration timeout) const {
  if (absl::Status status = CheckTimeout(timeout); !status.ok()) return status;
  auto response = impl_->Call(&v1::ScoringService::Stub::Score, request, timeout);
  if (!response.ok()) return response;
  if (absl::Status status = CheckResults(*response, request.metrics_size()); !status.ok()) return status;
  return response;
}

absl::StatusOr<v1::ScoreManyResponse> Client::ScoreMany(const v1::ScoreManyRequest& request) const {
  auto response = impl_->Call(&v1::ScoringService::Stub::ScoreMany, request, impl_->options.timeout);
  if (response.ok() && response->pairs_size() != request.distorted_size()) {
    return absl::InternalError(absl::StrCat("the server answered ", response->pairs_size(), " images of ",
                                            request.distorted_size(),
                                            " sent; its build: ", response->provenance().build()));
  }
  return response;
}

absl::Status Client::ScoreStream(const std::function<bool(v1::ScoreRequest& request)>& next,
                                 const std::function<void(v1::ScoreResponse response)>& answer,
                                 absl::Duration timeout) const {
  if (absl::Status status = CheckTimeout(timeout); !status.ok()) return status;
  grpc::ClientContext context;
  impl_->Prepare(timeout, context);
  const auto stream = impl_->stub->ScoreStream(&context);
  UnansweredPairs unanswered;
  absl::Status unsent, unread;  // what went wrong on this side of the wire
  std::thread sender([&] {
    for (v1::ScoreRequest request; next(request); request = v1::ScoreRequest()) {
      unsent = unanswered.Add(request);
      if (!unsent.ok()) return context.TryCancel();
      if (!stream->Write(request)) return;
    }
    stream->WritesDone();
  });
  for (v1::ScoreResponse response; stream->Read(&response); response = v1::ScoreResponse()) {
    if (unread.ok()) unread = unanswered.Remove(response);
    if (unread.ok()) {
      answer(std::move(response));
    } else {
      context.TryCancel();
    }
  }
  sender.join();
  const grpc::Status status = stream->Finish();
  if (!unsent.ok()) return unsent;
  if (!unread.ok()) return unread;
  return status.ok() ? unanswered.CheckNone() : FromGrpcStatus(status);
}

absl::StatusOr<std::string> Client::PutReference(const v1::Image& image) const {
  v1::PutReferenceRequest request;
  *request.mutable_image() = image;
  const auto response = impl_->Call(&v1::ScoringService::Stub::PutReference, request, impl_->options.timeout);
  if (!response.ok()) return response.status();
  return response->reference_id();
}

absl::Status Client::DeleteReference(const std::string& reference_id) const {
  v1::DeleteReferenceRequest request;
  request.set_reference_id(reference_id);
  return impl_->Call(&v1::ScoringService::Stub::DeleteReference, request, impl_->options.timeout).status();
}

absl::StatusOr<v1::ListMetricsResponse> Client::ListMetrics() const {
  return impl_->Call(&v1::ScoringService::Stub::ListMetrics, v1::ListMetricsRequest(), impl_->options.timeout);
}

absl::StatusOr<v1::GetServerInfoResponse> Client::GetServerInfo() const {
  return impl_->Call(&v1::ScoringService::Stub::GetServerInfo, v1::GetServerInfoRequest(), impl_->options.timeout);
}

absl::StatusOr<v1::Image> ImageFromFile(const std::string& path) {
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"), &std::fclose);
  if (file == nullptr) return absl::ErrnoToStatus(errno, absl::StrCat("cannot open ", path));
  v1::Image image;
  std::string& bytes = *image.mutable_encoded();
  char buffer[1 << 16];
  while (true) {
    const std::size_t count = std::fread(buffer, 1, sizeof buffer, file.get());
    bytes.append(buffer, count);
    if (static_cast<std::int64_t>(bytes.size()) > kMaxInt) {
      return absl::InvalidArgumentError(absl::StrCat(path, " is longer than 2 GiB, which no message can carry"));
    }
    if (count < sizeof buffer) break;
  }
  if (std::ferror(file.get())) return absl::ErrnoToStatus(errno, absl::StrCat("cannot read ", path));
  if (bytes.empty())
    return absl::InvalidArgumentError(absl::StrCat(path, " is empty; expected a PNG, JPEG or WebP file"));
  return image;
}

absl::StatusOr<v1::Image> ImageFromSamples(absl::string_view data, int width, int height, int channels,
                                           v1::DataType type, v1::Layout layout) {
  const int sample_bytes = BytesPerSample(type);
  if (width < 1 || height < 1 || channels < 1 || channels > 4 || sample_bytes == 0) {
    return absl::InvalidArgumentError(absl::StrCat("image is ", width, "x", height, " with ", channels, " channels of ",
                                                   v1::DataType_Name(type),
                                                   "; sizes must be at least 1, channels 1 to 4, and the type known"));
  }
  // Compared row by row: the product of all sizes may not fit 64 bits.
  const std::int64_t row_bytes = std::int64_t{width} * channels * sample_bytes;
  const auto size = static_cast<std::int64_t>(data.size());
  if (size % row_bytes != 0 || size / row_bytes != height) {
    return absl::InvalidArgumentError(absl::StrCat("data has ", size, " bytes; ", width, "x", height, "x", channels,
                                                   " ", v1::DataType_Name(type), " has ", row_bytes, " bytes a row"));
  }
  v1::Image image;
  v1::RawImage& raw = *image.mutable_raw();
  raw.set_data(data.data(), data.size());
  raw.set_width(width);
  raw.set_height(height);
  raw.set_channels(channels);
  raw.set_data_type(type);
  raw.set_layout(layout);
  return image;
}

absl::Status PairStatus(const v1::ScoreResponse& response) {
  return absl::Status(static_cast<absl::StatusCode>(response.code()), response.message());
}

absl::Status MetricStatus(const v1::MetricResult& result) {
  if (result.code() == 0 && !result.has_score()) {
    return absl::InternalError(absl::StrCat(result.metric(), ": the server reports success without a score"));
  }
  return absl::Status(static_cast<absl::StatusCode>(result.code()), result.message());
}

absl::Status FromGrpcStatus(const grpc::Status& status) {
  // Both enumerations number google.rpc.Code.
  absl::Status result(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
  if (result.ok()) return result;
  google::rpc::Status details;
  if (!details.ParseFromString(status.error_details())) return result;
  for (const google::protobuf::Any& detail : details.details()) {
    result.SetPayload(detail.type_url(), absl::Cord(detail.value()));
  }
  return result;
}

std::string ErrorReason(const absl::Status& status) {
  const absl::optional<absl::Cord> payload = status.GetPayload(kErrorInfoTypeUrl);
  google::rpc::ErrorInfo info;
  if (!payload.has_value() || !info.ParseFromString(std::string(*payload))) return "";
  return info.reason();
}

}  // namespace likeness::client
