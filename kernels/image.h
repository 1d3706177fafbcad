// Images as the scorer sees them: decoded pixels in memory, nothing about files.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace likeness {

enum class PixelType { kUint8, kUint16, kFloat16, kFloat32 };

// kHwc: rows of interleaved pixels. kChw: one plane a channel, each plane rows of samples.
enum class Layout { kHwc, kChw };

int BytesPerSample(PixelType type);
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

  bool has_alpha() const { return channels == 2 || channels == 4; }
  int color_channels() const { return channels <= 2 ? 1 : 3; }
  std::int64_t pixel_count() const { return std::int64_t{width} * height; }
  // Bytes from the first to the last sample when rows are packed.
  std::int64_t size_bytes() const { return pixel_count() * channels * BytesPerSample(type); }
};

// Owns packed pixels, aligned to 64 bytes. Movable, not copyable.
class Image {
 public:
  Image() = default;

  // INVALID_ARGUMENT unless 1 <= width, height and channels is 1..4 and value_of_one > 0. Pixels are uninitialised.
  static absl::StatusOr<Image> Create(int width, int height, int channels, PixelType type, Layout layout = Layout::kHwc,
                                      double value_of_one = 0.0);

  const ImageView& view() const { return view_; }
  void* data() { return pixels_.get(); }

 private:
  struct Free {
    void operator()(void* p) const;
  };
  std::unique_ptr<void, Free> pixels_;
  ImageView view_;
};

// The value that stands for 1.0 when nobody says otherwise: 255, 65535, 1 and 1.
double DefaultValueOfOne(PixelType type);

// INVALID_ARGUMENT that names the first offending sample when a float image holds a NaN or an infinity.
absl::Status CheckFinite(const ImageView& image, const std::string& name);

// A float32 tensor that the scorer returns: a map or a gradient. Packed, in `layout`.
struct Tensor {
  int width = 0;
  int height = 0;
  int channels = 0;
  Layout layout = Layout::kHwc;
  // Where the tensor's (0, 0) lies in the image, in image pixels: a map over valid windows only starts at (5, 5).
  int offset_x = 0;
  int offset_y = 0;
  std::unique_ptr<float[]> data;

  bool empty() const { return data == nullptr; }
  std::int64_t sample_count() const { return std::int64_t{width} * height * channels; }
};

}  // namespace likeness
