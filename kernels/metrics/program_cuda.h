// How a metric's program is run under CUDA. Standard library and the CUDA runtime's C header only.
#pragma once

#include <cstdint>
#include <string_view>

#include "kernels/cuda/failure.h"
#include "kernels/image_view.h"
#include "kernels/metrics/settings.h"
#include "kernels/ops/planes.h"

namespace likeness::cuda {

// Views lie in the memory of the GPU, or nowhere for a plan.
struct ProgramInput {
  ImageView reference;
  ImageView distorted;
  double alpha_background = 1.0;
  bool want_map = false;
  bool want_gradient = false;
};

// Read off the program by running it on shapes.
struct ProgramNeeds {
  std::int64_t workspace_bytes = 0;
  Shape map;  // empty unless wanted
  int map_offset = 0;
};

// Where results go, in the memory of the GPU: float32, packed, in the layout of the distorted image.
struct ProgramOutput {
  double* score = nullptr;
  float* map = nullptr;
  float* gradient = nullptr;
};

struct Program {
  MetricInfo (*info)();
  ProgramNeeds (*plan)(const ProgramInput& input, const Settings& settings);
  // Enqueues all of it on `stream` and returns without waiting. `workspace` and `scratch` (Cuda::kScratchCount doubles)
  // must not be used elsewhere until the stream is done.
  Failure (*run)(const ProgramInput& input, const Settings& settings, const ProgramOutput& output, Workspace& workspace,
                 double* scratch, cudaStream_t stream);
};

// Doubles of scratch that `run` needs.
inline constexpr std::int64_t kScratchBytes = std::int64_t{8} << 16;

// One for each metric whose program is stamped for CUDA, in kernels/cuda/CMakeLists.txt.
extern const Program kMae, kMse, kRmse, kSse, kPsnr, kHuber, kSmoothL1, kCharbonnier, kLogCosh, kGmsd;

// The program of a metric, null when it is not stamped for CUDA.
const Program* FindProgram(std::string_view id);

}  // namespace likeness::cuda
