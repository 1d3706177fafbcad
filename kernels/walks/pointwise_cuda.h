// The pointwise family under CUDA. Noted by walks_cuda.cu.
#pragma once

#include "kernels/walks/pair_samples.cuh"
#include "kernels/walks/walks_cuda.h"

LIKENESS_BEGIN_TARGET

struct PointwiseTask {
  PointwiseWalk walk;
  ProgramOutput to;
};

// `same_bytes`: both images hold bytes on one scale.
void NotePointwise(Cuda& device, const PairSamples& pair, bool same_bytes, double value_of_one,
                   std::span<const PointwiseTask> tasks);

LIKENESS_END_TARGET
