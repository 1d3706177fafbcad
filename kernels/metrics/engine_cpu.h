// Scores pairs on the CPU, by one instruction set: programs and fused walks.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "kernels/metrics/planner.h"
#include "kernels/metrics/program.h"
#include "kernels/ops/conv_trunk/blocked_conv.h"
#include "kernels/ops/conv_trunk/trunk.h"
#include "kernels/scorer.h"

namespace likeness {

inline constexpr char kOracle[] = "oracle";

// Convolutions that go with an instruction set.
ConvIsa ConvIsaOf(const std::string& instruction_set);

// Some metrics of one pair. They have passed the scorer's checks; the results have their status OK.
struct PairOnCpu {
  const PairJob* job = nullptr;
  std::vector<int> metrics;  // which of job->metrics
  // The fused walk of each of them, which has passed CheckWalk; empty where its program runs.
  std::vector<std::optional<WalkRequest>> walks;
  std::vector<MetricResult>* results = nullptr;  // of all of job->metrics
};

// Thread safe. Work goes over the threads of the ThreadPool that the caller runs on.
class CpuEngine {
 public:
  // `trunks`: of each entry, null where it has none; both must outlive the engine, and so must the programs. `walks`:
  // null where every metric shall run its program.
  CpuEngine(const std::string& instruction_set, std::int64_t slot_bytes, absl::Span<const MetricEntry* const> entries,
            absl::Span<const std::unique_ptr<const Trunk>> trunks, absl::Span<const ProgramRun> programs,
            const WalkTable* walks);

  bool has_walks() const { return walks_ != nullptr; }
  // What a plan of its programs depends on.
  PlannedDevice planned() const;
  // Whether there is another way than kExact for convolutions.
  bool HasFastConvolutions() const;

  // Fills the results. A pair's programs run one after another in one workspace; where a slot has room for what they
  // share, equal steps run once. RESOURCE_EXHAUSTED: the system has no memory left.
  void Score(PairOnCpu& pair);

 private:
  // Scratch for the programs of one pair, given back when the borrower goes.
  std::unique_ptr<Workspace> Borrow();
  void GiveBack(std::unique_ptr<Workspace> workspace);
  // Learned metrics find and leave in PairJob::kept what they know of the reference.
  void RunPrograms(const PairOnCpu& pair, const std::vector<int>& which);
  // In a workspace that has room for it.
  void RunProgram(const PairJob& job, const ResolvedMetric& metric, Workspace& workspace, MetricResult& result);
  // A walk that takes so much workspace.
  void RunWalk(const PairJob& job, const ResolvedMetric& metric, std::int64_t bytes, WalkRequest& walk,
               MetricResult& result);
  absl::Status Reserve(const std::string& what, std::int64_t bytes, Workspace& workspace) const;
  Settings SettingsOf(const ResolvedMetric& metric, const PreparedTrunk* prepared = nullptr) const {
    return likeness::SettingsOf(metric, trunks_[metric.index].get(), prepared);
  }

  const std::string instruction_set_;
  const std::int64_t slot_bytes_;
  const absl::Span<const MetricEntry* const> entries_;
  const absl::Span<const std::unique_ptr<const Trunk>> trunks_;
  const absl::Span<const ProgramRun> programs_;
  const WalkTable* const walks_;

  std::mutex mutex_;
  std::vector<std::unique_ptr<Workspace>> idle_;
};

}  // namespace likeness
