#include "tests/service/images.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>

#include "jpeglib.h"
#include "lcms2.h"
#include "spng.h"
#include "webp/encode.h"
#include "webp/mux.h"
#include "zlib.h"

namespace likeness::testing {
namespace {

void Append32(std::string& out, std::uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<char>(value >> shift & 0xff));
}

// Test images are ours: a failure to make one is a bug of the test.
void Require(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "cannot make a test image: %s\n", what);
  std::abort();
}

std::string FinishPng(spng_ctx* context, const std::string& pixels, const PngOptions& options) {
  const int code = spng_encode_image(context, pixels.data(), pixels.size(), SPNG_FMT_PNG, SPNG_ENCODE_FINALIZE);
  Require(code == SPNG_OK, spng_strerror(code));
  std::size_t size = 0;
  int error = 0;
  void* const data = spng_get_png_buffer(context, &size, &error);
  Require(data != nullptr, spng_strerror(error));
  std::string png(static_cast<const char*>(data), size);
  std::free(data);
  spng_ctx_free(context);
  // After IHDR (8 + 25 bytes) and before IEND (12 bytes).
  png.insert(png.size() - 12, options.chunks_after_pixels);
  png.insert(33, options.chunks_before_pixels);
  return png;
}

std::string SaveProfile(cmsHPROFILE profile) {
  cmsUInt32Number size = 0;
  Require(cmsSaveProfileToMem(profile, nullptr, &size) != 0, "ICC profile");
  std::string bytes(size, '\0');
  Require(cmsSaveProfileToMem(profile, bytes.data(), &size) != 0, "ICC profile");
  cmsCloseProfile(profile);
  return bytes;
}

std::string EncodeJpegAs(const Pixels& pixels, int quality, bool progressive, J_COLOR_SPACE space) {
  jpeg_compress_struct info;
  jpeg_error_mgr errors;
  info.err = jpeg_std_error(&errors);
  jpeg_create_compress(&info);
  unsigned char* buffer = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&info, &buffer, &size);
  info.image_width = static_cast<JDIMENSION>(pixels.width);
  info.image_height = static_cast<JDIMENSION>(pixels.height);
  info.input_components = pixels.channels;
  info.in_color_space = space;
  jpeg_set_defaults(&info);
  jpeg_set_quality(&info, quality, TRUE);
  if (progressive) jpeg_simple_progression(&info);
  jpeg_start_compress(&info, TRUE);
  std::string bytes = pixels.bytes;
  while (info.next_scanline < info.image_height) {
    JSAMPROW row =
        reinterpret_cast<JSAMPROW>(bytes.data()) + std::size_t{info.next_scanline} * pixels.width * pixels.channels;
    jpeg_write_scanlines(&info, &row, 1);
  }
  jpeg_finish_compress(&info);
  jpeg_destroy_compress(&info);
  std::string jpeg(reinterpret_cast<const char*>(buffer), size);
  std::free(buffer);
  return jpeg;
}

std::string InsertJpegSegment(const std::string& jpeg, int marker, const std::string& payload) {
  std::string segment = {'\xff', static_cast<char>(marker)};
  const std::size_t length = payload.size() + 2;
  segment.push_back(static_cast<char>(length >> 8));
  segment.push_back(static_cast<char>(length & 0xff));
  std::string out = jpeg;
  return out.insert(2, segment + payload);
}

}  // namespace

Pixels MakePixels(int width, int height, int channels, int seed, int bit_depth) {
  Pixels pixels{width, height, channels, bit_depth, {}};
  std::mt19937 random(static_cast<std::uint32_t>(seed));
  const double scale = bit_depth == 16 ? 65535.0 : 255.0;
  pixels.bytes.reserve(static_cast<std::size_t>(width) * height * channels * pixels.bytes_per_sample());
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      for (int c = 0; c < channels; ++c) {
        const double wave = std::sin(0.11 * x + 0.3 * c + seed) * std::cos(0.07 * y - 0.2 * c);
        const double noise = (random() & 0xff) / 255.0 - 0.5;
        const double value = std::clamp(0.5 + 0.35 * wave + 0.1 * noise, 0.0, 1.0);
        const auto level = static_cast<std::uint32_t>(std::lround(value * scale));
        if (bit_depth == 16) {
          const auto sample = static_cast<std::uint16_t>(level);
          pixels.bytes.append(reinterpret_cast<const char*>(&sample), sizeof(sample));
        } else {
          pixels.bytes.push_back(static_cast<char>(level));
        }
      }
    }
  }
  return pixels;
}

