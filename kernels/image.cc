#include "kernels/image.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>

#include "absl/strings/str_cat.h"

namespace likeness {
namespace {

constexpr std::size_t kAlignment = 64;

// Samples looked at between two early exits; small enough to stay in L1, long enough to vectorise.
constexpr std::int64_t kBlock = 4096;

// The position of the first sample of a row whose magnitude bits reach `infinity`, or -1. Comparing bits instead of
// floats keeps the test valid whatever the compiler assumes of NaNs, and serves binary16 as well.
template <typename Bits>
std::int64_t FirstNonFinite(const unsigned char* row, std::int64_t count, Bits infinity) {
  constexpr Bits kMagnitude = static_cast<Bits>(~(Bits{1} << (8 * sizeof(Bits) - 1)));
  for (std::int64_t begin = 0; begin < count; begin += kBlock) {
    const std::int64_t block = std::min(kBlock, count - begin);
    const unsigned char* samples = row + begin * static_cast<std::int64_t>(sizeof(Bits));
    Bits largest = 0;
    for (std::int64_t i = 0; i < block; ++i) {
      Bits bits;
      std::memcpy(&bits, samples + i * static_cast<std::int64_t>(sizeof(Bits)), sizeof(bits));
      largest = std::max(largest, static_cast<Bits>(bits & kMagnitude));
    }
    if (largest < infinity) continue;
    for (std::int64_t i = 0; i < block; ++i) {
      Bits bits;
      std::memcpy(&bits, samples + i * static_cast<std::int64_t>(sizeof(Bits)), sizeof(bits));
      if (static_cast<Bits>(bits & kMagnitude) >= infinity) return begin + i;
    }
  }
  return -1;
}

template <typename Bits>
absl::Status CheckFiniteBits(const ImageView& image, const std::string& name, Bits infinity) {
  const bool interleaved = image.layout == Layout::kHwc;
  const std::int64_t row_count = interleaved ? image.height : std::int64_t{image.height} * image.channels;
  const std::int64_t row_samples = interleaved ? std::int64_t{image.width} * image.channels : image.width;
  const auto* base = static_cast<const unsigned char*>(image.data);
  for (std::int64_t row = 0; row < row_count; ++row) {
    const unsigned char* samples = base + row * image.row_bytes;
    const std::int64_t at = FirstNonFinite<Bits>(samples, row_samples, infinity);
    if (at < 0) continue;
    Bits bits;
    std::memcpy(&bits, samples + at * static_cast<std::int64_t>(sizeof(Bits)), sizeof(bits));
    const Bits magnitude = static_cast<Bits>(bits & static_cast<Bits>(~(Bits{1} << (8 * sizeof(Bits) - 1))));
    const char* what = magnitude > infinity ? "NaN" : magnitude == bits ? "infinity" : "-infinity";
    const std::int64_t x = interleaved ? at / image.channels : at;
    const std::int64_t y = interleaved ? row : row % image.height;
    const std::int64_t channel = interleaved ? at % image.channels : row / image.height;
    return absl::InvalidArgumentError(absl::StrCat(name, " holds ", what, " at x = ", x, ", y = ", y, ", channel ",
                                                   channel, "; every sample must be finite"));
  }
  return absl::OkStatus();
}

}  // namespace

const char* PixelTypeName(PixelType type) {
  switch (type) {
    case PixelType::kUint8:
      return "uint8";
    case PixelType::kUint16:
      return "uint16";
    case PixelType::kFloat16:
      return "float16";
    case PixelType::kFloat32:
      return "float32";
  }
  return "unknown";
}

double DefaultValueOfOne(PixelType type) {
  switch (type) {
    case PixelType::kUint8:
      return 255.0;
    case PixelType::kUint16:
      return 65535.0;
    case PixelType::kFloat16:
    case PixelType::kFloat32:
      return 1.0;
  }
  return 1.0;
}

void Image::Free::operator()(void* p) const { std::free(p); }

absl::StatusOr<Image> Image::Create(int width, int height, int channels, PixelType type, Layout layout,
                                    double value_of_one) {
  if (width < 1 || height < 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("an image of ", width, "x", height, " pixels; width and height must be at least 1"));
  }
  if (channels < 1 || channels > 4) {
    return absl::InvalidArgumentError(
        absl::StrCat("an image of ", channels, " channels; 1 (gray), 2 (gray + alpha), 3 (RGB) or 4 (RGB + alpha)"));
  }
  // 0 is the default argument and means "the type's own scale".
  if (value_of_one == 0.0) value_of_one = DefaultValueOfOne(type);
  if (!std::isfinite(value_of_one) || value_of_one <= 0.0) {
    return absl::InvalidArgumentError(
        absl::StrCat("value_of_one is ", value_of_one, "; it must be finite and above 0"));
  }
  Image image;
  ImageView& view = image.view_;
  view.width = width;
  view.height = height;
  view.channels = channels;
  view.type = type;
  view.layout = layout;
  view.value_of_one = value_of_one;
  const std::int64_t row_samples = layout == Layout::kHwc ? std::int64_t{width} * channels : width;
  view.row_bytes = static_cast<std::ptrdiff_t>(row_samples * BytesPerSample(type));
  // width * height fits 62 bits; times at most 16 bytes a pixel it may not.
  if (view.pixel_count() > std::numeric_limits<std::int64_t>::max() / 32) {
    return absl::InvalidArgumentError(absl::StrCat("an image of ", width, "x", height, " pixels cannot be addressed"));
  }
  const auto size = static_cast<std::size_t>(view.size_bytes());
  image.pixels_.reset(std::aligned_alloc(kAlignment, (size + kAlignment - 1) / kAlignment * kAlignment));
  if (image.pixels_ == nullptr) {
    return absl::ResourceExhaustedError(absl::StrCat("no memory for an image of ", size, " bytes"));
  }
  view.data = image.pixels_.get();
  return image;
}

absl::Status CheckFinite(const ImageView& image, const std::string& name) {
  switch (image.type) {
    case PixelType::kUint8:
    case PixelType::kUint16:
      return absl::OkStatus();
    case PixelType::kFloat16:
      return CheckFiniteBits<std::uint16_t>(image, name, 0x7c00);
    case PixelType::kFloat32:
      return CheckFiniteBits<std::uint32_t>(image, name, 0x7f800000);
  }
  return absl::OkStatus();
}

}  // namespace likeness
