// A batch at a time on a GPU: staging, upload, programs, download. Builds with nvcc alone; engine_cuda.h has the face
// with absl::Status.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "kernels/cuda/graph_cache.h"
#include "kernels/cuda/launches.h"
#include "kernels/cuda/owners.h"
#include "kernels/metrics/program_cuda.h"
#include "kernels/ops/conv_trunk/conv_plans.h"
#include "kernels/ops/conv_trunk/device_trunks.h"
#include "kernels/ops/fft/fft_plans.h"
#include "kernels/ops/filter_bank/device_banks.h"
#include "kernels/ops/sharing.h"
#include "kernels/walks/walk_request.h"

namespace likeness::cuda {

struct PairResult {
  double score = 0.0;
  // Of a fast metric: a number on the way has left the range of half, and nothing here means anything.
  bool non_finite = false;
  Tensor map;       // empty unless asked for
  Tensor gradient;  // likewise; d score / d distorted in the distorted image's channels and layout
};

using Walk = decltype(WalkRequest::walk);

// One metric of one pair: a program, or a fused walk that takes the pair (CheckWalk). `settings` must outlive the
// scoring.
struct MetricTask {
  const Program* program = nullptr;
  const Settings* settings = nullptr;
  std::optional<Walk> walk;  // instead of the program
  bool want_map = false;
  bool want_gradient = false;
  bool half = false;   // map and gradient as float16 (Tensor::half)
  ProgramNeeds needs;  // by Plan
  PairResult result;   // by Slot::Score
};

// One pair. Views are of host memory, in any type, layout and channels of ImageView, and of one size, which the
// programs take (MetricInfo::min_width).
struct PairTask {
  ImageView reference;
  ImageView distorted;
  ImageView weights;  // no size: all pixels weigh alike
  Averaging averaging = Averaging::kOverPixels;
  double alpha_background = 1.0;
  std::vector<MetricTask> metrics;
  // What the metrics' programs share, if anything, and then what they need together.
  const Schedule* schedule = nullptr;
  std::int64_t shared_workspace_bytes = 0;
  // Where Schedule::kept lies, in memory of the GPU that must outlive the scoring.
  std::vector<void*> kept;

  // By Slot::Score. Failed: the results of this pair mean nothing.
  Failure failure;
};

// Fills each metric's needs. The pixels are not read.
void Plan(PairTask& task);

struct SlotSizes {
  std::int64_t input_bytes = 0;    // images, packed; in page-locked memory and on the GPU
  std::int64_t output_bytes = 0;   // scores, maps and gradients, likewise
  std::int64_t table_bytes = 0;    // launches, likewise
  std::int64_t work_bytes = 0;     // the programs' own, on the GPU
  std::int64_t library_bytes = 0;  // work area of cuFFT and cuDNN, on the GPU; all pairs of a batch share it

  std::int64_t device_bytes() const { return input_bytes + output_bytes + table_bytes + work_bytes + library_bytes; }
  SlotSizes& operator+=(const SlotSizes& more);
};

// Of work_bytes, what the programs of one pair may take: the rest is scratch.
std::int64_t WorkspaceBytes(const SlotSizes& sizes);

// What a planned pair needs of a slot. The table's share is an estimate that suits every program of ours. What
// libraries need is not known before they have made a plan: none is counted.
SlotSizes SizesFor(const PairTask& task);

// Of one batch, by the GPU's own clock.
struct StageTimes {
  float upload_ms = 0.0f;
  float compute_ms = 0.0f;  // with the upload of the table of launches
  float download_ms = 0.0f;
};

// Owns a stream, page-locked staging and one block of device memory, all made in Create; scoring allocates on the host
// for results, and on the GPU for plans of transforms and filter banks of a size not seen lately, for the graph of a
// batch that comes a second time, and for a work area larger than sizes.library_bytes. Movable. One thread at a time.
// Work of two slots overlaps.
class Slot {
 public:
  // `trunks`: of the same GPU, which must outlive the slot; null where no learned metric is asked for.
  static Failure Create(int device_index, const SlotSizes& sizes, Slot* out, const DeviceTrunks* trunks = nullptr);

  const SlotSizes& sizes() const { return sizes_; }
  bool Fits(const PairTask& task) const;

  // Scores the first *count of the planned tasks, as many as there is room for, and waits for the results. *count is 0
  // only after a failure, or when the first task does not fit. A failure is of the device: no result means anything.
  // What is wrong with one pair alone is its task's failure.
  Failure Score(std::span<PairTask* const> tasks, int* count);

  // Launches of the last batch, and the steps that they did.
  int launch_count() const { return static_cast<int>(launches_.merged().size()); }
  int step_count() const { return launches_.step_count(); }
  const StageTimes& times() const { return times_; }

  // Whether batches that come again are replayed as graphs; at first they are. The results are the same.
  void UseGraphs(bool use) { uses_graphs_ = use; }
  const GraphCache& graphs() const { return graphs_; }
  // How many images one of cuDNN's calls takes at most: ConvPlans. A batch that comes again may run twice, to try such
  // calls: from the fifth time on it does what it always will, unless it is small and fast, or bits differ.
  void set_images_per_call(int most) { conv_plans_.set_images_per_call(most); }
  ConvTrials conv_trials() const { return conv_plans_.trials(); }

 private:
  // `used`: by the pairs before this one.
  bool Note(PairTask& task, const SlotSizes& used, const SlotSizes& needs);
  bool HasRoom(const SlotSizes& used, const SlotSizes& needs) const;
  Failure Run(const SlotSizes& used, bool may_capture);
  Failure Enqueue(const SlotSizes& used, bool may_capture);
  Failure Try(const SlotSizes& used);

  int device_index_ = 0;
  SlotSizes sizes_;
  Stream stream_;
  PinnedBuffer staged_input_;
  PinnedBuffer staged_output_;
  PinnedBuffer staged_table_;
  DeviceBuffer device_;  // input, output, table, work, the libraries'
  FftPlans fft_plans_;
  DeviceBanks banks_;
  ConvPlans conv_plans_;
  const DeviceTrunks* trunks_ = nullptr;
  Launches launches_;
  // Only of calls that the plans above made as they are now.
  GraphCache graphs_;
  bool uses_graphs_ = true;
  Workspace workspace_;
  // Before the upload, after it, after the last launch, after the download.
  Event marks_[4];
  StageTimes times_;
};

}  // namespace likeness::cuda
