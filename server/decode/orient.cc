// EXIF orientation: reading it and applying it.
#include <cstdint>
#include <cstring>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "server/decode/formats.h"
#include "server/reason.h"

namespace likeness::server {
namespace {

constexpr std::uint32_t kOrientationTag = 0x0112;
constexpr std::uint32_t kShort = 3;
constexpr std::size_t kEntryBytes = 12;

// Little or big endian, as the TIFF header says. Offsets are checked by the caller.
class TiffReader {
 public:
  TiffReader(absl::string_view bytes, bool big_endian) : bytes_(bytes), big_endian_(big_endian) {}
  bool Has(std::size_t offset, std::size_t count) const {
    return offset <= bytes_.size() && count <= bytes_.size() - offset;
  }
  std::uint32_t U16(std::size_t offset) const {
    const std::uint32_t a = static_cast<unsigned char>(bytes_[offset]);
    const std::uint32_t b = static_cast<unsigned char>(bytes_[offset + 1]);
    return big_endian_ ? a << 8 | b : b << 8 | a;
  }
  std::uint32_t U32(std::size_t offset) const {
    return big_endian_ ? U16(offset) << 16 | U16(offset + 2) : U16(offset + 2) << 16 | U16(offset);
  }

 private:
  absl::string_view bytes_;
  bool big_endian_;
};

// Copies pixels of a size known at compile time, which is what makes the copy a plain load and store.
template <std::size_t kBytes>
void OrientPixels(const ImageView& source, int orientation, int width, int height, unsigned char* out) {
  const auto* in = static_cast<const unsigned char*>(source.data);
  const std::ptrdiff_t pixel = kBytes;
  const std::ptrdiff_t row = source.row_bytes;
  const std::ptrdiff_t right = (source.width - 1) * pixel;
  const std::ptrdiff_t bottom = (source.height - 1) * row;
  // Where the upright image's (0, 0) lies in the source, and how far a step in x and in y goes there.
  std::ptrdiff_t origin = 0, step_x = pixel, step_y = row;
  switch (orientation) {
    case 2:  // mirrored left to right
      origin = right, step_x = -pixel;
      break;
    case 3:  // upside down
      origin = bottom + right, step_x = -pixel, step_y = -row;
      break;
    case 4:  // mirrored top to bottom
      origin = bottom, step_y = -row;
      break;
    case 5:  // mirrored along the main diagonal
      step_x = row, step_y = pixel;
      break;
    case 6:  // to be turned clockwise
      origin = bottom, step_x = -row, step_y = pixel;
      break;
    case 7:  // mirrored along the other diagonal
      origin = bottom + right, step_x = -row, step_y = -pixel;
      break;
    case 8:  // to be turned counter-clockwise
      origin = right, step_x = row, step_y = -pixel;
      break;
    default:
      break;
  }
  for (int y = 0; y < height; ++y) {
    const unsigned char* from = in + origin + y * step_y;
    for (int x = 0; x < width; ++x) {
      std::memcpy(out, from, kBytes);
      out += kBytes;
      from += step_x;
    }
  }
}

}  // namespace

absl::StatusOr<int> ExifOrientation(absl::string_view exif, const std::string& name) {
  constexpr absl::string_view kPrefix("Exif\0\0", 6);
  if (absl::StartsWith(exif, kPrefix)) exif.remove_prefix(kPrefix.size());
  const auto damaged = [&name](absl::string_view what) {
    return BadImage(absl::StrCat(name, ": the EXIF block is damaged (", what, "); strip or rewrite it"));
  };
  const bool big_endian = absl::StartsWith(exif, "MM");
  if (!big_endian && !absl::StartsWith(exif, "II")) return damaged("no TIFF header");
  const TiffReader tiff(exif, big_endian);
  if (!tiff.Has(0, 8) || tiff.U16(2) != 42) return damaged("no TIFF header");
  const std::size_t directory = tiff.U32(4);
  if (!tiff.Has(directory, 2)) return damaged("the first directory lies outside of it");
  const std::size_t entry_count = tiff.U16(directory);
  if (!tiff.Has(directory + 2, entry_count * kEntryBytes)) return damaged("the first directory is cut short");
  for (std::size_t i = 0; i < entry_count; ++i) {
    const std::size_t entry = directory + 2 + i * kEntryBytes;
    if (tiff.U16(entry) != kOrientationTag) continue;
    const std::uint32_t value = tiff.U16(entry + 8);
    if (tiff.U16(entry + 2) != kShort || tiff.U32(entry + 4) != 1 || value > 8) {
      return damaged(absl::StrCat("orientation ", value, " is not one of 1 to 8"));
    }
    // Some cameras write 0 for "do not know".
    return value == 0 ? 1 : static_cast<int>(value);
  }
  return 1;
}

absl::StatusOr<Image> Orient(Image image, int orientation) {
  if (orientation == 1) return image;
  const ImageView& source = image.view();
  const int width = SwapsSides(orientation) ? source.height : source.width;
  const int height = SwapsSides(orientation) ? source.width : source.height;
  ASSIGN_OR_RETURN(Image upright,
                   Image::Create(width, height, source.channels, source.type, Layout::kHwc, source.value_of_one));
  auto* out = static_cast<unsigned char*>(upright.data());
  switch (source.channels * BytesPerSample(source.type)) {
    case 1:
      OrientPixels<1>(source, orientation, width, height, out);
      break;
    case 2:
      OrientPixels<2>(source, orientation, width, height, out);
      break;
    case 3:
      OrientPixels<3>(source, orientation, width, height, out);
      break;
    case 4:
      OrientPixels<4>(source, orientation, width, height, out);
      break;
    case 6:
      OrientPixels<6>(source, orientation, width, height, out);
      break;
    case 8:
      OrientPixels<8>(source, orientation, width, height, out);
      break;
    default:
      return absl::InternalError(
          absl::StrCat("no file has pixels of ", source.channels, " ", PixelTypeName(source.type), " samples"));
  }
  return upright;
}

}  // namespace likeness::server
