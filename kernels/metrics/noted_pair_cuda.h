// A pair on its way to a slot: planned, and with what its task refers to.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

#include "absl/hash/hash.h"
#include "absl/types/span.h"
#include "kernels/cuda/memory_pool.h"
#include "kernels/metrics/engine_cuda.h"
#include "kernels/metrics/kept_values.h"
#include "kernels/metrics/planner.h"
#include "kernels/metrics/slot_cuda.h"

namespace likeness::cuda {

// The GPU that keeps a reference's features, and its memory for that.
struct Home {
  int device = -1;  // any GPU will do
  const MemoryPool* memory = nullptr;
};

inline bool Keeps(const PairOnDevice& pair, int metric) {
  return pair.job->kept != nullptr && pair.job->metrics[metric].info->learned;
}

// A pair as a slot takes it, with what its task refers to.
struct Noted {
  const PairOnDevice& pair;
  const int device;  // that it must go to; -1: any
  std::vector<Settings> settings;
  std::optional<KeptValues> kept;
  JointPlan joint;
  PairTask task;

  Noted(const PairOnDevice& p, const Home& home, absl::Span<const MetricEntry* const> entries,
        absl::Span<const Trunk* const> trunks, std::int64_t workspace_bytes)
      : pair(p), device(home.device) {
    const PairJob& job = *pair.job;
    task.reference = job.reference;
    task.distorted = job.distorted;
    task.weights = job.weights;
    task.averaging = job.averaging;
    task.alpha_background = job.alpha_background;
    const Shape shape{job.distorted.width, job.distorted.height, ScoredChannels(job.reference, job.distorted)};
    settings.reserve(pair.metrics.size());
    std::vector<PlannedProgram> programs;
    for (std::size_t k = 0; k < pair.metrics.size(); ++k) {
      const ResolvedMetric& metric = job.metrics[pair.metrics[k]];
      const Settings& of_metric = settings.emplace_back(SettingsOf(metric, trunks[metric.index]));
      MetricTask& noted = task.metrics.emplace_back();
      noted.program = FindProgram(metric.info->id);
      noted.settings = &of_metric;
      noted.want_map = metric.want_map;
      noted.want_gradient = metric.want_gradient;
      noted.half = metric.takes_half;
      if (pair.walks[k]) {
        noted.walk = pair.walks[k]->walk;
        noted.want_map = pair.walks[k]->want_map;
        continue;
      }
      programs.push_back(
          {entries[metric.index],
           {shape, of_metric, metric.want_map, metric.want_gradient, job.weights.data != nullptr, job.averaging},
           Keeps(pair, pair.metrics[k])});
    }
    Plan(task);
    if (home.memory != nullptr) {
      // What a plan does not see, but features depend on.
      kept.emplace(*job.kept, absl::HashOf(job.alpha_background, home.device),
                   [memory = home.memory](std::int64_t bytes) { return memory->Allocate(bytes); });
      joint = PlanTogether(programs, kPlannedCuda, *kept);
      if (joint.plan.workspace_bytes <= workspace_bytes && kept->Allocate(joint.schedule)) {
        task.kept = kept->addresses();
        Follow(joint);
        return;
      }
      kept.reset();
    }
    if (programs.size() < 2) return;
    joint = PlanTogether(programs, kPlannedCuda);
    if (!joint.shared.empty() && joint.plan.workspace_bytes <= workspace_bytes) Follow(joint);
  }

  void Follow(const JointPlan& plan) {
    task.schedule = &plan.schedule;
    task.shared_workspace_bytes = plan.plan.workspace_bytes;
  }
  // After the scoring. Features that left half's range stay unknown, so that whoever reads them finds out as well.
  void Publish() {
    const bool left_range = std::any_of(task.metrics.begin(), task.metrics.end(),
                                        [](const MetricTask& metric) { return metric.result.non_finite; });
    if (kept && !task.failure.failed() && !left_range) kept->Publish();
  }
};

}  // namespace likeness::cuda
