// The parts of decoding that decode.cc puts together: one reader a format, colour profiles, orientation.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "kernels/image.h"
#include "server/decode/decode.h"

namespace likeness::server {

// Pixels as they lie in the file, with what the file says about them.
struct FilePixels {
  // Before the orientation.
  Image image;
  // Empty when the file has none.
  std::string icc_profile;
};

// Each fills all of FileHeader; limits are decode.cc's to check.
absl::StatusOr<FileHeader> ReadPngHeader(absl::string_view file, const std::string& name);
absl::StatusOr<FileHeader> ReadJpegHeader(absl::string_view file, const std::string& name);
absl::StatusOr<FileHeader> ReadWebpHeader(absl::string_view file, const std::string& name);

absl::StatusOr<FilePixels> DecodePng(absl::string_view file, const FileHeader& header, const std::string& name);
absl::StatusOr<FilePixels> DecodeJpeg(absl::string_view file, const FileHeader& header, const std::string& name);
absl::StatusOr<FilePixels> DecodeWebp(absl::string_view file, const FileHeader& header, const std::string& name);

// The orientation in an EXIF block, which begins with a TIFF header ("Exif\0\0" before it is skipped). 1 when the block
// does not say. BAD_IMAGE when the block is damaged.
absl::StatusOr<int> ExifOrientation(absl::string_view exif, const std::string& name);

// Orientations 5 to 8 exchange width and height.
inline bool SwapsSides(int orientation) { return orientation >= 5; }

// The image turned upright. `image` is interleaved.
absl::StatusOr<Image> Orient(Image image, int orientation);

// Converts the colour channels of an interleaved uint8 or uint16 image in place. Alpha stays.
absl::Status ConvertToSrgb(absl::string_view icc_profile, Image& image, const std::string& name);

}  // namespace likeness::server
