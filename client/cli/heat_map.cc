#include "client/cli/heat_map.h"

#include <spng.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <numbers>
#include <vector>

#include "absl/base/config.h"
#include "absl/strings/str_cat.h"

#ifndef ABSL_IS_LITTLE_ENDIAN
#error "tensors are little endian on the wire and are read in place"
#endif

namespace likeness::cli {
namespace {

struct Color {
  std::uint8_t r, g, b;
};

struct Lab {
  double lightness, a, b;
};

// The curve: lightness rises evenly while hue turns from violet blue over red to yellow, most colourful in the middle.
// The figures were chosen by eye so that the whole curve lies inside of sRGB; nothing is clipped.
Lab Curve(double t) {
  const double hue = (280.0 + 185.0 * t) * std::numbers::pi / 180.0;
  const double chroma = 0.19 * std::pow(std::sin(std::numbers::pi * (0.04 + 0.9 * t)), 0.8);
  return {0.15 + 0.81 * t, chroma * std::cos(hue), chroma * std::sin(hue)};
}

std::uint8_t Encode(double linear) {
  const double x = std::clamp(linear, 0.0, 1.0);
  const double encoded = x <= 0.0031308 ? 12.92 * x : 1.055 * std::pow(x, 1 / 2.4) - 0.055;
  return static_cast<std::uint8_t>(std::lround(255 * encoded));
}

// OKLab to sRGB, with the matrices of B. Ottosson, "A perceptual color space for image processing" (2020).
Color ToSrgb(const Lab& lab) {
  const auto cube = [](double x) { return x * x * x; };
  const double l = cube(lab.lightness + 0.3963377774 * lab.a + 0.2158037573 * lab.b);
  const double m = cube(lab.lightness - 0.1055613458 * lab.a - 0.0638541728 * lab.b);
  const double s = cube(lab.lightness - 0.0894841775 * lab.a - 1.2914855480 * lab.b);
  return {Encode(4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s),
          Encode(-1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s),
          Encode(-0.0041960863 * l - 0.7034186147 * m + 1.7076147010 * s)};
}

// 256 colours at equal distances along the curve.
std::array<Color, 256> MakePalette() {
  constexpr int kSteps = 4096;
  std::vector<double> length(kSteps + 1, 0.0);
  for (int i = 1; i <= kSteps; ++i) {
    const Lab p = Curve(double(i - 1) / kSteps);
    const Lab q = Curve(double(i) / kSteps);
    length[i] = length[i - 1] + std::hypot(q.lightness - p.lightness, q.a - p.a, q.b - p.b);
  }
  std::array<Color, 256> palette;
  int step = 0;
  for (int i = 0; i < 256; ++i) {
    while (step < kSteps && length[step] < length[kSteps] * i / 255) ++step;
    palette[i] = ToSrgb(Curve(double(step) / kSteps));
  }
  return palette;
}

// Samples of a tensor by place, whatever its layout.
class Samples {
 public:
  explicit Samples(const v1::Tensor& tensor) : tensor_(tensor) {
    const std::int64_t width = tensor.width(), height = tensor.height(), channels = tensor.channels();
    const bool planes = tensor.layout() == v1::LAYOUT_CHW;
    x_stride_ = planes ? 1 : channels;
    y_stride_ = x_stride_ * width;
    c_stride_ = planes ? width * height : 1;
  }

  float at(int x, int y, int c) const {
    float value;
    const std::int64_t index = x * x_stride_ + y * y_stride_ + c * c_stride_;
    std::memcpy(&value, tensor_.data().data() + index * sizeof(float), sizeof value);
    return value;
  }

  double mean(int x, int y) const {
    double sum = 0;
    for (int c = 0; c < tensor_.channels(); ++c) sum += at(x, y, c);
    return sum / tensor_.channels();
  }

