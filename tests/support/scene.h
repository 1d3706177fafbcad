// The integer scene behind the golden pairs (formulas in pairs.h). Standard library only: the GPU's check makes it too.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>

namespace likeness::testing {

inline int Tri(int n, int p) { return std::abs(n % (2 * p) - p); }
inline int Clamp255(int value) { return std::clamp(value, 0, 255); }

inline int SceneReference(int y, int x, int c) {
  return Clamp255(40 + Tri(x * (c + 2) + y, 64) + Tri(3 * y + 17 * c, 48) + 60 * (((x / 16) + (y / 16)) & 1));
}

inline int SceneNoise(std::uint64_t y, std::uint64_t x, std::uint64_t c) {
  const auto h = static_cast<std::uint32_t>((x * 73856093u) ^ (y * 19349663u) ^ (c * 83492791u));
  return (h * 2654435761u) >> 24 & 15;
}

// Both images of a scene: height x width RGB pixels each.
inline void FillScene(int width, int height, std::uint8_t* reference, std::uint8_t* distorted) {
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      for (int c = 0; c < 3; ++c) {
        *reference++ = SceneReference(y, x, c);
        *distorted++ =
            Clamp255(7 * SceneReference(y, std::min(x + 1, width - 1), c) / 8 + 12 + SceneNoise(y, x, c) - 8);
      }
    }
  }
}

}  // namespace likeness::testing
