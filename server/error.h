// The one place where an absl::Status becomes a grpc::Status.
#pragma once

#include "absl/status/status.h"
#include "grpcpp/support/status.h"

namespace likeness::server {

// Code and message are kept, a message of over 1600 bytes shortened. A reason (reason.h) becomes a google.rpc.ErrorInfo
// of domain "likeness", a retry delay a google.rpc.RetryInfo, both in the call's error details.
grpc::Status ToGrpcStatus(const absl::Status& status);

}  // namespace likeness::server
