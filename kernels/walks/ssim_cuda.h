// SSIM under CUDA in one launch, with its map and gradient. Noted by walks_cuda.cu.
#pragma once

#include "kernels/walks/pair_samples.cuh"
#include "kernels/walks/walks_cuda.h"

LIKENESS_BEGIN_TARGET

void NoteSsim(Cuda& device, const PairSamples& pair, const ImageView& distorted, const SsimWalk& walk,
              const ProgramOutput& to);

LIKENESS_END_TARGET