 private:
  const v1::Tensor& tensor_;
  std::int64_t x_stride_, y_stride_, c_stride_;
};

absl::Status CheckTensor(const v1::Tensor& tensor) {
  const std::int64_t rows = std::int64_t{tensor.height()} * tensor.channels();
  if (tensor.data_type() != v1::DATA_TYPE_FLOAT32 || tensor.width() < 1 || tensor.height() < 1 ||
      tensor.channels() < 1 ||
      static_cast<std::int64_t>(tensor.data().size()) / static_cast<std::int64_t>(sizeof(float)) / rows !=
          tensor.width() ||
      tensor.data().size() % (sizeof(float) * rows) != 0) {
    return absl::InternalError(absl::StrCat("the scorer returned a tensor of ", tensor.data().size(), " bytes as ",
                                            tensor.width(), "x", tensor.height(), "x", tensor.channels(), " ",
                                            v1::DataType_Name(tensor.data_type())));
  }
  return absl::OkStatus();
}

// Writes all parts one after another, or nothing that is left to be taken for a whole file.
absl::Status WriteFile(const std::string& path, std::initializer_list<absl::string_view> parts) {
  std::FILE* file = std::fopen(path.c_str(), "wb");
  if (file == nullptr) return absl::ErrnoToStatus(errno, absl::StrCat("cannot create ", path));
  int error = 0;
  for (absl::string_view part : parts) {
    if (error == 0 && std::fwrite(part.data(), 1, part.size(), file) != part.size()) error = errno;
  }
  if (std::fclose(file) != 0 && error == 0) error = errno;
  if (error == 0) return absl::OkStatus();
  std::remove(path.c_str());
  return absl::ErrnoToStatus(error, absl::StrCat("cannot write ", path));
}

absl::Status WritePng(const std::vector<Color>& pixels, int width, int height, const std::string& path) {
  static_assert(sizeof(Color) == 3);
  std::unique_ptr<spng_ctx, decltype(&spng_ctx_free)> context(spng_ctx_new(SPNG_CTX_ENCODER), &spng_ctx_free);
  if (context == nullptr) return absl::ResourceExhaustedError("no memory for the PNG encoder");
  spng_ihdr header = {};
  header.width = static_cast<std::uint32_t>(width);
  header.height = static_cast<std::uint32_t>(height);
  header.bit_depth = 8;
  header.color_type = SPNG_COLOR_TYPE_TRUECOLOR;
  int error = spng_set_option(context.get(), SPNG_ENCODE_TO_BUFFER, 1);
  if (error == 0) error = spng_set_ihdr(context.get(), &header);
  if (error == 0) {
    error = spng_encode_image(context.get(), pixels.data(), pixels.size() * sizeof(Color), SPNG_FMT_PNG,
                              SPNG_ENCODE_FINALIZE);
  }
  std::size_t size = 0;
  std::unique_ptr<void, decltype(&std::free)> bytes(nullptr, &std::free);
  if (error == 0) bytes.reset(spng_get_png_buffer(context.get(), &size, &error));
  if (error != 0) return absl::InternalError(absl::StrCat("cannot encode ", path, ": ", spng_strerror(error)));
  return WriteFile(path, {absl::string_view(static_cast<const char*>(bytes.get()), size)});
}

}  // namespace

MapScale FullScale(const v1::Tensor& map) {
  if (!CheckTensor(map).ok()) return {};
  const Samples samples(map);
  MapScale scale{samples.mean(0, 0), samples.mean(0, 0)};
  for (int y = 0; y < map.height(); ++y) {
    for (int x = 0; x < map.width(); ++x) {
      const double value = samples.mean(x, y);
      scale.low = std::min(scale.low, value);
      scale.high = std::max(scale.high, value);
    }
  }
  return scale;
}

absl::Status WriteHeatMap(const v1::Tensor& map, const MapScale& scale, const std::string& path) {
  if (absl::Status status = CheckTensor(map); !status.ok()) return status;
  static const std::array<Color, 256> kPalette = MakePalette();
  const Samples samples(map);
  const double range = scale.high - scale.low;
  std::vector<Color> pixels;
  pixels.reserve(static_cast<std::size_t>(map.width()) * map.height());
  for (int y = 0; y < map.height(); ++y) {
    for (int x = 0; x < map.width(); ++x) {
      const double place = (samples.mean(x, y) - scale.low) / range;
      // Also for the NaN of 0 / 0, which is a scale without extent.
      pixels.push_back(kPalette[place > 0 ? static_cast<int>(std::lround(255 * std::min(place, 1.0))) : 0]);
    }
  }
  return WritePng(pixels, map.width(), map.height(), path);
}

absl::Status WriteNpy(const v1::Tensor& tensor, const std::string& path) {
  if (absl::Status status = CheckTensor(tensor); !status.ok()) return status;
  // Version 1.0: magic, version, length of the header, the header padded with spaces so that data starts at 64 bytes.
  std::string header = absl::StrCat("{'descr': '<f4', 'fortran_order': False, 'shape': (", tensor.height(), ", ",
                                    tensor.width(), ", ", tensor.channels(), "), }");
  constexpr std::size_t kPrefixBytes = 10;
  header.append(63 - (kPrefixBytes + header.size()) % 64, ' ');
  header.push_back('\n');
  std::string prefix("\x93NUMPY\x01\x00", 8);
  prefix.push_back(static_cast<char>(header.size() & 0xff));
  prefix.push_back(static_cast<char>(header.size() >> 8));
  if (tensor.layout() != v1::LAYOUT_CHW) return WriteFile(path, {prefix, header, tensor.data()});

  const Samples samples(tensor);
  std::string data(tensor.data().size(), '\0');
  char* out = data.data();
  for (int y = 0; y < tensor.height(); ++y) {
    for (int x = 0; x < tensor.width(); ++x) {
      for (int c = 0; c < tensor.channels(); ++c, out += sizeof(float)) {
        const float value = samples.at(x, y, c);
        std::memcpy(out, &value, sizeof value);
      }
    }
  }
  return WriteFile(path, {prefix, header, data});
}

}  // namespace likeness::cli
