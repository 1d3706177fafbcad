// Single samples of an image in the memory of the GPU.
#pragma once

#include <cuda_fp16.h>

#include "kernels/image_view.h"
#include "kernels/ops/cuda_device.h"

LIKENESS_BEGIN_TARGET

// Samples side by side that are read or written at once: the first lies at a multiple of as many.
template <class T>
struct alignas(2 * sizeof(T)) Two {
  T v[2];
};
template <class T>
struct alignas(4 * sizeof(T)) Four {
  T v[4];
};

__device__ __forceinline__ float ToFloat(std::uint8_t sample) { return static_cast<float>(sample); }
__device__ __forceinline__ float ToFloat(std::uint16_t sample) { return static_cast<float>(sample); }
__device__ __forceinline__ float ToFloat(__half sample) { return __half2float(sample); }
__device__ __forceinline__ float ToFloat(float sample) { return sample; }

// Sample `at` of a row as it is stored.
__device__ __forceinline__ float StoredSample(const void* row, PixelType type, std::int64_t at) {
  switch (type) {
    case PixelType::kUint8:
      return ToFloat(static_cast<const std::uint8_t*>(row)[at]);
    case PixelType::kUint16:
      return ToFloat(static_cast<const std::uint16_t*>(row)[at]);
    case PixelType::kFloat16:
      return ToFloat(static_cast<const __half*>(row)[at]);
    default:
      return ToFloat(static_cast<const float*>(row)[at]);
  }
}

// On the [0, 1] scale.
__device__ inline Vec ReadSample(const ImageView& image, int channel, int y, int x) {
  const auto* row = static_cast<const std::byte*>(image.data);
  std::int64_t at;  // in samples
  if (image.layout == Layout::kHwc) {
    row += y * image.row_bytes;
    at = std::int64_t{x} * image.channels + channel;
  } else {
    row += (std::int64_t{channel} * image.height + y) * image.row_bytes;
    at = x;
  }
  return Vec(StoredSample(row, image.type, at)) / Vec(image.value_of_one);
}

// Of a colour channel over the background; a gray image has the same in all.
__device__ inline Vec ReadComposited(const ImageView& image, Vec background, int channel, int y, int x) {
  const Vec value = ReadSample(image, channel < image.color_channels() ? channel : 0, y, x);
  if (!image.has_alpha()) return value;
  return background + ReadSample(image, image.channels - 1, y, x) * (value - background);
}

LIKENESS_END_TARGET
