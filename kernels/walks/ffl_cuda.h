// Focal frequency loss under CUDA: one transform of the error, and one back for the gradient. Noted by walks_cuda.cu.
#pragma once

#include "kernels/walks/pair_samples.cuh"
#include "kernels/walks/walks_cuda.h"

LIKENESS_BEGIN_TARGET

// Of the memory that NoteFfl is handed.
std::int64_t FflWorkspaceBytes(const ImageView& distorted);

// What its launches move but for the map and the gradient.
std::int64_t FflMovedBytes(const ImageView& distorted, std::int64_t pair_bytes, bool want_map, bool want_gradient);

// `workspace`: at a multiple of 256 bytes, of this lane alone.
void NoteFfl(Cuda& device, const PairSamples& pair, const ImageView& distorted, const FflWalk& walk,
             const ProgramOutput& to, std::byte* workspace);

LIKENESS_END_TARGET
