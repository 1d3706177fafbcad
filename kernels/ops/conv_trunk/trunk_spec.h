// The convolution trunks that learned metrics look through, as tables.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "kernels/ops/planes.h"

namespace likeness {

// A convolution with bias and ReLU behind it, and the pooling in front of it. Zero padding.
struct ConvSpec {
  int in = 0;
  int out = 0;
  int kernel = 0;
  int stride = 1;  // above 1 for a trunk's first convolution only
  int padding = 0;
  int pool_kernel = 0;  // 0: no pooling
  int pool_stride = 0;
  bool tap = false;  // the metric looks at this convolution's output
  // Reads what the convolution before it reads; its channels are laid behind that one's, and both are one value.
  bool beside = false;
  bool linear = false;  // also wanted without its ReLU
};

enum class Pooling {
  kMax,      // windows inside the image only
  kMaxCeil,  // a last window may be cut off by the image's edge
  kL2,       // sqrt(mean of squares + 1e-12) under a 3x3 Hann window at stride 2, zeros beyond the edge
};

struct TrunkSpec {
  const char* network;
  std::span<const ConvSpec> convs;
  int min_side;  // of an image, for the last tap to have a sample
  Pooling pooling = Pooling::kMax;
  int head_rows = 1;       // weights of a tapped channel
  bool image_tap = false;  // the image itself is the first tap
  // Larger images go through in windows (trunk_windows.h): such a score takes some 1.7 GB in float32. 0: never.
  std::int64_t whole_pixels = 0;
  std::int64_t whole_pixels_gradient = 0;  // where a gradient is wanted

  // How many convolutions from `layer` on are one value.
  int Parts(int layer) const {
    int parts = 1;
    while (layer + parts < static_cast<int>(convs.size()) && convs[layer + parts].beside) ++parts;
    return parts;
  }
  // Channels of the value that starts with `layer`.
  int Channels(int layer) const {
    int channels = 0;
    for (int part = 0; part < Parts(layer); ++part) channels += convs[layer + part].out;
    return channels;
  }

  int tap_count() const {
    int count = image_tap ? 1 : 0;
    for (const ConvSpec& conv : convs) count += conv.tap ? 1 : 0;
    return count;
  }
};

// torchvision's alexnet.features, vgg16.features and squeezenet1_1.features.
inline constexpr std::array<ConvSpec, 5> kAlexConvs = {{{3, 64, 11, 4, 2, 0, 0, true},
                                                        {64, 192, 5, 1, 2, 3, 2, true},
                                                        {192, 384, 3, 1, 1, 3, 2, true},
                                                        {384, 256, 3, 1, 1, 0, 0, true},
                                                        {256, 256, 3, 1, 1, 0, 0, true, false, true}}};
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
// Eight fire modules: a 1x1 convolution squeezes the channels, a 1x1 and a 3x3 one beside each other expand them.
inline constexpr std::array<ConvSpec, 25> MakeSqueezeNetConvs() {
  struct Fire {
    int in, squeeze, expand;
    bool pool, tap;
  };
  constexpr Fire kFires[] = {{64, 16, 64, true, false},   {128, 16, 64, false, true}, {128, 32, 128, true, false},
                             {256, 32, 128, false, true}, {256, 48, 192, true, true}, {384, 48, 192, false, true},
                             {384, 64, 256, false, true}, {512, 64, 256, false, true}};
  std::array<ConvSpec, 25> convs;
  convs[0] = {3, 64, 3, 2, 0, 0, 0, true};
  int i = 1;
  for (const Fire& fire : kFires) {
    convs[i++] = {fire.in, fire.squeeze, 1, 1, 0, fire.pool ? 3 : 0, fire.pool ? 2 : 0};
    convs[i++] = {fire.squeeze, fire.expand, 1, 1, 0, 0, 0, fire.tap};
    convs[i++] = {fire.squeeze, fire.expand, 3, 1, 1, 0, 0, false, true};
  }
  return convs;
}
inline constexpr std::array<ConvSpec, 25> kSqueezeNetConvs = MakeSqueezeNetConvs();

inline constexpr TrunkSpec kAlexTrunk = {.network = "AlexNet",
                                         .convs = kAlexConvs,
                                         .min_side = 31,
                                         .whole_pixels = 20'000'000,
                                         .whole_pixels_gradient = 14'000'000};
inline constexpr TrunkSpec kVgg16Trunk = {.network = "VGG16",
                                          .convs = kVgg16Convs,
                                          .min_side = 16,
                                          .whole_pixels = 2'100'000,
                                          .whole_pixels_gradient = 1'150'000};
inline constexpr TrunkSpec kSqueezeNetTrunk = {.network = "SqueezeNet 1.1",
                                               .convs = kSqueezeNetConvs,
                                               .min_side = 17,
                                               .pooling = Pooling::kMaxCeil,
                                               .whole_pixels = 6'000'000,
                                               .whole_pixels_gradient = 4'000'000};
// As DISTS sees it: smooth pooling, the image as a tap, and two weights a channel.
inline constexpr TrunkSpec kVgg16SmoothTrunk = {.network = "VGG16",
                                                .convs = kVgg16Convs,
                                                .min_side = 1,
                                                .pooling = Pooling::kL2,
                                                .head_rows = 2,
                                                .image_tap = true,
                                                .whole_pixels = 2'100'000,
                                                .whole_pixels_gradient = 1'000'000};

// What is computed for a ConvSpec: always stride 1. A stride of s is taken by laying the s x s phases of the padded
// image side by side as channels, channel (phase_y * s + phase_x) * in + c; the kernel is then ceil(kernel / s) wide
// and needs no padding. Forward and adjoint thereby are one and the same kind of convolution.
struct ConvGeometry {
  int in = 0;
  int out = 0;
  int kernel = 0;
  int padding = 0;

  friend bool operator==(const ConvGeometry&, const ConvGeometry&) = default;
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

// Of the pooling in front of `conv`.
inline Shape PoolOutput(Pooling pooling, const ConvSpec& conv, const Shape& in) {
  const auto side = [&](int n) {
    if (pooling == Pooling::kL2) return (n + 1) / 2;
    const int left = n - conv.pool_kernel + (pooling == Pooling::kMaxCeil ? conv.pool_stride - 1 : 0);
    return left / conv.pool_stride + 1;
  };
  return {side(in.width), side(in.height), in.channels};
}

// Of the value that starts with convolution `layer`, whose input (before any pooling) has the shape `in`.
inline Shape LayerOutput(const TrunkSpec& spec, int layer, Shape in) {
  const ConvSpec& conv = spec.convs[layer];
  if (conv.pool_kernel > 0) in = PoolOutput(spec.pooling, conv, in);
  Shape out = ConvOutput(GeometryOf(conv), in);
  out.channels = spec.Channels(layer);
  return out;
}

}  // namespace likeness
