// PNG, through libspng. Chunks that libspng does not report before the pixels, or not at all, are found by a walk over
// the chunk headers, which reads eight bytes a chunk.
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "server/decode/formats.h"
#include "server/reason.h"
#include "spng.h"

namespace likeness::server {
namespace {

constexpr std::size_t kSignatureBytes = 8;
constexpr std::size_t kChunkOverheadBytes = 12;  // length, type and checksum
// Beyond any honest profile or comment; what a hostile one may make libspng allocate.
constexpr std::size_t kChunkBytesMax = std::size_t{16} << 20;
constexpr std::size_t kChunkCacheBytesMax = std::size_t{32} << 20;

std::uint32_t ReadU32(absl::string_view bytes, std::size_t offset) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < 4; ++i) value = value << 8 | static_cast<unsigned char>(bytes[offset + i]);
  return value;
}

// The payloads of the chunks that matter here, where present.
struct Chunks {
  absl::string_view header;
  std::optional<absl::string_view> gamma, chromaticities, code_points, transparency, exif;
  bool srgb = false;
  bool icc_profile = false;
  bool animation = false;
  bool end = false;
};

absl::StatusOr<Chunks> WalkChunks(absl::string_view file, const std::string& name) {
  Chunks chunks;
  std::size_t at = kSignatureBytes;
  while (!chunks.end) {
    const std::size_t left = file.size() - at;
    if (left < kChunkOverheadBytes || ReadU32(file, at) > left - kChunkOverheadBytes) {
      return BadImage(absl::StrCat(name, ": the PNG file of ", file.size(), " bytes is truncated"));
    }
    const std::size_t size = ReadU32(file, at);
    const absl::string_view type = file.substr(at + 4, 4);
    const absl::string_view payload = file.substr(at + 8, size);
    if (at == kSignatureBytes) {
      if (type != "IHDR" || size != 13) return BadImage(absl::StrCat(name, ": the PNG file has no header chunk"));
      chunks.header = payload;
    } else if (type == "gAMA") {
      chunks.gamma = payload;
    } else if (type == "cHRM") {
      chunks.chromaticities = payload;
    } else if (type == "cICP") {
      chunks.code_points = payload;
    } else if (type == "tRNS") {
      chunks.transparency = payload;
    } else if (type == "eXIf") {
      chunks.exif = payload;
    } else if (type == "sRGB") {
      chunks.srgb = true;
    } else if (type == "iCCP") {
      chunks.icc_profile = true;
    } else if (type == "acTL") {
      chunks.animation = true;
    } else if (type == "IEND") {
      chunks.end = true;
    }
    at += size + kChunkOverheadBytes;
  }
  return chunks;
}

absl::Status CheckColor(const Chunks& chunks, bool gray, const std::string& name) {
  if (chunks.code_points.has_value()) {
    // Primaries BT.709, transfer sRGB, full-range RGB.
    if (*chunks.code_points != absl::string_view("\x01\x0d\x00\x01", 4)) {
      return UnsupportedImage(
          absl::StrCat(name, ": the PNG file's cICP chunk names a colour space other than sRGB; convert it to sRGB"));
    }
    return absl::OkStatus();
  }
  if (chunks.icc_profile || chunks.srgb) return absl::OkStatus();
  if (chunks.gamma.has_value()) {
    if (chunks.gamma->size() != 4) return BadImage(absl::StrCat(name, ": the PNG file's gAMA chunk is damaged"));
    // sRGB files say 45455; some writers round 1/2.2 otherwise.
    const std::uint32_t gamma = ReadU32(*chunks.gamma, 0);
    if (gamma < 45000 || gamma > 46000) {
      return UnsupportedImage(absl::StrCat(name, ": the PNG file's gAMA is ", gamma,
                                           " / 100000, sRGB's is 45455; convert the file to sRGB or drop the chunk"));
    }
  }
  if (chunks.chromaticities.has_value() && !gray) {
    if (chunks.chromaticities->size() != 32) {
      return BadImage(absl::StrCat(name, ": the PNG file's cHRM chunk is damaged"));
    }
    constexpr std::uint32_t kSrgb[8] = {31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000};
    constexpr std::uint32_t kRounding = 100;
    for (std::size_t i = 0; i < 8; ++i) {
      const std::uint32_t value = ReadU32(*chunks.chromaticities, 4 * i);
      if (value + kRounding < kSrgb[i] || value > kSrgb[i] + kRounding) {
        return UnsupportedImage(
            absl::StrCat(name, ": the PNG file's cHRM chunk names primaries other than sRGB's; convert it to sRGB"));
      }
    }
  }
  return absl::OkStatus();
}

struct FreeContext {
  void operator()(spng_ctx* context) const { spng_ctx_free(context); }
};

absl::Status SpngError(int code, const std::string& name) {
  if (code == SPNG_EMEM) {
    return WithReason(absl::ResourceExhaustedError(absl::StrCat(
                          name, ": the PNG file's chunks need more memory than a file may have; strip its metadata")),
                      kImageTooLarge);
  }
  return BadImage(absl::StrCat(name, ": the PNG file is damaged: ", spng_strerror(code)));
}

}  // namespace

