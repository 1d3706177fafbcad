// How much room features take, by the device that lays them out.
#pragma once

#include "kernels/metric_info.h"
#include "kernels/ops/planes.h"

namespace likeness {

enum class FeatureLayout {
  kBlocked,  // the CPU's: channels in blocks of up to 16, each a plane; float in either precision
  kPixels,   // CUDA's: a pixel's channels together, filled up with zeros; float, or half when fast
};

// Channels of a pixel where they lie together: cuDNN's tensor cores want multiples of this.
constexpr int PaddedChannels(int channels) { return (channels + 7) / 8 * 8; }

// Planes of the device's samples with room for features of `shape`.
constexpr Shape FeatureRoom(FeatureLayout layout, const Shape& shape, Precision precision) {
  if (layout == FeatureLayout::kBlocked) return {shape.width * 16, shape.height, (shape.channels + 15) / 16};
  const int in_a_sample = precision == Precision::kFast ? 2 : 1;
  return {shape.width * (PaddedChannels(shape.channels) / in_a_sample), shape.height, 1};
}

}  // namespace likeness
