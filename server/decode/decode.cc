#include "server/decode/decode.h"

#include <cmath>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "server/decode/formats.h"
#include "server/reason.h"

namespace likeness::server {
namespace {

absl::Status CheckSize(std::int64_t width, std::int64_t height, const ImageLimits& limits, const std::string& name) {
  if (width < 1 || height < 1) {
    return BadImage(absl::StrCat(name, " is ", width, "x", height, " pixels; width and height must be at least 1"));
  }
  if (width > limits.side || height > limits.side) {
    return ImageTooLarge(absl::StrCat(name, " is ", width, "x", height, " pixels; this server takes sides up to ",
                                      limits.side, " pixels (max_side)"));
  }
  if (width * height > limits.pixels) {
    return ImageTooLarge(absl::StrCat(name, " has ", width * height, " pixels; this server takes up to ", limits.pixels,
                                      " pixels (max_pixels)"));
  }
  if (width > kMaxSide || height > kMaxSide || width * height > kMaxPixels) {
    return ImageTooLarge(absl::StrCat(name, " is ", width, "x", height, " pixels; no side may exceed ", kMaxSide,
                                      " pixels and no image ", kMaxPixels,
                                      ": scale both images down, or score them in parts"));
  }
  return absl::OkStatus();
}

absl::StatusOr<FileFormat> TellFormat(absl::string_view file, const std::string& name) {
  if (absl::StartsWith(file, "\x89PNG\r\n\x1a\n")) return FileFormat::kPng;
  if (absl::StartsWith(file, "\xff\xd8\xff")) return FileFormat::kJpeg;
  if (file.size() >= 12 && absl::StartsWith(file, "RIFF") && file.substr(8, 4) == "WEBP") return FileFormat::kWebp;
  if (file.empty()) return BadImage(absl::StrCat(name, " is an empty file; send a PNG, JPEG or WebP file"));
  return UnsupportedImage(absl::StrCat(name, " is neither PNG, JPEG nor WebP by its first bytes; convert it to PNG"));
}

}  // namespace

const char* FileFormatName(FileFormat format) {
  switch (format) {
    case FileFormat::kPng:
      return "PNG";
    case FileFormat::kJpeg:
      return "JPEG";
    case FileFormat::kWebp:
      return "WebP";
  }
  return "unknown";
}

absl::StatusOr<FileHeader> ReadHeader(absl::string_view file, const ImageLimits& limits, const std::string& name) {
  if (static_cast<std::int64_t>(file.size()) > limits.encoded_bytes) {
    return ImageTooLarge(absl::StrCat(name, " is a file of ", file.size(), " bytes; this server takes files up to ",
                                      limits.encoded_bytes, " bytes (max_encoded_bytes)"));
  }
  ASSIGN_OR_RETURN(const FileFormat format, TellFormat(file, name));
  absl::StatusOr<FileHeader> header;
  switch (format) {
    case FileFormat::kPng:
      header = ReadPngHeader(file, name);
      break;
    case FileFormat::kJpeg:
      header = ReadJpegHeader(file, name);
      break;
    case FileFormat::kWebp:
      header = ReadWebpHeader(file, name);
      break;
  }
  if (!header.ok()) return header;
  RETURN_IF_ERROR(CheckSize(header->width, header->height, limits, name));
  // Turning an image needs the upright copy beside the original.
  if (header->orientation != 1) header->scratch_bytes += header->image_bytes();
  return header;
}

absl::StatusOr<Image> DecodeFile(absl::string_view file, const FileHeader& header, const std::string& name) {
  absl::StatusOr<FilePixels> pixels;
  switch (header.format) {
    case FileFormat::kPng:
      pixels = DecodePng(file, header, name);
      break;
    case FileFormat::kJpeg:
      pixels = DecodeJpeg(file, header, name);
      break;
    case FileFormat::kWebp:
      pixels = DecodeWebp(file, header, name);
      break;
  }
  if (!pixels.ok()) return pixels.status();
  if (!pixels->icc_profile.empty()) RETURN_IF_ERROR(ConvertToSrgb(pixels->icc_profile, pixels->image, name));
  return Orient(std::move(pixels->image), header.orientation);
}

absl::StatusOr<ImageView> ViewRaw(const RawSamples& raw, const ImageLimits& limits, const std::string& name) {
  RETURN_IF_ERROR(CheckSize(raw.width, raw.height, limits, name));
  if (raw.channels < 1 || raw.channels > 4) {
    return BadImage(
        absl::StrCat(name, " has ", raw.channels, " channels; 1 (gray), 2 (gray + alpha), 3 (RGB) or 4 (RGB + alpha)"));
  }
  if (!std::isfinite(raw.value_of_one) || raw.value_of_one <= 0.0) {
    return BadImage(absl::StrCat(name, ": value_of_one is ", raw.value_of_one, "; it must be finite and above 0"));
  }
  ImageView view;
  view.data = raw.data.data();
  view.width = raw.width;
  view.height = raw.height;
  view.channels = raw.channels;
  view.type = raw.type;
  view.layout = raw.layout;
  view.value_of_one = raw.value_of_one;
  const std::int64_t row_samples = raw.layout == Layout::kHwc ? std::int64_t{raw.width} * raw.channels : raw.width;
  view.row_bytes = static_cast<std::ptrdiff_t>(row_samples * BytesPerSample(raw.type));
  if (static_cast<std::int64_t>(raw.data.size()) != view.size_bytes()) {
    return BadImage(absl::StrCat(name, " has ", raw.data.size(), " bytes of data; ", raw.width, "x", raw.height, "x",
                                 raw.channels, " ", PixelTypeName(raw.type), " samples are ", view.size_bytes()));
  }
  return view;
}

}  // namespace likeness::server
