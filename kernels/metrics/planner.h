// Plans: what programs cost, alone and together.
#pragma once

#include <vector>

#include "absl/types/span.h"
#include "kernels/metrics/kept_values.h"
#include "kernels/metrics/program.h"
#include "kernels/ops/conv_trunk/features_layout.h"
#include "kernels/ops/sharing.h"

namespace likeness {

class Trunk;

// What a resolved metric's program is given; keeps references to `metric`. `trunk`: null where the metric has none.
// `prepared`: the CPU's convolutions for the size of the pair; null for a plan and for a GPU.
Settings SettingsOf(const ResolvedMetric& metric, const Trunk* trunk, const PreparedTrunk* prepared = nullptr);

struct PlannedProgram {
  const MetricEntry* entry;
  PlanInput input;
  bool keeps = false;  // features of the reference, if there is where
};

// What of a device a plan depends on.
struct PlannedDevice {
  int bytes_per_sample;
  FeatureLayout feature_layout;
};
inline constexpr PlannedDevice kPlannedCuda{sizeof(float), FeatureLayout::kPixels};

// One program by itself.
Plan PlanAlone(const PlannedProgram& program, const PlannedDevice& device);

// The programs of one pair, run one after another in one workspace, each equal step computed once.
struct JointPlan {
  Plan plan;
  Schedule schedule;
  std::vector<SharedStep> shared;
};
JointPlan PlanTogether(absl::Span<const PlannedProgram> programs, const PlannedDevice& device);
// The same with values of the reference kept: its features in memory that the plan does not count.
JointPlan PlanTogether(absl::Span<const PlannedProgram> programs, const PlannedDevice& device, KeptValues& kept);

}  // namespace likeness
