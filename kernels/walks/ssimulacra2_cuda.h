// SSIMULACRA 2 under CUDA: its scales, then all their windows in one launch. Noted by walks_cuda.cu.
#pragma once

#include "kernels/walks/pair_samples.cuh"
#include "kernels/walks/walks_cuda.h"

LIKENESS_BEGIN_TARGET

// Of the memory that NoteSsimulacra2 is handed.
std::int64_t Ssimulacra2WorkspaceBytes(const ImageView& distorted, bool want_gradient);

// What its launches move but for the map and the gradient.
std::int64_t Ssimulacra2MovedBytes(const ImageView& distorted, std::int64_t pair_bytes, bool want_gradient);

// `workspace`: at a multiple of 256 bytes, of this lane alone.
void NoteSsimulacra2(Cuda& device, const PairSamples& pair, const ImageView& distorted, const ProgramOutput& to,
                     std::byte* workspace);

LIKENESS_END_TARGET
