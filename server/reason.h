// The machine-readable reason of an error. It rides on an absl::Status as a payload from the place that knows it to the
// one place that turns it into a google.rpc.ErrorInfo (error.h), so that nothing in between has to know about either.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace likeness::server {

// The reasons at the head of likeness.proto.
inline constexpr char kSizeMismatch[] = "SIZE_MISMATCH";
inline constexpr char kBadImage[] = "BAD_IMAGE";
inline constexpr char kUnsupportedImage[] = "UNSUPPORTED_IMAGE";
inline constexpr char kNonFinitePixel[] = "NON_FINITE_PIXEL";
inline constexpr char kUnknownMetric[] = "UNKNOWN_METRIC";
inline constexpr char kUnknownReference[] = "UNKNOWN_REFERENCE";
inline constexpr char kBadParameter[] = "BAD_PARAMETER";
inline constexpr char kImageTooLarge[] = "IMAGE_TOO_LARGE";
inline constexpr char kServerBusy[] = "SERVER_BUSY";
inline constexpr char kDraining[] = "DRAINING";

// `status` must not be OK. An earlier reason is kept: the innermost place knows best.
absl::Status WithReason(absl::Status status, absl::string_view reason);
// Empty when there is none.
std::string ReasonOf(const absl::Status& status);

// Says that the same request may succeed after `delay`.
absl::Status WithRetryDelay(absl::Status status, absl::Duration delay);
// Negative when trying again is not known to help.
absl::Duration RetryDelayOf(const absl::Status& status);

// INVALID_ARGUMENT with a reason.
absl::Status BadImage(absl::string_view message);
absl::Status UnsupportedImage(absl::string_view message);
// RESOURCE_EXHAUSTED with IMAGE_TOO_LARGE.
absl::Status ImageTooLarge(absl::string_view message);

}  // namespace likeness::server
