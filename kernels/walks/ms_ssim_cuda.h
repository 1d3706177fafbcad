// MS-SSIM under CUDA: its windows in one launch, with its gradient. Noted by walks_cuda.cu.
#pragma once

#include "kernels/walks/pair_samples.cuh"
#include "kernels/walks/walks_cuda.h"

LIKENESS_BEGIN_TARGET

// Of the memory that NoteMsSsim is handed.
std::int64_t MsSsimWorkspaceBytes(const ImageView& distorted, bool want_gradient);

// What its launches move but for the gradient.
std::int64_t MsSsimMovedBytes(const ImageView& distorted, std::int64_t pair_bytes, bool want_gradient);

// `workspace`: at a multiple of 256 bytes, of this lane alone.
void NoteMsSsim(Cuda& device, const PairSamples& pair, const ImageView& distorted, const MsSsimWalk& walk,
                const ProgramOutput& to, std::byte* workspace);

LIKENESS_END_TARGET
