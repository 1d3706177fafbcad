// Compositions: weighted sums of metrics. What was asked, what became of it, and the sum. Knows no protobuf.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "kernels/scorer.h"

namespace likeness::server {

inline constexpr int kMaxTerms = 16;
inline constexpr double kMaxTermWeight = 1e6;

// What a composition is called where a metric's id would stand.
inline constexpr char kComposition[] = "composition";

struct TermAsk {
  MetricRequest request;  // wants what the composition wants
  double weight = 0.0;
};

// One metric, or, where there are terms, their weighted sum.
struct MetricAsk {
  MetricRequest request;  // of a composition: what is wanted of the sum, without id and parameters
  std::vector<TermAsk> terms;
  // Maps and gradients leave as float16: half the bytes against max_output_bytes.
  bool half_output = false;

  bool is_composition() const { return !terms.empty(); }
};

// What became of one metric. Nothing but `result.status` is filled when it could not be resolved.
struct Scored {
  ResolvedMetric resolved;
  MetricResult result;
};

// What became of one MetricAsk. Of a composition `result` is the sum, `resolved` stays empty, and what the terms had of
// map and gradient has gone into the sum.
struct MetricOutcome : Scored {
  std::vector<Scored> terms;  // in the order asked for
};

// `status`, which must not be OK, as the composition's: the message names the term.
absl::Status OfTerm(const MetricAsk& ask, int term, const absl::Status& status);

// Sums the terms' results into the outcome's; its status is then OK or the first failed term's.
void SumTerms(const MetricAsk& ask, MetricOutcome& outcome);

// Whether the sum gets better as it falls, or as it rises; empty where the terms disagree.
std::optional<Direction> DirectionOf(const MetricAsk& ask, const MetricOutcome& outcome);

}  // namespace likeness::server
