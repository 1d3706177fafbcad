#include "kernels/scorer.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "kernels/base/parallel.h"
#include "kernels/base/status_macros.h"
#include "kernels/job_checks.h"
#include "kernels/metrics/engine_cpu.h"
#include "kernels/metrics/planner.h"
#include "kernels/metrics/registry.h"
#include "kernels/metrics/weights.h"
#include "kernels/ops/conv_trunk/trunk.h"
#include "kernels/resolve.h"
#include "kernels/score_again.h"
#include "kernels/walks/walk.h"

#if defined(LIKENESS_ENABLE_CUDA)
#include "kernels/metrics/engine_cuda.h"
#endif

namespace likeness {

struct Scorer::Impl {
  Impl(const ScorerOptions& o, std::string set) : options(o), instruction_set(std::move(set)), pool(o.threads) {}

  // The fused walk for a metric on this pair; empty where its program must run. Decided by metric, parameters and the
  // kind of images only.
  std::optional<WalkRequest> WalkOf(const ResolvedMetric& metric, const ImageView& reference,
                                    const ImageView& distorted, bool weighted) const;
  Settings SettingsOf(const ResolvedMetric& metric) const {
    return likeness::SettingsOf(metric, trunks[metric.index].get());
  }
  // Whether the GPU computes it. Decided by the metric alone.
  bool OnDevice(const ResolvedMetric& metric) const { return !on_device.empty() && on_device[metric.index]; }
  bool HasFastWay(const ResolvedMetric& metric) const {
    return metric.info->learned && (OnDevice(metric) || cpu->HasFastConvolutions());
  }
  std::int64_t WorkspaceLimit(const ResolvedMetric& metric) const;
  std::int64_t WorkspaceOf(const ResolvedMetric& metric, const WalkRequest& walk, const ImageView& distorted) const;
  // What can be said before anything is computed; OK for those metrics that go on.
  void CheckJob(const Scorer& scorer, PairJob& job) const;
  // The metrics that the GPU does not compute.
  void ScoreOnCpu(PairJob& job);
  void ScoreOnDevice(absl::Span<PairJob* const> jobs);
#if defined(LIKENESS_ENABLE_CUDA)
  absl::Status StartDevices();
#endif
  static void CheckScores(PairJob& job);
  // Fills metrics and trunks.
  void LoadMetrics();

