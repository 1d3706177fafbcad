#include "kernels/metrics/engine_cpu.h"

#include <utility>

#include "absl/hash/hash.h"
#include "absl/strings/str_cat.h"
#include "kernels/metrics/kept_values.h"
#include "kernels/walks/walk.h"

namespace likeness {

ConvIsa ConvIsaOf(const std::string& instruction_set) {
  if (instruction_set == "sse4") return ConvIsa::kSse4;
  if (instruction_set == "avx2") return ConvIsa::kAvx2;
  if (instruction_set == "avx3") return ConvIsa::kAvx512;
  return instruction_set == kOracle ? ConvIsa::kNone : ConvIsa::kAny;
}

CpuEngine::CpuEngine(const std::string& instruction_set, std::int64_t slot_bytes,
                     absl::Span<const MetricEntry* const> entries,
                     absl::Span<const std::unique_ptr<const Trunk>> trunks, absl::Span<const ProgramRun> programs,
                     const WalkTable* walks)
    : instruction_set_(instruction_set),
      slot_bytes_(slot_bytes),
      entries_(entries),
      trunks_(trunks),
      programs_(programs),
      walks_(walks) {}

PlannedDevice CpuEngine::planned() const {
  const int bytes_per_sample = instruction_set_ == kOracle ? sizeof(double) : sizeof(float);
  return {bytes_per_sample, FeatureLayout::kBlocked};
}

bool CpuEngine::HasFastConvolutions() const { return likeness::HasFastConvolutions(ConvIsaOf(instruction_set_)); }

std::unique_ptr<Workspace> CpuEngine::Borrow() {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (idle_.empty()) return std::make_unique<Workspace>();
  std::unique_ptr<Workspace> workspace = std::move(idle_.back());
  idle_.pop_back();
  return workspace;
}

void CpuEngine::GiveBack(std::unique_ptr<Workspace> workspace) {
  const std::lock_guard<std::mutex> lock(mutex_);
  idle_.push_back(std::move(workspace));
}

absl::Status CpuEngine::Reserve(const std::string& what, std::int64_t bytes, Workspace& workspace) const {
  if (workspace.arena().Reserve(bytes)) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      absl::StrCat(what, " needs a workspace of ", bytes, " bytes and the system has none left; try again"));
}

void CpuEngine::RunProgram(const PairJob& job, const ResolvedMetric& metric, Workspace& workspace,
                           MetricResult& result) {
  std::shared_ptr<const PreparedTrunk> trunk;
  if (trunks_[metric.index] != nullptr) {
    auto prepared = trunks_[metric.index]->Prepare(job.distorted.width, job.distorted.height, metric.want_gradient,
                                                   metric.precision);
    result.status = prepared.status();
    if (!prepared.ok()) return;
    trunk = *std::move(prepared);
  }
  const Settings settings = SettingsOf(metric, trunk.get());
  const RunInput input{job.reference,        job.distorted, job.weights,     job.averaging,
                       job.alpha_background, settings,      metric.want_map, metric.want_gradient};
  programs_[metric.index](input, workspace, result);
}

void CpuEngine::RunPrograms(const PairOnCpu& pair, const std::vector<int>& which) {
  const PairJob& job = *pair.job;
  std::vector<MetricResult>& results = *pair.results;
  const Shape shape{job.distorted.width, job.distorted.height, ScoredChannels(job.reference, job.distorted)};
  const bool weighted = job.weights.data != nullptr;
  std::vector<Settings> settings;
  settings.reserve(which.size());
  std::vector<PlannedProgram> programs;
  bool any_keeps = false;
  for (const int i : which) {
    const ResolvedMetric& metric = job.metrics[i];
    const bool keeps = job.kept != nullptr && metric.info->learned;
    any_keeps = any_keeps || keeps;
    settings.push_back(SettingsOf(metric));
    programs.push_back({entries_[metric.index],
                        {shape, settings.back(), metric.want_map, metric.want_gradient, weighted, job.averaging},
                        keeps});
  }
  std::unique_ptr<Workspace> workspace = Borrow();
  const auto run_together = [&](const JointPlan& joint, const std::vector<void*>& outside) {
    if (joint.plan.workspace_bytes > slot_bytes_) return false;
    if (!workspace->arena().Reserve(joint.plan.workspace_bytes)) return false;
    workspace->Follow(&joint.schedule, outside);
    for (const int i : which) RunProgram(job, job.metrics[i], *workspace, results[i]);
    workspace->Follow(nullptr);
    return true;
  };
  bool done = false;
  if (any_keeps) {
    // What a plan does not see, but features depend on.
    KeptValues values(*job.kept, absl::HashOf(job.alpha_background));
    const JointPlan joint = PlanTogether(programs, planned(), values);
    done = values.Allocate(joint.schedule) && run_together(joint, values.addresses());
    if (done) values.Publish();
  }
  if (!done && which.size() > 1) {
    const JointPlan joint = PlanTogether(programs, planned());
    done = !joint.shared.empty() && run_together(joint, {});
  }
  for (std::size_t k = 0; !done && k < which.size(); ++k) {
    const ResolvedMetric& metric = job.metrics[which[k]];
    MetricResult& result = results[which[k]];
    result.status = Reserve(metric.info->id, PlanAlone(programs[k], planned()).workspace_bytes, *workspace);
    if (result.status.ok()) RunProgram(job, metric, *workspace, result);
  }
  GiveBack(std::move(workspace));
}

void CpuEngine::RunWalk(const PairJob& job, const ResolvedMetric& metric, std::int64_t bytes, WalkRequest& walk,
                        MetricResult& result) {
  std::unique_ptr<Workspace> workspace = Borrow();
  Arena& arena = workspace->arena();
  result.status = Reserve(metric.info->id, bytes, *workspace);
  if (result.status.ok()) {
    const std::int64_t at = arena.Allocate(bytes);
    WalkRequest* const one[] = {&walk};
    RunWalks(*walks_, job.reference, job.distorted, one, static_cast<std::byte*>(arena.At(at)));
    arena.Free(at);
  }
  GiveBack(std::move(workspace));
}

void CpuEngine::Score(PairOnCpu& pair) {
  const PairJob& job = *pair.job;
  std::vector<WalkRequest*> together;  // share one reading of the images
  std::vector<int> programs;
  for (std::size_t i = 0; i < pair.metrics.size(); ++i) {
    const int metric = pair.metrics[i];
    if (!pair.walks[i]) {
      programs.push_back(metric);
    } else if (const std::int64_t bytes = WalkWorkspaceBytes(*pair.walks[i], job.distorted); bytes > 0) {
      RunWalk(job, job.metrics[metric], bytes, *pair.walks[i], (*pair.results)[metric]);
    } else {
      together.push_back(&*pair.walks[i]);
    }
  }
  if (!programs.empty()) RunPrograms(pair, programs);
  if (!together.empty()) RunWalks(*walks_, job.reference, job.distorted, absl::MakeSpan(together));
  for (std::size_t i = 0; i < pair.metrics.size(); ++i) {
    if (!pair.walks[i]) continue;
    MetricResult& result = (*pair.results)[pair.metrics[i]];
    result.score = pair.walks[i]->score;
    result.map = std::move(pair.walks[i]->map);
    result.gradient = std::move(pair.walks[i]->gradient);
  }
}

}  // namespace likeness
