// What the flags of `likeness compare` ask for, understood and checked against what there is to measure.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/cli/compare.h"
#include "client/cli/heat_map.h"
#include "client/cli/request.h"
#include "likeness/v1/likeness.pb.h"

namespace likeness::cli {

struct NamedScale {
  std::string metric;  // empty: every map
  MapScale scale;
};

struct Job {
  std::vector<Asked> asked;
  std::vector<Gate> gates;
  std::vector<NamedScale> scales;

  std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const Asked& one : asked) names.push_back(one.name);
    return names;
  }
};

// INVALID_ARGUMENT or NOT_FOUND for flags that mean nothing, and for gates, scales and outputs that nothing answers to.
absl::StatusOr<Job> MakeJob(const CompareOptions& options, const v1::ListMetricsResponse& listed);

}  // namespace likeness::cli
