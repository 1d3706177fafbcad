// SSIM under CUDA in one launch, with its map and gradient, and one more for the gradient where a border is mirrored.
// Noted by walks_cuda.cu.
#pragma once

#include "kernels/walks/pair_samples.cuh"
#include "kernels/walks/walks_cuda.h"

LIKENESS_BEGIN_TARGET

struct MsSsimFinish;

// `workspace`: SsimWorkspaceBytes, of this lane alone. They are written once and read once.
void NoteSsim(Cuda& device, const PairSamples& pair, const ImageView& distorted, const SsimWalk& walk,
              const ProgramOutput& to, std::byte* workspace);
std::int64_t SsimWorkspaceBytes(const ImageView& distorted, const SsimWalk& walk, bool want_gradient);

// The launch itself: sums of S over the windows of a pair, by parts of the image, and what else is asked for.
struct SsimMarch {
  double sigma = 1.5;
  double c1 = 0.0;
  double c2 = 0.0;
  bool by_channel = false;  // sums of each channel for itself
  double scale = 1.0;       // of the map, then its offset
  double offset = 0.0;
  double gradient_scale = 1.0;  // of d (sum of S) / d distorted
  TensorPlace map;
  TensorPlace gradient;
  Border border = Border::kValid;
  float* edges = nullptr;  // of a gradient where the border is mirrored; it is then not whole yet
  double* partials = nullptr;
  const MsSsimFinish* finish = nullptr;  // on the GPU: what follows when all partial sums that it counts are written
  bool beside = false;                   // in one launch with the march noted just before, on which it does not depend
};
void NoteSsimMarch(Cuda& device, const PairSamples& pair, const ImageView& image, const SsimMarch& march);

// What a march leaves at `partials`: of each group, one after another, so many partial sums.
struct SsimSums {
  int groups;  // channels, or 1
  std::int64_t partials_each;
  double windows_each;
};
SsimSums SsimSumsOf(const ImageView& image, Border border, bool by_channel);

LIKENESS_END_TARGET
