// Plans: what programs cost, alone and together.
#pragma once

#include <vector>

#include "absl/types/span.h"
#include "kernels/metrics/kept_values.h"
#include "kernels/metrics/program.h"
#include "kernels/ops/sharing.h"

namespace likeness {

struct PlannedProgram {
  const MetricEntry* entry;
  PlanInput input;
};

// One program by itself. Samples take `bytes_per_sample`.
Plan PlanAlone(const PlannedProgram& program, int bytes_per_sample);

// The programs of one pair, run one after another in one workspace, each equal step computed once.
struct JointPlan {
  Plan plan;
  Schedule schedule;
  std::vector<SharedStep> shared;
};
JointPlan PlanTogether(absl::Span<const PlannedProgram> programs, int bytes_per_sample);
// The same with values of the reference kept: its features in memory that the plan does not count.
JointPlan PlanTogether(absl::Span<const PlannedProgram> programs, int bytes_per_sample, KeptValues& kept);

}  // namespace likeness
