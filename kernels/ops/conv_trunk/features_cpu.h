// How the CPU lays features out: [channels / kFeatureBlock][height][width][kFeatureBlock], channels filled up with
// zeros. It is oneDNN's blocked layout; the oracle has blocks of one, so planes.
#pragma once

#include "kernels/ops/conv_trunk/blocked_conv.h"
#include "kernels/ops/conv_trunk/conv_trunk.h"
#include "kernels/ops/cpu.h"

LIKENESS_BEGIN_TARGET

#if LIKENESS_TARGET_SCALAR
inline constexpr int kFeatureBlock = 1;
#else
inline constexpr int kFeatureBlock = BlockOf(kLanes > 8 ? ConvIsa::kAvx512 : ConvIsa::kAny);
#endif
static_assert(kFeatureBlock % kLanes == 0);

inline int BlockCount(const Shape& shape) { return (shape.channels + kFeatureBlock - 1) / kFeatureBlock; }

inline std::int64_t RowSamples(const Shape& shape) { return std::int64_t{shape.width} * kFeatureBlock; }

// Samples from one block of channels to the next.
inline std::int64_t BlockSamples(const Shape& shape) { return shape.plane() * kFeatureBlock; }

inline Real* BlockAt(const FeaturesView& features, int block, int y, int x) {
  return static_cast<Real*>(features.data) + block * BlockSamples(features.shape) +
         (std::int64_t{y} * features.shape.width + x) * kFeatureBlock;
}

// One channel of one row: samples are kFeatureBlock apart.
inline Real* ChannelRow(const FeaturesView& features, int channel, int y) {
  return BlockAt(features, channel / kFeatureBlock, y, 0) + channel % kFeatureBlock;
}

// Channels from `first` on, which must be the first of a block.
inline FeaturesView ChannelsFrom(const FeaturesView& features, int first, int count) {
  return {BlockAt(features, first / kFeatureBlock, 0, 0), {features.shape.width, features.shape.height, count}};
}

// body(block, y) for every row of every block, in parallel.
template <class Body>
void ForEachBlockRow(const Shape& shape, Body body) {
  ForEachRow({shape.width * kFeatureBlock, shape.height, BlockCount(shape)}, body);
}

LIKENESS_END_TARGET
