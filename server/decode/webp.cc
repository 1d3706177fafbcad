// WebP, through libwebp.
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "server/decode/formats.h"
#include "server/reason.h"
#include "webp/decode.h"
#include "webp/demux.h"

namespace likeness::server {
namespace {

constexpr std::size_t kRiffHeaderBytes = 8;

const std::uint8_t* BytesOf(absl::string_view file) { return reinterpret_cast<const std::uint8_t*>(file.data()); }

absl::Status WebpError(VP8StatusCode code, const std::string& name) {
  switch (code) {
    case VP8_STATUS_OUT_OF_MEMORY:
      return absl::ResourceExhaustedError(absl::StrCat(name, ": no memory to decode the WebP file"));
    case VP8_STATUS_NOT_ENOUGH_DATA:
    case VP8_STATUS_SUSPENDED:
      return BadImage(absl::StrCat(name, ": the WebP file is truncated"));
    case VP8_STATUS_UNSUPPORTED_FEATURE:
      return UnsupportedImage(absl::StrCat(name, ": the WebP file uses a feature that is not supported"));
    default:
      return BadImage(absl::StrCat(name, ": the WebP file is damaged (decoder status ", static_cast<int>(code), ")"));
  }
}

// The payload of a metadata chunk, empty when the file says that it has none. A file that announces a chunk and lacks
// it is damaged: to go on would ignore what it says about its pixels.
absl::StatusOr<std::string> ReadChunk(absl::string_view file, const char* fourcc, WebPFeatureFlags flag,
                                      const std::string& name) {
  const WebPData data = {BytesOf(file), file.size()};
  const std::unique_ptr<WebPDemuxer, void (*)(WebPDemuxer*)> demuxer(WebPDemux(&data), WebPDemuxDelete);
  if (demuxer == nullptr) return BadImage(absl::StrCat(name, ": the WebP file's chunks are damaged"));
  if ((WebPDemuxGetI(demuxer.get(), WEBP_FF_FORMAT_FLAGS) & flag) == 0) return std::string();
  WebPChunkIterator chunk;
  if (WebPDemuxGetChunk(demuxer.get(), fourcc, 1, &chunk) == 0) {
    return BadImage(absl::StrCat(name, ": the WebP file announces a chunk ", fourcc, " and has none"));
  }
  std::string payload(reinterpret_cast<const char*>(chunk.chunk.bytes), chunk.chunk.size);
  WebPDemuxReleaseChunkIterator(&chunk);
  return payload;
}

}  // namespace

absl::StatusOr<FileHeader> ReadWebpHeader(absl::string_view file, const std::string& name) {
  std::uint32_t riff_bytes = 0;
  for (int i = 3; i >= 0; --i) riff_bytes = riff_bytes << 8 | static_cast<unsigned char>(file[4 + i]);
  if (riff_bytes > file.size() - kRiffHeaderBytes) {
    return BadImage(absl::StrCat(name, ": the WebP file is truncated: it says ", riff_bytes + kRiffHeaderBytes,
                                 " bytes and has ", file.size()));
  }
  WebPBitstreamFeatures features;
  const VP8StatusCode code = WebPGetFeatures(BytesOf(file), file.size(), &features);
  if (code != VP8_STATUS_OK) return WebpError(code, name);
  if (features.has_animation != 0) return UnsupportedImage(absl::StrCat(name, ": animated WebP; send one frame"));
  FileHeader header;
  header.format = FileFormat::kWebp;
  header.width = features.width;
  header.height = features.height;
  header.channels = features.has_alpha != 0 ? 4 : 3;
  ASSIGN_OR_RETURN(const std::string exif, ReadChunk(file, "EXIF", EXIF_FLAG, name));
  if (!exif.empty()) {
    ASSIGN_OR_RETURN(header.orientation, ExifOrientation(exif, name));
    if (SwapsSides(header.orientation)) std::swap(header.width, header.height);
  }
  // Lossless files are decoded through a 32-bit image, lossy ones with alpha through an alpha plane.
  header.scratch_bytes = std::int64_t{features.width} * features.height * 5 + (std::int64_t{1} << 18);
  return header;
}

absl::StatusOr<FilePixels> DecodeWebp(absl::string_view file, const FileHeader& header, const std::string& name) {
  const bool swapped = SwapsSides(header.orientation);
  FilePixels pixels;
  ASSIGN_OR_RETURN(pixels.image, Image::Create(swapped ? header.height : header.width,
                                               swapped ? header.width : header.height, header.channels, header.type));
  WebPDecoderConfig config;
  if (WebPInitDecoderConfig(&config) == 0) return absl::InternalError("libwebp's header and library differ in version");
  config.output.colorspace = header.channels == 4 ? MODE_RGBA : MODE_RGB;
  config.output.is_external_memory = 1;
  config.output.u.RGBA.rgba = static_cast<std::uint8_t*>(pixels.image.data());
  config.output.u.RGBA.stride = static_cast<int>(pixels.image.view().row_bytes);
  config.output.u.RGBA.size = static_cast<std::size_t>(pixels.image.view().size_bytes());
  const VP8StatusCode code = WebPDecode(BytesOf(file), file.size(), &config);
  WebPFreeDecBuffer(&config.output);
  if (code != VP8_STATUS_OK) return WebpError(code, name);
  ASSIGN_OR_RETURN(pixels.icc_profile, ReadChunk(file, "ICCP", ICCP_FLAG, name));
  return pixels;
}

}  // namespace likeness::server
