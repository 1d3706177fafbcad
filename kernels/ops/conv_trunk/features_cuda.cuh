// How CUDA lays features out: a pixel's channels together, filled up with zeros to PaddedChannels, pixels and rows
// without gaps: cuDNN's NHWC. Samples are float, half when fast; arithmetic is float. A thread has kPack channels of a
// pixel, read and written at once.
//
// Gradients of fast features would be lost in half's range: the mean of a tap divides them by the count of its pixels.
// So they are stored times GradientScale, a power of two that depends on the count of pixels alone; pooling and
// convolutions pass from one scale to the next, and ImageFeaturesBackward takes it off. What does not fit half all the
// same is infinite, and marks the metric's result (Cuda::non_finite).
#pragma once

#include <cuda_fp16.h>

#include "kernels/ops/conv_trunk/conv_trunk.h"
#include "kernels/ops/conv_trunk/features_layout.h"
#include "kernels/ops/cuda_rows.cuh"

LIKENESS_BEGIN_TARGET

inline constexpr int kPack = 4;

template <class Sample>
struct alignas(kPack * sizeof(Sample)) Packed {
  Sample samples[kPack];
};

// kPack channels of a pixel.
struct Pack {
  float v[kPack];
};

__device__ __forceinline__ float WidenSample(float x) { return x; }
__device__ __forceinline__ float WidenSample(__half x) { return __half2float(x); }
__device__ __forceinline__ void NarrowSample(float x, float* to) { *to = x; }
__device__ __forceinline__ void NarrowSample(float x, __half* to) { *to = __float2half_rn(x); }

template <class Sample>
__device__ __forceinline__ Pack LoadPack(const Sample* from) {
  const auto packed = *reinterpret_cast<const Packed<Sample>*>(from);
  Pack pack;
#pragma unroll
  for (int i = 0; i < kPack; ++i) pack.v[i] = WidenSample(packed.samples[i]);
  return pack;
}
template <class Sample>
__device__ __forceinline__ void StorePack(const Pack& pack, Sample* to) {
  Packed<Sample> packed;
#pragma unroll
  for (int i = 0; i < kPack; ++i) NarrowSample(pack.v[i], &packed.samples[i]);
  *reinterpret_cast<Packed<Sample>*>(to) = packed;
}
// Writes a gradient's samples or adds to them.
template <class Sample>
__device__ __forceinline__ void StorePack(Pack pack, bool accumulate, Sample* to) {
  if (accumulate) {
    const Pack before = LoadPack(to);
#pragma unroll
    for (int i = 0; i < kPack; ++i) pack.v[i] += before.v[i];
  }
  StorePack(pack, to);
}

// Features as a kernel sees them.
template <class Sample>
struct Pixels {
  Sample* data;
  int width;
  int height;
  int channels;  // of a pixel in memory

  explicit Pixels(const FeaturesView& view)
      : data(static_cast<Sample*>(view.data)),
        width(view.shape.width),
        height(view.shape.height),
        channels(PaddedChannels(view.shape.channels)) {}

  __device__ Sample* At(int y, int x, int channel) const {
    return data + (std::int64_t{y} * width + x) * channels + channel;
  }
  __device__ Sample* Pixel(std::int64_t pixel) const { return data + pixel * channels; }
  __device__ std::int64_t count() const { return std::int64_t{width} * height; }
};

inline constexpr int kPackThreads = 256;

inline Grid PackGrid(const Shape& shape) {
  const std::int64_t packs = shape.plane() * (PaddedChannels(shape.channels) / kPack);
  return {static_cast<int>((packs + kPackThreads - 1) / kPackThreads)};
}

// body(y, x, channel) for the pack that is this thread's.
template <class Sample, class Body>
__device__ __forceinline__ void ForPack(const Block& block, const Pixels<Sample>& pixels, Body body) {
  const std::int64_t i = std::int64_t{block.x} * kPackThreads + threadIdx.x;
  const int packs = pixels.channels / kPack;
  const std::int64_t pixel = i / packs;
  if (pixel >= pixels.count()) return;
  const int channel = static_cast<int>(i - pixel * packs) * kPack;
  body(static_cast<int>(pixel / pixels.width), static_cast<int>(pixel % pixels.width), channel);
}

// body(sample) with a sample of the precision's type.
template <class Body>
void WithSample(Precision precision, Body body) {
  if (precision == Precision::kFast) {
    body(__half{});
  } else {
    body(float{});
  }
}

// What gradients of features of this shape are stored times: see above. The power of two next above the count of
// pixels, times 2^4: with real weights the largest gradients of LPIPS and DISTS then lie some 30 times below half's
// end, and typical ones a million times above its smallest normal number.
inline float GradientScale(const Shape& shape, Precision precision) {
  if (precision == Precision::kExact) return 1.0f;
  float scale = 16.0f;
  for (std::int64_t pixels = 1; pixels < shape.plane(); pixels *= 2) scale *= 2.0f;
  return scale;
}
inline float GradientScale(const FeaturesView& features) { return GradientScale(features.shape, features.precision); }

LIKENESS_END_TARGET
