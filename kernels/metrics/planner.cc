#include "kernels/metrics/planner.h"

#include "kernels/ops/conv_trunk/trunk.h"
#include "kernels/ops/plan_device.h"

namespace likeness {
namespace {

Plan Walk(absl::Span<const PlannedProgram> programs, const PlannedDevice& planned, Workspace& workspace,
          Survey* survey) {
  plan::SurveyDevice device(planned.bytes_per_sample, planned.feature_layout);
  Plan plan;
  workspace.set_survey(survey);
  for (const PlannedProgram& program : programs) {
    if (survey != nullptr) survey->BeginProgram(program.keeps);
    program.entry->plan(program.input, device, workspace, plan);
  }
  plan.workspace_bytes = workspace.arena().high_water_bytes();
  plan.bytes_moved = device.total().bytes;
  plan.operations = device.total().operations;
  return plan;
}

template <class MakeSchedule>
JointPlan PlanBy(absl::Span<const PlannedProgram> programs, const PlannedDevice& device, MakeSchedule make_schedule) {
  JointPlan joint;
  Survey survey;
  {
    Workspace surveyed;
    Walk(programs, device, surveyed, &survey);
  }
  joint.schedule = make_schedule(survey);
  joint.shared = survey.Shared();
  Workspace workspace;
  workspace.Follow(&joint.schedule);
  joint.plan = Walk(programs, device, workspace, nullptr);
  workspace.Follow(nullptr);
  return joint;
}

}  // namespace

Settings SettingsOf(const ResolvedMetric& metric, const Trunk* trunk, const PreparedTrunk* prepared) {
  TrunkUse use;
  if (trunk != nullptr) use.weights = &trunk->weights(metric.convention);
  use.prepared = prepared;
  use.precision = metric.precision;
  return Settings(metric.convention, metric.parameters, use);
}

Plan PlanAlone(const PlannedProgram& program, const PlannedDevice& device) {
  Workspace workspace;
  return Walk({&program, 1}, device, workspace, nullptr);
}

JointPlan PlanTogether(absl::Span<const PlannedProgram> programs, const PlannedDevice& device) {
  return PlanBy(programs, device, [](const Survey& survey) { return survey.MakeSchedule(); });
}

JointPlan PlanTogether(absl::Span<const PlannedProgram> programs, const PlannedDevice& device, KeptValues& kept) {
  return PlanBy(programs, device, [&](const Survey& survey) {
    return survey.MakeSchedule(
        [&](std::uint64_t identity, std::int64_t bytes) { return kept.Decide(identity, bytes); });
  });
}

}  // namespace likeness
