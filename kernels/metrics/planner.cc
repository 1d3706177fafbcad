#include "kernels/metrics/planner.h"

#include "kernels/ops/plan_device.h"

namespace likeness {
namespace {

Plan Walk(absl::Span<const PlannedProgram> programs, int bytes_per_sample, Workspace& workspace, Survey* survey) {
  plan::SurveyDevice device(bytes_per_sample);
  Plan plan;
  workspace.set_survey(survey);
  for (const PlannedProgram& program : programs) {
    if (survey != nullptr) survey->BeginProgram();
    program.entry->plan(program.input, device, workspace, plan);
  }
  plan.workspace_bytes = workspace.arena().high_water_bytes();
  plan.bytes_moved = device.total().bytes;
  plan.operations = device.total().operations;
  return plan;
}

template <class MakeSchedule>
JointPlan PlanBy(absl::Span<const PlannedProgram> programs, int bytes_per_sample, MakeSchedule make_schedule) {
  JointPlan joint;
  Survey survey;
  {
    Workspace surveyed;
    Walk(programs, bytes_per_sample, surveyed, &survey);
  }
  joint.schedule = make_schedule(survey);
  joint.shared = survey.Shared();
  Workspace workspace;
  workspace.Follow(&joint.schedule);
  joint.plan = Walk(programs, bytes_per_sample, workspace, nullptr);
  workspace.Follow(nullptr);
  return joint;
}

}  // namespace

Plan PlanAlone(const PlannedProgram& program, int bytes_per_sample) {
  Workspace workspace;
  return Walk({&program, 1}, bytes_per_sample, workspace, nullptr);
}

JointPlan PlanTogether(absl::Span<const PlannedProgram> programs, int bytes_per_sample) {
  return PlanBy(programs, bytes_per_sample, [](const Survey& survey) { return survey.MakeSchedule(); });
}

JointPlan PlanTogether(absl::Span<const PlannedProgram> programs, int bytes_per_sample, KeptValues& kept) {
  return PlanBy(programs, bytes_per_sample, [&](const Survey& survey) {
    return survey.MakeSchedule(
        [&](std::uint64_t identity, std::int64_t bytes) { return kept.Decide(identity, bytes); });
  });
}

}  // namespace likeness
