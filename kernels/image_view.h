// What an image and a returned tensor look like in memory. Plain data, standard library only: device code reads it too.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace likeness {

enum class PixelType { kUint8, kUint16, kFloat16, kFloat32 };

// kHwc: rows of interleaved pixels. kChw: one plane a channel, each plane rows of samples.
enum class Layout { kHwc, kChw };

constexpr int BytesPerSample(PixelType type) {
  return type == PixelType::kUint8 ? 1 : type == PixelType::kFloat32 ? 4 : 2;
}
const char* PixelTypeName(PixelType type);

// Does not own its pixels. Samples are in native byte order.
//
// Channels: 1 gray, 2 gray + alpha, 3 RGB, 4 RGB + alpha. Colour is non-linear sRGB; alpha is straight (not
// premultiplied). A sample's value on the scoring scale is sample / value_of_one, so that 8-bit files have
// value_of_one 255 and the scale is [0, 1]. Float samples may lie outside of it.
struct ImageView {
  const void* data = nullptr;
  int width = 0;
  int height = 0;
  int channels = 0;
  PixelType type = PixelType::kUint8;
  Layout layout = Layout::kHwc;
  double value_of_one = 255.0;
  // Distance between rows. A CHW plane is height * row_bytes long, planes follow one another.
  std::ptrdiff_t row_bytes = 0;

  constexpr bool has_alpha() const { return channels == 2 || channels == 4; }
  constexpr int color_channels() const { return channels <= 2 ? 1 : 3; }
  std::int64_t pixel_count() const { return std::int64_t{width} * height; }
  // Bytes from the first to the last sample when rows are packed.
  std::int64_t size_bytes() const { return pixel_count() * channels * BytesPerSample(type); }
};

// A tensor that the scorer returns: a map or a gradient. Packed, in `layout`.
struct Tensor {
  int width = 0;
  int height = 0;
  int channels = 0;
  Layout layout = Layout::kHwc;
  // Where the tensor's (0, 0) lies in the image, in image pixels: a map over valid windows only starts at (5, 5).
  int offset_x = 0;
  int offset_y = 0;
  std::unique_ptr<float[]> data;
  // Instead of `data` where the request takes float16 and its backend writes that: the bits of IEEE binary16, rounded
  // to nearest even, infinite beyond 65504.
  std::unique_ptr<std::uint16_t[]> half;

  bool empty() const { return data == nullptr && half == nullptr; }
  std::int64_t sample_count() const { return std::int64_t{width} * height * channels; }
};

}  // namespace likeness
