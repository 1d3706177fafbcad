// START HERE. Scorer::Create, Resolve a request once, Score pairs.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "kernels/image.h"
#include "kernels/kept_reference.h"
#include "kernels/metric.h"

namespace likeness {

enum class Backend { kAuto, kCpu, kCuda };

struct ScorerOptions {
  Backend backend = Backend::kAuto;
  // Threads of the CPU backend; 0: one per core this process may use. A score does not depend on it.
  int threads = 0;
  // A job whose workspace would exceed this is refused before it allocates anything.
  std::int64_t slot_bytes = std::int64_t{2} << 30;
  // Where it is more, the limit of one metric by itself on the CPU.
  std::int64_t cpu_workspace_bytes = 0;
  // Where the learned metrics' *.safetensors lie. Empty: $LIKENESS_WEIGHTS, then build/weights, then
  // /usr/share/likeness/weights.
  std::string weights_dir;
  // False: every metric runs its program, also where a fused walk computes the same. For tests and benches.
  bool fused_walks = true;
  // "" (best this processor has), "sse4", "avx2", "avx3", or "oracle": double precision, slow, for tests.
  std::string instruction_set;
};

// A request after Resolve: known metric, known convention, every parameter present, in bounds. An alias is resolved to
// the convention it stands for.
struct ResolvedMetric {
  const MetricInfo* info = nullptr;
  int index = -1;          // into the registry
  std::string convention;  // never empty
  Parameters parameters;   // all of info->parameters
  bool want_map = false;
  bool want_gradient = false;
  // Map and gradient may come as float16 (Tensor::half), which the GPU writes: half the bytes to bring down.
  bool takes_half = false;
  bool by_program = false;      // though there be a fused walk
  const char* backend = "cpu";  // what will compute it here: "cuda" for metrics that the GPU has a program for
  // What was asked for, or kExact where that is the only way: of metrics without convolutions, or on this processor.
  Precision precision = Precision::kExact;
};

// What a job costs, read off the metric's own program without running it. Bytes and operations count one pair.
struct Plan {
  std::int64_t workspace_bytes = 0;  // metrics of a pair run one after another; those that share steps, in one slot
  std::int64_t output_bytes = 0;     // maps and gradients, float32
  std::int64_t bytes_moved = 0;      // read and written by every step, caches ignored
  std::int64_t operations = 0;       // floating point, a transcendental counts one
};

// What the metrics of one request have in common on one pair: for people.
struct Explanation {
  // A step that several programs take and one computes.
  struct Step {
    std::string op;
    int width = 0;
    int height = 0;
    int channels = 0;
    std::vector<int> metrics;  // as numbered in the request
  };
  // Fused walks. They share readings of the images: one for all that stay inside, one for each kind of border; MS-SSIM
  // has its own. Where one makes no map, the program that does is not counted here.
  std::vector<int> walks;
  std::vector<Step> shared;
  Plan apart;           // all programs, each by itself; the workspace is the largest one's
  Plan together;        // the same with every shared step computed once
  bool shares = false;  // false: the joint workspace exceeds a slot, or there are no two programs
};

// A GPU that scores, for telemetry. Counts are since the start.
struct DeviceState {
  int index = 0;
  int slot_count = 0;
  int busy_slots = 0;
  double busy_seconds = 0.0;           // summed over slots: divide by slot_count for a ratio
  std::int64_t memory_bytes = 0;       // of all slots
  std::int64_t outstanding_bytes = 0;  // images of the batches it works on
  std::int64_t batches = 0;
  std::int64_t launches = 0;
  std::int64_t errors = 0;
  // Calls of cuDNN for several images, each tried once: what gave the bits of single ones is made, the rest is not.
  std::int64_t convolutions_shared = 0;
  std::int64_t convolutions_apart = 0;
};

// One pair to score. Views must stay valid until Score returns.
struct PairJob {
  ImageView reference;
  ImageView distorted;
  absl::Span<const ResolvedMetric> metrics;
  // Where alpha meets a background: both images are composited over this gray, on the [0, 1] scale.
  double alpha_background = 1.0;
  // How much each pixel counts: one channel of float32 of the images' size, 0 or above; no data: all alike. Metrics
  // that take no weights then fail with INVALID_ARGUMENT.
  ImageView weights;
  Averaging averaging = Averaging::kOverPixels;
  // What learned metrics keep of the reference, in memory of the CPU or of the GPU that the pair then goes to; they use
  // what is there and add to it. Null: nothing. Must be of this reference and this Scorer. Of several jobs with one
  // that has nothing yet, the first is scored before the others.
  KeptReference* kept = nullptr;
  // Filled by Score: one for each of `metrics`, in order.
  std::vector<MetricResult> results;
};

// Thread safe. Scores are bit-identical whatever else is in the batch and however many threads there are.
class Scorer {
 public:
  // FAILED_PRECONDITION when the backend or instruction set asked for is not to be had here. With kAuto the GPU is used
  // where there is one that works, else the CPU: see cuda_note.
  static absl::StatusOr<std::unique_ptr<Scorer>> Create(const ScorerOptions& options);
  ~Scorer();

  // Every metric of this build in the order of metrics.def, the unavailable ones included.
  absl::Span<const MetricInfo> metrics() const;

  // "cpu" or "cuda". The instruction set is that of what the CPU computes.
  const std::string& backend() const;
  const std::string& instruction_set() const;

  // What a build with CUDA found on this machine and what it makes of it, for the log; empty in a build without.
  const std::string& cuda_note() const;

  // Batches that may be scored at once with profit: the slots of all GPUs, or 1.
  int batches_at_once() const;

  // Not OK once a GPU has failed for good: nothing but a new process will score on it.
  absl::Status health() const;
  std::vector<DeviceState> devices() const;

  // NOT_FOUND: no such metric. INVALID_ARGUMENT: no such convention or parameter, or a value out of bounds, or a map
  // or gradient asked of a metric that has none. FAILED_PRECONDITION: unavailable here. Messages name the remedy.
  absl::StatusOr<ResolvedMetric> Resolve(const MetricRequest& request) const;

  // INVALID_ARGUMENT: sizes differ, or too small for the metric, or weights for one that takes none.
  // RESOURCE_EXHAUSTED: the workspace exceeds a slot.
  absl::StatusOr<Plan> MakePlan(const ResolvedMetric& metric, const ImageView& reference, const ImageView& distorted,
                                bool weighted = false) const;

  // What these metrics would share on such a pair. Fails as MakePlan does, for the first metric that fails.
  absl::StatusOr<Explanation> Explain(absl::Span<const ResolvedMetric> metrics, const ImageView& reference,
                                      const ImageView& distorted, bool weighted = false) const;

  // Scores every job; blocks until all are done. A job's own failures are in its results.
  void Score(absl::Span<PairJob* const> jobs) const;

 private:
  struct Impl;
  explicit Scorer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace likeness