Pixels AddNoise(const Pixels& pixels, int amplitude, int seed) {
  Pixels noisy = pixels;
  std::mt19937 random(static_cast<std::uint32_t>(seed) + 1000003u);
  const bool has_alpha = pixels.channels % 2 == 0;
  const std::size_t sample_count = pixels.bytes.size() / pixels.bytes_per_sample();
  for (std::size_t i = 0; i < sample_count; ++i) {
    const int noise = static_cast<int>(random() % (2 * amplitude + 1)) - amplitude;
    if (has_alpha && static_cast<int>(i % pixels.channels) == pixels.channels - 1) continue;
    if (pixels.bit_depth == 16) {
      std::uint16_t sample;
      std::memcpy(&sample, noisy.bytes.data() + 2 * i, 2);
      sample = static_cast<std::uint16_t>(std::clamp(int{sample} + 257 * noise, 0, 65535));
      std::memcpy(noisy.bytes.data() + 2 * i, &sample, 2);
    } else {
      noisy.bytes[i] = static_cast<char>(std::clamp(static_cast<unsigned char>(noisy.bytes[i]) + noise, 0, 255));
    }
  }
  return noisy;
}

std::string EncodePng(const Pixels& pixels, const PngOptions& options) {
  constexpr std::uint8_t kColorTypes[5] = {0, SPNG_COLOR_TYPE_GRAYSCALE, SPNG_COLOR_TYPE_GRAYSCALE_ALPHA,
                                           SPNG_COLOR_TYPE_TRUECOLOR, SPNG_COLOR_TYPE_TRUECOLOR_ALPHA};
  spng_ctx* const context = spng_ctx_new(SPNG_CTX_ENCODER);
  spng_set_option(context, SPNG_ENCODE_TO_BUFFER, 1);
  spng_ihdr header = {};
  header.width = static_cast<std::uint32_t>(pixels.width);
  header.height = static_cast<std::uint32_t>(pixels.height);
  header.bit_depth = static_cast<std::uint8_t>(options.gray_bits < 8 ? options.gray_bits : pixels.bit_depth);
  header.color_type = kColorTypes[pixels.channels];
  spng_set_ihdr(context, &header);
  std::string packed = pixels.bytes;
  if (options.gray_bits < 8) {
    const int per_byte = 8 / options.gray_bits;
    const int row_bytes = (pixels.width + per_byte - 1) / per_byte;
    packed.assign(static_cast<std::size_t>(row_bytes) * pixels.height, '\0');
    for (int y = 0; y < pixels.height; ++y) {
      for (int x = 0; x < pixels.width; ++x) {
        const int shift = 8 - options.gray_bits * (x % per_byte + 1);
        packed[static_cast<std::size_t>(y) * row_bytes + x / per_byte] |=
            static_cast<char>(pixels.bytes[static_cast<std::size_t>(y) * pixels.width + x] << shift);
      }
    }
  }
  return FinishPng(context, packed, options);
}

