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

}  // namespace

Plan PlanAlone(const PlannedProgram& program, int bytes_per_sample) {
  Workspace workspace;
  return Walk({&program, 1}, bytes_per_sample, workspace, nullptr);
}

JointPlan PlanTogether(absl::Span<const PlannedProgram> programs, int bytes_per_sample) {
  JointPlan joint;
  Survey survey;
  {
    Workspace surveyed;
    Walk(programs, bytes_per_sample, surveyed, &survey);
  }
  joint.schedule = survey.MakeSchedule();
  joint.shared = survey.Shared();
  Workspace workspace;
  workspace.Follow(&joint.schedule);
  joint.plan = Walk(programs, bytes_per_sample, workspace, nullptr);
  workspace.Follow(nullptr);
  return joint;
}

}  // namespace likeness
