// Images for tests, made in code: patterns with a fixed seed and files of every kind that the server reads.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace likeness::testing {

// Interleaved samples. 16-bit samples are in native byte order.
struct Pixels {
  int width = 0;
  int height = 0;
  int channels = 0;
  int bit_depth = 8;
  std::string bytes;

  int bytes_per_sample() const { return bit_depth == 16 ? 2 : 1; }
};

// Smooth gradients with structure and a little noise: what images are like, and different for each seed.
Pixels MakePixels(int width, int height, int channels, int seed, int bit_depth = 8);

// The same image with noise of +-`amplitude` levels (8-bit levels; 257 times that for 16 bit) on the colour channels.
Pixels AddNoise(const Pixels& pixels, int amplitude, int seed);

struct PngOptions {
  // Below 8 for gray: sample values are then 0 .. 2^bits - 1.
  int gray_bits = 8;
  // Chunks to put before IDAT, whole: see MakePngChunk.
  std::string chunks_before_pixels;
  std::string chunks_after_pixels;
};

std::string EncodePng(const Pixels& pixels, const PngOptions& options = {});
// Indices in pixels.bytes (one channel); palette of RGB triples; alpha of the first entries, may be empty.
std::string EncodePalettePng(const Pixels& indices, const std::string& palette, const std::string& alpha);
std::string EncodeJpeg(const Pixels& pixels, int quality, bool progressive = false);
// Four channels as CMYK.
std::string EncodeCmykJpeg(const Pixels& pixels);
std::string EncodeWebp(const Pixels& pixels, bool lossless);
// Two frames.
std::string EncodeAnimatedWebp(int width, int height);

// Length, type, payload and checksum.
std::string MakePngChunk(const std::string& type, const std::string& payload);
// An iCCP chunk's payload.
std::string MakeIccPayload(const std::string& profile);
// A TIFF block with nothing but an orientation, big or little endian.
std::string MakeExif(int orientation, bool big_endian);

// Puts APP1 (with "Exif\0\0") or APP2 (ICC) segments right after a JPEG file's start.
std::string InsertJpegExif(const std::string& jpeg, const std::string& exif);
std::string InsertJpegIcc(const std::string& jpeg, const std::string& profile);
// Puts ICC and EXIF (either may be empty) into a WebP file.
std::string InsertWebpMetadata(const std::string& webp, const std::string& icc_profile, const std::string& exif);

// ICC profiles.
std::string MakeSrgbProfile();
// Primaries and gamma (2.2) of Adobe RGB (1998).
std::string MakeWideProfile();
std::string MakeGrayProfile(double gamma);

}  // namespace likeness::testing
