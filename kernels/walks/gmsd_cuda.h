// GMSD under CUDA: one launch from the images to the similarities, with their map, one for their deviation, and one for
// the gradient. Noted by walks_cuda.cu.
#pragma once

#include "kernels/ops/cuda_device.h"
#include "kernels/walks/walks_cuda.h"

LIKENESS_BEGIN_TARGET

// Of the map.
Shape GmsdShape(const ImageView& distorted, const GmsdWalk& walk);

// Of the memory that NoteGmsd is handed.
std::int64_t GmsdWorkspaceBytes(const ImageView& distorted, const GmsdWalk& walk);

// What its launches read of the pair.
std::int64_t GmsdReadBytes(std::int64_t pair_bytes, bool want_gradient);

// `workspace`: at a multiple of 256 bytes, of this lane alone.
void NoteGmsd(Cuda& device, const ImageView& reference, const ImageView& distorted, const GmsdWalk& walk,
              const ProgramOutput& to, std::byte* workspace);

LIKENESS_END_TARGET
