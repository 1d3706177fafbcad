// How a metric's program is run under CUDA. Standard library and the CUDA runtime's C header only.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/cuda/tensor_place.h"
#include "kernels/image_view.h"
#include "kernels/metrics/settings.h"
#include "kernels/ops/planes.h"
#include "kernels/walks/walk_request.h"

namespace likeness::cuda {

class Cuda;

// Views lie in the memory of the GPU, or nowhere for a plan.
struct ProgramInput {
  ImageView reference;
  ImageView distorted;
  ImageView weights;  // of the pixels, one channel of float32; no size: all alike
  Averaging averaging = Averaging::kOverPixels;
  double alpha_background = 1.0;
  bool want_map = false;
  bool want_gradient = false;
};

// Read off the program by running it on shapes.
struct ProgramNeeds {
  std::int64_t workspace_bytes = 0;
  std::int64_t moved_bytes = 0;  // that the steps read and write
  std::int64_t operations = 0;   // floating point
  Shape map;                     // empty unless wanted
  int map_offset = 0;
};

// Where results go, in the memory of the GPU: packed, in the layout of the distorted image.
struct ProgramOutput {
  double* score = nullptr;
  TensorPlace map;
  TensorPlace gradient;
};

struct Program {
  MetricInfo (*info)();
  // Whose weights a learned metric takes; null: none.
  const TrunkSpec& (*trunk)();
  // Why a shape will not do, beyond the minimum size; empty: it will.
  std::string (*check)(const Shape& shape, const Settings& settings);
  // The fused walk that computes the same in one pass over the pixels, if there is one.
  std::optional<WalkRequest> (*walk)(const Settings& settings);
  ProgramNeeds (*plan)(const ProgramInput& input, const Settings& settings);
  // Notes the program's launches on the device; nothing runs yet. The arena of `workspace` has the needed bytes.
  void (*run)(const ProgramInput& input, const Settings& settings, const ProgramOutput& output, Workspace& workspace,
              Cuda& device);
};

// The program of a metric, null when it is not stamped for CUDA.
const Program* FindProgram(std::string_view id);
// Of all programs stamped for CUDA, in the order of documentation.
std::vector<std::string_view> ProgramIds();

}  // namespace likeness::cuda
