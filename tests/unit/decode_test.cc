// Decoding alone, without a server: what comes out of files of every kind, and which files are refused and why.
#include "server/decode/decode.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/reason.h"
#include "tests/service/images.h"

namespace likeness::server {
namespace {

using testing::AddNoise;
using testing::EncodePng;
using testing::MakePixels;
using testing::Pixels;

absl::StatusOr<Image> Decode(const std::string& file, const ImageLimits& limits = {}) {
  const absl::StatusOr<FileHeader> header = ReadHeader(file, limits, "reference");
  if (!header.ok()) return header.status();
  absl::StatusOr<Image> image = DecodeFile(file, *header, "reference");
  if (image.ok()) {
    // Admission charged what the header said.
    EXPECT_EQ(image->view().width, header->width);
    EXPECT_EQ(image->view().height, header->height);
    EXPECT_EQ(image->view().channels, header->channels);
    EXPECT_EQ(image->view().size_bytes(), header->image_bytes());
  }
  return image;
}

std::string BytesOf(const Image& image) {
  return std::string(static_cast<const char*>(image.view().data), image.view().size_bytes());
}

void ExpectPixels(const absl::StatusOr<Image>& image, const Pixels& expected) {
  ASSERT_TRUE(image.ok()) << image.status();
  EXPECT_EQ(image->view().width, expected.width);
  EXPECT_EQ(image->view().height, expected.height);
  EXPECT_EQ(image->view().channels, expected.channels);
  EXPECT_EQ(image->view().type, expected.bit_depth == 16 ? PixelType::kUint16 : PixelType::kUint8);
  EXPECT_TRUE(BytesOf(*image) == expected.bytes) << "samples differ";
}

void ExpectRefused(const std::string& file, const char* reason, const std::string& about,
                   absl::StatusCode code = absl::StatusCode::kInvalidArgument) {
  const absl::StatusOr<Image> image = Decode(file);
  ASSERT_FALSE(image.ok()) << about;
  EXPECT_EQ(image.status().code(), code) << image.status();
  EXPECT_EQ(ReasonOf(image.status()), reason) << image.status();
  EXPECT_THAT(std::string(image.status().message()), ::testing::HasSubstr("reference"));
  EXPECT_THAT(std::string(image.status().message()), ::testing::HasSubstr(about));
}

double MeanDistance(const Image& image, const Pixels& pixels) {
  const std::string bytes = BytesOf(image);
  double sum = 0.0;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    sum += std::abs(static_cast<unsigned char>(bytes[i]) - static_cast<unsigned char>(pixels.bytes[i]));
  }
  return sum / static_cast<double>(bytes.size());
}

TEST(Png, EveryChannelCountAndDepthComesBackExactly) {
  for (const int bit_depth : {8, 16}) {
    for (int channels = 1; channels <= 4; ++channels) {
      const Pixels pixels = MakePixels(37, 21, channels, channels, bit_depth);
      ExpectPixels(Decode(EncodePng(pixels)), pixels);
    }
  }
}

TEST(Png, LowBitGrayIsScaledToEightBits) {
  for (const int bits : {1, 2, 4}) {
    const int largest = (1 << bits) - 1;
    Pixels pixels{19, 5, 1, 8, {}};
    for (int i = 0; i < 19 * 5; ++i) pixels.bytes.push_back(static_cast<char>(i % (largest + 1)));
    Pixels expected = pixels;
    for (char& sample : expected.bytes) sample = static_cast<char>(sample * 255 / largest);
    testing::PngOptions options;
    options.gray_bits = bits;
    ExpectPixels(Decode(EncodePng(pixels, options)), expected);
  }
}

TEST(Png, PaletteBecomesRgbAndItsTransparencyAlpha) {
  const Pixels indices{3, 1, 1, 8, std::string("\0\1\2", 3)};
  const std::string palette("\x0a\x14\x1e\x28\x32\x3c\xc8\xd2\xdc", 9);
  ExpectPixels(Decode(testing::EncodePalettePng(indices, palette, "")), Pixels{3, 1, 3, 8, palette});
  ExpectPixels(Decode(testing::EncodePalettePng(indices, palette, std::string("\x00\x80", 2))),
               Pixels{3, 1, 4, 8, std::string("\x0a\x14\x1e\x00\x28\x32\x3c\x80\xc8\xd2\xdc\xff", 12)});
}

TEST(Png, TransparentColourBecomesAlpha) {
  testing::PngOptions options;
  options.chunks_before_pixels = testing::MakePngChunk("tRNS", std::string("\0\x07", 2));
  ExpectPixels(Decode(EncodePng(Pixels{2, 1, 1, 8, std::string("\x07\x09", 2)}, options)),
               Pixels{2, 1, 2, 8, std::string("\x07\x00\x09\xff", 4)});
  options.chunks_before_pixels = testing::MakePngChunk("tRNS", std::string("\0\x01\0\x02\0\x03", 6));
  ExpectPixels(Decode(EncodePng(Pixels{2, 1, 3, 8, std::string("\x01\x02\x03\x01\x02\x04", 6)}, options)),
               Pixels{2, 1, 4, 8, std::string("\x01\x02\x03\x00\x01\x02\x04\xff", 8)});
  // 16 bit, host order in memory, big endian in the chunk.
  options.chunks_before_pixels = testing::MakePngChunk("tRNS", std::string("\x01\x02", 2));
  const std::uint16_t gray[2] = {0x0102, 0x0103};
  const std::uint16_t gray_alpha[4] = {0x0102, 0, 0x0103, 0xffff};
  ExpectPixels(Decode(EncodePng(Pixels{2, 1, 1, 16, std::string(reinterpret_cast<const char*>(gray), 4)}, options)),
               Pixels{2, 1, 2, 16, std::string(reinterpret_cast<const char*>(gray_alpha), 8)});
}

TEST(Png, ColourThatIsNotSrgbIsRefused) {
  const Pixels pixels = MakePixels(8, 8, 3, 1);
  testing::PngOptions options;
  const auto gamma = [](unsigned value) {
    return testing::MakePngChunk("gAMA", std::string{0, static_cast<char>(value >> 16), static_cast<char>(value >> 8),
                                                     static_cast<char>(value)});
  };
  options.chunks_before_pixels = gamma(45455);
  ExpectPixels(Decode(EncodePng(pixels, options)), pixels);
  options.chunks_before_pixels = gamma(100000);
  ExpectRefused(EncodePng(pixels, options), kUnsupportedImage, "gAMA");
  options.chunks_before_pixels += testing::MakePngChunk("sRGB", std::string(1, '\0'));
  ExpectPixels(Decode(EncodePng(pixels, options)), pixels);
  options.chunks_before_pixels = testing::MakePngChunk("cHRM", std::string(32, '\1'));
  ExpectRefused(EncodePng(pixels, options), kUnsupportedImage, "cHRM");
  options.chunks_before_pixels = testing::MakePngChunk("cICP", std::string("\x09\x10\x00\x01", 4));
  ExpectRefused(EncodePng(pixels, options), kUnsupportedImage, "cICP");
  options.chunks_before_pixels = testing::MakePngChunk("acTL", std::string(8, '\1'));
  ExpectRefused(EncodePng(pixels, options), kUnsupportedImage, "animated");
}

TEST(Profile, SrgbPassesThroughBitForBitAndOthersAreConverted) {
  const Pixels pixels = MakePixels(40, 30, 3, 2);
  testing::PngOptions options;
  options.chunks_before_pixels = testing::MakePngChunk("iCCP", testing::MakeIccPayload(testing::MakeSrgbProfile()));
  ExpectPixels(Decode(EncodePng(pixels, options)), pixels);

  // A saturated green of the wide space lies outside of sRGB; its gray axis is (nearly) sRGB's.
  const Pixels two{2, 1, 3, 8, std::string("\x40\xff\x40\x80\x80\x80", 6)};
  options.chunks_before_pixels = testing::MakePngChunk("iCCP", testing::MakeIccPayload(testing::MakeWideProfile()));
  const absl::StatusOr<Image> wide = Decode(EncodePng(two, options));
  ASSERT_TRUE(wide.ok()) << wide.status();
  const std::string bytes = BytesOf(*wide);
  EXPECT_LT(static_cast<unsigned char>(bytes[0]), 0x20);
  EXPECT_EQ(static_cast<unsigned char>(bytes[1]), 0xff);
  for (int c = 3; c < 6; ++c) EXPECT_NEAR(static_cast<unsigned char>(bytes[c]), 0x80, 2);
}

TEST(Profile, AlphaSurvivesConversion) {
  for (const int bit_depth : {8, 16}) {
    for (const int channels : {2, 4}) {
      const Pixels pixels = MakePixels(16, 9, channels, 3, bit_depth);
      testing::PngOptions options;
      options.chunks_before_pixels = testing::MakePngChunk(
          "iCCP", testing::MakeIccPayload(channels == 2 ? testing::MakeGrayProfile(1.0) : testing::MakeWideProfile()));
      const absl::StatusOr<Image> image = Decode(EncodePng(pixels, options));
      ASSERT_TRUE(image.ok()) << image.status();
      const std::string bytes = BytesOf(*image);
      EXPECT_NE(bytes, pixels.bytes);
      const int sample_bytes = pixels.bytes_per_sample();
      for (int i = 0; i < 16 * 9; ++i) {
        const int at = (i * channels + channels - 1) * sample_bytes;
        ASSERT_EQ(bytes.substr(at, sample_bytes), pixels.bytes.substr(at, sample_bytes));
      }
    }
  }
}

TEST(Profile, GrayIsConvertedByItsCurve) {
  Pixels ramp{256, 1, 1, 8, {}};
  for (int i = 0; i < 256; ++i) ramp.bytes.push_back(static_cast<char>(i));
  testing::PngOptions options;
  options.chunks_before_pixels = testing::MakePngChunk("iCCP", testing::MakeIccPayload(testing::MakeGrayProfile(1.0)));
  const absl::StatusOr<Image> image = Decode(EncodePng(ramp, options));
  ASSERT_TRUE(image.ok()) << image.status();
  for (int i = 0; i < 256; ++i) {
    const double linear = i / 255.0;
    const double srgb = linear <= 0.0031308 ? 12.92 * linear : 1.055 * std::pow(linear, 1 / 2.4) - 0.055;
    EXPECT_NEAR(static_cast<unsigned char>(BytesOf(*image)[i]), 255.0 * srgb, 1.0) << i;
  }
}

// The wide space to sRGB by the formulas: gamma 2.2, the matrix between the two sets of primaries (both D65), sRGB's
// curve. 8 bit may be off by its own rounding and the transform's; 16 bit must be far closer.
TEST(Profile, ColourIsConvertedByItsPrimaries) {
  const double to_srgb[3][3] = {{1.39836, -0.39836, 0.0}, {0.0, 1.0, 0.0}, {0.0, -0.04293, 1.04293}};
  testing::PngOptions options;
  options.chunks_before_pixels = testing::MakePngChunk("iCCP", testing::MakeIccPayload(testing::MakeWideProfile()));
  for (const int bit_depth : {8, 16}) {
    const Pixels pixels = MakePixels(64, 48, 3, 12, bit_depth);
    const absl::StatusOr<Image> image = Decode(EncodePng(pixels, options));
    ASSERT_TRUE(image.ok()) << image.status();
    const double top = bit_depth == 16 ? 65535.0 : 255.0;
    const auto sample = [bit_depth](const char* bytes, int i) {
      std::uint16_t wide;
      std::memcpy(&wide, bytes + 2 * i, bit_depth == 16 ? 2 : 0);
      return bit_depth == 16 ? double{1.0} * wide : double{1.0} * static_cast<unsigned char>(bytes[i]);
    };
    double worst = 0.0;
    for (int i = 0; i < 64 * 48; ++i) {
      double linear[3];
      for (int c = 0; c < 3; ++c) linear[c] = std::pow(sample(pixels.bytes.data(), 3 * i + c) / top, 2.2);
      for (int c = 0; c < 3; ++c) {
        double value = 0.0;
        for (int k = 0; k < 3; ++k) value += to_srgb[c][k] * linear[k];
        value = std::min(1.0, std::max(0.0, value));
        const double srgb = value <= 0.0031308 ? 12.92 * value : 1.055 * std::pow(value, 1 / 2.4) - 0.055;
        const double got = sample(static_cast<const char*>(image->view().data), 3 * i + c) / top;
        worst = std::max(worst, std::abs(got - srgb));
      }
    }
    // Profiles store primaries as 16.16 fixed point, hence not to the last of 16 bits.
    EXPECT_LT(worst, bit_depth == 16 ? 6e-4 : 1.5 / 255.0);
  }
}

TEST(Profile, WrongModelAndDamageAreRefused) {
  testing::PngOptions options;
  options.chunks_before_pixels = testing::MakePngChunk("iCCP", testing::MakeIccPayload(testing::MakeGrayProfile(2.2)));
  ExpectRefused(EncodePng(MakePixels(8, 8, 3, 1), options), kUnsupportedImage, "colour model");
  options.chunks_before_pixels = testing::MakePngChunk("iCCP", testing::MakeIccPayload(std::string(300, 'x')));
  ExpectRefused(EncodePng(MakePixels(8, 8, 3, 1), options), kBadImage, "ICC");
  options.chunks_before_pixels = testing::MakePngChunk("iCCP", "no zlib stream here");
  ExpectRefused(EncodePng(MakePixels(8, 8, 3, 1), options), kBadImage, "iCCP");
}

TEST(Jpeg, ColourGrayAndProgressiveAreClose) {
  for (const int channels : {1, 3}) {
    for (const bool progressive : {false, true}) {
      const Pixels pixels = MakePixels(67, 45, channels, 4);
      const absl::StatusOr<Image> image = Decode(testing::EncodeJpeg(pixels, 95, progressive));
      ASSERT_TRUE(image.ok()) << image.status();
      EXPECT_EQ(image->view().channels, channels);
      // Chroma is stored at half resolution, so colour is coarser than gray.
      EXPECT_LT(MeanDistance(*image, pixels), channels == 1 ? 2.0 : 6.0);
    }
  }
}

TEST(Jpeg, ProfileIsApplied) {
  const std::string jpeg = testing::EncodeJpeg(MakePixels(32, 32, 3, 5), 95);
  const absl::StatusOr<Image> plain = Decode(jpeg);
  const absl::StatusOr<Image> srgb = Decode(testing::InsertJpegIcc(jpeg, testing::MakeSrgbProfile()));
  const absl::StatusOr<Image> wide = Decode(testing::InsertJpegIcc(jpeg, testing::MakeWideProfile()));
  ASSERT_TRUE(plain.ok() && srgb.ok() && wide.ok());
  EXPECT_EQ(BytesOf(*plain), BytesOf(*srgb));
  EXPECT_NE(BytesOf(*plain), BytesOf(*wide));
}

TEST(Jpeg, CmykIsRefused) {
  ExpectRefused(testing::EncodeCmykJpeg(MakePixels(16, 16, 4, 1)), kUnsupportedImage, "CMYK");
}

TEST(Webp, LosslessIsExactAndLossyIsClose) {
  for (const int channels : {3, 4}) {
    const Pixels pixels = MakePixels(53, 31, channels, 6);
    ExpectPixels(Decode(testing::EncodeWebp(pixels, true)), pixels);
  }
  const Pixels pixels = MakePixels(53, 31, 3, 6);
  const absl::StatusOr<Image> lossy = Decode(testing::EncodeWebp(pixels, false));
  ASSERT_TRUE(lossy.ok()) << lossy.status();
  EXPECT_LT(MeanDistance(*lossy, pixels), 8.0);
}

TEST(Webp, AnimationIsRefusedAndMetadataHonoured) {
  ExpectRefused(testing::EncodeAnimatedWebp(16, 16), kUnsupportedImage, "animated");
  const Pixels pixels = MakePixels(20, 10, 3, 7);
  const std::string webp = testing::EncodeWebp(pixels, true);
  ExpectPixels(Decode(testing::InsertWebpMetadata(webp, testing::MakeSrgbProfile(), "")), pixels);
  const absl::StatusOr<Image> wide = Decode(testing::InsertWebpMetadata(webp, testing::MakeWideProfile(), ""));
  ASSERT_TRUE(wide.ok());
  EXPECT_NE(BytesOf(*wide), pixels.bytes);
  const absl::StatusOr<Image> turned = Decode(testing::InsertWebpMetadata(webp, "", testing::MakeExif(6, false)));
  ASSERT_TRUE(turned.ok()) << turned.status();
  EXPECT_EQ(turned->view().width, 10);
  EXPECT_EQ(turned->view().height, 20);
}

// The eight orientations of a 3x2 image whose samples count from 0, as the EXIF standard draws them.
TEST(Orientation, AllEightInAllPixelSizes) {
  const std::vector<std::vector<int>> expected = {
      {0, 1, 2, 3, 4, 5}, {2, 1, 0, 5, 4, 3}, {5, 4, 3, 2, 1, 0}, {3, 4, 5, 0, 1, 2},
      {0, 3, 1, 4, 2, 5}, {3, 0, 4, 1, 5, 2}, {5, 2, 4, 1, 3, 0}, {2, 5, 1, 4, 0, 3},
  };
  for (const int bit_depth : {8, 16}) {
    for (int channels = 1; channels <= 4; ++channels) {
      const Pixels pixels = MakePixels(3, 2, channels, 1, bit_depth);
      const int pixel_bytes = channels * pixels.bytes_per_sample();
      for (int orientation = 1; orientation <= 8; ++orientation) {
        testing::PngOptions options;
        const std::string chunk = testing::MakePngChunk("eXIf", testing::MakeExif(orientation, orientation % 2 == 0));
        // Both places are allowed.
        (orientation % 2 == 0 ? options.chunks_before_pixels : options.chunks_after_pixels) = chunk;
        Pixels upright{orientation >= 5 ? 2 : 3, orientation >= 5 ? 3 : 2, channels, bit_depth, {}};
        for (const int at : expected[orientation - 1]) {
          upright.bytes += pixels.bytes.substr(at * pixel_bytes, pixel_bytes);
        }
        SCOPED_TRACE(::testing::Message() << "orientation " << orientation << ", " << channels << " channels");
        ExpectPixels(Decode(EncodePng(pixels, options)), upright);
      }
    }
  }
}

TEST(Orientation, JpegAndDamage) {
  const std::string jpeg = testing::EncodeJpeg(MakePixels(24, 16, 3, 8), 90);
  const absl::StatusOr<Image> turned = Decode(testing::InsertJpegExif(jpeg, testing::MakeExif(8, true)));
  ASSERT_TRUE(turned.ok()) << turned.status();
  EXPECT_EQ(turned->view().width, 16);
  EXPECT_EQ(turned->view().height, 24);
  ExpectRefused(testing::InsertJpegExif(jpeg, testing::MakeExif(9, true)), kBadImage, "EXIF");
  ExpectRefused(testing::InsertJpegExif(jpeg, "XX"), kBadImage, "EXIF");
  const std::string exif = testing::MakeExif(6, false);
  for (std::size_t size = 0; size < exif.size() - 4; ++size) {
    ExpectRefused(testing::InsertJpegExif(jpeg, exif.substr(0, size)), kBadImage, "EXIF");
  }
}

std::vector<std::pair<std::string, std::string>> FilesOfEveryKind() {
  const Pixels pixels = MakePixels(48, 40, 3, 9);
  return {{"png", EncodePng(pixels)},
          {"png16", EncodePng(MakePixels(24, 40, 4, 9, 16))},
          {"jpeg", testing::EncodeJpeg(pixels, 90)},
          {"progressive", testing::EncodeJpeg(pixels, 90, true)},
          {"webp", testing::EncodeWebp(pixels, true)},
          {"lossy", testing::EncodeWebp(pixels, false)}};
}

TEST(Damage, EveryTruncationIsRefused) {
  for (const auto& [name, file] : FilesOfEveryKind()) {
    ASSERT_TRUE(Decode(file).ok()) << name;
    for (std::size_t size = 0; size < file.size(); size += size < 64 ? 1 : 37) {
      const absl::StatusOr<Image> image = Decode(file.substr(0, size));
      ASSERT_FALSE(image.ok()) << name << " cut to " << size << " of " << file.size();
      EXPECT_EQ(image.status().code(), absl::StatusCode::kInvalidArgument);
      EXPECT_FALSE(ReasonOf(image.status()).empty());
    }
    EXPECT_FALSE(Decode(file.substr(0, file.size() - 1)).ok()) << name;
  }
}

// JPEG and lossy WebP have no checksums: a flipped bit may be an image. It must never be a crash, and PNG must notice.
TEST(Damage, FlippedBytesNeverCrashAndPngNotices) {
  std::mt19937 random(11);
  for (const auto& [name, file] : FilesOfEveryKind()) {
    for (int i = 0; i < 300; ++i) {
      std::string damaged = file;
      const std::size_t at = random() % file.size();
      damaged[at] = static_cast<char>(damaged[at] ^ (1 << random() % 8));
      const absl::StatusOr<Image> image = Decode(damaged);
      if (name.substr(0, 3) == "png") {
        EXPECT_FALSE(image.ok()) << name << " at " << at;
      }
      if (!image.ok()) {
        EXPECT_FALSE(ReasonOf(image.status()).empty()) << image.status();
      }
    }
  }
}

TEST(Damage, NotAnImage) {
  ExpectRefused("", kBadImage, "empty");
  ExpectRefused("GIF89a and more", kUnsupportedImage, "neither PNG");
  ExpectRefused(std::string(1000, '\0'), kUnsupportedImage, "neither PNG");
}

TEST(Limits, AreCheckedFromTheHeader) {
  ImageLimits limits;
  limits.side = 64;
  limits.pixels = 2000;
  limits.encoded_bytes = 20000;
  const auto code = [&limits](const Pixels& pixels) { return Decode(EncodePng(pixels), limits).status().code(); };
  EXPECT_EQ(code(MakePixels(64, 31, 1, 1)), absl::StatusCode::kOk);
  EXPECT_EQ(code(MakePixels(65, 1, 1, 1)), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(code(MakePixels(50, 41, 1, 1)), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(Decode(EncodePng(MakePixels(4, 4, 1, 1)) + std::string(20000, 'x'), limits).status().code(),
            absl::StatusCode::kResourceExhausted);
  // A header that claims 2^31 - 1 by 2^31 - 1 pixels allocates nothing.
  std::string bomb = EncodePng(MakePixels(4, 4, 3, 1));
  bomb.replace(16, 8, "\x7f\xff\xff\xff\x7f\xff\xff\xff");
  ExpectRefused(bomb, kImageTooLarge, "max_side", absl::StatusCode::kResourceExhausted);
  bomb.replace(16, 8, std::string(8, '\0'));
  ExpectRefused(bomb, kBadImage, "at least 1");
}

TEST(Raw, SizeChannelsAndScaleAreChecked) {
  const std::string data(5 * 3 * 3 * 2, '\0');
  const RawSamples good{data, 5, 3, 3, PixelType::kUint16, Layout::kChw, 65535.0};
  const absl::StatusOr<ImageView> view = ViewRaw(good, {}, "distorted");
  ASSERT_TRUE(view.ok()) << view.status();
  EXPECT_EQ(view->data, data.data());
  EXPECT_EQ(view->row_bytes, 10);
  const auto reason = [&](auto change) {
    RawSamples bad = good;
    change(bad);
    return ReasonOf(ViewRaw(bad, {}, "distorted").status());
  };
  EXPECT_EQ(reason([](RawSamples& raw) { raw.width = 0; }), kBadImage);
  EXPECT_EQ(reason([](RawSamples& raw) { raw.height = -1; }), kBadImage);
  EXPECT_EQ(reason([](RawSamples& raw) { raw.channels = 5; }), kBadImage);
  EXPECT_EQ(reason([](RawSamples& raw) { raw.channels = 0; }), kBadImage);
  EXPECT_EQ(reason([](RawSamples& raw) { raw.type = PixelType::kUint8; }), kBadImage);
  EXPECT_EQ(reason([](RawSamples& raw) { raw.data.remove_prefix(1); }), kBadImage);
  EXPECT_EQ(reason([](RawSamples& raw) { raw.value_of_one = 0.0; }), kBadImage);
  EXPECT_EQ(reason([](RawSamples& raw) { raw.value_of_one = std::nan(""); }), kBadImage);
  EXPECT_EQ(reason([](RawSamples& raw) { raw.width = std::numeric_limits<int>::max(); }), kImageTooLarge);
}

TEST(Raw, NonFiniteSamplesAreFoundWhereverTheyAre) {
  for (const Layout layout : {Layout::kHwc, Layout::kChw}) {
    absl::StatusOr<Image> image = Image::Create(97, 53, 3, PixelType::kFloat32, layout);
    ASSERT_TRUE(image.ok());
    auto* samples = static_cast<float*>(image->data());
    const int count = 97 * 53 * 3;
    for (int i = 0; i < count; ++i) samples[i] = i % 2 == 0 ? 1e38f : -0.0f;
    EXPECT_TRUE(CheckFinite(image->view(), "distorted").ok());
    for (const int at : {0, 1, 4096, 97 * 53, count - 1}) {
      for (const float bad : {NAN, -NAN, INFINITY, -INFINITY}) {
        const float kept = std::exchange(samples[at], bad);
        const absl::Status status = CheckFinite(image->view(), "distorted");
        EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << at;
        const int x = layout == Layout::kHwc ? at / 3 % 97 : at % 97;
        EXPECT_THAT(std::string(status.message()), ::testing::HasSubstr("x = " + std::to_string(x)));
        samples[at] = kept;
      }
    }
  }
  absl::StatusOr<Image> half = Image::Create(5, 4, 1, PixelType::kFloat16);
  ASSERT_TRUE(half.ok());
  auto* bits = static_cast<std::uint16_t*>(half->data());
  for (int i = 0; i < 20; ++i) bits[i] = 0xfbff;  // -65504, the largest magnitude
  EXPECT_TRUE(CheckFinite(half->view(), "distorted").ok());
  bits[13] = 0xfc00;
  EXPECT_THAT(std::string(CheckFinite(half->view(), "distorted").message()),
              ::testing::HasSubstr("-infinity at x = 3"));
  bits[13] = 0x7e00;
  EXPECT_THAT(std::string(CheckFinite(half->view(), "distorted").message()), ::testing::HasSubstr("NaN"));
}

TEST(Image, CreateRefusesWhatCannotBe) {
  EXPECT_FALSE(Image::Create(0, 1, 1, PixelType::kUint8).ok());
  EXPECT_FALSE(Image::Create(1, 0, 1, PixelType::kUint8).ok());
  EXPECT_FALSE(Image::Create(1, 1, 5, PixelType::kUint8).ok());
  EXPECT_FALSE(Image::Create(1, 1, 1, PixelType::kUint8, Layout::kHwc, -1.0).ok());
  const absl::StatusOr<Image> image = Image::Create(3, 2, 4, PixelType::kUint16);
  ASSERT_TRUE(image.ok());
  EXPECT_EQ(image->view().row_bytes, 24);
  EXPECT_EQ(image->view().value_of_one, 65535.0);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(image->view().data) % 64, 0u);
}

}  // namespace
}  // namespace likeness::server
