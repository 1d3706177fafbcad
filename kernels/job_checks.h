// What can be said of a pair before anything is computed.
#pragma once

#include "absl/status/status.h"
#include "kernels/scorer.h"

namespace likeness {

// INVALID_ARGUMENT: sizes differ, or are below the metric's least.
absl::Status CheckPair(const MetricInfo& info, const ImageView& reference, const ImageView& distorted);

// INVALID_ARGUMENT: there are weights, and the metric's score is not the mean of a map.
absl::Status CheckTakesWeights(const ResolvedMetric& metric, bool weighted);

// The weights themselves, once a pair. INVALID_ARGUMENT: not of the images' size, negative, not finite, or all 0 where
// their sum divides.
absl::Status CheckWeights(const PairJob& job);

}  // namespace likeness
