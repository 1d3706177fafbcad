// The Laplacian pyramid loss under CUDA: a launch for each large level and one for all small ones, one for their sum,
// one for the map, and one back for each large level of the gradient. Noted by walks_cuda.cu.
#pragma once

#include "kernels/ops/cuda_device.h"
#include "kernels/walks/pair_samples.cuh"
#include "kernels/walks/walks_cuda.h"

LIKENESS_BEGIN_TARGET

// Of the memory that NoteLapLoss is handed.
std::int64_t LapLossWorkspaceBytes(const ImageView& distorted, bool want_map, bool want_gradient);

// What its launches read and write, but for the map and the gradient themselves.
std::int64_t LapLossMovedBytes(const ImageView& distorted, std::int64_t pair_bytes, bool want_map, bool want_gradient);

// `workspace`: at a multiple of 256 bytes, of this lane alone.
void NoteLapLoss(Cuda& device, const PairSamples& pair, const ImageView& distorted, const LapLossWalk& walk,
                 const ProgramOutput& to, std::byte* workspace);

LIKENESS_END_TARGET