  ScorerOptions options;
  std::string backend = "cpu";
  std::string instruction_set;
  ThreadPool pool;
  std::vector<MetricInfo> metrics;
  std::vector<std::unique_ptr<const Trunk>> trunks;  // of each metric; null: it has none, or it is unavailable
  absl::Span<const MetricEntry* const> entries;
  std::unique_ptr<CpuEngine> cpu;
  std::string cuda_note;
  std::vector<bool> on_device;  // each metric; empty: the CPU computes everything
#if defined(LIKENESS_ENABLE_CUDA)
  std::unique_ptr<cuda::Engine> engine;  // null where on_device is empty
#endif
};

Scorer::Scorer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Scorer::~Scorer() = default;

absl::StatusOr<std::unique_ptr<Scorer>> Scorer::Create(const ScorerOptions& options) {
#if !defined(LIKENESS_ENABLE_CUDA)
  if (options.backend == Backend::kCuda) {
    return absl::FailedPreconditionError("this build scores on the CPU only; ask for backend auto or cpu");
  }
#endif
  const std::vector<std::string> runnable = RunnableInstructionSets();
  if (runnable.empty()) {
    return absl::FailedPreconditionError("this processor lacks SSE4.2, which is the least that likeness runs on");
  }
  const std::string set = options.instruction_set.empty() ? runnable.front() : options.instruction_set;
  const absl::Span<const ProgramRun> programs = ProgramsFor(set);
  if (programs.empty()) {
    return absl::FailedPreconditionError(absl::StrCat(
        "instruction set \"", set,
        "\" is not to be had here; this processor and build have: ", absl::StrJoin(runnable, ", "), ", oracle"));
  }
  const WalkTable* walks = options.fused_walks ? GetWalkTable(set) : nullptr;
  auto impl = std::make_unique<Impl>(options, set);
  impl->LoadMetrics();
  impl->cpu = std::make_unique<CpuEngine>(set, options.slot_bytes, impl->entries, impl->trunks, programs, walks);
#if defined(LIKENESS_ENABLE_CUDA)
  RETURN_IF_ERROR(impl->StartDevices());
#endif
  return std::unique_ptr<Scorer>(new Scorer(std::move(impl)));
}

void Scorer::Impl::LoadMetrics() {
  entries = MetricEntries();
  for (const MetricEntry* entry : entries) {
    MetricInfo& info = metrics.emplace_back(entry->info());
    std::unique_ptr<const Trunk>& trunk = trunks.emplace_back();
    if (entry->trunk == nullptr) continue;
    auto loaded = LoadTrunk(info.id, entry->trunk(), ConvIsaOf(instruction_set), options.weights_dir);
    if (!loaded.ok()) {
      info.unavailable = std::string(loaded.status().message());
      continue;
    }
    if (!loaded->own_weights.empty()) absl::StrAppend(&info.summary, " Weights of its user: ", loaded->own_weights);
    for (ConventionInfo& convention : info.conventions) {
      if (convention.heads_file.empty()) continue;
      const auto own_heads = LoadHeads(info.id, convention, options.weights_dir, *loaded->trunk);
      if (!own_heads.ok()) {
        convention.unavailable = std::string(own_heads.status().message());
      } else if (!own_heads->empty()) {
        absl::StrAppend(&convention.description, "; weights of its user: ", *own_heads);
      }
    }
    trunk = std::move(loaded->trunk);
  }
}

absl::Span<const MetricInfo> Scorer::metrics() const { return impl_->metrics; }
const std::string& Scorer::backend() const { return impl_->backend; }
const std::string& Scorer::instruction_set() const { return impl_->instruction_set; }

const std::string& Scorer::cuda_note() const { return impl_->cuda_note; }

#if defined(LIKENESS_ENABLE_CUDA)
absl::Status Scorer::Impl::StartDevices() {
  if (options.backend == Backend::kCpu || instruction_set == kOracle) return absl::OkStatus();
  cuda::EngineOptions engine_options;
  engine_options.slot_bytes = options.slot_bytes;
  std::vector<const Trunk*> of_metrics;
  for (const auto& trunk : trunks) of_metrics.push_back(trunk.get());
  auto created = cuda::Engine::Create(engine_options, entries, of_metrics);
  if (!created.ok()) {
    if (options.backend == Backend::kCuda) {
      return absl::Status(created.status().code(),
                          absl::StrCat(created.status().message(), "; ask for backend auto or cpu"));
    }
    cuda_note = absl::StrCat("CUDA is compiled in but not used: ", created.status().message(), "; scoring on the CPU");
    return absl::OkStatus();
  }
  engine = *std::move(created);
  for (const MetricInfo& info : metrics) on_device.push_back(engine->Has(info));
  backend = "cuda";
  cuda_note = absl::StrCat("CUDA uses ", engine->description(), ", ", engine->slot_count(), " slots");
  return absl::OkStatus();
}

std::int64_t Scorer::Impl::WorkspaceLimit(const ResolvedMetric& metric) const {
  return OnDevice(metric) ? engine->workspace_bytes() : std::max(options.slot_bytes, options.cpu_workspace_bytes);
}

std::int64_t Scorer::Impl::WorkspaceOf(const ResolvedMetric& metric, const WalkRequest& walk,
                                       const ImageView& distorted) const {
  return OnDevice(metric) ? cuda::Engine::WorkspaceOf(walk, distorted) : WalkWorkspaceBytes(walk, distorted);
}

int Scorer::batches_at_once() const { return impl_->engine != nullptr ? impl_->engine->slot_count() : 1; }
absl::Status Scorer::health() const { return impl_->engine != nullptr ? impl_->engine->health() : absl::OkStatus(); }
std::vector<DeviceState> Scorer::devices() const {
  return impl_->engine != nullptr ? impl_->engine->devices() : std::vector<DeviceState>();
}

void Scorer::Impl::ScoreOnDevice(absl::Span<PairJob* const> jobs) {
  if (engine == nullptr) return;
  std::vector<cuda::PairOnDevice> pairs;
  for (PairJob* job : jobs) {
    cuda::PairOnDevice pair{job, {}, {}, &job->results};
    for (std::size_t i = 0; i < job->metrics.size(); ++i) {
      const ResolvedMetric& metric = job->metrics[i];
      if (!OnDevice(metric) || !job->results[i].status.ok()) continue;
      pair.metrics.push_back(static_cast<int>(i));
      pair.walks.push_back(WalkOf(metric, job->reference, job->distorted, job->weights.data != nullptr));
    }
    if (!pair.metrics.empty()) pairs.push_back(std::move(pair));
  }
  engine->Score(absl::MakeSpan(pairs));
}
#else
std::int64_t Scorer::Impl::WorkspaceLimit(const ResolvedMetric&) const {
  return std::max(options.slot_bytes, options.cpu_workspace_bytes);
}
std::int64_t Scorer::Impl::WorkspaceOf(const ResolvedMetric&, const WalkRequest& walk,
                                       const ImageView& distorted) const {
  return WalkWorkspaceBytes(walk, distorted);
}
int Scorer::batches_at_once() const { return 1; }
absl::Status Scorer::health() const { return absl::OkStatus(); }
std::vector<DeviceState> Scorer::devices() const { return {}; }
void Scorer::Impl::ScoreOnDevice(absl::Span<PairJob* const>) {}
#endif

absl::StatusOr<ResolvedMetric> Scorer::Resolve(const MetricRequest& request) const {
  ASSIGN_OR_RETURN(ResolvedMetric resolved, ResolveRequest(impl_->metrics, request));
  resolved.backend = impl_->OnDevice(resolved) ? "cuda" : "cpu";
  if (impl_->HasFastWay(resolved)) resolved.precision = request.precision;
  return resolved;
}

absl::StatusOr<Plan> Scorer::MakePlan(const ResolvedMetric& metric, const ImageView& reference,
                                      const ImageView& distorted, bool weighted) const {
  RETURN_IF_ERROR(CheckPair(*metric.info, reference, distorted));
  RETURN_IF_ERROR(CheckTakesWeights(metric, weighted));
  const Shape shape{reference.width, reference.height, ScoredChannels(reference, distorted)};
  const Settings settings = impl_->SettingsOf(metric);
  const MetricEntry& entry = *impl_->entries[metric.index];
  if (const std::string why = entry.check != nullptr ? entry.check(shape, settings) : ""; !why.empty()) {
    return absl::InvalidArgumentError(why);
  }
  // Averaging over weights takes a few steps more.
  const auto plan_program = [&](bool want_gradient) {
    return PlanAlone({&entry, {shape, settings, metric.want_map, want_gradient, weighted, Averaging::kOverWeights}},
                     impl_->OnDevice(metric) ? kPlannedCuda : impl_->cpu->planned());
  };
  Plan plan = plan_program(metric.want_gradient);
  if (const auto walk = impl_->WalkOf(metric, reference, distorted, weighted)) {
    plan.workspace_bytes = impl_->WorkspaceOf(metric, *walk, distorted);
    // The program makes a map that the walk does not.
    if (metric.want_map && !HasMap(walk->walk)) {
      plan.workspace_bytes = std::max(plan.workspace_bytes, plan_program(false).workspace_bytes);
    }
  }
  const std::int64_t limit = impl_->WorkspaceLimit(metric);
  if (plan.workspace_bytes > limit) {
    return absl::ResourceExhaustedError(absl::StrCat(
        metric.info->id, metric.want_gradient ? " with gradient" : "", " on ", shape.width, "x", shape.height, "x",
        shape.channels, " needs a workspace of ", plan.workspace_bytes, " bytes and may have ", limit,
        ": score smaller images, or allow more (slot_bytes of a server, --memory of the command)"));
  }
  return plan;
}

absl::StatusOr<Explanation> Scorer::Explain(absl::Span<const ResolvedMetric> metrics, const ImageView& reference,
                                            const ImageView& distorted, bool weighted) const {
  Explanation explanation;
  std::vector<int> which;
  std::vector<Settings> settings;
  settings.reserve(metrics.size());
  std::vector<PlannedProgram> programs;
  const Shape shape{reference.width, reference.height, ScoredChannels(reference, distorted)};
  for (std::size_t i = 0; i < metrics.size(); ++i) {
    const ResolvedMetric& metric = metrics[i];
    ASSIGN_OR_RETURN(const Plan plan, MakePlan(metric, reference, distorted, weighted));
    if (impl_->WalkOf(metric, reference, distorted, weighted)) {
      explanation.walks.push_back(static_cast<int>(i));
      continue;
    }
    which.push_back(static_cast<int>(i));
    settings.push_back(impl_->SettingsOf(metric));
    programs.push_back(
        {impl_->entries[metric.index],
         {shape, settings.back(), metric.want_map, metric.want_gradient, weighted, Averaging::kOverWeights}});
    explanation.apart.workspace_bytes = std::max(explanation.apart.workspace_bytes, plan.workspace_bytes);
    explanation.apart.output_bytes += plan.output_bytes;
    explanation.apart.bytes_moved += plan.bytes_moved;
    explanation.apart.operations += plan.operations;
  }
  JointPlan joint = PlanTogether(programs, impl_->cpu->planned());
  explanation.together = joint.plan;
  explanation.shares = programs.size() > 1 && joint.plan.workspace_bytes <= impl_->options.slot_bytes;
  for (const SharedStep& step : joint.shared) {
    Explanation::Step& out = explanation.shared.emplace_back(
        Explanation::Step{step.op, step.shape.width, step.shape.height, step.shape.channels, {}});
    for (const int program : step.programs) out.metrics.push_back(which[program]);
  }
  return explanation;
}

std::optional<WalkRequest> Scorer::Impl::WalkOf(const ResolvedMetric& metric, const ImageView& reference,
                                                const ImageView& distorted, bool weighted) const {
  const auto make = entries[metric.index]->walk;
  if (!cpu->has_walks() || make == nullptr || weighted || metric.by_program) return std::nullopt;
  std::optional<WalkRequest> request = make(SettingsOf(metric));
  if (!request) return std::nullopt;
  if (!OnDevice(metric) && !RunsOnCpu(*request)) return std::nullopt;
  request->want_map = metric.want_map && HasMap(request->walk);
  request->want_gradient = metric.want_gradient;
  if (!CheckWalk(*request, reference, distorted).ok()) return std::nullopt;
  return request;
}

void Scorer::Impl::CheckJob(const Scorer& scorer, PairJob& job) const {
  job.results.clear();
  job.results.resize(job.metrics.size());
  for (std::size_t i = 0; i < job.metrics.size(); ++i) job.results[i].precision = job.metrics[i].precision;
  const bool weighted = job.weights.data != nullptr;
  absl::Status pixels = CheckFinite(job.reference, "reference");
  if (pixels.ok()) pixels = CheckFinite(job.distorted, "distorted");
  if (pixels.ok() && weighted) pixels = CheckWeights(job);
  for (std::size_t i = 0; i < job.metrics.size(); ++i) {
    const ResolvedMetric& metric = job.metrics[i];
    absl::Status& status = job.results[i].status;
    status = pixels;
    if (status.ok()) status = CheckPair(*metric.info, job.reference, job.distorted);
    if (!status.ok()) continue;
    // A slot of a GPU finds out by itself whether it has room.
    const auto walk = WalkOf(metric, job.reference, job.distorted, weighted);
    if (walk && (OnDevice(metric) || WorkspaceOf(metric, *walk, job.distorted) == 0)) continue;
    status = scorer.MakePlan(metric, job.reference, job.distorted, weighted).status();
  }
}

void Scorer::Impl::ScoreOnCpu(PairJob& job) {
  PairOnCpu pair{&job, {}, {}, &job.results};
  for (std::size_t i = 0; i < job.metrics.size(); ++i) {
    const ResolvedMetric& metric = job.metrics[i];
    if (!job.results[i].status.ok() || OnDevice(metric)) continue;
    pair.metrics.push_back(static_cast<int>(i));
    pair.walks.push_back(WalkOf(metric, job.reference, job.distorted, job.weights.data != nullptr));
  }
  cpu->Score(pair);
}

// A failed measurement never looks like a score.
void Scorer::Impl::CheckScores(PairJob& job) {
  for (std::size_t i = 0; i < job.metrics.size(); ++i) {
    MetricResult& result = job.results[i];
    if (!result.status.ok() || !std::isnan(result.score)) continue;
    if (job.weights.data != nullptr && job.averaging == Averaging::kOverWeights) {
      // The weights sum to something, but not on the map: MeanScore cuts its border off, and resizing skips pixels.
      result.status =
          absl::InvalidArgumentError(absl::StrCat("the mask selects nothing of what ", job.metrics[i].info->id,
                                                  "'s map covers; select more, or ask for averaging over pixels"));
    } else {
      result.status = absl::InternalError(
          absl::StrCat(job.metrics[i].info->id, " computed a NaN, which is a bug; please report it"));
    }
  }
}

void Scorer::Score(absl::Span<PairJob* const> jobs) const {
  // Of a kept reference that has nothing yet, the first job fills it for the others.
  std::vector<PairJob*> at_once, then;
  std::set<const KeptReference*> seen;
  for (PairJob* job : jobs) {
    const bool waits = job->kept != nullptr && job->kept->bytes() == 0 && !seen.insert(job->kept).second;
    (waits ? then : at_once).push_back(job);
  }
  const auto score = [&](const std::vector<PairJob*>& some) {
    if (some.empty()) return;
    impl_->pool.Run([&] {
      ParallelFor(static_cast<int>(some.size()), std::int64_t{1} << 40, [&](int begin, int end) {
        for (int i = begin; i < end; ++i) {
          impl_->CheckJob(*this, *some[i]);
          impl_->ScoreOnCpu(*some[i]);
        }
      });
    });
    impl_->ScoreOnDevice(some);
  };
  score(at_once);
  score(then);
  ScoreAnew(*this, jobs);
  AddMaps(*this, jobs);
  for (PairJob* job : jobs) Impl::CheckScores(*job);
}

}  // namespace likeness
