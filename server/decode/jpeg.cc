// JPEG, through libjpeg-turbo. Its errors leave by longjmp, so the functions between setjmp and the library hold
// nothing that needs a destructor.
#include <csetjmp>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "server/decode/formats.h"
#include "server/reason.h"
// After cstdio: jpeglib.h uses FILE and size_t without including them.
#include "jerror.h"
#include "jpeglib.h"

namespace likeness::server {
namespace {

// A file of a few kilobytes can name thousands of scans, each a pass over the whole image. Encoders make about ten.
constexpr int kScanCountMax = 100;
constexpr int kExifMarker = JPEG_APP0 + 1;
constexpr int kIccMarker = JPEG_APP0 + 2;

struct Decoder {
  jpeg_decompress_struct info;
  jpeg_error_mgr errors;
  jpeg_progress_mgr progress;
  std::jmp_buf escape;
  char message[JMSG_LENGTH_MAX];
  bool too_many_scans;
};

Decoder* DecoderOf(j_common_ptr info) { return static_cast<Decoder*>(info->client_data); }

[[noreturn]] void Fail(j_common_ptr info) {
  Decoder* decoder = DecoderOf(info);
  (*info->err->format_message)(info, decoder->message);
  std::longjmp(decoder->escape, 1);
}

// Level -1 is a warning: damaged data that libjpeg would paper over with gray. A score of papered-over pixels is wrong.
void OnMessage(j_common_ptr info, int level) {
  // "Unknown JFIF revision" says nothing about the pixels.
  if (level >= 0 || info->err->msg_code == JWRN_JFIF_MAJOR) return;
  Fail(info);
}

void OnProgress(j_common_ptr info) {
  if (reinterpret_cast<j_decompress_ptr>(info)->input_scan_number <= kScanCountMax) return;
  Decoder* decoder = DecoderOf(info);
  decoder->too_many_scans = true;
  std::snprintf(decoder->message, sizeof(decoder->message), "more than %d scans", kScanCountMax);
  std::longjmp(decoder->escape, 1);
}

void Open(Decoder* decoder, const unsigned char* file, unsigned long size) {
  decoder->info.err = jpeg_std_error(&decoder->errors);
  decoder->errors.error_exit = Fail;
  decoder->errors.emit_message = OnMessage;
  decoder->info.client_data = decoder;
  jpeg_create_decompress(&decoder->info);
  decoder->progress.progress_monitor = OnProgress;
  decoder->info.progress = &decoder->progress;
  jpeg_mem_src(&decoder->info, file, size);
}

// Each returns false when the library gave up; decoder->message says why.
bool ReadHeaderOf(Decoder* decoder, const unsigned char* file, unsigned long size) {
  if (setjmp(decoder->escape) != 0) return false;
  Open(decoder, file, size);
  jpeg_save_markers(&decoder->info, kExifMarker, 0xffff);
  jpeg_read_header(&decoder->info, TRUE);
  return true;
}

bool DecodePixels(Decoder* decoder, const unsigned char* file, unsigned long size, unsigned char* out,
                  std::ptrdiff_t row_bytes, JOCTET** profile, unsigned int* profile_bytes) {
  if (setjmp(decoder->escape) != 0) return false;
  Open(decoder, file, size);
  jpeg_save_markers(&decoder->info, kIccMarker, 0xffff);
  jpeg_read_header(&decoder->info, TRUE);
  jpeg_read_icc_profile(&decoder->info, profile, profile_bytes);
  decoder->info.out_color_space = decoder->info.jpeg_color_space == JCS_GRAYSCALE ? JCS_GRAYSCALE : JCS_RGB;
  // Named, not left to the build's default: a score must not depend on who packaged the library.
  decoder->info.dct_method = JDCT_ISLOW;
  decoder->info.do_fancy_upsampling = TRUE;
  jpeg_start_decompress(&decoder->info);
  while (decoder->info.output_scanline < decoder->info.output_height) {
    JSAMPROW row = out + static_cast<std::ptrdiff_t>(decoder->info.output_scanline) * row_bytes;
    jpeg_read_scanlines(&decoder->info, &row, 1);
  }
  jpeg_finish_decompress(&decoder->info);
  return true;
}

struct CloseDecoder {
  void operator()(Decoder* decoder) const {
    jpeg_destroy_decompress(&decoder->info);
    delete decoder;
  }
};
using DecoderPtr = std::unique_ptr<Decoder, CloseDecoder>;

// Zeroed, so that destroying it is safe even before jpeg_create_decompress.
DecoderPtr MakeDecoder() { return DecoderPtr(new Decoder()); }

const unsigned char* BytesOf(absl::string_view file) { return reinterpret_cast<const unsigned char*>(file.data()); }

absl::Status JpegError(const Decoder& decoder, const std::string& name) {
  if (decoder.too_many_scans) {
    return UnsupportedImage(absl::StrCat(name, ": the JPEG file has ", decoder.message, "; re-encode it"));
  }
  return BadImage(absl::StrCat(name, ": the JPEG file is damaged or truncated: ", decoder.message));
}

}  // namespace

absl::StatusOr<FileHeader> ReadJpegHeader(absl::string_view file, const std::string& name) {
  const DecoderPtr decoder = MakeDecoder();
  if (!ReadHeaderOf(decoder.get(), BytesOf(file), file.size())) return JpegError(*decoder, name);
  const jpeg_decompress_struct& info = decoder->info;
  FileHeader header;
  header.format = FileFormat::kJpeg;
  header.width = static_cast<int>(info.image_width);
  header.height = static_cast<int>(info.image_height);
  switch (info.jpeg_color_space) {
    case JCS_GRAYSCALE:
      header.channels = 1;
      break;
    case JCS_YCbCr:
    case JCS_RGB:
      header.channels = 3;
      break;
    case JCS_CMYK:
    case JCS_YCCK:
      return UnsupportedImage(absl::StrCat(name, ": CMYK JPEG; convert it to sRGB"));
    default:
      return UnsupportedImage(absl::StrCat(name, ": JPEG of ", info.num_components,
                                           " components in an unknown colour space; convert it to sRGB"));
  }
  for (jpeg_saved_marker_ptr marker = info.marker_list; marker != nullptr; marker = marker->next) {
    const absl::string_view data(reinterpret_cast<const char*>(marker->data), marker->data_length);
    // APP1 also carries XMP.
    if (marker->marker != kExifMarker || data.substr(0, 6) != absl::string_view("Exif\0\0", 6)) continue;
    ASSIGN_OR_RETURN(header.orientation, ExifOrientation(data, name));
    if (SwapsSides(header.orientation)) std::swap(header.width, header.height);
    break;
  }
  // Files of several scans keep every coefficient, two bytes each, until the last scan; blocks round sides up.
  const std::int64_t padded_pixels = (std::int64_t{header.width} + 32) * (std::int64_t{header.height} + 32);
  header.scratch_bytes =
      jpeg_has_multiple_scans(&decoder->info) ? padded_pixels * header.channels * 2 : std::int64_t{header.width} * 128;
  return header;
}

absl::StatusOr<FilePixels> DecodeJpeg(absl::string_view file, const FileHeader& header, const std::string& name) {
  const bool swapped = SwapsSides(header.orientation);
  FilePixels pixels;
  ASSIGN_OR_RETURN(pixels.image, Image::Create(swapped ? header.height : header.width,
                                               swapped ? header.width : header.height, header.channels, header.type));
  const DecoderPtr decoder = MakeDecoder();
  JOCTET* profile = nullptr;
  unsigned int profile_bytes = 0;
  const bool decoded =
      DecodePixels(decoder.get(), BytesOf(file), file.size(), static_cast<unsigned char*>(pixels.image.data()),
                   pixels.image.view().row_bytes, &profile, &profile_bytes);
  const std::unique_ptr<JOCTET, void (*)(void*)> owned_profile(profile, std::free);
  if (!decoded) return JpegError(*decoder, name);
  if (profile != nullptr) pixels.icc_profile.assign(reinterpret_cast<const char*>(profile), profile_bytes);
  return pixels;
}

}  // namespace likeness::server