std::string EncodePalettePng(const Pixels& indices, const std::string& palette, const std::string& alpha) {
  spng_ctx* const context = spng_ctx_new(SPNG_CTX_ENCODER);
  spng_set_option(context, SPNG_ENCODE_TO_BUFFER, 1);
  spng_ihdr header = {};
  header.width = static_cast<std::uint32_t>(indices.width);
  header.height = static_cast<std::uint32_t>(indices.height);
  header.bit_depth = 8;
  header.color_type = SPNG_COLOR_TYPE_INDEXED;
  spng_set_ihdr(context, &header);
  const auto entries = std::make_unique<spng_plte>();
  entries->n_entries = static_cast<std::uint32_t>(palette.size() / 3);
  for (std::uint32_t i = 0; i < entries->n_entries; ++i) {
    entries->entries[i].red = static_cast<std::uint8_t>(palette[3 * i]);
    entries->entries[i].green = static_cast<std::uint8_t>(palette[3 * i + 1]);
    entries->entries[i].blue = static_cast<std::uint8_t>(palette[3 * i + 2]);
  }
  spng_set_plte(context, entries.get());
  if (!alpha.empty()) {
    spng_trns transparency = {};
    transparency.n_type3_entries = static_cast<std::uint32_t>(alpha.size());
    std::memcpy(transparency.type3_alpha, alpha.data(), alpha.size());
    spng_set_trns(context, &transparency);
  }
  return FinishPng(context, indices.bytes, {});
}

std::string EncodeJpeg(const Pixels& pixels, int quality, bool progressive) {
  return EncodeJpegAs(pixels, quality, progressive, pixels.channels == 1 ? JCS_GRAYSCALE : JCS_RGB);
}

std::string EncodeCmykJpeg(const Pixels& pixels) { return EncodeJpegAs(pixels, 90, false, JCS_CMYK); }

std::string EncodeWebp(const Pixels& pixels, bool lossless) {
  const auto* rgb = reinterpret_cast<const std::uint8_t*>(pixels.bytes.data());
  const int stride = pixels.width * pixels.channels;
  std::uint8_t* out = nullptr;
  std::size_t size = 0;
  const bool alpha = pixels.channels == 4;
  if (lossless) {
    // The plain lossless calls drop the colour of transparent pixels, which a test of alpha needs.
    WebPConfig config;
    WebPPicture picture;
    WebPMemoryWriter writer;
    Require(WebPConfigInit(&config) != 0 && WebPPictureInit(&picture) != 0, "WebP");
    config.lossless = 1;
    config.exact = 1;
    picture.use_argb = 1;
    picture.width = pixels.width;
    picture.height = pixels.height;
    WebPMemoryWriterInit(&writer);
    picture.writer = WebPMemoryWrite;
    picture.custom_ptr = &writer;
    Require((alpha ? WebPPictureImportRGBA : WebPPictureImportRGB)(&picture, rgb, stride) != 0, "WebP");
    Require(WebPEncode(&config, &picture) != 0, "WebP");
    WebPPictureFree(&picture);
    std::string webp(reinterpret_cast<const char*>(writer.mem), writer.size);
    WebPMemoryWriterClear(&writer);
    return webp;
  }
  size = alpha ? WebPEncodeRGBA(rgb, pixels.width, pixels.height, stride, 90, &out)
               : WebPEncodeRGB(rgb, pixels.width, pixels.height, stride, 90, &out);
  Require(size > 0, "WebP");
  std::string webp(reinterpret_cast<const char*>(out), size);
  WebPFree(out);
  return webp;
}

std::string EncodeAnimatedWebp(int width, int height) {
  WebPAnimEncoderOptions options;
  WebPAnimEncoderOptionsInit(&options);
  WebPAnimEncoder* const encoder = WebPAnimEncoderNew(width, height, &options);
  for (int frame = 0; frame < 2; ++frame) {
    const Pixels pixels = MakePixels(width, height, 3, frame);
    WebPPicture picture;
    WebPPictureInit(&picture);
    picture.use_argb = 1;
    picture.width = width;
    picture.height = height;
    WebPPictureImportRGB(&picture, reinterpret_cast<const std::uint8_t*>(pixels.bytes.data()), width * 3);
    Require(WebPAnimEncoderAdd(encoder, &picture, frame * 100, nullptr) != 0, "animation");
    WebPPictureFree(&picture);
  }
  WebPAnimEncoderAdd(encoder, nullptr, 200, nullptr);
  WebPData data;
  WebPDataInit(&data);
  Require(WebPAnimEncoderAssemble(encoder, &data) != 0, "animation");
  std::string webp(reinterpret_cast<const char*>(data.bytes), data.size);
  WebPDataClear(&data);
  WebPAnimEncoderDelete(encoder);
  return webp;
}

