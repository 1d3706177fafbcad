// Scoring a pair on a GPU, for host code: absl::Status, and no CUDA type in the signatures.
#pragma once

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kernels/image.h"
#include "kernels/metric.h"
#include "kernels/metrics/settings.h"

namespace likeness::cuda {

struct Program;  // FindProgram of program_cuda.h has them by metric id
class Slot;

// One pair at a time on device 0; one thread at a time.
class PairScorer {
 public:
  // Sized for pairs like this one. RESOURCE_EXHAUSTED when the GPU or the host has not the memory, INTERNAL for
  // any other failure, no GPU among them.
  static absl::StatusOr<std::unique_ptr<PairScorer>> Create(const Program& program, const Settings& settings,
                                                            const ImageView& reference, const ImageView& distorted,
                                                            bool want_map, bool want_gradient);
  ~PairScorer();

  // Images in host memory, at least as large as the metric asks. INVALID_ARGUMENT: sizes differ. RESOURCE_EXHAUSTED:
  // the pair needs more than Create made room for. Waits for the result.
  absl::Status Score(const Program& program, const Settings& settings, const ImageView& reference,
                     const ImageView& distorted, double alpha_background, bool want_map, bool want_gradient,
                     MetricResult* result);

 private:
  explicit PairScorer(std::unique_ptr<Slot> slot);
  std::unique_ptr<Slot> slot_;
};

}  // namespace likeness::cuda