absl::StatusOr<FileHeader> ReadPngHeader(absl::string_view file, const std::string& name) {
  ASSIGN_OR_RETURN(const Chunks chunks, WalkChunks(file, name));
  if (chunks.animation) return UnsupportedImage(absl::StrCat(name, ": animated PNG; send one frame"));
  const std::uint32_t width = ReadU32(chunks.header, 0);
  const std::uint32_t height = ReadU32(chunks.header, 4);
  const int bit_depth = static_cast<unsigned char>(chunks.header[8]);
  const int color_type = static_cast<unsigned char>(chunks.header[9]);
  constexpr std::uint32_t kSideMax = 0x7fffffff;
  if (width > kSideMax || height > kSideMax) {
    return BadImage(absl::StrCat(name, ": the PNG header claims ", width, "x", height, " pixels"));
  }
  FileHeader header;
  header.format = FileFormat::kPng;
  header.width = static_cast<int>(width);
  header.height = static_cast<int>(height);
  header.type = bit_depth == 16 ? PixelType::kUint16 : PixelType::kUint8;
  const bool has_transparency = chunks.transparency.has_value();
  switch (color_type) {
    case SPNG_COLOR_TYPE_GRAYSCALE:
      header.channels = has_transparency ? 2 : 1;
      break;
    case SPNG_COLOR_TYPE_TRUECOLOR:
    case SPNG_COLOR_TYPE_INDEXED:
      header.channels = has_transparency ? 4 : 3;
      break;
    case SPNG_COLOR_TYPE_GRAYSCALE_ALPHA:
      header.channels = 2;
      break;
    case SPNG_COLOR_TYPE_TRUECOLOR_ALPHA:
      header.channels = 4;
      break;
    default:
      return BadImage(absl::StrCat(name, ": the PNG header has colour type ", color_type));
  }
  RETURN_IF_ERROR(CheckColor(chunks, header.channels <= 2, name));
  if (chunks.exif.has_value()) {
    ASSIGN_OR_RETURN(header.orientation, ExifOrientation(*chunks.exif, name));
    if (SwapsSides(header.orientation)) std::swap(header.width, header.height);
  }
  // A few rows and the inflate window; the chunk cache only for files that have large chunks of their own.
  header.scratch_bytes = std::int64_t{width} * 32 + (std::int64_t{1} << 16);
  return header;
}

absl::StatusOr<FilePixels> DecodePng(absl::string_view file, const FileHeader& header, const std::string& name) {
  const std::unique_ptr<spng_ctx, FreeContext> context(spng_ctx_new(0));
  if (context == nullptr) return absl::ResourceExhaustedError("no memory for a PNG decoder");
  spng_set_chunk_limits(context.get(), kChunkBytesMax, kChunkCacheBytesMax);
  int code = spng_set_png_buffer(context.get(), file.data(), file.size());
  spng_ihdr ihdr;
  if (code == SPNG_OK) code = spng_get_ihdr(context.get(), &ihdr);
  if (code != SPNG_OK) return SpngError(code, name);

  const bool wide = header.type == PixelType::kUint16;
  int format = SPNG_FMT_PNG;
  int flags = 0;
  if (ihdr.color_type == SPNG_COLOR_TYPE_INDEXED) {
    format = header.channels == 4 ? SPNG_FMT_RGBA8 : SPNG_FMT_RGB8;
    flags = header.channels == 4 ? SPNG_DECODE_TRNS : 0;
  } else if (ihdr.color_type == SPNG_COLOR_TYPE_GRAYSCALE && header.channels == 2) {
    format = wide ? SPNG_FMT_GA16 : SPNG_FMT_GA8;
    flags = SPNG_DECODE_TRNS;
  } else if (ihdr.color_type == SPNG_COLOR_TYPE_TRUECOLOR && header.channels == 4) {
    format = wide ? SPNG_FMT_RGBA16 : SPNG_FMT_RGBA8;
    flags = SPNG_DECODE_TRNS;
  } else if (ihdr.color_type == SPNG_COLOR_TYPE_GRAYSCALE && ihdr.bit_depth < 8) {
    format = SPNG_FMT_G8;
  }
  std::size_t size = 0;
  code = spng_decoded_image_size(context.get(), format, &size);
  if (code != SPNG_OK) return SpngError(code, name);
  FilePixels pixels;
  ASSIGN_OR_RETURN(pixels.image, Image::Create(static_cast<int>(ihdr.width), static_cast<int>(ihdr.height),
                                               header.channels, header.type));
  if (static_cast<std::int64_t>(size) != pixels.image.view().size_bytes()) {
    return absl::InternalError(absl::StrCat(name, ": the PNG decoder wants ", size, " bytes, its header said ",
                                            pixels.image.view().size_bytes()));
  }
  code = spng_decode_image(context.get(), pixels.image.data(), size, format, flags);
  if (code == SPNG_OK) code = spng_decode_chunks(context.get());
  if (code != SPNG_OK) return SpngError(code, name);

  // libspng drops damaged ancillary chunks in silence; the walk knows which ones must be there.
  ASSIGN_OR_RETURN(const Chunks chunks, WalkChunks(file, name));
  if (header.channels == (ihdr.color_type == SPNG_COLOR_TYPE_GRAYSCALE ? 2 : 4) && chunks.transparency.has_value()) {
    spng_trns transparency;
    if (spng_get_trns(context.get(), &transparency) != SPNG_OK) {
      return BadImage(absl::StrCat(name, ": the PNG file's tRNS chunk is damaged"));
    }
  }
  if (chunks.icc_profile && !chunks.code_points.has_value()) {
    spng_iccp profile;
    if (spng_get_iccp(context.get(), &profile) != SPNG_OK) {
      return BadImage(absl::StrCat(name, ": the PNG file's iCCP chunk is damaged; strip it or embed a valid profile"));
    }
    pixels.icc_profile.assign(profile.profile, profile.profile_len);
  }
  return pixels;
}

}  // namespace likeness::server