std::string MakePngChunk(const std::string& type, const std::string& payload) {
  std::string chunk;
  Append32(chunk, static_cast<std::uint32_t>(payload.size()));
  chunk += type + payload;
  Append32(chunk, static_cast<std::uint32_t>(
                      crc32(0, reinterpret_cast<const Bytef*>(chunk.data() + 4), static_cast<uInt>(chunk.size() - 4))));
  return chunk;
}

std::string MakeIccPayload(const std::string& profile) {
  uLongf size = compressBound(profile.size());
  std::string packed(size, '\0');
  Require(compress(reinterpret_cast<Bytef*>(packed.data()), &size, reinterpret_cast<const Bytef*>(profile.data()),
                   profile.size()) == Z_OK,
          "iCCP");
  packed.resize(size);
  return std::string("test\0\0", 6) + packed;
}

std::string MakeExif(int orientation, bool big_endian) {
  std::string exif = big_endian ? std::string("MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01", 18)
                                : std::string("II\x2a\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0", 18);
  const char value = static_cast<char>(orientation);
  exif += big_endian ? std::string{'\0', value, '\0', '\0'} : std::string{value, '\0', '\0', '\0'};
  return exif + std::string(4, '\0');
}

std::string InsertJpegExif(const std::string& jpeg, const std::string& exif) {
  return InsertJpegSegment(jpeg, 0xe1, std::string("Exif\0\0", 6) + exif);
}

std::string InsertJpegIcc(const std::string& jpeg, const std::string& profile) {
  return InsertJpegSegment(jpeg, 0xe2, std::string("ICC_PROFILE\0\x01\x01", 14) + profile);
}

std::string InsertWebpMetadata(const std::string& webp, const std::string& icc_profile, const std::string& exif) {
  const WebPData image = {reinterpret_cast<const std::uint8_t*>(webp.data()), webp.size()};
  WebPMux* const mux = WebPMuxCreate(&image, 1);
  const auto set = [mux](const char* fourcc, const std::string& payload) {
    if (payload.empty()) return;
    const WebPData data = {reinterpret_cast<const std::uint8_t*>(payload.data()), payload.size()};
    Require(WebPMuxSetChunk(mux, fourcc, &data, 1) == WEBP_MUX_OK, fourcc);
  };
  set("ICCP", icc_profile);
  set("EXIF", exif);
  WebPData out;
  Require(WebPMuxAssemble(mux, &out) == WEBP_MUX_OK, "WebP metadata");
  std::string bytes(reinterpret_cast<const char*>(out.bytes), out.size);
  WebPDataClear(&out);
  WebPMuxDelete(mux);
  return bytes;
}

std::string MakeSrgbProfile() { return SaveProfile(cmsCreate_sRGBProfile()); }

std::string MakeWideProfile() {
  const cmsCIExyY white = {0.3127, 0.3290, 1.0};
  const cmsCIExyYTRIPLE primaries = {{0.64, 0.33, 1.0}, {0.21, 0.71, 1.0}, {0.15, 0.06, 1.0}};
  cmsToneCurve* const curve = cmsBuildGamma(nullptr, 2.2);
  cmsToneCurve* const curves[3] = {curve, curve, curve};
  cmsHPROFILE profile = cmsCreateRGBProfile(&white, &primaries, curves);
  cmsFreeToneCurve(curve);
  return SaveProfile(profile);
}

std::string MakeGrayProfile(double gamma) {
  cmsToneCurve* const curve = cmsBuildGamma(nullptr, gamma);
  cmsHPROFILE profile = cmsCreateGrayProfile(cmsD50_xyY(), curve);
  cmsFreeToneCurve(curve);
  return SaveProfile(profile);
}

}  // namespace likeness::testing
