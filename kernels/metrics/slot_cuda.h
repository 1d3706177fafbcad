// One pair at a time on a GPU: staging, upload, program, download. Builds with nvcc alone; score_cuda.h has the face
// with absl::Status.
#pragma once

#include <cstdint>

#include "kernels/cuda/owners.h"
#include "kernels/metrics/program_cuda.h"

namespace likeness::cuda {

struct SlotSizes {
  std::int64_t input_bytes = 0;      // both images, packed
  std::int64_t output_bytes = 0;     // score, map and gradient
  std::int64_t workspace_bytes = 0;  // of the program
};

struct PairResult {
  double score = 0.0;
  Tensor map;       // empty unless asked for
  Tensor gradient;  // likewise; d score / d distorted in the distorted image's channels and layout
};

// What a pair needs of a slot. The pixels are not read.
SlotSizes SizesFor(const Program& program, const Settings& settings, const ProgramInput& host_input);

// Owns a stream, page-locked staging and one block of device memory, all made in Create; scoring allocates on the host
// only, for the result. Movable. One thread at a time. Work of two slots may overlap.
class Slot {
 public:
  static Failure Create(const SlotSizes& sizes, Slot* out);

  const SlotSizes& sizes() const { return sizes_; }

  // Images lie in host memory, in any type, layout and channels of ImageView, and have one size, which the program
  // takes (MetricInfo::min_width). Waits for the result. After a failure *out is as it was; cudaErrorMemoryAllocation
  // also stands for a pair that needs more than sizes().
  Failure Score(const Program& program, const Settings& settings, const ProgramInput& host_input, PairResult* out);

 private:
  SlotSizes sizes_;
  Stream stream_;
  PinnedBuffer staged_input_;
  PinnedBuffer staged_output_;
  DeviceBuffer device_;  // input, output, scratch, workspace
  Workspace workspace_;
};

}  // namespace likeness::cuda
