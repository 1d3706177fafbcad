// The fused walks under CUDA. They are noted in the lane of the pair like a program, so that batches of any mix of
// sizes ride together.
//
// What walk.h says of scores holds here too: they do not depend on who rides along nor on the outputs asked for, and
// are exact where both images are uint8 on one scale.
#pragma once

#include <optional>
#include <span>

#include "kernels/metrics/program_cuda.h"
#include "kernels/ops/cuda_device.h"
#include "kernels/walks/walk_request.h"

namespace likeness::cuda {

using Walk = decltype(WalkRequest::walk);

// One walk and where its results go. Null: no map, no gradient.
struct WalkTask {
  Walk walk;
  ProgramOutput to;
};

// Notes all walks of a pair, which passed CheckWalk (walk.h). Views and outputs are in the memory of the GPU, at
// multiples of 16 bytes, and images may be read up to the next such multiple. `workspace`, at a multiple of 256: as
// much as the walk that needs most; they use it one after another.
void NoteWalks(Cuda& device, const ImageView& reference, const ImageView& distorted, std::span<const WalkTask> walks,
               std::byte* workspace);

// A walk's workspace, the shape and offset of its map, and the bytes that it moves by itself: what each launch reads
// and writes, but for partial sums; what several blocks read counts once, as in a program's plan.
ProgramNeeds PlanWalk(const Walk& walk, const ImageView& reference, const ImageView& distorted, bool want_map,
                      bool want_gradient);

}  // namespace likeness::cuda
