// From what came over the wire to an image in memory: PNG, JPEG and WebP files and raw samples. Knows no protobuf.
//
// What a file says about its colour is honoured or the file is refused with the reason, never ignored:
//   ICC profile   equal to sRGB (to one 8-bit level everywhere): pixels pass through bit for bit. Other: converted to
//                 sRGB, relative colorimetric. A profile of another colour model than the image's is refused.
//   PNG gAMA, cHRM, cICP   refused unless they say sRGB; an sRGB or iCCP chunk overrides gAMA and cHRM, as PNG has it.
//   EXIF          orientation is applied.
//   CMYK, animations   refused.
// Gray stays one channel, palettes become RGB, transparency of any kind becomes a straight alpha channel, 16-bit PNG
// stays 16 bit. A file that ends early or whose decoder warns of damage is refused.
#pragma once

#include <cstdint>
#include <string>
#include <variant>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "kernels/image.h"

namespace likeness::server {

// What no image may exceed, whatever a server allows.
inline constexpr std::int64_t kMaxSide = std::int64_t{1} << 20;
inline constexpr std::int64_t kMaxPixels = std::int64_t{1} << 30;

// All inclusive.
struct ImageLimits {
  std::int64_t encoded_bytes = std::int64_t{64} << 20;
  int side = 16384;
  std::int64_t pixels = std::int64_t{1} << 26;
};

enum class FileFormat { kPng, kJpeg, kWebp };
const char* FileFormatName(FileFormat format);

// What DecodeFile will return, told without decoding.
struct FileHeader {
  FileFormat format = FileFormat::kPng;
  // As displayed: after the orientation.
  int width = 0;
  int height = 0;
  int channels = 0;
  PixelType type = PixelType::kUint8;
  // EXIF, 1 to 8; 1 is upright.
  int orientation = 1;
  // Most that decoding holds beside the image itself.
  std::int64_t scratch_bytes = 0;

  std::int64_t image_bytes() const { return std::int64_t{width} * height * channels * BytesPerSample(type); }
};

// `name` is "reference" or "distorted"; every message begins with it. Errors carry a reason (server/reason.h).
// INVALID_ARGUMENT: not one of the formats, damaged, or of a refused kind. RESOURCE_EXHAUSTED: over the limits.
absl::StatusOr<FileHeader> ReadHeader(absl::string_view file, const ImageLimits& limits, const std::string& name);

// `header` is ReadHeader's for the same file. Blocks for as long as decoding takes; thread safe.
absl::StatusOr<Image> DecodeFile(absl::string_view file, const FileHeader& header, const std::string& name);

// Samples without a container, packed.
struct RawSamples {
  absl::string_view data;
  int width = 0;
  int height = 0;
  int channels = 0;
  PixelType type = PixelType::kUint8;
  Layout layout = Layout::kHwc;
  double value_of_one = 255.0;
};

// An image as it came.
struct EncodedFile {
  absl::string_view bytes;
};
using ImageSource = std::variant<RawSamples, EncodedFile>;

// A view of raw.data. Whether float samples are finite is CheckFinite's to say: it reads them all.
absl::StatusOr<ImageView> ViewRaw(const RawSamples& raw, const ImageLimits& limits, const std::string& name);

}  // namespace likeness::server
