#include "server/region_weights.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <variant>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "server/half.h"
#include "server/reason.h"

namespace likeness::server {
namespace {

constexpr char kMaskName[] = "weights.mask";
std::string RegionName(std::size_t i) { return absl::StrCat("weights.regions[", i, "].mask"); }

absl::Status CheckShape(const std::string& name, int width, int height, int channels, int image_width,
                        int image_height) {
  if (width != image_width || height != image_height) {
    return WithReason(absl::InvalidArgumentError(absl::StrCat(name, " is ", width, "x", height, ", the images are ",
                                                              image_width, "x", image_height, "; sizes must match")),
                      kSizeMismatch);
  }
  if (channels == 1) return absl::OkStatus();
  return BadImage(absl::StrCat(name, " has ", channels,
                               " channels; a mask is gray without alpha, one channel: convert it to a gray PNG"));
}

// What decoding this mask holds; 0 for raw samples, which are read where they lie in the message.
absl::StatusOr<std::int64_t> CheckMask(const ImageSource& source, const ImageLimits& limits, const std::string& name,
                                       int width, int height) {
  if (const auto* raw = std::get_if<RawSamples>(&source)) {
    ASSIGN_OR_RETURN(const ImageView view, ViewRaw(*raw, limits, name));
    RETURN_IF_ERROR(CheckShape(name, view.width, view.height, view.channels, width, height));
    return 0;
  }
  ASSIGN_OR_RETURN(const FileHeader header, ReadHeader(std::get<EncodedFile>(source).bytes, limits, name));
  RETURN_IF_ERROR(CheckShape(name, header.width, header.height, header.channels, width, height));
  return header.image_bytes() + header.scratch_bytes;
}

// Samples of one type in memory of any alignment.
template <class Sample>
struct Reader {
  double operator()(const std::byte* row, int x) const {
    Sample sample;
    std::memcpy(&sample, row + static_cast<std::ptrdiff_t>(x) * sizeof(sample), sizeof(sample));
    return sample;
  }
};
struct HalfReader {
  double operator()(const std::byte* row, int x) const {
    std::uint16_t bits;
    std::memcpy(&bits, row + static_cast<std::ptrdiff_t>(x) * sizeof(bits), sizeof(bits));
    return FromHalf(bits);
  }
};

// weight = combine(weight, mask's sample) for every pixel.
template <class Read, class Combine>
absl::Status Apply(const ImageView& mask, const std::string& name, Read read, Combine combine, float* weights) {
  for (int y = 0; y < mask.height; ++y) {
    const std::byte* const row = static_cast<const std::byte*>(mask.data) + y * mask.row_bytes;
    float* const to = weights + static_cast<std::ptrdiff_t>(y) * mask.width;
    for (int x = 0; x < mask.width; ++x) {
      const double value = read(row, x) / mask.value_of_one;
      if (!(value >= 0.0 && value <= 1.0)) {
        const std::string what = absl::StrCat(name, " holds ", value, " at (", x, ", ", y, ")");
        if (!std::isfinite(value)) {
          return WithReason(absl::InvalidArgumentError(absl::StrCat(what, "; samples must be finite")),
                            kNonFinitePixel);
        }
        return BadImage(absl::StrCat(what, " on the scale of its value_of_one; a mask lies from 0 to 1"));
      }
      to[x] = static_cast<float>(combine(to[x], value));
    }
  }
  return absl::OkStatus();
}

template <class Combine>
absl::Status ApplySource(const ImageSource& source, const ImageLimits& limits, const std::string& name, Combine combine,
                         float* weights) {
  Image decoded;
  ImageView view;
  if (const auto* raw = std::get_if<RawSamples>(&source)) {
    ASSIGN_OR_RETURN(view, ViewRaw(*raw, limits, name));
  } else {
    const absl::string_view file = std::get<EncodedFile>(source).bytes;
    ASSIGN_OR_RETURN(const FileHeader header, ReadHeader(file, limits, name));
    ASSIGN_OR_RETURN(decoded, DecodeFile(file, header, name));
    view = decoded.view();
  }
  switch (view.type) {
    case PixelType::kUint8:
      return Apply(view, name, Reader<std::uint8_t>{}, combine, weights);
    case PixelType::kUint16:
      return Apply(view, name, Reader<std::uint16_t>{}, combine, weights);
    case PixelType::kFloat16:
      return Apply(view, name, HalfReader{}, combine, weights);
    case PixelType::kFloat32:
      break;
  }
  return Apply(view, name, Reader<float>{}, combine, weights);
}

}  // namespace

absl::StatusOr<RegionWeightsCost> CheckMasks(const RegionWeights& weights, const ImageLimits& limits, int width,
                                             int height) {
  RegionWeightsCost cost;
  if (weights.empty()) return cost;
  cost.plane_bytes = std::int64_t{width} * height * static_cast<std::int64_t>(sizeof(float));
  if (weights.mask.has_value()) {
    ASSIGN_OR_RETURN(cost.scratch_bytes, CheckMask(*weights.mask, limits, kMaskName, width, height));
  }
  for (std::size_t i = 0; i < weights.regions.size(); ++i) {
    ASSIGN_OR_RETURN(const std::int64_t bytes,
                     CheckMask(weights.regions[i].mask, limits, RegionName(i), width, height));
    cost.scratch_bytes = std::max(cost.scratch_bytes, bytes);
  }
  return cost;
}

absl::StatusOr<Image> CombineMasks(const RegionWeights& weights, const ImageLimits& limits, int width, int height) {
  ASSIGN_OR_RETURN(Image image, Image::Create(width, height, 1, PixelType::kFloat32));
  auto* const plane = static_cast<float*>(image.data());
  const std::int64_t count = image.view().pixel_count();
  std::fill_n(plane, count, 1.0f);
  for (std::size_t i = 0; i < weights.regions.size(); ++i) {
    const double multiplier = weights.regions[i].multiplier;
    const auto add = [multiplier](float weight, double value) { return weight + multiplier * value; };
    RETURN_IF_ERROR(ApplySource(weights.regions[i].mask, limits, RegionName(i), add, plane));
  }
  if (weights.mask.has_value()) {
    const auto scale = [](float weight, double value) { return weight * value; };
    RETURN_IF_ERROR(ApplySource(*weights.mask, limits, kMaskName, scale, plane));
  }
  if (weights.averaging == Averaging::kOverWeights &&
      std::all_of(plane, plane + count, [](float weight) { return weight == 0.0f; })) {
    return BadImage(
        absl::StrCat(kMaskName,
                     " is 0 everywhere, and scores are to be divided by the sum of the weights; send a mask "
                     "that selects something, or average over pixels"));
  }
  return image;
}

}  // namespace likeness::server
