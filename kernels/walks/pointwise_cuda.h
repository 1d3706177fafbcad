// The pointwise family under CUDA. Noted by walks_cuda.cu.
#pragma once

#include "kernels/walks/pair_samples.cuh"
#include "kernels/walks/walks_cuda.h"

LIKENESS_BEGIN_TARGET

struct PointwiseTask {
  PointwiseWalk walk;
  ProgramOutput to;
};

// What its readings of the pair move, of a walk by itself: in company one reading serves all.
std::int64_t PointwiseReadBytes(const PointwiseWalk& walk, std::int64_t pair_bytes, bool want_gradient);

// `same_bytes`: both images hold bytes on one scale.
void NotePointwise(Cuda& device, const PairSamples& pair, bool same_bytes, double value_of_one,
                   std::span<const PointwiseTask> tasks);

LIKENESS_END_TARGET
