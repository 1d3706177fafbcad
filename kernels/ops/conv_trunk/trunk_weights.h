// A trunk's weights, and how a program uses them. Standard library only, so that nvcc alone compiles a program.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/metric_info.h"
#include "kernels/ops/conv_trunk/trunk_spec.h"

namespace likeness {

// One convolution's weights, [out][in][kernel][kernel] of its ConvGeometry. Does not own them.
struct ConvWeights {
  ConvGeometry geometry;
  std::span<const float> weight;
  std::span<const float> bias;
  std::uint64_t identity = 0;  // equal for equal weights, within a process
};

// The weights of a strided convolution, [out][in][kernel][kernel] of the spec, with phases as channels: see
// ConvGeometry.
std::vector<float> PhaseWeights(const ConvSpec& spec, std::span<const float> weight);

// The weights of the adjoint, [in][out][kernel][kernel], each kernel flipped.
std::vector<float> AdjointWeights(const ConvWeights& conv);

struct TrunkWeights {
  std::vector<ConvWeights> convs;
  std::vector<std::span<const float>> heads;  // of each tap: TrunkSpec::head_rows rows, a weight for each channel
};

// Of one convolution where `asked` is the trunk's: the first reads the image, whose small differences are the point.
inline Precision PrecisionOf(Precision asked, int layer) { return layer == 0 ? Precision::kExact : asked; }

class PreparedTrunk;

// What the ops of a trunk are given. Does not own anything: what it names must outlive the tape.
struct TrunkUse {
  const TrunkSpec* spec = nullptr;
  const TrunkWeights* weights = nullptr;    // null only where nothing is computed
  const PreparedTrunk* prepared = nullptr;  // the CPU's convolutions for the size of the image; null elsewhere
  Precision precision = Precision::kExact;

  const ConvSpec& conv(int layer) const { return spec->convs[layer]; }
  // Tells a convolution from others that might read the same features.
  std::uint64_t identity(int layer) const { return weights == nullptr ? 0 : weights->convs[layer].identity; }
};

}  // namespace likeness
