// FLIP under CUDA: one launch from the images to the error, with its map, and one for the gradient. Noted by
// walks_cuda.cu.
#pragma once

#include "kernels/walks/pair_samples.cuh"
#include "kernels/walks/walks_cuda.h"

LIKENESS_BEGIN_TARGET

// Of the memory that NoteFlip is handed, where a gradient is wanted; else none.
std::int64_t FlipGradientBytes(const ImageView& distorted);

// What its launches move but for the map and the gradient.
std::int64_t FlipMovedBytes(const ImageView& distorted, std::int64_t pair_bytes, bool want_gradient);

// `workspace`: at a multiple of 256 bytes, of this lane alone.
void NoteFlip(Cuda& device, const PairSamples& pair, const ImageView& distorted, const FlipWalk& walk,
              const ProgramOutput& to, std::byte* workspace);

LIKENESS_END_TARGET
