// Scores pairs on the GPUs of this machine, for host code: absl::Status, and no CUDA type in sight.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "kernels/metrics/program.h"
#include "kernels/ops/conv_trunk/trunk.h"
#include "kernels/scorer.h"

namespace likeness::cuda {

struct EngineOptions {
  // Batches that one GPU works on at a time: with three, one is uploaded while another computes and a third downloads.
  int slots_per_device = 3;
  // Memory of the GPU that one slot takes; less where the GPU has less free.
  std::int64_t slot_bytes = std::int64_t{2} << 30;
  // Whether batches that come again are replayed as CUDA graphs. The results are the same.
  bool graphs = true;
};

// Some metrics of one pair.
struct PairOnDevice {
  const PairJob* job = nullptr;
  std::vector<int> metrics;  // which of job->metrics
  // The fused walk of each of them; empty where its program runs.
  std::vector<std::optional<WalkRequest>> walks;
  std::vector<MetricResult>* results = nullptr;  // of all of them
};

// Thread safe.
class Engine {
 public:
  // On every GPU that answers. `trunks`: of each entry, null where it has none; they must outlive the engine, and those
  // of metrics that are compiled for CUDA are copied to every GPU. FAILED_PRECONDITION: none does. RESOURCE_EXHAUSTED:
  // not even small slots fit.
  static absl::StatusOr<std::unique_ptr<Engine>> Create(const EngineOptions& options,
                                                        absl::Span<const MetricEntry* const> entries,
                                                        absl::Span<const Trunk* const> trunks);
  ~Engine();

  // "NVIDIA X, compute capability 9.0, driver 13.0, cuDNN 9.1.0" of the first GPU, and how many there are. Without
  // cuDNN it says that learned metrics are scored on the CPU; so it does of one whose convolutions cuDNN refuses.
  const std::string& description() const;
  // Batches that may run at once.
  int slot_count() const;
  // What the programs of one pair may take.
  std::int64_t workspace_bytes() const;

  // What a fused walk takes of that.
  static std::int64_t WorkspaceOf(const WalkRequest& walk, const ImageView& distorted);

  // Whether the metric's program is compiled for CUDA, and cuDNN has what it needs on this GPU.
  bool Has(const MetricInfo& info) const;

  // Waits for the results. A batch that does not fit a slot is scored in parts. A pair's own failure, and that of the
  // GPU, is in its results: RESOURCE_EXHAUSTED when one pair exceeds a slot, INTERNAL when the GPU failed.
  void Score(absl::Span<PairOnDevice> pairs);

  // Not OK once a GPU has failed for good: only a new process has another context.
  absl::Status health() const;
  std::vector<DeviceState> devices() const;

 private:
  struct Impl;
  explicit Engine(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace likeness::cuda
