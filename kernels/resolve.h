// From what was asked for to what will run.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "kernels/scorer.h"

namespace likeness {

// Finds metric and convention, aliases included, fills in the parameters' defaults and checks what was given. Errors
// are those of Scorer::Resolve. `metrics` must outlive the result.
absl::StatusOr<ResolvedMetric> ResolveRequest(absl::Span<const MetricInfo> metrics, const MetricRequest& request);

// NOT_FOUND, with up to three of the `known` ids and aliases that `name` looks like, or all where it looks like none.
absl::Status NoSuchMetric(const std::string& name, const std::vector<std::string>& known);

}  // namespace likeness
