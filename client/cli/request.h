// What the user asked for: metrics with parameters, and the lines that scores must keep.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "likeness/v1/likeness.pb.h"

namespace likeness::cli {

// "--fail-under ssim=0.98": fails when the score is below 0.98; a score equal to the limit passes.
struct Gate {
  enum class Kind { kFailUnder, kFailOver };
  Kind kind = Kind::kFailUnder;
  std::string metric;  // as typed, "ssim" or "ssim:torchmetrics"
  double limit = 0;

  std::string Flag() const;  // "--fail-under ssim=0.98"
  bool Passes(double score) const;
};

// INVALID_ARGUMENT unless `text` is METRIC=NUMBER.
absl::StatusOr<Gate> ParseGate(Gate::Kind kind, absl::string_view text);

// A metric or a loss to measure, under the name that the user gave it: a metric's own ("ssim:torchmetrics",
// "faceswap/ssim"), or a loss's.
struct Asked {
  std::string name;
  v1::MetricRequest request;
};

// Does a name of a gate, a parameter or a map scale ("ssim", "ssim:torchmetrics") mean the metric that was asked for as
// `asked`? The full name always does; a bare id also means the conventions of this id, unless the bare id was asked for
// itself (`asked_names` are all that were asked for).
bool NameMeans(absl::string_view name, absl::string_view asked, const std::vector<std::string>& asked_names);

// "ssim,mae" and repetitions to names. INVALID_ARGUMENT for an empty name or one that comes twice.
absl::StatusOr<std::vector<std::string>> SplitMetricNames(const std::vector<std::string>& flags);

// Sets "huber.delta=0.05" (METRIC.PARAMETER=VALUE) on every request and every loss's term that METRIC means. VALUE is
// read as what `listed` says that the parameter is: true or false, a number, or a name. INVALID_ARGUMENT when METRIC
// was not asked for, has no such parameter, or has it set already, or when the value is of another type.
absl::Status SetParameter(absl::string_view text, const v1::ListMetricsResponse& listed, std::vector<Asked>& asked);

// The metric's facts, nullptr when there is no such metric. Takes "ssim", "ssim:torchmetrics" and aliases.
const v1::MetricInfo* FindMetric(const v1::ListMetricsResponse& listed, absl::string_view name);

// NOT_FOUND, with what the name may have been meant to be.
absl::Status NoSuchMetric(const v1::ListMetricsResponse& listed, absl::string_view name);

}  // namespace likeness::cli
