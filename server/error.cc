#include "server/error.h"

#include <string>

#include "absl/time/time.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "server/reason.h"

namespace likeness::server {

grpc::Status ToGrpcStatus(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  // absl and gRPC both number their codes as google.rpc.Code does.
  const auto code = static_cast<grpc::StatusCode>(status.raw_code());
  const std::string message(status.message());
  const std::string reason = ReasonOf(status);
  const absl::Duration retry_delay = RetryDelayOf(status);
  if (reason.empty() && retry_delay < absl::ZeroDuration()) return grpc::Status(code, message);

  google::rpc::Status details;
  details.set_code(status.raw_code());
  details.set_message(message);
  if (!reason.empty()) {
    google::rpc::ErrorInfo info;
    info.set_reason(reason);
    info.set_domain("likeness");
    details.add_details()->PackFrom(info);
  }
  if (retry_delay >= absl::ZeroDuration()) {
    google::rpc::RetryInfo retry;
    const int64_t delay_ms = absl::ToInt64Milliseconds(retry_delay);
    retry.mutable_retry_delay()->set_seconds(delay_ms / 1000);
    retry.mutable_retry_delay()->set_nanos(static_cast<int32_t>(delay_ms % 1000) * 1000000);
    details.add_details()->PackFrom(retry);
  }
  return grpc::Status(code, message, details.SerializeAsString());
}

}  // namespace likeness::server
