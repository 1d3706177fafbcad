#include "server/reason.h"

#include "absl/strings/cord.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace likeness::server {
namespace {

constexpr char kReasonUrl[] = "likeness/reason";
constexpr char kRetryUrl[] = "likeness/retry_delay_ms";

}  // namespace

absl::Status WithReason(absl::Status status, absl::string_view reason) {
  if (!status.GetPayload(kReasonUrl).has_value()) status.SetPayload(kReasonUrl, absl::Cord(reason));
  return status;
}

std::string ReasonOf(const absl::Status& status) {
  const auto payload = status.GetPayload(kReasonUrl);
  return payload.has_value() ? std::string(*payload) : std::string();
}

absl::Status WithRetryDelay(absl::Status status, absl::Duration delay) {
  status.SetPayload(kRetryUrl, absl::Cord(absl::StrCat(absl::ToInt64Milliseconds(delay))));
  return status;
}

absl::Duration RetryDelayOf(const absl::Status& status) {
  const auto payload = status.GetPayload(kRetryUrl);
  int64_t delay_ms = -1;
  if (payload.has_value() && !absl::SimpleAtoi(std::string(*payload), &delay_ms)) delay_ms = -1;
  return absl::Milliseconds(delay_ms);
}

absl::Status BadImage(absl::string_view message) { return WithReason(absl::InvalidArgumentError(message), kBadImage); }

absl::Status UnsupportedImage(absl::string_view message) {
  return WithReason(absl::InvalidArgumentError(message), kUnsupportedImage);
}

absl::Status ImageTooLarge(absl::string_view message) {
  return WithReason(absl::ResourceExhaustedError(message), kImageTooLarge);
}

}  // namespace likeness::server
