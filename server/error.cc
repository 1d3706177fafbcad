#include "server/error.h"

#include <cstddef>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "server/reason.h"

namespace likeness::server {
namespace {

// A status travels in 8 KiB of HTTP/2 headers, its message twice: percent-encoded, and in base64 within the details.
// What a caller sends may be in it at any length.
constexpr std::size_t kMaxMessageBytes = 1600;

std::string Shortened(absl::string_view message) {
  if (message.size() <= kMaxMessageBytes) return std::string(message);
  std::size_t end = kMaxMessageBytes;
  while (end > 0 && (static_cast<unsigned char>(message[end]) & 0xc0) == 0x80) --end;  // within a character
  return absl::StrCat(message.substr(0, end), "... (", message.size() - end, " bytes more)");
}

}  // namespace

grpc::Status ToGrpcStatus(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  // absl and gRPC both number their codes as google.rpc.Code does.
  const auto code = static_cast<grpc::StatusCode>(status.raw_code());
  const std::string message = Shortened(status.message());
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
