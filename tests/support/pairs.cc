#include "tests/support/pairs.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <random>

#include "tests/support/scene.h"

namespace likeness::testing {
namespace {

Image NewImage(int width, int height, int channels, PixelType type, Layout layout = Layout::kHwc) {
  return *Image::Create(width, height, channels, type, layout);
}

}  // namespace

Pair ScenePair(int width, int height) {
  Pair pair{NewImage(width, height, 3, PixelType::kUint8), NewImage(width, height, 3, PixelType::kUint8)};
  FillScene(width, height, static_cast<std::uint8_t*>(pair.reference.data()),
            static_cast<std::uint8_t*>(pair.distorted.data()));
  return pair;
}

Pair GoldenPair(const std::string& name) {
  if (name == "A") return ScenePair(256, 192);
  if (name == "B") return ScenePair(67, 45);
  if (name == "C") return ScenePair(64, 64);
  if (name == "D") return ScenePair(8, 8);
  if (name == "E") return ScenePair(200, 9);
  if (name == "F") return ScenePair(515, 391);  // odd, and large enough for metrics that pool to about 256
  if (name == "A192") {
    const Pair whole = ScenePair(256, 192);
    Pair pair{NewImage(192, 192, 3, PixelType::kUint8), NewImage(192, 192, 3, PixelType::kUint8)};
    for (int y = 0; y < 192; ++y) {
      std::memcpy(static_cast<std::uint8_t*>(pair.reference.data()) + y * 192 * 3,
                  static_cast<const std::uint8_t*>(whole.reference.view().data) + y * 256 * 3, 192 * 3);
      std::memcpy(static_cast<std::uint8_t*>(pair.distorted.data()) + y * 192 * 3,
                  static_cast<const std::uint8_t*>(whole.distorted.view().data) + y * 256 * 3, 192 * 3);
    }
    return pair;
  }
  if (name == "A_negative") {  // reference of A192 against its negative
    Pair pair = GoldenPair("A192");
    const auto* r = static_cast<const std::uint8_t*>(pair.reference.view().data);
    auto* d = static_cast<std::uint8_t*>(pair.distorted.data());
    for (int i = 0; i < 192 * 192 * 3; ++i) d[i] = 255 - r[i];
    return pair;
  }
  if (name == "black_white") return {Constant(64, 64, 0), Constant(64, 64, 255)};
  // Transforms of these sides round where those of powers of two do not.
  if (name == "black_white_100") return {Constant(100, 100, 0), Constant(100, 100, 255)};
  if (name == "flat_128_130_100") return {Constant(100, 100, 128), Constant(100, 100, 130)};
  if (name == "flat_128_130") return {Constant(64, 64, 128), Constant(64, 64, 130)};
  if (name == "A_A") return CopyOf(ScenePair(256, 192).reference);
  std::abort();
}

Pair CopyOf(const Image& image) {
  const ImageView& view = image.view();
  Pair pair{NewImage(view.width, view.height, view.channels, view.type, view.layout),
            NewImage(view.width, view.height, view.channels, view.type, view.layout)};
  std::memcpy(pair.reference.data(), view.data, view.size_bytes());
  std::memcpy(pair.distorted.data(), view.data, view.size_bytes());
  return pair;
}

Image Constant(int width, int height, std::uint8_t value) {
  Image image = NewImage(width, height, 3, PixelType::kUint8);
  std::memset(image.data(), value, image.view().size_bytes());
  return image;
}

Pair RandomFloatPair(int width, int height, int channels, std::uint32_t seed, bool flat) {
  Pair pair{NewImage(width, height, channels, PixelType::kFloat32),
            NewImage(width, height, channels, PixelType::kFloat32)};
  std::mt19937 random(seed);
  auto* r = static_cast<float*>(pair.reference.data());
  auto* d = static_cast<float*>(pair.distorted.data());
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      const bool in_patch = flat && x > width / 4 && x < 3 * width / 4 && y > height / 4 && y < 3 * height / 4;
      for (int c = 0; c < channels; ++c) {
        const int base = 512 + static_cast<int>(random() % 128) - 64 + 40 * ((x / 5 + y / 4 + c) % 3);
        // Never equal, so that no sample lies on the kink of |e|.
        const int error = (random() & 1 ? 1 : -1) * (4 + static_cast<int>(random() % 60));
        *r++ = static_cast<float>((in_patch ? 512 : base) / 1024.0);
        *d++ = static_cast<float>((in_patch ? 530 : base + error) / 1024.0);
      }
    }
  }
  return pair;
}

Image WithNoise(const Image& image, int amplitude, std::uint32_t seed) {
  const ImageView& view = image.view();
  Image out = NewImage(view.width, view.height, view.channels, PixelType::kUint8, view.layout);
  std::mt19937 random(seed);
  const auto* from = static_cast<const std::uint8_t*>(view.data);
  auto* to = static_cast<std::uint8_t*>(out.data());
  for (std::int64_t i = 0; i < view.size_bytes(); ++i) {
    to[i] = Clamp255(from[i] + static_cast<int>(random() % (2 * amplitude + 1)) - amplitude);
  }
  return out;
}

Image ToChw(const Image& image) {
  const ImageView& view = image.view();
  const int bytes = BytesPerSample(view.type);
  Image out = *Image::Create(view.width, view.height, view.channels, view.type, Layout::kChw, view.value_of_one);
  const auto* from = static_cast<const std::byte*>(view.data);
  auto* to = static_cast<std::byte*>(out.data());
  for (std::int64_t p = 0; p < view.pixel_count(); ++p) {
    for (int c = 0; c < view.channels; ++c) {
      std::memcpy(to + (c * view.pixel_count() + p) * bytes, from + (p * view.channels + c) * bytes, bytes);
    }
  }
  return out;
}

}  // namespace likeness::testing
