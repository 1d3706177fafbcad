// From what was asked for to what will run.
#pragma once

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "kernels/scorer.h"

namespace likeness {

// Finds metric and convention, aliases included, fills in the parameters' defaults and checks what was given. Errors
// are those of Scorer::Resolve. `metrics` must outlive the result.
absl::StatusOr<ResolvedMetric> ResolveRequest(absl::Span<const MetricInfo> metrics, const MetricRequest& request);

}  // namespace likeness
