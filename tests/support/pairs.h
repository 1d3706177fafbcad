// Image pairs that tests make: integers only, so that every language makes the same ones.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/image.h"

namespace likeness::testing {

struct Pair {
  Image reference;
  Image distorted;
};

// An 8-bit RGB scene of slopes and checks, and the same shifted by a pixel, flattened and with noise.
//   tri(n, p) = |(n mod 2p) - p|
//   reference(y, x, c) = clamp(40 + tri(x (c + 2) + y, 64) + tri(3 y + 17 c, 48) + 60 ((x/16 + y/16) & 1), 0, 255)
//   h = (x 73856093) ^ (y 19349663) ^ (c 83492791) mod 2^32, then h 2654435761 mod 2^32; noise = (h >> 24) & 15
//   distorted(y, x, c) = clamp(7 reference(y, min(x + 1, width - 1), c) / 8 + 12 + noise - 8, 0, 255)
Pair ScenePair(int width, int height);

// The golden pairs by name: A 256x192, B 67x45, C 64x64, D 8x8, E 200x9 (width x height), A192: the left 192 columns of
// A.
Pair GoldenPair(const std::string& name);

Pair CopyOf(const Image& image);                            // the image twice
Image Constant(int width, int height, std::uint8_t value);  // RGB
// Float RGB, multiples of 1/1024 in [0.2, 0.8]; `flat` leaves a patch of one value in the middle.
Pair RandomFloatPair(int width, int height, int channels, std::uint32_t seed, bool flat);
// uint8 noise of +-amplitude added to an image.
Image WithNoise(const Image& image, int amplitude, std::uint32_t seed);
Image ToChw(const Image& image);

}  // namespace likeness::testing
