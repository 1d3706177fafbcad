// The convolution trunks that learned metrics look through, as tables.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "kernels/ops/planes.h"

namespace likeness {

// A convolution with bias and ReLU behind it, and the max pooling in front of it. Zero padding.
struct ConvSpec {
  int in = 0;
  int out = 0;
  int kernel = 0;
  int stride = 1;  // above 1 for a trunk's first convolution only
  int padding = 0;
  int pool_kernel = 0;  // 0: no pooling
  int pool_stride = 0;
  bool tap = false;  // the metric looks at this convolution's output
};

struct TrunkSpec {
  const char* network;
  std::span<const ConvSpec> convs;
  int min_side;  // of an image, for the last tap to have a sample

  int tap_count() const {
    int count = 0;
    for (const ConvSpec& conv : convs) count += conv.tap ? 1 : 0;
    return count;
  }
};

// torchvision's alexnet.features and vgg16.features.
inline constexpr std::array<ConvSpec, 5> kAlexConvs = {{{3, 64, 11, 4, 2, 0, 0, true},
                                                        {64, 192, 5, 1, 2, 3, 2, true},
                                                        {192, 384, 3, 1, 1, 3, 2, true},
                                                        {384, 256, 3, 1, 1, 0, 0, true},
                                                        {256, 256, 3, 1, 1, 0, 0, true}}};
inline constexpr std::array<ConvSpec, 13> kVgg16Convs = {{{3, 64, 3, 1, 1, 0, 0, false},
                                                          {64, 64, 3, 1, 1, 0, 0, true},
                                                          {64, 128, 3, 1, 1, 2, 2, false},
                                                          {128, 128, 3, 1, 1, 0, 0, true},
                                                          {128, 256, 3, 1, 1, 2, 2, false},
                                                          {256, 256, 3, 1, 1, 0, 0, false},
                                                          {256, 256, 3, 1, 1, 0, 0, true},
                                                          {256, 512, 3, 1, 1, 2, 2, false},
                                                          {512, 512, 3, 1, 1, 0, 0, false},
                                                          {512, 512, 3, 1, 1, 0, 0, true},
                                                          {512, 512, 3, 1, 1, 2, 2, false},
                                                          {512, 512, 3, 1, 1, 0, 0, false},
                                                          {512, 512, 3, 1, 1, 0, 0, true}}};
inline constexpr TrunkSpec kAlexTrunk = {"AlexNet", kAlexConvs, 31};
inline constexpr TrunkSpec kVgg16Trunk = {"VGG16", kVgg16Convs, 16};

// What is computed for a ConvSpec: always stride 1. A stride of s is taken by laying the s x s phases of the padded
// image side by side as channels, channel (phase_y * s + phase_x) * in + c; the kernel is then ceil(kernel / s) wide
// and needs no padding. Forward and adjoint thereby are one and the same kind of convolution.
struct ConvGeometry {
  int in = 0;
  int out = 0;
  int kernel = 0;
  int padding = 0;
};

inline ConvGeometry GeometryOf(const ConvSpec& conv) {
  if (conv.stride == 1) return {conv.in, conv.out, conv.kernel, conv.padding};
  return {conv.in * conv.stride * conv.stride, conv.out, (conv.kernel + conv.stride - 1) / conv.stride, 0};
}

// The adjoint with respect to the input: a convolution with kernels flipped and in and out swapped.
inline ConvGeometry AdjointOf(const ConvGeometry& conv) {
  return {conv.out, conv.in, conv.kernel, conv.kernel - 1 - conv.padding};
}

inline Shape ConvOutput(const ConvGeometry& conv, const Shape& in) {
  const int margin = 2 * conv.padding - conv.kernel + 1;
  return {in.width + margin, in.height + margin, conv.out};
}

// Of the features that a trunk's first convolution reads.
inline Shape PackedShape(const ConvSpec& conv, const Shape& image) {
  if (conv.stride == 1) return {image.width, image.height, conv.in};
  const ConvGeometry geometry = GeometryOf(conv);
  const auto side = [&](int n) { return (n + 2 * conv.padding - conv.kernel) / conv.stride + 1 + geometry.kernel - 1; };
  return {side(image.width), side(image.height), geometry.in};
}

inline Shape PoolOutput(int kernel, int stride, const Shape& in) {
  return {(in.width - kernel) / stride + 1, (in.height - kernel) / stride + 1, in.channels};
}

}  // namespace likeness
